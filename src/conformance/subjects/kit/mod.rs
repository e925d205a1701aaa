//! The kit's own supervisor and API server as a subject; any other supervisor of this process, too.
//!
//! - [`scenarios`](SCENARIOS): which character is launched, what is done with it, and the rules;
//! - `rpcs`, `hooks`: the sweeps over all RPCs and all hooks, two rules each;
//! - [`launcher`](Launcher): who launches.

mod hooks;
mod launcher;
mod rpcs;
pub mod saboteurs;
mod scenarios;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fake_interpreters::characters::Character;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub use hooks::HookSweep;
pub use launcher::{KitSupervisor, Launcher, Offer, Story, Wait};
pub use rpcs::Sweep;
pub use scenarios::{Rule, SCENARIOS, Scenario};

use super::super::catalogue::{self, Check, SubjectKind, Verdict};
use super::super::evidence::Observation;
use super::super::fixtures::{Bundle, DEFAULT_VERSION, GeneratedApi, Interpreter};
use super::{GateError, RunContext, Subject};
use crate::api::{ApiServer, ApiServerBuilder, RecordedCall, Recorder};
use crate::hooks::HookLayer;

/// No launch takes longer, whatever the supervisor does.
const PATIENCE: Duration = Duration::from_secs(180);
/// So long a life may take to end when the run ends early.
const END: Duration = Duration::from_secs(15);

/// Changes the server between handler and wire; for saboteurs.
pub type ServerFault = Arc<dyn Fn(ApiServerBuilder) -> ApiServerBuilder + Send + Sync>;

/// A supervisor of this process, and the API server that it is given.
#[derive(Clone)]
pub struct Kit {
    /// The compiled fake interpreter.
    pub interpreter: Interpreter,
    /// Who launches.
    pub launcher: Arc<dyn Launcher>,
    /// A fault between handler and wire.
    pub server_fault: ServerFault,
    /// A fault between the typed hooks and the wire.
    pub hook_fault: HookLayer,
}

/// One launch.
#[derive(Debug, Clone, Copy)]
pub enum KitCase {
    /// A plugin that calls every RPC.
    Rpcs(Sweep),
    /// A plugin that implements every hook.
    Hooks(HookSweep),
    /// A row of [`SCENARIOS`].
    Scenario(&'static Scenario),
}

/// What was seen of a launch.
#[derive(Debug, Clone)]
pub struct KitEvidence {
    /// From outside the plugin process.
    pub seen: Observation,
    /// The API calls that reached the server.
    pub recorded: Vec<RecordedCall>,
}

impl Kit {
    /// The kit's own supervisor. The interpreter is a compiled `fake-python`, or any program that
    /// behaves like it when its name is `python`, as the command-line tool does.
    pub fn new(interpreter: Interpreter) -> Self {
        Self {
            interpreter,
            launcher: Arc::new(KitSupervisor::default()),
            server_fault: Arc::new(|server| server),
            hook_fault: Arc::new(|hooks| hooks),
        }
    }

