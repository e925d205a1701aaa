//! The result of a run, for people and for programs.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use plugin_proto::Service;
use serde::Serialize;

use super::super::catalogue::Level;
use super::finding::{Finding, Status};
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
    /// The checks, in the order of the catalogue.
    pub checks: Vec<Finding>,
    /// What could be changed in a list of known failures or a profile; fails no run.
    pub suggestions: Vec<String>,
    /// The seed of everything random.
    pub seed: u64,
    /// Whether a broken recommendation fails the run.
    pub strict: bool,
    /// Whether the run was ended before every check was made.
    pub interrupted: bool,
}

/// How many checks came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All.
    pub checks: usize,
    /// The rule holds.
    pub passed: usize,
    /// The rule is broken, and that fails the run.
    pub failed: usize,
    /// A recommended rule is broken, which fails no run that is not strict.
    pub advised: usize,
    /// The rule is broken, and that is known.
    pub known: usize,
    /// The evidence says nothing about the rule.
    pub not_observable: usize,
    /// Not made: the run ended before.
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
    pub fn new(checks: Vec<Finding>, exercised: &BTreeSet<&'static str>) -> Self {
        let total = Service::PluginAPI.methods().count();
        let mut report = Self {
            schema: SCHEMA,
            summary: Summary::default(),
            rpcs: Rpcs { total, exercised: exercised.len() },
            checks,
            suggestions: Vec::new(),
            seed: 0,
            strict: false,
            interrupted: false,
        };
        report.count();
        report
    }

    /// Counts anew, after a change to the checks or to `strict`.
    pub(in super::super) fn count(&mut self) {
        let count = |status| self.checks.iter().filter(|check| check.status == status).count();
        let failed = self.checks.iter().filter(|check| self.fails(check)).count();
        self.summary = Summary {
            checks: self.checks.len(),
            passed: count(Status::Passed),
            failed,
            advised: count(Status::Failed) - failed,
            known: count(Status::Known),
            not_observable: count(Status::NotObservable),
            skipped: count(Status::Skipped),
        };
    }

    /// Whether this check fails the run.
    pub fn fails(&self, check: &Finding) -> bool {
        check.status == Status::Failed && (self.strict || check.level == Level::Required)
    }

    /// Whether no rule is broken, but for those that are known and, unless the run is strict, those
    /// that are only recommended; and every check was made.
    pub fn is_success(&self) -> bool {
        self.summary.failed == 0 && !self.interrupted
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
