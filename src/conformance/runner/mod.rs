//! Runs the cases of a [`Subject`] and judges them: which checks, how many at once, until when, and
//! what of it is known.

mod event;
mod filter;
mod known_failures;
mod profile;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream;
use tokio_util::sync::CancellationToken;

pub use event::{Event, EventSink};
pub use filter::{Filter, FilterError};
pub use known_failures::{KnownFailure, KnownFailures, KnownFailuresError, LineFault};
pub use profile::{PROFILES, ProfileError, profile};

use super::catalogue::{self, Check};
use super::reports::{Finding, RunReport, Status};
use super::subjects::{GateError, RunContext, Subject};

/// Cases that run at the same time unless told otherwise. Most of them wait for a deadline.
pub const DEFAULT_JOBS: usize = 6;

/// A run, ready to be made.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use plugin_conformance::conformance::runner::{Filter, Runner};
/// use plugin_conformance::conformance::{Interpreter, subjects::kit::Kit};
///
/// let kit = Kit::new(Interpreter::Link(std::env::current_exe()?));
/// let mut runner = Runner::default();
/// runner.filter = Filter::parse("launch.*,!launch.unix-socket")?;
/// let report = runner.run(&kit).await?;
/// assert!(report.is_success(), "{:?}", report.summary);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Runner {
    /// Which checks are made. A case without one is not run.
    pub filter: Filter,
    /// How many cases run at the same time.
    pub jobs: usize,
    /// Ends the run at the first check that fails it.
    pub fail_fast: bool,
    /// Of everything random. A seed that is not 0 also shuffles the cases.
    pub seed: u64,
    /// A broken recommendation fails the run, too.
    pub strict: bool,
    /// Checks that are known to fail.
    pub known: Option<Arc<KnownFailures>>,
    /// Known deviations of somebody else's software: a line whose checks pass is a suggestion.
    pub profile: Option<Arc<KnownFailures>>,
    /// Hears of everything as it happens.
    pub events: EventSink,
    /// Ends the run early when it is cancelled; what is known so far is reported.
    pub stop: CancellationToken,
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            jobs: DEFAULT_JOBS,
            fail_fast: false,
            seed: 0,
            strict: false,
            known: None,
            profile: None,
            events: Arc::new(|_| ()),
            stop: CancellationToken::new(),
        }
    }
}

/// What is known while a run goes on.
struct Progress {
    /// By id: what was decided, and told.
    decided: BTreeMap<&'static str, Finding>,
    /// What waits for a check that it needs.
    waiting: Vec<(&'static Check, Finding)>,
    /// Everything that the run looks at.
    wanted: BTreeSet<&'static str>,
}

impl Runner {
    /// Runs the cases and judges them.
    ///
    /// # Errors
    /// [`GateError`] when the run cannot be made; a rule that is broken is no error.
    pub async fn run<S: Subject>(&self, subject: &S) -> Result<RunReport, GateError> {
        let context = RunContext { seed: self.seed, stop: self.stop.child_token() };
        let mut cases: Vec<_> = subject
            .cases()
            .into_iter()
            .map(|case| {
                let mut checks = subject.checks(&case);
                checks.retain(|check| self.filter.selects(check.id));
                (case, checks)
            })
            .filter(|(_, checks)| !checks.is_empty())
            .collect();
        let order: Vec<_> = cases.iter().flat_map(|(_, checks)| checks.clone()).collect();
        if self.seed != 0 {
            shuffle(&mut cases, self.seed);
        }
        let mut progress = Progress {
            decided: BTreeMap::new(),
            waiting: Vec::new(),
            wanted: order.iter().map(|check| check.id).collect(),
        };
        (self.events)(&Event::Started {
            subject: subject.kind(),
            cases: cases.len(),
            checks: order.len(),
        });
        subject.prepare(&context).await?;

        let mut exercised = BTreeSet::new();
        let mut failed = None;
        let lives = stream::iter(&cases).map(|(case, checks)| {
            let context = &context;
            async move {
                if context.stop.is_cancelled() {
                    return None;
                }
                let name = subject.name(case);
                (self.events)(&Event::CaseStarted { name: &name });
                let start = Instant::now();
                let evidence = subject.run(case, context).await;
                let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                (self.events)(&Event::CaseFinished { name: &name, elapsed: start.elapsed() });
                // What was cut short is no evidence.
                let cut = context.stop.is_cancelled();
                Some((case, checks, evidence, millis)).filter(|_| !cut)
            }
        });
        let mut lives = lives.buffer_unordered(self.jobs.max(1));
        while let Some(life) = lives.next().await {
            let Some((case, checks, evidence, millis)) = life else { continue };
            let evidence = match evidence {
                Ok(evidence) => evidence,
                Err(error) => {
                    failed.get_or_insert(error);
                    context.stop.cancel();
                    continue;
                }
            };
            exercised.extend(subject.exercised(&evidence));
            for check in checks {
                let mut finding = Finding::new(check, subject.judge(case, check, &evidence));
                finding.millis = millis;
                progress.waiting.push((check, finding));
            }
            self.decide(&mut progress, false, &context.stop);
        }
        drop(lives);
        if let Some(error) = failed {
            return Err(error);
        }
        self.decide(&mut progress, true, &context.stop);
        let why = match self.stop.is_cancelled() {
            true => "the run was interrupted",
            false => "the run ended at the first failure",
        };
        let mut findings = Vec::new();
        for check in order {
            let finding = progress.decided.remove(check.id);
            findings.push(finding.unwrap_or_else(|| Finding::skipped(check, why)));
        }
        let mut report = RunReport::new(findings, &exercised);
        (report.seed, report.strict) = (self.seed, self.strict);
        report.interrupted = self.stop.is_cancelled();
        if let Some(known) = &self.known {
            report = known.judge(report);
        }
        if let Some(profile) = &self.profile {
            report.suggestions.extend(profile.suggestions(&report.checks));
        }
        report.count();
        Ok(report)
    }

    /// Tells of all that is certain: a broken check is, when those that it needs are.
    fn decide(&self, progress: &mut Progress, last: bool, stop: &CancellationToken) {
        loop {
            let certain = progress.waiting.iter().position(|(check, finding)| {
                let open = |need: &&&str| {
                    progress.wanted.contains(**need) && !progress.decided.contains_key(**need)
                };
                last || finding.status != Status::Failed || !check.needs.iter().any(|n| open(&n))
            });
            let Some(at) = certain else { return };
            let (check, mut finding) = progress.waiting.remove(at);
            let is_broken = |need: &&&'static str| {
                let need = progress.decided.get(**need);
                need.is_some_and(|need| need.status != Status::Passed)
            };
            if finding.status == Status::Failed
                && let Some(need) = check.needs.iter().find(is_broken)
            {
                finding.withdraw(format!("{need} does not hold, and this depends on it"));
            }
            for list in [&self.known, &self.profile].into_iter().flatten() {
                list.mark(&mut finding);
            }
            let counts = self.strict || finding.level == catalogue::Level::Required;
            if self.fail_fast && finding.status == Status::Failed && counts {
                stop.cancel();
            }
            (self.events)(&Event::Judged(&finding));
            progress.decided.insert(check.id, finding);
        }
    }
}

/// Another order, which depends on the seed alone.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for at in (1..items.len()).rev() {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let other = usize::try_from(bits % (at as u64 + 1)).unwrap_or(at);
        items.swap(at, other);
    }
}
