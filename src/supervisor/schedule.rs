//! Holds lives up on purpose, so that what could happen in another order does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::lifecycle::{Action, Event};

/// Where the driver of a life can be held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// An action was begun. What stops it can be heard meanwhile.
    Begun(Action),
    /// An action has its outcome, which was not heard yet: a stop that comes now drops it.
    Done(Action),
    /// An event was heard; the machine does not know of it yet. Nothing else is heard meanwhile.
    Heard(Event),
}

/// One moment of one life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moment<'a> {
    /// The plugin.
    pub plugin_id: &'a str,
    /// Which of the builder's lives, from 0.
    pub life: u64,
    /// Which of the life's moments, from 0.
    pub number: u64,
    /// Where the driver is.
    pub point: Point,
}

/// A fault that a driver can be told to have: for tests of the tests, which must find it. It is told
/// by a [`Schedule`], and only in builds with the feature `sabotage`.
#[cfg_attr(not(feature = "sabotage"), allow(dead_code, unreachable_pub))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The API server is stopped before the process is reaped.
    ApiFirst,
    /// The API server's end is carried out twice.
    ReleaseTwice,
    /// A stop that comes together with another event is not heard.
    StopLost,
    /// Hooks are still let through when the stop has begun.
    HooksGoOn,
    /// The process is not started, and the launch fails.
    NeverStarts,
    /// The Python on `PATH` is started instead of the bundle's.
    SystemPython,
    /// The interpreter gets an argument more.
    ExtraArgument,
    /// The process runs in the root folder.
    OtherFolder,
    /// go-plugin's cookie is not set.
    NoCookie,
    /// go-plugin's protocol versions are not set.
    NoProtocolVersions,
    /// go-plugin's range of ports is not set.
    NoPorts,
    /// The supervisor's environment is not passed on.
    NoEnvironment,
    /// The plugin is not told its id.
    NoPluginId,
    /// The plugin is not told where its bundle is.
    NoPluginPath,
    /// The plugin is not told where the API is.
    NoTarget,
    /// An inherited target of the API wins.
    InheritedTarget,
    /// The API server is started some time after the process.
    ApiLate,
    /// OnActivate is not called.
    NeverActivates,
    /// An active plugin is stopped at once.
    StopsSoon,
    /// Health is not asked for.
    NoHealthCheck,
    /// Health is asked for, and the answer is not looked at.
    AnyHealth,
    /// OnDeactivate is not called.
    NeverDeactivates,
    /// The process is killed without SIGTERM.
    KillsAtOnce,
    /// The API server is stopped before OnDeactivate.
    ApiBeforeDeactivate,
    /// The stop never comes to its end.
    NeverEnds,
    /// A failed Implemented is taken for an empty list.
    ImplementedMayFail,
    /// An OnActivate that fails is taken for a success.
    ActivateMayFail,
    /// OnDeactivate is not waited for.
    HastyDeactivate,
    /// OnDeactivate is waited for without a limit.
    PatientDeactivate,
    /// The handshake is waited for, for a minute.
    PatientHandshake,
    /// The handshake is waited for, for 3 s.
    HastyHandshake,
}

/// Says how long a life is held up at each of its moments.
///
/// A decision should depend on its arguments alone: then the same schedule gives the same decisions.
pub trait Schedule: Send + Sync {
    /// How long to wait here. Asked once for each moment, by the driver itself and in its order, so
    /// that it can be used for looking as well.
    fn delay(&self, moment: &Moment<'_>) -> Duration;

    /// An action is over: it has its outcome, or it was dropped.
    fn over(&self, plugin_id: &str, life: u64, action: Action) {
        let _ = (plugin_id, life, action);
    }

    /// The fault that the driver is to have: none.
    #[cfg(feature = "sabotage")]
    fn fault(&self) -> Option<Fault> {
        None
    }
}

/// Random delays, of which the seed says everything.
///
/// Half of the moments are not held up, a quarter only yields, the others wait for up to `longest`.
///
/// ```
/// use std::time::Duration;
/// use plugin_conformance::supervisor::lifecycle::Action;
/// use plugin_conformance::supervisor::{Moment, Point, Schedule, SeededSchedule};
///
/// let schedule = SeededSchedule::new(7, Duration::from_millis(20));
/// let point = Point::Begun(Action::Spawn);
/// let moment = Moment { plugin_id: "com.example.hello", life: 0, number: 2, point };
/// assert_eq!(schedule.delay(&moment), schedule.delay(&moment));
/// assert!(schedule.delay(&moment) <= Duration::from_millis(20));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeededSchedule {
    seed: u64,
    longest: Duration,
}

