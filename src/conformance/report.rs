//! The result of a run, for people and for programs.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use plugin_proto::Service;
use serde::Serialize;

use super::check::{Check, Status};
use crate::remedy::remedy;

/// The version of the JSON report's form.
pub const SCHEMA: u32 = 1;

/// A run: every check made, every RPC exercised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// How many of each.
    pub summary: Summary,
    /// RPCs of `PluginAPI`.
    pub rpcs: Rpcs,
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

/// How many checks came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All.
    pub checks: usize,
    /// The rule holds.
    pub passed: usize,
    /// The rule is broken.
    pub failed: usize,
    /// The rule is broken, and that is known.
    pub known: usize,
    /// Could not be looked at.
    pub skipped: usize,
}

/// How many RPCs of `PluginAPI` crossed the process boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rpcs {
    /// All there are: 236.
    pub total: usize,
    /// Called by the plugin and answered.
    pub exercised: usize,
}

/// The JSON report could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot write the report to {}: {source}; {}",
    path.display(),
    remedy(source, "name a file in a folder that exists and is writable")
)]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

impl RunReport {
    /// The report of these checks.
    pub fn new(checks: Vec<Check>, exercised: &BTreeSet<&'static str>) -> Self {
        let total = Service::PluginAPI.methods().count();
        Self::of(checks, Rpcs { total, exercised: exercised.len() })
    }

    pub(super) fn of(checks: Vec<Check>, rpcs: Rpcs) -> Self {
        let count = |status| checks.iter().filter(|check| check.status == status).count();
        Self {
            schema: SCHEMA,
            summary: Summary {
                checks: checks.len(),
                passed: count(Status::Passed),
                failed: count(Status::Failed),
                known: count(Status::Known),
                skipped: count(Status::Skipped),
            },
            rpcs,
            checks,
        }
    }

    /// Whether no rule is broken, but for those that are known.
    pub fn is_success(&self) -> bool {
        self.summary.failed == 0
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// [`WriteError`] names the file.
    pub fn write_json(&self, path: &Path) -> Result<(), WriteError> {
        let failed = |source| WriteError { path: path.to_owned(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        std::fs::write(path, text).map_err(failed)
    }
}
