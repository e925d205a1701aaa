//! Who is judged: how each of them is set to work, and the rules it is judged by.
//!
//! A [`Subject`] has cases. A case is one thing to do (a launch, a sweep over all RPCs) and gives one
//! piece of evidence; each check of the catalogue is judged on the evidence of one case, by a pure
//! function. The [`runner`](super::runner) knows nothing of what a case does.

pub mod kit;
pub mod plugin;
pub mod sdk;
pub mod supervisor;

use std::collections::BTreeSet;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::catalogue::{Check, SubjectKind, Verdict};
use super::fixtures::BundleError;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A bundle could not be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// No folder for the bundles.
    #[error("cannot make a temporary folder for the bundles: {0}; set TMPDIR to a writable folder")]
    Temp(#[source] std::io::Error),
    /// A scenario names a character that does not exist.
    #[error("there is no fake interpreter {0:?}")]
    Character(String),
    /// The subject cannot be set to work at all; in words, with what to do.
    #[error("{0}")]
    Subject(String),
}

/// What a case is told of the run that it belongs to.
#[derive(Debug, Clone, Default)]
pub struct RunContext {
    /// The seed of everything random.
    pub seed: u64,
    /// Cancelled when the run ends early: a case then ends what it has started, and comes back soon.
    pub stop: CancellationToken,
}

/// Something that can be judged.
#[async_trait]
pub trait Subject: Send + Sync {
    /// One thing to do.
    type Case: Send + Sync;
    /// What was seen when it was done.
    type Evidence: Send + Sync;

    /// Which of the catalogue's subjects this is.
    fn kind(&self) -> SubjectKind;

    /// Everything there is to do, in the order of the catalogue.
    fn cases(&self) -> Vec<Self::Case>;

    /// The case's name, for people.
    fn name(&self, case: &Self::Case) -> String;

    /// The checks that are judged on the case's evidence.
    fn checks(&self, case: &Self::Case) -> Vec<&'static Check>;

    /// Is asked once, before the first case.
    ///
    /// # Errors
    /// [`GateError`] when the subject cannot be set to work at all.
    async fn prepare(&self, _run: &RunContext) -> Result<(), GateError> {
        Ok(())
    }

    /// Does what the case says. Several cases may run at once.
    ///
    /// # Errors
    /// [`GateError`] when that cannot be done at all; whatever the subject does wrong is evidence.
    async fn run(&self, case: &Self::Case, run: &RunContext) -> Result<Self::Evidence, GateError>;

    /// What the evidence says of a check: pure, the same for the same evidence.
    fn judge(&self, case: &Self::Case, check: &Check, evidence: &Self::Evidence) -> Verdict;

    /// The RPCs of PluginAPI that crossed the process boundary in the case.
    fn exercised(&self, _evidence: &Self::Evidence) -> BTreeSet<&'static str> {
        BTreeSet::new()
    }
}
