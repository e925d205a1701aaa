//! A supervisor that somebody else wrote: any program that launches the plugin in a bundle, keeps it
//! running, and stops it when it is asked to end.
//!
//! Each row of [`SCENARIOS`] is a bundle with a fake interpreter. [`ForeignSupervisor`] runs the
//! program on each of them and looks from outside; [`LaunchedBundles`] reads what bundles have in them
//! that a harness of one's own launched. The rules are the same.

mod command;
mod decoy;
mod rules;
mod scenarios;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use plugin_proto::Service;
use plugin_proto::names::suggestion;
use serde::{Deserialize, Serialize};

pub use command::StopBy;
pub use scenarios::{Rule, SCENARIOS, Scenario, Special, Until};

use super::super::catalogue::{self, Check, SubjectKind, Verdict};
use super::super::evidence::Launched;
use super::super::fixtures::{Bundle, BundleError, Interpreter};
use super::{GateError, RunContext, Subject};
use decoy::Decoys;

/// The target that a supervisor inherits in one scenario: nobody listens there.
const INHERITED_TARGET: &str = "127.0.0.1:1";
/// The variable of the target.
const TARGET: &str = "MATTERMOST_PLUGIN_API_TARGET";
/// A variable that the supervisor is to pass on.
const MARK: &str = "PLUGIN_CONFORMANCE_MARK";
/// The file that makes a bundle a scenario's.
const SCENARIO_FILE: &str = "scenario.json";
/// In a command's arguments it stands for the bundle.
const PLACEHOLDER: &str = "{bundle}";
/// The scenario that calls every RPC.
const EVERY_RPC: &str = "every-rpc";

/// There is no scenario of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario {0:?}{near}; `plugin-conformance bundle` lists them", near = suggestion(.0, SCENARIOS.iter().map(|scenario| scenario.id)))]
pub struct UnknownScenario(String);

/// What `scenario.json` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ScenarioFile {
    schema: u32,
    scenario: String,
    about: String,
    /// What the supervisor's own environment must have.
    environment: std::collections::BTreeMap<String, String>,
    /// The longest that is to be waited before the stop, in seconds.
    wait_seconds: u64,
    /// The longest that the stop may take, in seconds.
    stop_seconds: u64,
    stop_twice: bool,
}

impl Scenario {
    /// The scenario of this name.
    ///
    /// # Errors
    /// [`UnknownScenario`] suggests the nearest name.
    pub fn by_id(id: &str) -> Result<&'static Self, UnknownScenario> {
        let found = SCENARIOS.iter().find(|scenario| scenario.id == id);
        found.ok_or_else(|| UnknownScenario(id.to_owned()))
    }

    /// Writes the scenario's bundle, ready for any supervisor.
    ///
    /// # Errors
    /// [`BundleError`] names the file.
    pub fn write(&self, dir: &Path, interpreter: &Interpreter) -> Result<Bundle, BundleError> {
        let bundle = Bundle::write(dir, self.id, self.script, interpreter)?;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| BundleError::Write { path, source }
        };
        if let Special::Executable(executable) = self.special {
            let path = dir.join("plugin.json");
            let text = std::fs::read_to_string(&path).map_err(failed(&path))?;
            let quoted = format!("\"{executable}\"");
            std::fs::write(&path, text.replace("\"plugin.py\"", &quoted)).map_err(failed(&path))?;
            let script = dir.join(executable);
            if !executable.starts_with("..") {
                let folder = script.parent().unwrap_or(dir);
                std::fs::create_dir_all(folder).map_err(failed(folder))?;
                std::fs::write(&script, self.script).map_err(failed(&script))?;
            }
        }
        let mut environment = std::collections::BTreeMap::new();
        if self.special == Special::InheritedTarget {
            environment.insert(TARGET.to_owned(), INHERITED_TARGET.to_owned());
            environment.insert(MARK.to_owned(), self.id.to_owned());
        }
        let file = ScenarioFile {
            schema: 1,
            scenario: self.id.to_owned(),
            about: self.about.to_owned(),
            environment,
            wait_seconds: self.reach().as_secs(),
            stop_seconds: self.stop,
            stop_twice: self.special == Special::SecondStop,
        };
        let path = dir.join(SCENARIO_FILE);
        let text = serde_json::to_string_pretty(&file).unwrap_or_default();
        std::fs::write(&path, text + "\n").map_err(failed(&path))?;
        Ok(bundle)
    }

    pub(super) fn checks(&self) -> Vec<&'static Check> {
        let of = catalogue::of(SubjectKind::Supervisor);
        let made = |check: &&Check| match self.id {
            EVERY_RPC => check.id.starts_with("supervisor.rpc."),
            _ => self.rules.iter().any(|(id, _)| *id == check.id),
        };
        of.filter(made).collect()
    }

    fn judge(&self, check: &Check, seen: &Launched) -> Verdict {
        if self.id == EVERY_RPC {
            return rules::rpc(check.id.trim_start_matches("supervisor.rpc."), seen);
        }
        let rule = self.rules.iter().find(|(id, _)| *id == check.id);
        (rule.ok_or("the scenario has no such rule")?.1)(seen)
    }
}

