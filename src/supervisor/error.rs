//! Why a plugin could not be launched.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use super::handshake::HandshakeError;
use super::interpreter::InterpreterError;
use super::lifecycle::Phase;
use super::manifest::ManifestError;
use super::process::{ExitReport, SpawnError};
use super::script::ScriptError;
use crate::api::ListenError;
use crate::escape::escape_control;
use crate::hooks::{HealthError, HookError};

/// A launch that failed. By the time it is returned, nothing of the launch is left.
#[derive(Debug)]
pub struct LaunchError {
    /// The plugin; its folder's name where the manifest could not be read.
    pub plugin_id: String,
    /// Which step failed, and how.
    pub failure: LaunchFailure,
    /// How the process ended, if there was one.
    pub exit: Option<ExitReport>,
    /// The last lines that the process wrote to stderr.
    pub stderr: String,
}

/// One line, and the lines on stderr, each below it and indented.
impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = escape_control(&self.failure.to_string());
        write!(f, "unable to start plugin: {}: {failure}", escape_control(&self.plugin_id))?;
        if let Some(exit) = &self.exit {
            write!(f, "; the process ended: {exit}")?;
        }
        let stderr = self.stderr.trim_end();
        if !stderr.is_empty() {
            f.write_str("; its last lines on stderr:")?;
            // No line of the plugin's looks like one of the server's.
            for line in stderr.lines() {
                write!(f, "\n  {}", escape_control(line))?;
            }
        }
        Ok(())
    }
}

impl Error for LaunchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.failure)
    }
}

/// The step of a launch that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchFailure {
    /// No manifest, or none that can be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest describes no Python plugin.
    #[error("the manifest in {} describes no Python plugin: set server.runtime to \"python\", or server.executable to a .py file", bundle.display())]
    NotPython {
        /// The bundle.
        bundle: PathBuf,
    },
    /// No interpreter.
    #[error(transparent)]
    Interpreter(#[from] InterpreterError),
    /// No script, or one that must not be run.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The API server could not listen.
    #[error(transparent)]
    Api(#[from] ListenError),
    /// The interpreter could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The first line of stdout is no handshake, or did not come.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The address of the handshake cannot be reached.
    #[error(
        "the plugin says that it listens on {address}, but cannot be reached there: {}",
        escape_control(reason)
    )]
    Unreachable {
        /// The address.
        address: String,
        /// What connecting said.
        reason: String,
    },
    /// The plugin is not healthy at launch.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// `Implemented` failed.
    #[error("failed to query implemented hooks: {0}")]
    Implemented(#[source] HookError),
    /// `OnActivate` failed or refused.
    #[error("activation failed: {0}")]
    OnActivate(#[source] HookError),
    /// The process exited before the plugin was active.
    #[error("plugin exited before it was active, while {0}")]
    ExitedDuring(Phase),
    /// Somebody stopped it.
    #[error("the plugin was stopped before it was active")]
    Stopped,
    /// Code of this process panicked: the supervisor's own, or a hook layer, API factory or schedule
    /// that was given to it.
    #[error(
        "the supervisor panicked while {phase}: {reason}; look for the fault in the hook layer, API or schedule that was given to it, or report this"
    )]
    Panicked {
        /// When.
        phase: Phase,
        /// What the panic said.
        reason: String,
    },
    /// The driver was asked for a step whose ground is missing: a defect of the supervisor.
    #[error("the supervisor lost its footing while {0}; please report this")]
    NoPhase(Phase),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "nothing had begun",
            Self::StartingApi => "the API server was being started",
            Self::Spawning => "the process was being spawned",
            Self::Handshaking => "its handshake was awaited",
            Self::Connecting => "its gRPC server was being connected to",
            Self::CheckingHealth => "its health was being checked",
            Self::AskingHooks => "Implemented was under way",
            Self::Activating => "OnActivate was under way",
            Self::Active => "it was active",
            Self::Deactivating => "OnDeactivate was under way",
            Self::AskingToLeave => "it was being asked to leave",
            Self::Leaving => "it was leaving",
            Self::Terminating => "it was being terminated",
            Self::Reaping => "it was being reaped",
            Self::StoppingApi => "the API server was being stopped",
            Self::Ended => "nothing was left",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_forges_no_line() {
        let reason = "gone\nforged\u{1b}[2J".to_owned();
        let error = LaunchError {
            plugin_id: "com.example.a".to_owned(),
            failure: LaunchFailure::Unreachable { address: "here".to_owned(), reason },
            exit: None,
            stderr: "one\nforged\u{9b}\n".to_owned(),
        };
        let text = error.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with("gone\\nforged\\u{1b}[2J; its last lines on stderr:"), "{text}");
        assert_eq!(lines[1..], ["  one", "  forged\\u{9b}"]);
    }
}
