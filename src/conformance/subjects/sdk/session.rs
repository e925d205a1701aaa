//! A run of all cases: drivers side by side, each with a server of its own.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream;
use plugin_proto::{FILE_DESCRIPTOR_SET, Method, Service};
use tempfile::NamedTempFile;

use super::case::{Case, CaseKind};
use super::driver::{Driver, DriverFault, Heard};
use super::offered::Offered;
use super::protocol::{NotOffered, Said, ask};
use super::stage::{Arrival, Stage, StageError};
use crate::api::TARGET_VARIABLE;

/// Tells a driver where the contract is: a file with the encoded `google.protobuf.FileDescriptorSet`
/// of all messages and services, for drivers that work with descriptors.
pub const CONTRACT_VARIABLE: &str = "PLUGIN_CONFORMANCE_CONTRACT";

/// After so many cases in a row in which the driver died or hung, the rest is not asked.
const GIVE_UP: usize = 10;
/// A case that follows a dropped connection, and whose request does not arrive, is asked so many times
/// again.
const TRIES_AFTER_DROP: usize = 5;
/// Between the numbers of two RPCs' first cases.
const NUMBERS: u64 = 100;

/// How a driver is run.
#[derive(Debug, Clone)]
pub struct DriverOptions {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// How many drivers run side by side; at least one.
    pub jobs: usize,
    /// How long a driver may take over a case, its start included.
    pub case_limit: Duration,
}

/// What became of a case.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The driver answered.
    Said(Said),
    /// The driver did something else.
    Fault(DriverFault),
    /// It was not asked; why.
    NotAsked(String),
}

/// What was seen in a case.
#[derive(Debug, Clone)]
pub struct CaseEvidence {
    /// What was asked.
    pub case: Case,
    /// The requests that arrived at the server in the meantime, of this RPC and of others.
    pub arrived: Vec<Arrival>,
    /// What the driver made of it.
    pub outcome: Outcome,
    /// The fields that the driver says the SDK does not offer; `None` when it does not speak of it.
    pub not_offered: Option<NotOffered>,
}

/// All that was seen of an RPC.
#[derive(Debug, Clone)]
pub struct RpcEvidence {
    /// The RPC.
    pub method: &'static Method,
    /// Its cases.
    pub cases: Vec<CaseEvidence>,
    /// How long they took.
    pub took: Duration,
}

impl RpcEvidence {
    /// Nothing was seen.
    pub(super) fn none(method: &'static Method) -> Self {
        Self { method, cases: Vec::new(), took: Duration::ZERO }
    }
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The driver cannot be started.
    #[error("cannot start the driver {}: {source}; give the command after --, for example: \
        check sdk -- python3 driver.py", .program.to_string_lossy())]
    Start {
        /// The program.
        program: OsString,
        /// Why.
        source: std::io::Error,
    },
    /// It never answered, and was given up.
    #[error("the driver {} has not answered a single case: {fault}; docs/check-sdk.md tells what a \
        driver does", .program.to_string_lossy())]
    Silent {
        /// The program.
        program: OsString,
        /// What it did in the last case.
        fault: DriverFault,
    },
    /// There is no server for it.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The contract cannot be written down for it.
    #[error("cannot write the contract for the driver: {0}; set TMPDIR to a writable folder")]
    Contract(#[source] std::io::Error),
}

/// Drivers, each with a server of its own, and what has been learnt from them.
pub struct Session {
    options: DriverOptions,
    /// Drivers that are not at work.
    idle: Mutex<Vec<Lane>>,
    /// The cases that were asked first.
    first: Mutex<HashMap<&'static str, Vec<CaseEvidence>>>,
    offered: OnceLock<Offered>,
    /// The contract's descriptors, for drivers that want them.
    contract: OnceLock<NamedTempFile>,
    silence: Mutex<Silence>,
}

/// Cases in a row without an answer, by whichever driver.
#[derive(Debug, Default)]
struct Silence {
    cases: usize,
    /// Why no more are asked.
    given_up: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Nothing is started yet.
    pub fn new(options: DriverOptions) -> Self {
        Self {
            options,
            idle: Mutex::default(),
            first: Mutex::default(),
            offered: OnceLock::new(),
            contract: OnceLock::new(),
            silence: Mutex::default(),
        }
    }

    /// Asks the first cases of all RPCs: a filled answer, and an AppError. What they say of one RPC
    /// is needed to judge the others: which fields the SDK has at all, and which errors are its own.
    ///
    /// # Errors
    /// [`DriverError`] when there is no driver or no server; what a driver does wrong is no error.
    pub async fn survey(&self) -> Result<(), DriverError> {
        let methods: Vec<_> = Service::PluginAPI.methods().collect();
        let jobs = self.options.jobs.clamp(1, methods.len());
        let surveys: Vec<_> = methods.into_iter().map(|method| self.surveyed(method)).collect();
        let mut surveys = stream::iter(surveys).buffer_unordered(jobs);
        let mut all = Vec::new();
        while let Some(seen) = surveys.next().await {
            all.push(seen?);
        }
        self.heard(&all)?;
        let _ = self.offered.set(Offered::of(&all));
        lock(&self.first).extend(all.into_iter().map(|rpc| (rpc.method.name, rpc.cases)));
        Ok(())
    }

    /// A driver that is none judges no SDK.
    fn heard(&self, all: &[RpcEvidence]) -> Result<(), DriverError> {
        let cases = || all.iter().flat_map(|rpc| &rpc.cases);
        if cases().any(|case| matches!(case.outcome, Outcome::Said(_))) {
            return Ok(());
        }
        let fault = cases().find_map(|case| match &case.outcome {
            Outcome::Fault(fault) => Some(fault.clone()),
            _ => None,
        });
        fault.map_or(Ok(()), |fault| Err(DriverError::Silent { program: self.program(), fault }))
    }