/// The RPCs that the plugin called and that were answered by somebody.
fn exercised(scenario: &Scenario, seen: &Launched) -> BTreeSet<&'static str> {
    let called = |name: &str| {
        let calls = seen.report().map_or(&[][..], |report| &report.calls);
        let lost = ["UNIMPLEMENTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"];
        calls.iter().any(|call| call.rpc == name && !lost.contains(&call.code.as_str()))
    };
    let methods = Service::PluginAPI.methods().map(|method| method.name);
    methods.filter(|name| scenario.id == EVERY_RPC && called(name)).collect()
}

/// A program that runs a supervisor, judged from outside.
#[derive(Debug, Clone)]
pub struct ForeignSupervisor {
    /// The program and its arguments; `{bundle}` stands for the bundle, which is appended if it is
    /// missing.
    pub command: Vec<String>,
    /// How it is asked to stop.
    pub stop: StopBy,
    /// What its API says is the server's version, if that is known.
    pub server_version: Option<String>,
    /// By what all limits are multiplied; 1 if not given.
    pub patience: f64,
    /// Whether its API answers as `serve` does.
    pub generated: bool,
    /// The compiled fake interpreter.
    pub interpreter: Interpreter,
    decoys: Option<std::sync::Arc<Decoys>>,
}

impl ForeignSupervisor {
    /// A supervisor that this command runs.
    pub fn new(command: Vec<String>, interpreter: Interpreter) -> Self {
        Self {
            command,
            stop: StopBy::Sigterm,
            server_version: None,
            patience: 1.0,
            generated: false,
            interpreter,
            decoys: Decoys::new().ok().map(std::sync::Arc::new),
        }
    }

    fn limit(&self, limit: Duration) -> Duration {
        limit.mul_f64(self.patience)
    }
}

#[async_trait]
impl Subject for ForeignSupervisor {
    type Case = &'static Scenario;
    type Evidence = Launched;

    fn kind(&self) -> SubjectKind {
        SubjectKind::Supervisor
    }

    fn cases(&self) -> Vec<&'static Scenario> {
        SCENARIOS.iter().collect()
    }

    fn name(&self, case: &&'static Scenario) -> String {
        case.id.to_owned()
    }

    fn checks(&self, case: &&'static Scenario) -> Vec<&'static Check> {
        case.checks()
    }

    async fn prepare(&self, _: &RunContext) -> Result<(), GateError> {
        let Some(program) = self.command.first() else {
            return Err(GateError::Subject("there is no command to run; give it after --".into()));
        };
        match which::which(program) {
            Ok(_) => Ok(()),
            Err(error) => Err(GateError::Subject(format!(
                "cannot run {program}: {error}; give the path of a program that can be executed"
            ))),
        }
    }

    async fn run(&self, case: &&'static Scenario, run: &RunContext) -> Result<Launched, GateError> {
        let folder = super::kit::folder()?;
        let dir = folder.path().canonicalize().unwrap_or_else(|_| folder.path().to_owned());
        let dir = dir.join("bundle");
        case.write(&dir, &self.interpreter)?;
        let mut seen = command::run(self, case, &dir, run).await?;
        // What the rules look at besides the evidence is looked at before the folder goes.
        seen.mark = seen.mark.filter(|_| case.special != Special::InheritedTarget);
        seen.folder = Some(std::sync::Arc::new(folder));
        Ok(seen)
    }

    fn judge(&self, case: &&'static Scenario, check: &Check, evidence: &Launched) -> Verdict {
        case.judge(check, evidence)
    }

    fn exercised(&self, evidence: &Launched) -> BTreeSet<&'static str> {
        let scenario = Scenario::by_id(&evidence.scenario);
        scenario.map(|scenario| exercised(scenario, evidence)).unwrap_or_default()
    }
}

