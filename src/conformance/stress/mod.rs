//! Lives of real processes, one after the other and several at a time, disturbed as a seed says.
//!
//! Every decision is a function of seed, plugin and cycle: see [`LifePlan`]. Each life is judged by
//! the [`invariants`](super::invariants), by what is left of it and by what its character's
//! [`Role`] explains; what the program has is counted before and after. `docs/stress.md` says what
//! of a run is the same again.

mod ask;
mod ending;
mod late;
mod leaks;
mod life;
mod plan;
mod role;
mod summary;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;

pub use ending::Ending;
pub use leaks::{Census, ENOUGH_LIVES, KEPT_PER_LIFE, memory_leak};
pub use life::Lived;
pub use plan::{Deed, LifePlan, Stage};
pub use role::{ROLES, Role, RoleError, ordinary};
pub use summary::{Broken, Summary};

use super::{BundleError, Interpreter};
#[cfg(feature = "sabotage")]
use crate::supervisor::Fault;

/// Lives of each plugin between two censuses.
const ROUND: u64 = 10;
/// The first census is taken after so many lives of each plugin.
const WARM_UP: u64 = 3;
/// So long may what a life had under way take to be gone.
const SETTLE: Duration = Duration::from_secs(5);
/// So long may a shorter trace be looked for.
const SHORTEN: Duration = Duration::from_secs(20);
/// So many broken lives are reported in full; after them the run ends.
const TOLD: usize = 10;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StressError {
    /// There is no place for bundles.
    #[error("cannot make a temporary folder: {0}")]
    Folder(#[from] std::io::Error),
    /// A bundle could not be written.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// After so many lives in all, rounded up to the same number for each plugin.
    Cycles(u64),
    /// After the lives that end later than this.
    Elapsed(Duration),
}

/// Alters what is known of a life, or leaks something: proves that a rule can fail.
pub type Sabotage = Arc<dyn Fn(&mut Lived) + Send + Sync>;
/// Hears of each life.
pub type Observe = Arc<dyn Fn(&Lived) + Send + Sync>;

/// A stress run.
#[derive(Clone)]
pub struct Stress {
    /// What stands where python stands.
    pub interpreter: Interpreter,
    /// Of which everything random is made.
    pub seed: u64,
    /// How many plugins live at the same time, each with its own cycles.
    pub plugins: u64,
    /// What they are.
    pub roles: Vec<&'static Role>,
    /// The longest injected delay.
    pub longest: Duration,
    /// When it is over.
    pub until: Until,
    /// A life that takes longer has not ended; 20 s, far more than a limit that is let elapse.
    pub patience: Duration,
    /// For tests: a fault of the driver.
    #[cfg(feature = "sabotage")]
    pub fault: Option<Fault>,
    /// For tests.
    pub sabotage: Option<Sabotage>,
    /// Hears of each life, in the order in which they end.
    pub observe: Option<Observe>,
}

impl Stress {
    /// A run of 1000 lives of all roles, four at a time, with delays of up to 10 ms.
    pub fn new(interpreter: Interpreter, seed: u64) -> Self {
        Self {
            interpreter,
            seed,
            plugins: 4,
            roles: ordinary(),
            longest: Duration::from_millis(10),
            until: Until::Cycles(1000),
            patience: Duration::from_secs(20),
            #[cfg(feature = "sabotage")]
            fault: None,
            sabotage: None,
            observe: None,
        }
    }

    /// The plan of one life; `None` without roles.
    pub fn plan(&self, plugin: u64, cycle: u64) -> Option<LifePlan> {
        LifePlan::of(self.seed, (plugin, cycle), &self.roles, self.longest)
    }

    /// Lives one plan.
    ///
    /// # Errors
    /// Its bundle cannot be written.
    pub async fn live(&self, plan: &LifePlan) -> Result<Lived, StressError> {
        let root = tempfile::tempdir()?;
        self.live_in(root.path(), plan).await
    }

    async fn live_in(&self, root: &std::path::Path, plan: &LifePlan) -> Result<Lived, StressError> {
        let dir = root.join(format!("{}-{}", plan.plugin, plan.cycle));
        let mut lived = life::live(self, plan, &dir).await?;
        if let Some(sabotage) = &self.sabotage {
            sabotage(&mut lived);
        }
        Ok(lived)
    }

    /// Runs until it is over, or ten lives have broken a rule.
    ///
    /// # Errors
    /// A bundle cannot be written.
    pub async fn run(&self) -> Result<Summary, StressError> {
        let (start, root) = (Instant::now(), tempfile::tempdir()?);
        let folder = root.path().canonicalize()?;
        let plugins = self.plugins.max(1);
        let mut summary = Summary { seed: self.seed, plugins, ..Summary::default() };
        let (mut cycle, mut samples, mut warm) = (0, Vec::new(), false);
        loop {
            let left = match self.until {
                Until::Cycles(cycles) => cycles.div_ceil(plugins).saturating_sub(cycle),
                Until::Elapsed(limit) if start.elapsed() < limit => ROUND,
                Until::Elapsed(_) => 0,
            };
            let count = left.min(if warm { ROUND } else { WARM_UP });
            if count == 0 || summary.broken.len() >= TOLD || self.roles.is_empty() {
                break;
            }
            let (from, folder) = (cycle, &folder);
            let rounds = (0..plugins).map(|plugin| async move {
                let mut lives = Vec::new();
                for cycle in from..from + count {
                    let over =
                        matches!(self.until, Until::Elapsed(limit) if start.elapsed() >= limit);
                    let Some(plan) = self.plan(plugin, cycle).filter(|_| !over) else { break };
                    let lived = self.live_in(folder, &plan).await?;
                    if let Some(observe) = &self.observe {
                        observe(&lived);
                    }
                    let broken = lived.violation().is_some();
                    lives.push(lived);
                    // A life that does not end has cost time enough: no further one in this round.
                    if broken {
                        break;
                    }
                }
                Ok::<_, StressError>(lives)
            });
            for lived in try_join_all(rounds).await?.iter().flatten() {
                summary.count(lived);
                if let Some((rule, detail)) = lived.violation() {
                    summary.violations += 1;
                    if summary.broken.len() < TOLD {
                        // One shorter trace of each rule will do.
                        let known = summary.broken.iter().any(|broken| broken.rule == rule);
                        let best = match known {
                            true => lived.clone(),
                            false => self.shortest(folder, lived, rule).await?,
                        };
                        summary.broken.push(Broken::new(lived, rule, detail, &best));
                    }
                }
            }
            cycle += count;
            match warm {
                true => summary.after = settled(folder, Some(&summary.before)).await,
                false => {
                    summary.before = settled(folder, None).await;
                    summary.after = summary.before;
                    warm = true;
                }
            }
            samples.push((summary.lives, summary.after.resident));
        }
        summary.leaks = summary.after.leaks_since(&summary.before);
        // Nothing of these may be there even after the warm-up.
        let none =
            Census { fds: usize::MAX, sockets: usize::MAX, tasks: usize::MAX, ..Census::default() };
        if summary.leaks.is_empty() {
            summary.leaks = summary.before.leaks_since(&none);
        }
        summary.leaks.extend(memory_leak(&samples));
        summary.seconds = start.elapsed().as_secs_f64();
        Ok(summary)
    }

    /// The shortest life found that breaks the same rule: a simpler plan of it, and a simpler one of
    /// that, until none is shorter or the time is up.
    async fn shortest(
        &self,
        root: &std::path::Path,
        lived: &Lived,
        rule: &'static str,
    ) -> Result<Lived, StressError> {
        let (start, mut best) = (Instant::now(), lived.clone());
        loop {
            let mut found = false;
            for plan in best.plan.simpler() {
                if start.elapsed() > SHORTEN {
                    return Ok(best);
                }
                let again = self.live_in(root, &plan).await?;
                let same = again.violation().is_some_and(|(broken, _)| broken == rule);
                if same && again.length() < best.length() {
                    (best, found) = (again, true);
                    break;
                }
            }
            if !found {
                return Ok(best);
            }
        }
    }
}

/// The counts, once they are as before, or do not change for some time.
async fn settled(root: &std::path::Path, before: Option<&Census>) -> Census {
    let (start, mut quiet, mut last) = (Instant::now(), 0, Census::take(root));
    while start.elapsed() < SETTLE {
        let done = match before {
            Some(before) => last.leaks_since(before).is_empty(),
            None => quiet >= 40,
        };
        if done {
            break;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        let next = Census::take(root);
        quiet = if next.leaks_since(&last).is_empty() && last.leaks_since(&next).is_empty() {
            quiet + 1
        } else {
            0
        };
        last = next;
    }
    last
}
