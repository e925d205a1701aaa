//! A plugin's bundle as a subject: what every plugin must do, whatever it does besides.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_interpreters::report::{FILE_NAME, Report};
use plugin_proto::prost_reflect::DynamicMessage;
use plugin_proto::{METHODS, Service};
use tokio_util::sync::CancellationToken;

use super::super::catalogue::{self, Check, Objection, SubjectKind, Verdict};
use super::super::fixtures::{DEFAULT_VERSION, GeneratedApi};
use super::{GateError, RunContext, Subject};
use crate::api::mock::MockFile;
use crate::api::{ApiServer, Outcome, RecordedCall, Recorder};
use crate::supervisor::lifecycle::Ending;
use crate::supervisor::{
    Ended, EventKind, EventLog, ExitStatus, LaunchError, LaunchFailure, Leash, Supervisor, Timeouts,
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
}

/// A bundle, which is launched twice by the kit's supervisor, against an API that answers every RPC.
#[derive(Debug, Clone)]
pub struct PluginBundle {
    /// Its folder.
    pub dir: PathBuf,
    /// Serve the API on a Unix socket instead of TCP.
    pub unix: bool,
    /// What answers the API instead of generated messages.
    pub mocks: Option<MockFile>,
}

/// The two launches.
#[derive(Debug, Clone, Copy)]
pub struct TwoLives;

/// What was seen of the two launches.
pub struct Lives {
    first: Life,
    /// None if the first one failed.
    again: Option<Result<(), String>>,
}

#[async_trait]
impl Subject for PluginBundle {
    type Case = TwoLives;
    type Evidence = Lives;

    fn kind(&self) -> SubjectKind {
        SubjectKind::Plugin
    }

    fn cases(&self) -> Vec<TwoLives> {
        vec![TwoLives]
    }

    fn name(&self, _: &TwoLives) -> String {
        self.dir.display().to_string()
    }

    fn checks(&self, _: &TwoLives) -> Vec<&'static Check> {
        let made = |check: &&Check| check.id != MOCKS || self.mocks.is_some();
        catalogue::of(SubjectKind::Plugin).filter(made).collect()
    }

    async fn run(&self, _: &TwoLives, run: &RunContext) -> Result<Lives, GateError> {
        let first = life(&self.dir, self.unix, self.mocks.as_ref(), &run.stop).await;
        let again = match first.launch {
            Ok(()) => Some(life(&self.dir, self.unix, self.mocks.as_ref(), &run.stop).await),
            Err(_) => None,
        };
        let again = again.map(|again| again.launch.map_err(|error| error.to_string()));
        Ok(Lives { first, again })
    }

    fn judge(&self, _: &TwoLives, check: &Check, lives: &Lives) -> Verdict {
        let rule = RULES.iter().find(|rule| rule.id == check.id);
        let verdict = match (check.id, rule) {
            (_, Some(rule)) => (rule.judge)(&lives.first),
            (MOCKS, None) => lives.first.mocks.clone(),
            _ => lives.again.clone().map(|again| Ok(again.map(|()| String::new())?)),
        };
        verdict.unwrap_or_else(|| Err(Objection::not_observable("there was nothing to look at")))
    }

    fn exercised(&self, lives: &Lives) -> BTreeSet<&'static str> {
        lives.first.recorded.iter().map(|call| call.method.name).collect()
    }
}

/// The check that is made with mocks only.
const MOCKS: &str = "plugin.mocks";

