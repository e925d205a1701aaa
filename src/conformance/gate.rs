//! The gate as a library: the subjects of this process, and the runner, put together.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::evidence::Observation;
use super::fixtures::Interpreter;
use super::reports::{Finding, RunReport};
use super::runner::{EventSink, Filter, Runner};
use super::subjects::kit::{Kit, KitCase, Launcher, Scenario, ServerFault, Sweep};
use super::subjects::plugin::PluginBundle;
use super::subjects::{GateError, Subject as _};
use crate::api::RecordedCall;
use crate::api::mock::MockFile;
use crate::hooks::HookLayer;

/// The checks of this process's subjects, ready to be made.
#[derive(Clone)]
pub struct Gate {
    kit: Kit,
    runner: Runner,
}

impl Gate {
    /// A gate for the kit's own supervisor. The interpreter is a compiled `fake-python`, or any
    /// program that behaves like it when its name is `python`, as the command-line tool does.
    pub fn new(interpreter: Interpreter) -> Self {
        Self { kit: Kit::new(interpreter), runner: Runner::default() }
    }

    /// Judges another supervisor of this process.
    #[must_use]
    pub fn launcher(mut self, launcher: Arc<dyn Launcher>) -> Self {
        self.kit.launcher = launcher;
        self
    }

    /// Tells of everything as it happens.
    #[must_use]
    pub fn events(mut self, events: EventSink) -> Self {
        self.runner.events = events;
        self
    }

    /// Another run than the usual: other checks, other limits.
    #[must_use]
    pub fn runner(mut self, runner: Runner) -> Self {
        self.runner = runner;
        self
    }

    /// Puts a fault between handler and wire, to see whether the checks catch it.
    #[must_use]
    pub fn fault(mut self, fault: ServerFault) -> Self {
        self.kit.server_fault = fault;
        self
    }

    /// Puts a fault between the typed hooks and the wire, to see whether the checks catch it.
    #[must_use]
    pub fn hook_fault(mut self, fault: HookLayer) -> Self {
        self.kit.hook_fault = fault;
        self
    }

    /// Makes every check: answers and failures of 236 RPCs and 41 hooks, and the life-cycle
    /// scenarios.
    ///
    /// # Errors
    /// [`GateError`] when the run cannot be made; a rule that is broken is no error.
    pub async fn check(&self) -> Result<RunReport, GateError> {
        self.runner.run(&self.kit).await
    }

    /// The checks of the answers alone.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_answers(&self) -> Result<RunReport, GateError> {
        self.check_only("rpc.*.answer").await
    }

    /// The checks of the failures alone.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_failures(&self) -> Result<RunReport, GateError> {
        self.check_only("rpc.*.failure").await
    }

    /// The checks of the hooks alone.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_hooks(&self) -> Result<RunReport, GateError> {
        self.check_only("hook.*").await
    }

    async fn check_only(&self, filter: &str) -> Result<RunReport, GateError> {
        let filter =
            Filter::parse(filter).map_err(|error| GateError::Subject(error.to_string()))?;
        Runner { filter, ..self.runner.clone() }.run(&self.kit).await
    }

    /// Launches a scenario's character and says what was seen.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn observe(&self, scenario: &'static Scenario) -> Result<Observation, GateError> {
        let stop = CancellationToken::new();
        Ok(self.kit.observe(&KitCase::Scenario(scenario), &stop).await?.seen)
    }

    pub(super) async fn sweep(
        &self,
        sweep: Sweep,
    ) -> Result<(Vec<Finding>, Vec<RecordedCall>), GateError> {
        let case = KitCase::Rpcs(sweep);
        let evidence = self.kit.observe(&case, &CancellationToken::new()).await?;
        let checks = self.kit.checks(&case).into_iter();
        let made = |check| Finding::new(check, self.kit.judge(&case, check, &evidence));
        Ok((checks.map(made).collect(), evidence.recorded))
    }

    /// Checks the bundle in `dir`: it is launched twice, by the kit's supervisor, against an API
    /// that answers every RPC; the second time the API is on a Unix socket if `unix` says so.
    ///
    /// # Errors
    /// [`GateError`] when the run cannot be made; a rule that is broken is no error.
    pub async fn check_plugin(&self, dir: &Path, unix: bool) -> Result<RunReport, GateError> {
        self.runner.run(&PluginBundle { dir: dir.to_owned(), unix, mocks: None }).await
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
        let mocks = Some(mocks.clone());
        self.runner.run(&PluginBundle { dir: dir.to_owned(), unix, mocks }).await
    }
}