/// Bundles of scenarios that a harness of one's own launched and stopped.
#[derive(Debug, Clone)]
pub struct LaunchedBundles {
    bundles: Vec<(&'static Scenario, PathBuf)>,
    /// What the API says is the server's version, if that is known.
    pub server_version: Option<String>,
    /// By what all limits are multiplied; 1 if not given.
    pub patience: f64,
    /// Whether the API answers as `serve` does.
    pub generated: bool,
}

impl LaunchedBundles {
    /// The bundles in these folders; a folder that is no bundle may hold several.
    ///
    /// # Errors
    /// [`GateError::Subject`] names the folder that has none.
    pub fn find(dirs: &[PathBuf]) -> Result<Self, GateError> {
        let mut bundles = Vec::new();
        for dir in dirs {
            let before = bundles.len();
            bundles.extend(bundle(dir)?);
            if bundles.len() == before {
                let mut below: Vec<_> = std::fs::read_dir(dir)
                    .map_err(|error| {
                        GateError::Subject(format!("cannot read {}: {error}", dir.display()))
                    })?
                    .flatten()
                    .map(|entry| entry.path())
                    .collect();
                below.sort();
                for dir in below {
                    bundles.extend(bundle(&dir)?);
                }
            }
            if bundles.len() == before {
                return Err(GateError::Subject(format!(
                    "{} is no scenario's bundle and holds none: there is no {SCENARIO_FILE}; write \
                     one by `plugin-conformance bundle --scenario ID --out DIR`",
                    dir.display()
                )));
            }
        }
        let mut once = BTreeSet::new();
        if let Some((scenario, dir)) = bundles.iter().find(|(it, _)| !once.insert(it.id)) {
            return Err(GateError::Subject(format!(
                "{}: the scenario {} is there twice; judge one bundle of each",
                dir.display(),
                scenario.id
            )));
        }
        Ok(Self { bundles, server_version: None, patience: 1.0, generated: false })
    }
}

fn bundle(dir: &Path) -> Result<Option<(&'static Scenario, PathBuf)>, GateError> {
    let path = dir.join(SCENARIO_FILE);
    let Ok(text) = std::fs::read(&path) else { return Ok(None) };
    let failed = |error: &dyn std::fmt::Display| {
        GateError::Subject(format!("{}: {error}; write the bundle anew", path.display()))
    };
    let file: ScenarioFile = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    let scenario = Scenario::by_id(&file.scenario).map_err(|error| failed(&error))?;
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    Ok(Some((scenario, dir)))
}

#[async_trait]
impl Subject for LaunchedBundles {
    type Case = (&'static Scenario, PathBuf);
    type Evidence = Launched;

    fn kind(&self) -> SubjectKind {
        SubjectKind::Supervisor
    }

    fn cases(&self) -> Vec<Self::Case> {
        self.bundles.clone()
    }

    fn name(&self, (scenario, _): &Self::Case) -> String {
        scenario.id.to_owned()
    }

    fn checks(&self, (scenario, _): &Self::Case) -> Vec<&'static Check> {
        scenario.checks()
    }

    async fn run(
        &self,
        (scenario, dir): &Self::Case,
        _: &RunContext,
    ) -> Result<Launched, GateError> {
        let mut seen = Launched::read(dir).await;
        seen.scenario = scenario.id.to_owned();
        seen.server_version = self.server_version.clone();
        seen.patience = self.patience;
        seen.generated = self.generated;
        // The scenario's own variables came together with the mark.
        let mark = seen.report().and_then(|report| report.environment.mark.clone());
        seen.prepared = mark.as_deref() == Some(scenario.id);
        Ok(seen)
    }

    fn judge(&self, (scenario, _): &Self::Case, check: &Check, evidence: &Launched) -> Verdict {
        scenario.judge(check, evidence)
    }

    fn exercised(&self, evidence: &Launched) -> BTreeSet<&'static str> {
        let scenario = Scenario::by_id(&evidence.scenario);
        scenario.map(|scenario| exercised(scenario, evidence)).unwrap_or_default()
    }
}