    /// Launches the case's character and says what was seen.
    ///
    /// # Errors
    /// [`GateError`] when there can be no bundle.
    pub async fn observe(
        &self,
        case: &KitCase,
        stop: &CancellationToken,
    ) -> Result<KitEvidence, GateError> {
        let (character, story) = match case {
            KitCase::Rpcs(sweep) => (sweep.character(), Story::LaunchAndStop),
            KitCase::Hooks(sweep) => (sweep.character(), Story::FireHooksAndStop),
            KitCase::Scenario(scenario) => (scenario.character, scenario.story),
        };
        let api = match case {
            KitCase::Rpcs(Sweep::Failures) => GeneratedApi::failing(),
            _ => GeneratedApi::answering(DEFAULT_VERSION),
        };
        let folder = folder()?;
        let bundle = self.bundle(folder.path(), character)?;
        let recorder = Recorder::default();
        let (fault, record) = (Arc::clone(&self.server_fault), recorder.clone());
        let (unix, runs_out): (_, &[Wait]) = match case {
            KitCase::Scenario(scenario) => (scenario.unix, scenario.runs_out),
            _ => (false, &[]),
        };
        let offer = Offer {
            server: Arc::new(move || fault(ApiServer::builder(Arc::clone(&api))).record(&record)),
            unix,
            hooks: Arc::clone(&self.hook_fault),
            runs_out,
            stop: stop.clone(),
        };
        let life = self.launcher.live(&bundle.dir, offer, story);
        let limit = async {
            let patience = tokio::time::sleep(PATIENCE);
            if stop.run_until_cancelled(patience).await.is_none() {
                tokio::time::sleep(END).await;
            }
        };
        let mut seen = tokio::select! {
            seen = life => seen,
            () = limit => Observation::endless(&bundle.dir, PATIENCE),
        };
        seen.folder = Some(Arc::new(folder));
        Ok(KitEvidence { seen, recorded: recorder.calls() })
    }

    fn bundle(&self, folder: &Path, character: &str) -> Result<Bundle, GateError> {
        let found = Character::by_name(character);
        let found = found.map_err(|_| GateError::Character(character.to_owned()))?;
        Ok(Bundle::of_character(&folder.join("bundle"), found, &self.interpreter)?)
    }
}

#[async_trait]
impl Subject for Kit {
    type Case = KitCase;
    type Evidence = KitEvidence;

    fn kind(&self) -> SubjectKind {
        SubjectKind::Kit
    }

    fn cases(&self) -> Vec<KitCase> {
        let rpcs = [Sweep::Answers, Sweep::Failures].map(KitCase::Rpcs);
        let hooks = HookSweep::ALL.map(KitCase::Hooks);
        rpcs.into_iter().chain(hooks).chain(SCENARIOS.iter().map(KitCase::Scenario)).collect()
    }

    fn name(&self, case: &KitCase) -> String {
        match case {
            KitCase::Rpcs(sweep) => sweep.character().to_owned(),
            KitCase::Hooks(sweep) => sweep.character().to_owned(),
            KitCase::Scenario(scenario) => scenario.character.to_owned(),
        }
    }

    fn checks(&self, case: &KitCase) -> Vec<&'static Check> {
        let of = catalogue::of(SubjectKind::Kit);
        match case {
            KitCase::Rpcs(sweep) => of.filter(|check| sweep.makes(check.id)).collect(),
            KitCase::Hooks(sweep) => of.filter(|check| sweep.makes(check.id)).collect(),
            KitCase::Scenario(scenario) => {
                let made = |check: &&Check| scenario.rules.iter().any(|rule| rule.id == check.id);
                of.filter(made).collect()
            }
        }
    }

    async fn run(&self, case: &KitCase, run: &RunContext) -> Result<KitEvidence, GateError> {
        self.observe(case, &run.stop).await
    }

    fn judge(&self, case: &KitCase, check: &Check, evidence: &KitEvidence) -> Verdict {
        let KitEvidence { seen, recorded } = evidence;
        match case {
            KitCase::Rpcs(sweep) => sweep.judge(check, seen, recorded),
            KitCase::Hooks(sweep) => sweep.judge(check, seen),
            KitCase::Scenario(scenario) => {
                let rule = scenario.rules.iter().find(|rule| rule.id == check.id);
                (rule.ok_or("the scenario has no such rule")?.judge)(seen)
            }
        }
    }

    fn exercised(&self, evidence: &KitEvidence) -> BTreeSet<&'static str> {
        evidence.recorded.iter().map(|call| call.method.name).collect()
    }
}

pub(in super::super) fn folder() -> Result<TempDir, GateError> {
    tempfile::Builder::new().prefix("plugin-conformance-").tempdir().map_err(GateError::Temp)
}
