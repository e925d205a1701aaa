//! The gate for any bundle: what every plugin must do, whatever it does besides.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_interpreters::report::{FILE_NAME, Report};
use plugin_proto::prost_reflect::DynamicMessage;
use plugin_proto::{METHODS, Service};

use super::check::{Check, Verdict};
use super::gate::{Gate, GateError};
use super::report::RunReport;
use crate::api::mock::MockFile;
use crate::api::{ApiServer, Outcome, RecordedCall, Recorder};
use crate::api::{DEFAULT_VERSION, GeneratedApi};
use crate::supervisor::lifecycle::Ending;
use crate::supervisor::{
    Ended, EventKind, EventLog, ExitStatus, LaunchError, LaunchFailure, Supervisor, Timeouts,
};

/// How patient the gate is with a real plugin: like the server, but for the waits of the stop.
fn timeouts() -> Timeouts {
    Timeouts { grace: Duration::from_secs(6), ..Timeouts::default() }
}

/// What was seen of one life of the plugin.
struct Life {
    launch: Result<(), LaunchError>,
    health: Option<Result<(), String>>,
    ended: Option<Ended>,
    events: Vec<EventKind>,
    recorded: Vec<RecordedCall>,
    /// Of a fake interpreter.
    report: Option<Report>,
    /// Whether the mocks got the calls they expect, if there are any.
    mocks: Option<Verdict>,
    millis: u64,
}

impl Gate {
    /// Checks the bundle in `dir`: it is launched twice, by the kit's supervisor, against an API
    /// that answers every RPC; the second time the API is on a Unix socket if `unix` says so.
    ///
    /// # Errors
    /// [`GateError`] when the run cannot be made; a rule that is broken is no error.
    pub async fn check_plugin(&self, dir: &Path, unix: bool) -> Result<RunReport, GateError> {
        self.check_plugin_against(dir, unix, None).await
    }

    /// As [`check_plugin`](Self::check_plugin), against the mocks of a file; one more check,
    /// `plugin.mocks`, says whether the first life made the calls that they expect.
    ///
    /// # Errors
    /// As [`check_plugin`](Self::check_plugin).
    pub async fn check_plugin_with(
        &self,
        dir: &Path,
        unix: bool,
        mocks: &MockFile,
    ) -> Result<RunReport, GateError> {
        self.check_plugin_against(dir, unix, Some(mocks)).await
    }

    async fn check_plugin_against(
        &self,
        dir: &Path,
        unix: bool,
        mocks: Option<&MockFile>,
    ) -> Result<RunReport, GateError> {
        let first = life(dir, unix, mocks).await;
        let mut checks = Vec::new();
        let mut made = |id, title, verdict: Option<Verdict>| {
            let mut check = match verdict {
                Some(verdict) => Check::new(id, title, verdict),
                None => Check::skipped(id, title, "there was nothing to look at"),
            };
            check.millis = first.millis;
            (self.progress)(&check);
            checks.push(check);
        };
        for rule in RULES {
            made(rule.id, rule.title, (rule.judge)(&first));
        }
        if mocks.is_some() {
            made("plugin.mocks", "the mocks get the calls they expect", first.mocks.clone());
        }
        let again = match first.launch {
            Ok(()) => Some(life(dir, unix, mocks).await),
            Err(_) => None,
        };
        made(
            "plugin.again",
            "the plugin can be launched a second time",
            again.map(|again| again.launch.map(|()| String::new()).map_err(|e| e.to_string())),
        );
        let reached: BTreeSet<_> = first.recorded.iter().map(|call| call.method.name).collect();
        Ok(RunReport::new(checks, &reached))
    }
}