impl SeededSchedule {
    /// Delays of up to `longest`, by this seed.
    pub const fn new(seed: u64, longest: Duration) -> Self {
        Self { seed, longest }
    }

    /// A number between 0 and 2^64 - 1 that depends on the seed and on these words alone.
    pub fn roll(&self, plugin_id: &str, numbers: [u64; 2]) -> u64 {
        let text = plugin_id.bytes().map(u64::from);
        text.chain(numbers).fold(mix(self.seed), |state, word| mix(state ^ word))
    }
}

/// One step of SplitMix64: every bit of the result depends on every bit of `state`.
const fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Schedule for SeededSchedule {
    fn delay(&self, moment: &Moment<'_>) -> Duration {
        let roll = self.roll(moment.plugin_id, [moment.life, moment.number]);
        let part = u32::try_from(roll >> 40).unwrap_or(u32::MAX) % 1000;
        match roll % 4 {
            0 | 1 => Duration::ZERO,
            // Shorter than any timer: the driver lets others run.
            2 => Duration::from_nanos(1),
            // A longest delay of centuries is cut off rather than multiplied.
            _ => match self.longest.checked_mul(part) {
                Some(parts) => parts / 1000,
                None => self.longest / 1000 * part,
            },
        }
    }
}

/// A schedule and the lives that it was given.
#[derive(Clone)]
pub(super) struct Scheduled {
    schedule: Arc<dyn Schedule>,
    lives: Arc<AtomicU64>,
}

impl Scheduled {
    pub(super) fn new(schedule: Arc<dyn Schedule>) -> Self {
        Self { schedule, lives: Arc::default() }
    }
}

/// The pace of one life: that of its schedule, or its own.
#[derive(Clone)]
pub(super) struct Pace(Option<Arc<Paced>>);

struct Paced {
    schedule: Arc<dyn Schedule>,
    plugin_id: String,
    life: u64,
    moments: AtomicU64,
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pace").field(&self.0.as_ref().map(|paced| paced.life)).finish()
    }
}

impl Pace {
    /// The pace of the next life.
    pub(super) fn of(scheduled: Option<&Scheduled>, plugin_id: &str) -> Self {
        Self(scheduled.map(|scheduled| {
            Arc::new(Paced {
                schedule: Arc::clone(&scheduled.schedule),
                plugin_id: plugin_id.to_owned(),
                life: scheduled.lives.fetch_add(1, Ordering::Relaxed),
                moments: AtomicU64::new(0),
            })
        }))
    }

    /// Whether the driver is to have this fault. Without the feature no driver has any, and what it
    /// would do is not compiled in.
    #[cfg(not(feature = "sabotage"))]
    pub(super) const fn has(&self, _: Fault) -> bool {
        false
    }

    /// Whether the driver is to have this fault. Without a schedule it has none.
    #[cfg(feature = "sabotage")]
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.0.as_ref().is_some_and(|paced| paced.schedule.fault() == Some(fault))
    }

    /// An event was heard.
    pub(super) async fn heard(&self, event: Event) {
        if let Some(paced) = &self.0 {
            wait(paced.delay(Point::Heard(event))).await;
        }
    }

    /// Tells the schedule of an action that has no outcome and no duration.
    pub(super) fn passes(&self, action: Action) {
        if let Some(paced) = &self.0 {
            let _ = paced.delay(Point::Begun(action));
            paced.schedule.over(&paced.plugin_id, paced.life, action);
        }
    }

    /// Begins an action: what it does at once, and what it does then.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        action: Action,
        begin: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> BoxFuture<'static, T> {
        let Some(paced) = self.0.clone() else { return begin() };
        let first = paced.delay(Point::Begun(action));
        let over = Over { paced, action };
        let rest = begin();
        async move {
            wait(first).await;
            let outcome = rest.await;
            wait(over.paced.delay(Point::Done(action))).await;
            outcome
        }
        .boxed()
    }
}

async fn wait(delay: Duration) {
    match delay.is_zero() {
        true => {}
        false if delay < Duration::from_micros(1) => tokio::task::yield_now().await,
        false => tokio::time::sleep(delay).await,
    }
}

impl Paced {
    fn delay(&self, point: Point) -> Duration {
        let number = self.moments.fetch_add(1, Ordering::Relaxed);
        self.schedule.delay(&Moment { plugin_id: &self.plugin_id, life: self.life, number, point })
    }
}

/// Tells the schedule, when it is dropped, that an action is over.
struct Over {
    paced: Arc<Paced>,
    action: Action,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.paced.schedule.over(&self.paced.plugin_id, self.paced.life, self.action);
    }
}