async fn life(dir: &Path, unix: bool, mocks: Option<&MockFile>, stop: &CancellationToken) -> Life {
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
    let (launch, health, ended) = match builder.launch_on(&Leash::stopped_by(stop)).await {
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
    let (events, recorded) = (events.kinds(), recorder.calls());
    let mocks = mocks.map(|mocks| match mocks.verify() {
        Ok(()) => Ok(String::new()),
        Err(broken) => Err(broken.to_string().into()),
    });
    Life { launch, health, ended, events, recorded, report, mocks }
}

struct PluginRule {
    id: &'static str,
    /// `None`: the plugin did not get as far, or another rule has said it already.
    judge: fn(&Life) -> Option<Verdict>,
}

const fn rule(id: &'static str, judge: fn(&Life) -> Option<Verdict>) -> PluginRule {
    PluginRule { id, judge }
}

static RULES: &[PluginRule] = &[
    rule("plugin.bundle", |life| {
        Some(match &life.launch {
            Err(error) if is_bundle(&error.failure) => Err(error.to_string().into()),
            _ => Ok(String::new()),
        })
    }),
    rule("plugin.handshake", |life| {
        let reached = seen(life, |kind| matches!(kind, EventKind::Handshaken { .. }));
        step(life, |kind| matches!(kind, EventKind::Spawned { .. }), reached)
    }),
    rule("plugin.health", |life| {
        let reached = seen(life, |kind| matches!(kind, EventKind::Healthy));
        let first = step(life, |kind| matches!(kind, EventKind::Handshaken { .. }), reached)?;
        Some(first.and_then(|_| match &life.health {
            Some(Err(error)) if !crashed(life) => {
                Err(format!("it was healthy only before OnActivate: {error}").into())
            }
            _ => Ok(String::new()),
        }))
    }),
    rule("plugin.implemented", |life| {
        let named = life.events.iter().find_map(|kind| match kind {
            EventKind::HooksKnown { hooks } => Some(hooks),
            _ => None,
        });
        let reached = named.is_some();
        let asked = step(life, |kind| matches!(kind, EventKind::Healthy), reached)?;
        Some(asked.and_then(|_| implemented(named.map_or(&[], Vec::as_slice))))
    }),
    rule("plugin.activate", |life| {
        let reached = seen(life, |kind| matches!(kind, EventKind::Active));
        step(life, |kind| matches!(kind, EventKind::HooksKnown { .. }), reached)
    }),
    rule("plugin.api-calls", |life| {
        if !seen(life, |kind| matches!(kind, EventKind::Spawned { .. })) {
            return None;
        }
        let calls: Vec<_> =
            life.recorded.iter().filter_map(|call| ill_formed(call).err()).collect();
        Some(match calls.is_empty() {
            true => Ok(format!("{} calls", life.recorded.len())),
            false => Err(calls.join("; ").into()),
        })
    }),
    rule("plugin.api-answers", |life| {
        let report = life.report.as_ref()?;
        let wrong: Vec<_> = report
            .mismatches()
            .map(|call| {
                format!("{}: {}", call.rpc, call.difference.as_deref().unwrap_or("differs"))
            })
            .collect();
        Some(match wrong.is_empty() {
            true => Ok(format!("{} calls", report.calls.len())),
            false => Err(wrong.join("; ").into()),
        })
    }),
    rule("plugin.deactivate", |life| {
        life.ended.as_ref()?;
        let error = life.events.iter().find_map(|kind| match kind {
            EventKind::Deactivated { error } => error.clone(),
            _ => None,
        });
        Some(error.map_or(Ok(String::new()), |error| Err(error.into())))
    }),
    rule("plugin.stays", |life| {
        let ended = life.ended.as_ref()?;
        Some(match ended.ending {
            Ending::Crashed => Err(format!("it ended by itself: {}", exit(ended)).into()),
            _ => Ok(String::new()),
        })
    }),
    rule("plugin.leaves", |life| {
        let ended = life.ended.as_ref()?;
        Some(match life.events.contains(&EventKind::Killing) {
            true => {
                Err(format!("it had to be killed after the grace period: {}", exit(ended)).into())
            }
            false => Ok(String::new()),
        })
    }),
    rule("plugin.exit-status", |life| {
        let ended = life.ended.as_ref()?;
        if crashed(life) || life.events.contains(&EventKind::Killing) {
            return None;
        }
        let status = ended.exit.as_ref().map(|exit| exit.status);
        Some(match status {
            Some(ExitStatus::Code(0)) => Ok(String::new()),
            _ => Err(exit(ended).into()),
        })
    }),
    rule("plugin.no-stragglers", |life| {
        let stragglers = life.ended.as_ref()?.exit.as_ref().map_or(0, |exit| exit.stragglers);
        Some(match stragglers {
            0 => Ok(String::new()),
            some => Err(format!("{some} processes had to be hunted down").into()),
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
        Err(error) if seen(life, begun) => Some(Err(error.to_string().into())),
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
            return Err(format!("there is no hook {name:?}").into());
        }
        if !once.insert(name) {
            return Err(format!("{name} stands in the list twice").into());
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