async fn life(dir: &Path, unix: bool, mocks: Option<&MockFile>) -> Life {
    let start = Instant::now();
    let (events, recorder) = (EventLog::default(), Recorder::default());
    let mocks = mocks.map(|file| file.api(DEFAULT_VERSION).verify_on_drop(false));
    let api = match &mocks {
        Some(mocks) => mocks.plugin_api(),
        None => GeneratedApi::answering(DEFAULT_VERSION),
    };
    let record = recorder.clone();
    let mut builder = Supervisor::builder(dir)
        .api_server(move || ApiServer::builder(Arc::clone(&api)).record(&record))
        .timeouts(timeouts())
        .events(&events);
    if unix {
        builder = builder.api_on_unix_socket();
    }
    let (launch, health, ended) = match builder.launch().await {
        Err(error) => (Err(error), None, None),
        Ok(plugin) => {
            let health = plugin.health_check().await.map_err(|error| error.to_string());
            (Ok(()), Some(health), Some(plugin.shutdown().await))
        }
    };
    let spawned = events.kinds().into_iter().find_map(|kind| match kind {
        EventKind::Spawned { pid } => Some(pid),
        _ => None,
    });
    // A report of an earlier life does not count.
    let report = Report::read(&dir.join(FILE_NAME)).ok();
    let report = report.filter(|report| Some(report.pid) == spawned);
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (events, recorded) = (events.kinds(), recorder.calls());
    let mocks = mocks.map(|mocks| match mocks.verify() {
        Ok(()) => Ok(String::new()),
        Err(broken) => Err(broken.to_string()),
    });
    Life { launch, health, ended, events, recorded, report, mocks, millis }
}

struct PluginRule {
    id: &'static str,
    title: &'static str,
    /// `None`: the plugin did not get as far, or another rule has said it already.
    judge: fn(&Life) -> Option<Verdict>,
}

const fn rule(
    id: &'static str,
    title: &'static str,
    judge: fn(&Life) -> Option<Verdict>,
) -> PluginRule {
    PluginRule { id, title, judge }
}

static RULES: &[PluginRule] = &[
    rule("plugin.bundle", "manifest, interpreter and script are in order", |life| {
        Some(match &life.launch {
            Err(error) if is_bundle(&error.failure) => Err(error.to_string()),
            _ => Ok(String::new()),
        })
    }),
    rule("plugin.handshake", "the first line of stdout is a valid handshake", |life| {
        let reached = seen(life, |kind| matches!(kind, EventKind::Handshaken { .. }));
        step(life, |kind| matches!(kind, EventKind::Spawned { .. }), reached)
    }),
    rule("plugin.health", "grpc.health.v1.Health says SERVING for \"plugin\"", |life| {
        let reached = seen(life, |kind| matches!(kind, EventKind::Healthy));
        let first = step(life, |kind| matches!(kind, EventKind::Handshaken { .. }), reached)?;
        Some(first.and_then(|_| match &life.health {
            Some(Err(error)) if !crashed(life) => {
                Err(format!("it was healthy only before OnActivate: {error}"))
            }
            _ => Ok(String::new()),
        }))
    }),
    rule("plugin.implemented", "Implemented names hooks that exist, each once", |life| {
        let named = life.events.iter().find_map(|kind| match kind {
            EventKind::HooksKnown { hooks } => Some(hooks),
            _ => None,
        });
        let reached = named.is_some();
        let asked = step(life, |kind| matches!(kind, EventKind::Healthy), reached)?;
        Some(asked.and_then(|_| implemented(named.map_or(&[], Vec::as_slice))))
    }),
    rule("plugin.activate", "OnActivate succeeds in time", |life| {
        let reached = seen(life, |kind| matches!(kind, EventKind::Active));
        step(life, |kind| matches!(kind, EventKind::HooksKnown { .. }), reached)
    }),
    rule("plugin.api-calls", "every API call is well-formed and knows the contract", |life| {
        if !seen(life, |kind| matches!(kind, EventKind::Spawned { .. })) {
            return None;
        }
        let calls: Vec<_> =
            life.recorded.iter().filter_map(|call| ill_formed(call).err()).collect();
        Some(match calls.is_empty() {
            true => Ok(format!("{} calls", life.recorded.len())),
            false => Err(calls.join("; ")),
        })
    }),
    rule("plugin.api-answers", "a fake interpreter got every answer as it was sent", |life| {
        let report = life.report.as_ref()?;
        let wrong: Vec<_> = report
            .mismatches()
            .map(|call| {
                format!("{}: {}", call.rpc, call.difference.as_deref().unwrap_or("differs"))
            })
            .collect();
        Some(match wrong.is_empty() {
            true => Ok(format!("{} calls", report.calls.len())),
            false => Err(wrong.join("; ")),
        })
    }),
    rule("plugin.deactivate", "OnDeactivate succeeds in time", |life| {
        life.ended.as_ref()?;
        let error = life.events.iter().find_map(|kind| match kind {
            EventKind::Deactivated { error } => error.clone(),
            _ => None,
        });
        Some(error.map_or(Ok(String::new()), Err))
    }),
    rule("plugin.stays", "the plugin does not end before it is told to", |life| {
        let ended = life.ended.as_ref()?;
        Some(match ended.ending {
            Ending::Crashed => Err(format!("it ended by itself: {}", exit(ended))),
            _ => Ok(String::new()),
        })
    }),
    rule("plugin.leaves", "the plugin leaves when it is asked to, before it is killed", |life| {
        let ended = life.ended.as_ref()?;
        Some(match life.events.contains(&EventKind::Killing) {
            true => Err(format!("it had to be killed after the grace period: {}", exit(ended))),
            false => Ok(String::new()),
        })
    }),
    rule("plugin.exit-status", "it ends with status 0", |life| {
        let ended = life.ended.as_ref()?;
        if crashed(life) || life.events.contains(&EventKind::Killing) {
            return None;
        }
        let status = ended.exit.as_ref().map(|exit| exit.status);
        Some(match status {
            Some(ExitStatus::Code(0)) => Ok(String::new()),
            _ => Err(exit(ended)),
        })
    }),
    rule("plugin.no-stragglers", "no process of it is left outside its group", |life| {
        let stragglers = life.ended.as_ref()?.exit.as_ref().map_or(0, |exit| exit.stragglers);
        Some(match stragglers {
            0 => Ok(String::new()),
            some => Err(format!("{some} processes had to be hunted down")),
        })
    }),
];

