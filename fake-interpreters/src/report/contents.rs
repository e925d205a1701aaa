//! The contents of `report.json`.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::hooks::{HookCallReport, HttpReport};

/// The report's file name; it stands beside the script.
pub const FILE_NAME: &str = "report.json";

/// The schema this version writes and reads.
pub const SCHEMA: u32 = 1;

/// What an interpreter saw and did. It is rewritten as things happen, so a report can be read
/// while its writer lives; [`complete`](Self::complete) says whether more may come.
///
/// ```
/// use fake_interpreters::Report;
///
/// let report: Report = serde_json::from_str(r#"{"schema": 1, "pid": 7, "new_field": 1}"#).unwrap();
/// assert_eq!(report.pid, 7);
/// assert!(!report.complete);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// The program as it was invoked: `argv[0]`.
    pub interpreter: String,
    /// All arguments, `argv[0]` among them.
    pub argv: Vec<String>,
    /// The working directory at the start.
    pub cwd: String,
    /// The process id.
    pub pid: u32,
    /// `MATTERMOST_PLUGIN_API_TARGET`, if it was set.
    pub api_target: Option<String>,
    /// Whether somebody listened at the target when the interpreter started.
    pub api_reachable_at_start: bool,
    /// What go-plugin's variables said.
    pub go_plugin: GoPlugin,
    /// What Mattermost's own variables said.
    pub environment: Environment,
    /// The process id of who started it.
    pub parent: u32,
    /// In a scenario's bundle: which of its lives this is, from 1. Earlier lives are in
    /// `report-1.json` and so on.
    pub life: u32,
    /// In a scenario's bundle: how long after its start the interpreter was seen to live, in
    /// milliseconds. It looks every 100 ms.
    pub alive_ms: u64,
    /// In a scenario's bundle: when the API was reached first, in milliseconds after the start.
    pub api_reached_ms: Option<u64>,
    /// In a scenario's bundle: when the API, reached before, refused a connection first.
    pub api_lost_ms: Option<u64>,
    /// The services whose health was asked for, in that order: the first thousand.
    pub health: Vec<String>,
    /// The version in the last good answer to `GetServerVersion`.
    pub server_version: Option<String>,
    /// The handshake line that was printed.
    pub handshake: Option<String>,
    /// Calls of the PluginAPI that came to an end, in that order.
    pub calls: Vec<CallReport>,
    /// Hooks received, in that order; none that a [driver](crate::hook_control) decided, which
    /// knows them.
    pub hooks: Vec<String>,
    /// The unary hooks among them, with their requests: the first thousand.
    pub hook_calls: Vec<HookCallReport>,
    /// The calls of `ServeHTTP`, in the order of their arrival: the first thousand.
    pub http: Vec<HttpReport>,
    /// What `repeat_call` measured.
    pub repeat: Vec<RepeatReport>,
    /// Process ids of grandchildren.
    pub grandchildren: Vec<u32>,
    /// The first request to stop, once there was one.
    pub stop: Option<StopReport>,
    /// Steps that could not be done, in words.
    pub failures: Vec<String>,
    /// The exit code, if the interpreter came to its exit.
    pub exit: Option<i32>,
    /// Whether the interpreter came to its exit: this is then its last word.
    pub complete: bool,
}

/// The variables by which go-plugin introduces itself, as they were set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GoPlugin {
    /// `MATTERMOST_PLUGIN`, the magic cookie.
    pub cookie: Option<String>,
    /// `PLUGIN_PROTOCOL_VERSIONS`.
    pub protocol_versions: Option<String>,
    /// `PLUGIN_MIN_PORT`.
    pub min_port: Option<String>,
    /// `PLUGIN_MAX_PORT`.
    pub max_port: Option<String>,
}

/// The variables that the Python SDK reads besides the target, as they were set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// `MATTERMOST_PLUGIN_ID`.
    pub plugin_id: Option<String>,
    /// `MATTERMOST_PLUGIN_PATH`.
    pub plugin_path: Option<String>,
    /// `PATH`, which every process has that inherits an environment.
    pub path: Option<String>,
    /// `PLUGIN_CONFORMANCE_MARK`, which a check sets for the supervisor to pass on.
    pub mark: Option<String>,
}

/// One call of the PluginAPI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallReport {
    /// The RPC's name.
    pub rpc: String,
    /// The gRPC code, for example `NOT_FOUND`.
    pub code: String,
    /// The id of the AppError, embedded in the answer or in the status's details.
    pub error_id: Option<String>,
    /// How long it took.
    pub micros: u64,
    /// Whether the answer was the expected one, if one was expected.
    pub matches: Option<bool>,
    /// Where the answer differs first from the expected one.
    pub difference: Option<String>,
}

/// One `repeat_call`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepeatReport {
    /// The RPC's name.
    pub rpc: String,
    /// How many calls were made.
    pub times: u64,
    /// How many of them at most at once.
    pub in_flight: u64,
    /// How many did not end with `OK`.
    pub failed: u64,
    /// How long all of them took.
    pub micros: u64,
    /// Calls per second.
    pub calls_per_second: f64,
}

/// The first request to stop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopReport {
    /// `SIGTERM` or `SIGINT`; none when go-plugin's controller asked.
    pub signal: Option<String>,
    /// Whether the PluginAPI server still listened then.
    pub api_reachable: bool,
}

/// Why a report could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is none: the interpreter was not started, or its directory is read-only.
    #[error("no report at {}", .0.display())]
    Missing(PathBuf),
    /// There is one that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The report.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no report.
    #[error("{} is not a report: {source}", path.display())]
    Malformed {
        /// The report.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Written by a program of another version.
    #[error("{} has schema {found}, this program reads schema {SCHEMA}", path.display())]
    Schema {
        /// The report.
        path: PathBuf,
        /// The schema it names.
        found: u32,
    },
}

impl Report {
    /// Reads a report. Fields it does not know are passed over.
    ///
    /// # Errors
    /// When there is none, or it is none.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let path_buf = || path.to_owned();
        let text = std::fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ReportError::Missing(path_buf()),
            _ => ReportError::Read { path: path_buf(), source },
        })?;
        let report: Self = serde_json::from_slice(&text)
            .map_err(|source| ReportError::Malformed { path: path_buf(), source })?;
        match report.schema {
            SCHEMA => Ok(report),
            found => Err(ReportError::Schema { path: path_buf(), found }),
        }
    }

    /// The calls that did not match what was expected of them.
    pub fn mismatches(&self) -> impl Iterator<Item = &CallReport> {
        self.calls.iter().filter(|call| call.matches == Some(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        assert!(matches!(Report::read(&path), Err(ReportError::Missing(_))));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(Report::read(&path), Err(ReportError::Malformed { .. })));
        std::fs::write(&path, r#"{"schema": 9}"#).unwrap();
        assert!(matches!(Report::read(&path), Err(ReportError::Schema { found: 9, .. })));
        assert!(matches!(Report::read(dir.path()), Err(ReportError::Read { .. })));
    }
}
