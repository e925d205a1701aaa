//! What is known of a scenario's bundle that somebody else's supervisor launched.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fake_interpreters::report::{FILE_NAME, HookEnd, Report};
use tempfile::TempDir;

use super::left::{answers, is_alive};

/// What was seen of the lives of one bundle, inside and outside.
#[derive(Debug, Clone)]
pub struct Launched {
    /// The bundle.
    pub bundle: PathBuf,
    /// The scenario's name.
    pub scenario: String,
    /// Every life that was reported, the last one last.
    pub lives: Vec<Report>,
    /// What was seen of the command; none if somebody else ran it.
    pub outside: Option<Outside>,
    /// Interpreters that still live.
    pub plugins_left: Vec<u32>,
    /// Descendants of interpreters that still live.
    pub descendants_left: Vec<u32>,
    /// Targets of the API that still answer.
    pub apis_left: Vec<String>,
    /// What the supervisor was asked to report as the server's version, if that is known.
    pub server_version: Option<String>,
    /// The value of a variable that the supervisor was to pass on.
    pub mark: Option<String>,
    /// Whether the supervisor got the scenario's own variables.
    pub prepared: bool,
    /// Whether the API's answers are the generated ones.
    pub generated: bool,
    /// By what limits are multiplied.
    pub patience: f64,
    /// Keeps the bundle until the last rule has looked at it.
    pub folder: Option<Arc<TempDir>>,
}

/// What was seen of a command that ran a supervisor.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// How it ended, in words; none if it had to be killed.
    pub exit: Option<String>,
    /// Its exit code.
    pub code: Option<i32>,
    /// It ended before it was asked to.
    pub ended_by_itself: bool,
    /// When the interpreter was gone, counted from its start, without anybody's asking.
    pub gone_after: Option<Duration>,
    /// How long the interpreter was watched before the command was asked to stop.
    pub watched: Duration,
    /// How long it took from the request to stop to the command's end.
    pub stop_took: Option<Duration>,
    /// The API refused a connection while the interpreter still lived.
    pub api_lost: bool,
    /// When the interpreter was gone, the API still answered, until the command was asked to stop.
    pub api_stayed: bool,
    /// The end of its output.
    pub output: String,
}

impl Launched {
    /// Reads what is in the bundle, and looks what is left.
    pub(in super::super) async fn read(bundle: &Path) -> Self {
        let mut lives = Vec::new();
        for life in 1_u32.. {
            match Report::read(&bundle.join(format!("report-{life}.json"))) {
                Ok(report) => lives.push(report),
                Err(_) => break,
            }
        }
        lives.extend(Report::read(&bundle.join(FILE_NAME)));
        let left = |pids: Vec<u32>| pids.into_iter().filter(|pid| is_alive(*pid)).collect();
        let plugins_left = left(lives.iter().map(|life| life.pid).collect());
        let descendants = lives.iter().flat_map(|life| life.grandchildren.clone());
        let descendants_left = left(descendants.collect());
        let mut apis_left = Vec::new();
        for target in lives.iter().filter_map(|life| life.api_target.clone()) {
            // One that never answered was never the supervisor's.
            let reached = lives
                .iter()
                .any(|life| life.api_reachable_at_start || life.api_reached_ms.is_some());
            if reached && answers(&target).await {
                apis_left.push(target);
            }
        }
        Self {
            bundle: bundle.to_owned(),
            scenario: String::new(),
            lives,
            outside: None,
            plugins_left,
            descendants_left,
            apis_left,
            server_version: None,
            mark: None,
            prepared: false,
            generated: false,
            patience: 1.0,
            folder: None,
        }
    }

    /// The first life.
    pub fn report(&self) -> Option<&Report> {
        self.lives.first()
    }

    /// Whether the plugin was asked this hook.
    pub fn asked(&self, hook: &str) -> bool {
        self.report().is_some_and(|report| report.hooks.iter().any(|name| name == hook))
    }

    /// Whether the supervisor had an answer to this hook.
    pub fn answered(&self, hook: &str) -> bool {
        let calls = self.report().map_or(&[][..], |report| &report.hook_calls);
        calls.iter().any(|call| call.hook == hook && call.end == HookEnd::Answered)
    }

    /// Whether the API was reached in the first life.
    pub fn api_reached(&self) -> bool {
        self.report()
            .is_some_and(|report| report.api_reachable_at_start || report.api_reached_ms.is_some())
    }

    /// A limit of the catalogue, with the run's patience.
    pub fn limit(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds).mul_f64(self.patience)
    }
}
