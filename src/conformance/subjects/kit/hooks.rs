//! Two checks per hook: its request and its answer cross byte for byte, and its failure has the
//! outcome that the contract says.

use std::collections::BTreeMap;

use bytes::Bytes;
use fake_interpreters::report::Report;
use fake_interpreters::sample;
use plugin_proto::prost::Message as _;
use plugin_proto::{ErrorChannel, Method, Service, v1};

use super::super::super::catalogue::{Check, Fault, Verdict};
use super::super::super::evidence::{HookSeen, Observation};

/// What the server goes on with when a hook fails, hook by hook.
static DECISIONS: &str = include_str!("../../catalogue/decisions.tsv");

/// What the plugin does in its hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookSweep {
    /// Each hook answers its generated response.
    Answers,
    /// Each hook fails: with its generated AppError where the answer has a place for one, else
    /// with a gRPC status.
    Failures,
}

impl HookSweep {
    pub(super) const ALL: [Self; 2] = [Self::Answers, Self::Failures];

    pub(super) const fn character(self) -> &'static str {
        match self {
            Self::Answers => "every-hook",
            Self::Failures => "every-hook-errors",
        }
    }

    /// Whether the check of this id is one of this sweep.
    pub(super) fn makes(self, id: &str) -> bool {
        let kind = match self {
            Self::Answers => ".answer",
            Self::Failures => ".failure",
        };
        id.starts_with("hook.") && id.ends_with(kind)
    }

    /// The id of a hook's check.
    fn id(self, hook: &Method) -> String {
        match self {
            Self::Answers => format!("hook.{}.answer", hook.name),
            Self::Failures => format!("hook.{}.failure", hook.name),
        }
    }

    /// What was seen of the hook of this check.
    pub(super) fn judge(self, check: &Check, seen: &Observation) -> Verdict {
        let mut unary = Service::PluginHooks.methods().filter(|hook| hook.is_unary());
        let hook = unary.find(|hook| self.id(hook) == check.id);
        let hook = hook.ok_or("there is no hook of this check")?;
        match self {
            Self::Answers => answer(hook, seen),
            Self::Failures => failure(hook, seen),
        }
    }
}

fn found<'a>(hook: &Method, seen: &'a Observation) -> Result<&'a HookSeen, String> {
    let found = seen.hooks.iter().find(|found| found.hook == hook.name);
    found.ok_or_else(|| match &seen.launch {
        Ok(()) => "the supervisor did not fire the hook".to_owned(),
        Err(error) => format!("the hook could not be fired: {error}"),
    })
}

fn answer(hook: &'static Method, seen: &Observation) -> Verdict {
    let fired = found(hook, seen)?;
    arrived(hook, seen.report.as_ref().map_err(Clone::clone)?)?;
    let got = fired.answer.clone().map_err(|error| format!("the caller got an error: {error}"))?;
    // The one answer that is not generated: the plugin must say which hooks it has.
    if hook.name == "Implemented" {
        let got = v1::ImplementedResponse::decode(got).map_err(|error| error.to_string())?;
        let missing = Service::PluginHooks.methods().filter(|hook| hook.name != "Implemented");
        let missing: Vec<_> = missing
            .map(|hook| hook.name)
            .filter(|name| !got.hooks.iter().any(|hook| hook == name))
            .collect();
        return match missing.is_empty() {
            true => Ok(String::new()),
            false => Err(format!("the caller got a list without {}", missing.join(", ")).into()),
        };
    }
    same("answer", hook.response, &got, &sample::response(hook))
}

/// The plugin was asked what the caller asked.
fn arrived(hook: &'static Method, report: &Report) -> Verdict {
    let expected = sample::request(hook);
    let mut last = None;
    for call in report.hook_calls.iter().filter(|call| call.hook == hook.name) {
        let Some(request) = &call.request_hex else { continue };
        let request = hex::decode(request).map_err(|error| format!("the report: {error}"))?;
        if request == expected {
            return Ok(String::new());
        }
        last = Some(Bytes::from(request));
    }
    match last {
        Some(request) => same("request", hook.request, &request, &expected),
        None => Err("the call did not arrive at the plugin".into()),
    }
}

fn same(what: &str, message: &str, got: &Bytes, expected: &Bytes) -> Verdict {
    if got == expected {
        return Ok(String::new());
    }
    Err(format!(
        "the {what} is another {message} than was sent: {} bytes, not {}",
        got.len(),
        expected.len()
    )
    .into())
}

fn failure(hook: &'static Method, seen: &Observation) -> Verdict {
    let fired = found(hook, seen)?;
    if matches!(hook.name, "Implemented" | "OnActivate") {
        // A plugin that fails these is never active; `implemented.*` and `activate.*` look at them.
        return Ok("succeeds here, so that the plugin can be launched".to_owned());
    }
    let expected = decision_on_failure(hook, hook.error_channel == ErrorChannel::Embedded)?;
    if fired.decision != expected {
        return Err(Fault::differs("the outcome", &expected, &fired.decision.as_str()).into());
    }
    let told = fired.failure.as_deref().unwrap_or_default();
    let error = sample::app_error(hook);
    // Of an AppError the id is told as well; a status has only its message.
    let id = if hook.error_channel == ErrorChannel::Embedded { error.id } else { String::new() };
    match told.contains(&error.message) && told.contains(&id) {
        true => Ok(String::new()),
        false => Err(format!("nothing tells of {:?}: {told:?}", error.message).into()),
    }
}

/// The column `error` of the table, or `failure`.
fn decision_on_failure(hook: &Method, error: bool) -> Result<&'static str, String> {
    let lines = DECISIONS.lines().filter(|line| !line.starts_with('#'));
    let rows: BTreeMap<_, Vec<_>> = lines
        .filter_map(|line| line.split_once('\t'))
        .map(|(hook, columns)| (hook, columns.split('\t').collect()))
        .collect();
    let columns = rows.get(hook.name).ok_or("the table of decisions has no such hook")?;
    columns.get(if error { 2 } else { 1 }).copied().ok_or_else(|| "a short row".to_owned())
}
