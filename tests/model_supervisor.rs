//! The real driver, real processes and real ports, held up at random moments and stopped, killed,
//! dropped and crashed at others: the model's invariants hold.
//!
//! Everything random comes of a seed. `PLUGIN_CONFORMANCE_SEED=7` replays the life of that seed;
//! docs/model.md says how much of it is the same again.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Plugin, Tiny, alive, answers, quick};
use plugin_conformance::api::{ApiServer, AppError, PluginApi, async_trait};
use plugin_conformance::conformance::invariants::{Fact, LifeTrace, Resource, Violation, check};
use plugin_conformance::supervisor::lifecycle::Action;
use plugin_conformance::supervisor::{
    EventKind, EventLog, ExitReport, ExitStatus, Moment, Point, Schedule, SeededSchedule,
    Supervisor,
};
use plugin_proto::v1::{GetServerVersionRequest, GetServerVersionResponse};
use rustix::process::{Pid, Signal, kill_process};

/// A schedule that writes down what the driver begins, and hands on another's delays.
struct Watching(SeededSchedule, LifeTrace);

impl Schedule for Watching {
    fn delay(&self, moment: &Moment<'_>) -> Duration {
        if let Point::Begun(action) = moment.point {
            self.1.add(Fact::Begins(action));
        }
        self.0.delay(moment)
    }

    fn over(&self, _: &str, _: u64, action: Action) {
        self.1.add(Fact::Over(action));
    }
}

/// An API that knows when it is let go: that is when its server is gone, and not before.
struct Witness(LifeTrace);

impl Witness {
    fn new(trace: &LifeTrace) -> Self {
        trace.add(Fact::Acquired(Resource::Api));
        Self(trace.clone())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.add_all(|log| {
            // The log may say that the process is gone; the kernel knows.
            let lives = log.kinds().iter().find_map(pid_of).filter(|pid| alive(*pid));
            let lives = lives.map(|_| Fact::Acquired(Resource::Process));
            lives.into_iter().chain([Fact::Released(Resource::Api)])
        });
    }
}

#[async_trait]
impl PluginApi for Witness {
    async fn get_server_version(
        &self,
        request: GetServerVersionRequest,
    ) -> Result<GetServerVersionResponse, AppError> {
        Tiny.get_server_version(request).await
    }
}

fn pid_of(kind: &EventKind) -> Option<u32> {
    match kind {
        EventKind::Spawned { pid } => Some(*pid),
        _ => None,
    }
}

/// How a life came out.
struct Lived {
    trace: LifeTrace,
    log: EventLog,
}

/// The characters that these lives are of.
const CHARACTERS: [&str; 8] = [
    "well-behaved",
    "ignores-sigterm",
    "error-in-on-activate",
    "crash-in-on-activate",
    "crash-after-handshake",
    "controller-exits",
    "hang-in-on-deactivate",
    "garbage-handshake",
];

/// Lives the life of this seed: what it is disturbed by, when, and how long it is held up.
async fn live(seed: u64) -> Lived {
    let schedule = SeededSchedule::new(seed, Duration::from_millis(25));
    let roll = |number, below: u64| schedule.roll("life", [number, 0]) % below;
    let character = CHARACTERS[usize::try_from(roll(0, 8)).unwrap()];
    let (deed, delay) = (roll(1, 7), Duration::from_micros(roll(2, 120_000)));
    let after_launch = roll(3, 2) == 0;
    let plugin = Plugin::of(character);
    let log = plugin.events.clone();
    let trace = LifeTrace::new(&log);
    let witnessed = trace.clone();
    let watching: Arc<dyn Schedule> = Arc::new(Watching(schedule, trace.clone()));
    let mut builder = plugin
        .alone()
        .timeouts(quick())
        .schedule(Arc::clone(&watching))
        .api_server(move || ApiServer::builder(Arc::new(Witness::new(&witnessed))));
    if roll(4, 2) == 0 {
        builder = builder.api_on_unix_socket();
    }
    eprintln!("seed {seed}: {character}, deed {deed} after {delay:?} (launched: {after_launch})");

    let disturbed = async {
        let launch = builder.launch();
        let supervisor = match after_launch {
            // The launch itself is cut off.
            false => match tokio::time::timeout(delay, launch).await {
                Ok(launched) => {
                    trace.add(Fact::Answered);
                    launched.ok()
                }
                Err(_) => {
                    trace.add_all(|_| [Fact::CallerGone, Fact::StopAsked]);
                    None
                }
            },
            true => {
                let launched = launch.await.ok();
                trace.add(Fact::Answered);
                if launched.is_some() {
                    tokio::time::sleep(delay).await;
                }
                launched
            }
        };
        if let Some(supervisor) = supervisor {
            disturb(supervisor, deed, &trace).await;
        }
        // The life's driver holds the schedule as long as there is anything to do.
        drop(builder);
        let mut ticks = tokio::time::interval(Duration::from_millis(3));
        while Arc::strong_count(&watching) > 1 {
            ticks.tick().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), disturbed).await;
    // A launch that was dropped soon enough began no life, and has no end.
    if !log.kinds().is_empty() || ended.is_err() {
        trace.add(Fact::Quiet);
    }
    if ended.is_ok() {
        plugin.assert_nothing_left().await;
    }
    Lived { trace, log }
}

