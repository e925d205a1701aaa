//! Runs the checks.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_interpreters::characters::Character;
use futures::StreamExt as _;
use futures::stream;
use tempfile::TempDir;

use super::bundle::{Bundle, BundleError, Interpreter};
use super::check::Check;
use super::hooks::HookSweep;
use super::report::RunReport;
use super::rpcs::{Sweep, exercised};
use super::scenarios::{SCENARIOS, Scenario};
use super::subject::{KitSupervisor, Observation, Offer, Story, Subject};
use crate::api::{ApiServer, ApiServerBuilder, RecordedCall, Recorder};
use crate::api::{DEFAULT_VERSION, GeneratedApi};
use crate::hooks::HookLayer;

/// Launches that run at the same time. Most of them wait for a deadline.
const AT_ONCE: usize = 6;
/// No launch takes longer, whatever the subject does.
const PATIENCE: Duration = Duration::from_secs(180);

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
}

/// Hears of every check as soon as it is made.
pub type Progress = Arc<dyn Fn(&Check) + Send + Sync>;

/// Changes the server between handler and wire; for saboteurs.
pub type Fault = Arc<dyn Fn(ApiServerBuilder) -> ApiServerBuilder + Send + Sync>;

/// The checks, ready to be made.
#[derive(Clone)]
pub struct Gate {
    pub(super) interpreter: Interpreter,
    pub(super) subject: Arc<dyn Subject>,
    pub(super) progress: Progress,
    fault: Fault,
    hook_fault: HookLayer,
}

impl Gate {
    /// A gate for the kit's own supervisor. The interpreter is a compiled `fake-python`, or any
    /// program that behaves like it when its name is `python`, as the command-line tool does.
    pub fn new(interpreter: Interpreter) -> Self {
        Self {
            interpreter,
            subject: Arc::new(KitSupervisor::default()),
            progress: Arc::new(|_| ()),
            fault: Arc::new(|server| server),
            hook_fault: Arc::new(|hooks| hooks),
        }
    }

    /// Judges another supervisor.
    #[must_use]
    pub fn subject(mut self, subject: Arc<dyn Subject>) -> Self {
        self.subject = subject;
        self
    }

    /// Tells of each check as it is made.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Puts a fault between handler and wire, to see whether the checks catch it.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    /// Puts a fault between the typed hooks and the wire, to see whether the checks catch it.
    #[must_use]
    pub fn hook_fault(mut self, fault: HookLayer) -> Self {
        self.hook_fault = fault;
        self
    }

    /// Makes every check: answers and failures of 236 RPCs and 41 hooks, and the life-cycle
    /// scenarios.
    ///
    /// # Errors
    /// [`GateError`] when the run cannot be made; a rule that is broken is no error.
    pub async fn check(&self) -> Result<RunReport, GateError> {
        let mut checks = Vec::new();
        let mut reached = BTreeSet::new();
        for sweep in [Sweep::Answers, Sweep::Failures] {
            let (made, recorded) = self.sweep(sweep).await?;
            checks.extend(made);
            if sweep == Sweep::Answers {
                reached = exercised(&recorded);
            }
        }
        checks.extend(self.hooks().await?);
        checks.extend(self.scenarios().await?);
        Ok(RunReport::new(checks, &reached))
    }

