//! What an observer from outside saw of one life under a supervisor of this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fake_interpreters::report::Report;
use tempfile::TempDir;

use super::http::HttpSeen;
use crate::supervisor::{EventKind, LogRecord};

/// What the caller of a hook got from the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSeen {
    /// The hook.
    pub hook: &'static str,
    /// The plugin's answer as it was handed over, encoded; or why there is none.
    pub answer: Result<Bytes, String>,
    /// What the server goes on with, in the words of `decisions.tsv`.
    pub decision: String,
    /// What is told of a failure or a refusal.
    pub failure: Option<String>,
}

/// What was seen of one life, from outside the plugin process.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The bundle.
    pub bundle: PathBuf,
    /// The launch: the plugin became active, or the error's text.
    pub launch: Result<(), String>,
    /// The health check, if the story has one.
    pub health: Option<Result<(), String>>,
    /// The hooks that were fired, if the story has them.
    pub hooks: Vec<HookSeen>,
    /// What came of requests over HTTP, if the story has them.
    pub http: Vec<HttpSeen>,
    /// What the supervisor says that happened.
    pub events: Vec<EventKind>,
    /// How the process ended, in words.
    pub exit: Option<String>,
    /// How long the launch took.
    pub launch_time: Duration,
    /// How long everything after it took.
    pub stop_time: Duration,
    /// What the fake interpreter reported; `Err` says why there is no report.
    pub report: Result<Report, String>,
    /// The plugin's output, after the handshake.
    pub log: Vec<LogRecord>,
    /// Everything that is still there and should not be, in words.
    pub left: Vec<String>,
    /// Keeps the bundle until the last rule has looked at it.
    pub folder: Option<Arc<TempDir>>,
}

impl Observation {
    /// Of a subject that did not come back.
    pub(in super::super) fn endless(bundle: &Path, patience: Duration) -> Self {
        let fault = format!("the supervisor did not come back within {patience:?}");
        Self {
            bundle: bundle.to_owned(),
            launch: Err(fault.clone()),
            health: None,
            hooks: Vec::new(),
            http: Vec::new(),
            events: Vec::new(),
            exit: None,
            launch_time: patience,
            stop_time: Duration::ZERO,
            report: Err(fault.clone()),
            log: Vec::new(),
            left: vec![fault],
            folder: None,
        }
    }
}