    fn program(&self) -> OsString {
        self.options.command.first().cloned().unwrap_or_default()
    }

    async fn surveyed(&self, method: &'static Method) -> Result<RpcEvidence, DriverError> {
        let start = Instant::now();
        let cases = self.cases(method, |kind| kind.is_surveyed()).await?;
        Ok(RpcEvidence { method, cases, took: start.elapsed() })
    }

    /// What the survey found out.
    pub fn offered(&self) -> &Offered {
        static NOTHING: LazyLock<Offered> = LazyLock::new(Offered::default);
        self.offered.get().unwrap_or(&NOTHING)
    }

    /// Asks the cases of an RPC that the survey has not.
    ///
    /// # Errors
    /// As [`survey`](Self::survey).
    pub async fn observe(&self, method: &'static Method) -> Result<RpcEvidence, DriverError> {
        let start = Instant::now();
        let surveyed = lock(&self.first).remove(method.name);
        let asked = surveyed.is_some();
        let mut cases = surveyed.unwrap_or_default();
        cases.extend(self.cases(method, |kind| !(asked && kind.is_surveyed())).await?);
        cases.sort_by_key(|seen| seen.case.number);
        Ok(RpcEvidence { method, cases, took: start.elapsed() })
    }

    async fn cases(
        &self,
        method: &'static Method,
        wanted: impl Fn(CaseKind) -> bool,
    ) -> Result<Vec<CaseEvidence>, DriverError> {
        let idle = lock(&self.idle).pop();
        let mut lane = match idle {
            Some(lane) => lane,
            None => Lane { stage: Stage::start().await?, driver: None, dropped: false },
        };
        let first = 1 + method.index as u64 * NUMBERS;
        let mut cases: Vec<CaseEvidence> = Vec::new();
        for case in Case::all(method, first).into_iter().filter(|case| wanted(case.kind)) {
            let mut stale = Vec::new();
            let dropped = case.kind == CaseKind::Dropped;
            let mut evidence = self.case(&mut lane, case, &mut stale).await?;
            // A client may try the connection that was dropped, before it knows that it was.
            for _ in 0..TRIES_AFTER_DROP {
                let failed = matches!(evidence.outcome, Outcome::Said(Said::Error(_)));
                if !lane.dropped || !failed || !evidence.arrived.is_empty() {
                    break;
                }
                evidence = self.case(&mut lane, evidence.case, &mut stale).await?;
            }
            lane.dropped = dropped || lane.dropped && evidence.arrived.is_empty();
            // An answer that came late, or twice, is the fault of the case that it is for.
            for seen in cases.iter_mut().filter(|seen| stale.contains(&seen.case.number)) {
                if matches!(seen.outcome, Outcome::Said(_)) {
                    let line = format!("a second answer to case {}", seen.case.number);
                    let twice = "the case was answered already".to_owned();
                    seen.outcome = Outcome::Fault(DriverFault::Garbage(line, twice));
                }
            }
            cases.push(evidence);
        }
        lock(&self.idle).push(lane);
        Ok(cases)
    }

    async fn case(
        &self,
        lane: &mut Lane,
        case: Case,
        stale: &mut Vec<u64>,
    ) -> Result<CaseEvidence, DriverError> {
        let given_up = lock(&self.silence).given_up.clone();
        if let Some(why) = given_up {
            let outcome = Outcome::NotAsked(why);
            return Ok(CaseEvidence { case, arrived: Vec::new(), outcome, not_offered: None });
        }
        let mut driver = match lane.driver.take() {
            Some(driver) => driver,
            None => self.start(&lane.stage.target())?,
        };
        lane.stage.begin(&case);
        let line = ask(case.number, case.method.name, &case.request);
        let heard = driver.ask(case.number, &line, self.options.case_limit, stale).await;
        let arrived = lane.stage.finish();
        let (outcome, not_offered) = match heard {
            Heard::Answer(answer, garbage) => {
                lane.driver = Some(driver);
                lock(&self.silence).cases = 0;
                let outcome = garbage.map_or(Outcome::Said(answer.said), Outcome::Fault);
                (outcome, answer.not_offered)
            }
            Heard::Nothing(fault) => {
                // The driver is dropped here, and killed with all that it started.
                let mut silence = lock(&self.silence);
                silence.cases += 1;
                if silence.cases >= GIVE_UP {
                    silence.given_up = Some(format!(
                        "not asked, because {GIVE_UP} cases in a row had no answer; in the last \
                         one {fault}"
                    ));
                }
                (Outcome::Fault(fault), None)
            }
        };
        Ok(CaseEvidence { case, arrived, outcome, not_offered })
    }

    fn start(&self, target: &str) -> Result<Driver, DriverError> {
        let contract = match self.contract.get() {
            Some(contract) => contract,
            None => {
                let made = written_contract().map_err(DriverError::Contract)?;
                self.contract.get_or_init(|| made)
            }
        };
        let variables = [
            (TARGET_VARIABLE, OsStr::new(target)),
            (CONTRACT_VARIABLE, contract.path().as_os_str()),
        ];
        Driver::start(&self.options.command, &variables)
            .map_err(|source| DriverError::Start { program: self.program(), source })
    }
}

fn written_contract() -> std::io::Result<NamedTempFile> {
    use std::io::Write as _;

    let mut file =
        tempfile::Builder::new().prefix("plugin-conformance-").suffix(".binpb").tempfile()?;
    file.write_all(FILE_DESCRIPTOR_SET)?;
    file.flush()?;
    Ok(file)
}

/// One driver after the other, and their server.
struct Lane {
    stage: Stage,
    driver: Option<Driver>,
    /// The connection was dropped, and nothing has arrived since.
    dropped: bool,
}