    /// The checks of the answers alone.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_answers(&self) -> Result<RunReport, GateError> {
        let (checks, recorded) = self.sweep(Sweep::Answers).await?;
        Ok(RunReport::new(checks, &exercised(&recorded)))
    }

    /// The checks of the failures alone.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_failures(&self) -> Result<RunReport, GateError> {
        let (checks, recorded) = self.sweep(Sweep::Failures).await?;
        Ok(RunReport::new(checks, &exercised(&recorded)))
    }

    pub(super) async fn sweep(
        &self,
        sweep: Sweep,
    ) -> Result<(Vec<Check>, Vec<RecordedCall>), GateError> {
        let folder = folder()?;
        let bundle = self.bundle(folder.path(), sweep.character())?;
        let recorder = Recorder::default();
        let offer = self.offer(sweep, &recorder);
        let seen = self.live(&bundle.dir, offer, Story::LaunchAndStop).await;
        let recorded = recorder.calls();
        let checks = sweep.checks(&seen, &recorded);
        checks.iter().for_each(|check| (self.progress)(check));
        Ok((checks, recorded))
    }

    /// The checks of the hooks alone.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_hooks(&self) -> Result<RunReport, GateError> {
        Ok(RunReport::new(self.hooks().await?, &BTreeSet::new()))
    }

    async fn hooks(&self) -> Result<Vec<Check>, GateError> {
        let mut checks = Vec::new();
        for sweep in HookSweep::ALL {
            let folder = folder()?;
            let bundle = self.bundle(folder.path(), sweep.character())?;
            let offer = self.offer(Sweep::Answers, &Recorder::default());
            let seen = self.live(&bundle.dir, offer, Story::FireHooksAndStop).await;
            let made = sweep.checks(&seen);
            made.iter().for_each(|check| (self.progress)(check));
            checks.extend(made);
        }
        Ok(checks)
    }

    async fn scenarios(&self) -> Result<Vec<Check>, GateError> {
        let launches = stream::iter(SCENARIOS).map(|scenario| async move {
            let start = Instant::now();
            let seen = self.observe(scenario).await?;
            let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
            Ok((scenario, seen, millis))
        });
        let mut launches = launches.buffered(AT_ONCE);
        let mut checks = Vec::new();
        while let Some(launch) = launches.next().await {
            let (scenario, seen, millis): (&Scenario, Observation, u64) = match launch {
                Ok(launch) => launch,
                Err(error) => return Err(error),
            };
            for mut check in scenario.judge(&seen) {
                check.millis = millis;
                (self.progress)(&check);
                checks.push(check);
            }
        }
        Ok(checks)
    }

    /// Launches a scenario's character and says what was seen.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn observe(&self, scenario: &Scenario) -> Result<Observation, GateError> {
        let folder = folder()?;
        let bundle = self.bundle(folder.path(), scenario.character)?;
        let mut offer = self.offer(Sweep::Answers, &Recorder::default());
        offer.unix = scenario.unix;
        offer.runs_out = scenario.runs_out;
        let mut seen = self.live(&bundle.dir, offer, scenario.story).await;
        seen.folder = Some(Arc::new(folder));
        Ok(seen)
    }

    /// Lives a story, but not for ever.
    pub(super) async fn live(&self, bundle: &Path, offer: Offer, story: Story) -> Observation {
        let life = self.subject.live(bundle, offer, story);
        match tokio::time::timeout(PATIENCE, life).await {
            Ok(seen) => seen,
            Err(_) => Observation::endless(bundle, PATIENCE),
        }
    }

    fn bundle(&self, folder: &Path, character: &str) -> Result<Bundle, GateError> {
        let found = Character::by_name(character);
        let found = found.map_err(|_| GateError::Character(character.to_owned()))?;
        Ok(Bundle::of_character(&folder.join("bundle"), found, &self.interpreter)?)
    }

    fn offer(&self, sweep: Sweep, recorder: &Recorder) -> Offer {
        let api = match sweep {
            Sweep::Answers => GeneratedApi::answering(DEFAULT_VERSION),
            Sweep::Failures => GeneratedApi::failing(),
        };
        let (fault, recorder) = (Arc::clone(&self.fault), recorder.clone());
        let server = move || fault(ApiServer::builder(Arc::clone(&api))).record(&recorder);
        Offer {
            server: Arc::new(server),
            unix: false,
            hooks: Arc::clone(&self.hook_fault),
            runs_out: &[],
        }
    }
}

pub(super) fn folder() -> Result<TempDir, GateError> {
    tempfile::Builder::new().prefix("plugin-conformance-").tempdir().map_err(GateError::Temp)
}