fn crashed(life: &Life) -> bool {
    life.ended.as_ref().is_some_and(|ended| ended.ending == Ending::Crashed)
}

fn exit(ended: &Ended) -> String {
    ended.exit.as_ref().map_or("no exit status".to_owned(), ToString::to_string)
}

fn seen(life: &Life, wanted: impl Fn(&EventKind) -> bool) -> bool {
    life.events.iter().any(wanted)
}

/// A step of the launch: reached, failed with the launch's error, or not even begun.
fn step(life: &Life, begun: impl Fn(&EventKind) -> bool, reached: bool) -> Option<Verdict> {
    match &life.launch {
        _ if reached => Some(Ok(String::new())),
        Err(error) if seen(life, begun) => Some(Err(error.to_string())),
        _ => None,
    }
}

fn is_bundle(failure: &LaunchFailure) -> bool {
    use LaunchFailure as F;
    matches!(
        failure,
        F::Manifest(_) | F::NotPython { .. } | F::Interpreter(_) | F::Script(_) | F::Spawn(_)
    )
}

fn implemented(named: &[String]) -> Verdict {
    let mut once = BTreeSet::new();
    for name in named {
        let hook = METHODS.iter().find(|method| method.name == name);
        if hook.is_none_or(|method| method.service != Service::PluginHooks) {
            return Err(format!("there is no hook {name:?}"));
        }
        if !once.insert(name) {
            return Err(format!("{name} stands in the list twice"));
        }
    }
    Ok(format!("{} hooks", named.len()))
}

/// A request that does not decode, or has fields that the contract does not know.
fn ill_formed(call: &RecordedCall) -> Result<(), String> {
    let name = call.method.name;
    let request = DynamicMessage::decode(call.method.request_descriptor(), call.request.clone());
    let request =
        request.map_err(|error| format!("{name}: the request does not decode: {error}"))?;
    if let Some(field) = request.unknown_fields().next() {
        let number = field.number();
        return Err(format!("{name}: the request has a field {number} that the contract lacks"));
    }
    match &call.outcome {
        Outcome::Status(code, message) => Err(format!("{name}: answered {code:?}: {message}")),
        Outcome::Response(_) | Outcome::Cancelled => Ok(()),
    }
}