async fn disturb(supervisor: Supervisor, deed: u64, trace: &LifeTrace) {
    let supervisor = Arc::new(supervisor);
    let crash = || {
        if alive(supervisor.pid()) {
            trace.add(Fact::Exits);
            let pid = Pid::from_raw(supervisor.pid().cast_signed()).unwrap();
            // An error means that it has exited by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    };
    match deed {
        0 => {
            trace.add(Fact::StopAsked);
            supervisor.shutdown().await;
        }
        1 => {
            trace.add(Fact::KillAsked);
            supervisor.kill().await;
        }
        2 => {
            trace.add_all(|_| [Fact::StopAsked, Fact::KillAsked]);
            tokio::join!(supervisor.shutdown(), supervisor.shutdown(), supervisor.kill());
        }
        3 => {
            crash();
            supervisor.ended().await;
        }
        4 => {
            trace.add(Fact::StopAsked);
            let stop = supervisor.shutdown();
            crash();
            stop.await;
        }
        5 => {
            trace.add(Fact::StopAsked);
            drop(supervisor);
        }
        _ => {
            // A stop, and in the middle of it a kill.
            trace.add(Fact::StopAsked);
            let stop = supervisor.shutdown();
            let kill = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                trace.add(Fact::KillAsked);
                supervisor.kill().await
            };
            tokio::join!(stop, kill);
        }
    }
}

fn judge(seed: u64, lived: &Lived) {
    let violated = lived.trace.check(true).and_then(|()| check(&lived.log.kinds(), true));
    if let Err(violation) = violated {
        let facts: Vec<_> =
            lived.trace.facts().iter().map(|fact| format!("  {fact:?}\n")).collect();
        panic!("PLUGIN_CONFORMANCE_SEED={seed}: {violation}\n{}", facts.concat());
    }
}

/// The lives of the first seeds, eight at a time; of more, or of one alone, if the environment says
/// so.
async fn lives(count: u64) {
    use futures::StreamExt as _;

    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seeds = match number("PLUGIN_CONFORMANCE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PLUGIN_CONFORMANCE_LIVES").unwrap_or(count),
    };
    let lives = futures::stream::iter(seeds).map(|seed| async move { (seed, live(seed).await) });
    let lives: Vec<_> = lives.buffer_unordered(8).collect().await;
    for (seed, lived) in lives {
        judge(seed, &lived);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_lives_under_random_schedules_keep_every_invariant() {
    lives(64).await;
}

#[test]
fn a_seed_gives_the_same_decisions() {
    let moment =
        |number| Moment { plugin_id: "a", life: 1, number, point: Point::Begun(Action::Spawn) };
    let of = |seed| {
        let schedule = SeededSchedule::new(seed, Duration::from_millis(9));
        (0..100).map(|number| schedule.delay(&moment(number))).collect::<Vec<_>>()
    };
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
    assert!(of(3).iter().any(Duration::is_zero) && of(3).iter().any(|delay| !delay.is_zero()));
}

/// A good life's log, for spoiling.
fn good() -> Vec<EventKind> {
    let report =
        ExitReport { status: ExitStatus::Code(0), stragglers: 0, timed_out: false, unseen: None };
    vec![
        EventKind::ApiListening { target: "127.0.0.1:1".into() },
        EventKind::Spawned { pid: 1 },
        EventKind::Handshaken { address: "127.0.0.1:2".into() },
        EventKind::Healthy,
        EventKind::HooksKnown { hooks: Vec::new() },
        EventKind::Active,
        EventKind::Stopping { reason: String::new() },
        EventKind::Exited { report },
        EventKind::ApiStopped { forced: 0 },
        EventKind::Ended,
    ]
}

/// What a bare log shows by itself.
#[test]
fn a_spoilt_log_breaks_the_rule_that_it_should() {
    fn broken(spoil: impl FnOnce(&mut Vec<EventKind>)) -> Option<&'static str> {
        let mut log = good();
        spoil(&mut log);
        check(&log, true).err().map(|Violation { rule, .. }| rule)
    }
    assert_eq!(broken(|_| ()), None);
    assert_eq!(broken(|log| log.extend(good())), None, "a second life");
    assert_eq!(broken(|log| log.swap(0, 1)), Some("api-before-spawn"));
    assert_eq!(broken(|log| log.swap(7, 8)), Some("api-outlives-process"));
    assert_eq!(broken(|log| log.insert(8, log[7].clone())), Some("released-once"));
    assert_eq!(broken(|log| log.insert(9, log[8].clone())), Some("released-once"));
    assert_eq!(broken(|log| drop(log.remove(8))), Some("nothing-left-behind"));
    assert_eq!(broken(|log| drop(log.remove(7))), Some("api-outlives-process"));
    assert_eq!(broken(|log| log.swap(5, 6)), Some("launch-in-order"));
    assert_eq!(broken(|log| log.swap(3, 4)), Some("launch-in-order"));
}

/// The trace is of the real world: a port that still answers is told from one that does not.
#[tokio::test]
async fn the_witness_sees_the_end_of_the_api_server() {
    let log = EventLog::default();
    let trace = LifeTrace::new(&log);
    let server = ApiServer::builder(Arc::new(Witness::new(&trace))).start().await.unwrap();
    let target = server.target().to_owned();
    assert!(answers(&target).await);
    assert_eq!(trace.facts(), [Fact::Acquired(Resource::Api)]);
    server.stop(Duration::ZERO).await;
    assert!(!answers(&target).await);
    assert_eq!(
        trace.facts(),
        [Fact::Acquired(Resource::Api), Fact::Released(Resource::Api)],
        "a server that has stopped lets its API go"
    );
}
