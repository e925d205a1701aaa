//! What several tasks share, under every order of its steps (small cases) and under many (larger).
//!
//! The files under test are the real ones, compiled here against shuttle's locks and channels.
//! docs/model.md says what that covers. A failing order is printed as a text that
//! `shuttle::replay` takes.

#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

mod api;
mod dropped;
mod environment;
mod supervisor;
mod sync;

use std::panic::{AssertUnwindSafe, catch_unwind};

use api::{Recorder, RecordingLayer};
use bytes::Bytes;
use plugin_conformance::api::ApiCall;
use plugin_proto::METHODS;
use shuttle::future::{block_on, spawn};
use shuttle::scheduler::{DfsScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner, thread};
use supervisor::{
    EventKind, EventLog, Keeper, KeeperOptions, Lives, PluginState, SupervisorBuilder, record,
};
use sync::{Arc, Mutex, watch, watched};
use tower::{Layer as _, Service as _};

/// Beyond what is exhaustive, orders are random by this seed.
const SEED: u64 = 0x6d6f_6465_6c31;

/// Runs every order of `case`'s steps; says how many there are.
fn every_order(case: fn()) -> usize {
    Runner::new(DfsScheduler::new(None, false), Config::new()).run(case)
}

/// Runs so many orders, random by [`SEED`].
fn random_orders(count: usize, case: fn()) {
    eprintln!("random orders by seed {SEED:#x}");
    Runner::new(RandomScheduler::new_from_seed(SEED, count), Config::new()).run(case);
}

/// `case` fails in some order, whose text replays the failure.
fn fails_and_replays(case: fn()) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::File(Some(folder.path().to_owned()));
    let runner = Runner::new(RandomScheduler::new_from_seed(SEED, 2000), config);
    let failed = catch_unwind(AssertUnwindSafe(|| runner.run(case)));
    assert!(failed.is_err(), "no order fails");
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let order = std::fs::read_to_string(file).unwrap();
    eprintln!("shuttle::replay(case, {order:?})");
    let again = catch_unwind(|| shuttle::replay(case, order.trim()));
    assert!(again.is_err(), "the failure does not replay");
}

// Event log

fn pid(kind: &EventKind) -> u32 {
    match kind {
        EventKind::Spawned { pid } => *pid,
        other => panic!("nobody wrote {other:?}"),
    }
}

/// Every reader gets every event once, in one order for all, and each writer's in its own order.
fn log_case(writers: u32, each: u32, readers: usize) {
    let log = EventLog::default();
    let count = (writers * each) as usize;
    let reading: Vec<_> = (0..readers)
        .map(|_| {
            let mut reader = log.reader();
            spawn(async move {
                let mut seen = Vec::new();
                while seen.len() < count {
                    seen.push(pid(&reader.next().await.kind));
                }
                seen
            })
        })
        .collect();
    let writing: Vec<_> = (0..writers)
        .map(|writer| {
            let log = log.clone();
            thread::spawn(move || (0..each).for_each(|event| record(&log, writer * 100 + event)))
        })
        .collect();
    writing.into_iter().for_each(|writer| writer.join().unwrap());
    let all: Vec<_> = log.kinds().iter().map(pid).collect();
    // A late reader begins with the first event too.
    let mut late = log.reader();
    let late: Vec<_> = (0..count).map(|_| pid(&block_on(late.next()).kind)).collect();
    assert_eq!(late, all);
    for reader in reading {
        assert_eq!(block_on(reader).unwrap(), all);
    }
    for writer in 0..writers {
        let own: Vec<_> = all.iter().filter(|pid| **pid / 100 == writer).collect();
        assert!(own.is_sorted() && own.len() == each as usize, "{all:?}");
    }
}

#[test]
fn event_log_in_every_order_of_two_writers() {
    fn case() {
        let log = EventLog::default();
        let other = log.clone();
        let writer = thread::spawn(move || record(&other, 1));
        record(&log, 0);
        let mut reader = log.reader();
        let mut seen = [0, 1].map(|_| pid(&block_on(reader.next()).kind));
        assert_eq!(seen.to_vec(), log.kinds().iter().map(pid).collect::<Vec<_>>());
        seen.sort();
        assert_eq!(seen, [0, 1]);
        writer.join().unwrap();
    }
    let orders = every_order(case);
    eprintln!("{orders} orders");
    assert!(orders > 10, "{orders}");
}

#[test]
fn event_log_of_three_writers_and_three_readers() {
    random_orders(400, || log_case(3, 3, 2));
}

/// A log that counts outside of its lock: an old count overtakes a new one, and a reader waits for an
/// event that is there.
#[test]
fn a_count_outside_of_the_lock_is_found() {
    fn case() {
        let events = Arc::new(Mutex::new(Vec::new()));
        let count = Arc::new(watched(0));
        let mut reader = count.subscribe();
        let push = |event: u32| {
            let (events, count) = (Arc::clone(&events), Arc::clone(&count));
            thread::spawn(move || {
                let now = {
                    let mut events = events.lock().unwrap();
                    events.push(event);
                    events.len()
                };
                count.send_replace(now);
            })
        };
        let writers = [push(0), push(1)];
        block_on(async {
            reader.wait_for(|&count| count == 2).await.unwrap();
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(*count.borrow(), 2);
    }
    fails_and_replays(case);
}

// Recorder

async fn call(recorder: Recorder, request: &'static [u8]) {
    let echo = tower::service_fn(|call: ApiCall| async move {
        shuttle::future::yield_now().await;
        Ok::<_, tonic::Status>(call.request)
    });
    let mut service = RecordingLayer(recorder).layer(echo);
    let request = Bytes::from_static(request);
    let call = ApiCall { method: &METHODS[0], request, metadata: Default::default() };
    service.call(call).await.unwrap();
}

#[test]
fn recorder_of_three_callers_and_one_who_goes_away() {
    random_orders(400, || {
        let recorder = Recorder::default();
        let callers = [b"a", b"b", b"c"].map(|name| spawn(call(recorder.clone(), name)));
        // Cancelled before it has begun: the call was never made; or under way: it is kept.
        let gone = spawn(call(recorder.clone(), b"d"));
        gone.abort();
        block_on(recorder.reached(3));
        callers.into_iter().for_each(|caller| block_on(caller).unwrap());
        let mut kept: Vec<_> = recorder.calls().into_iter().map(|call| call.request).collect();
        kept.sort();
        assert!(kept.windows(2).all(|two| two[0] != two[1]), "a call was kept twice: {kept:?}");
        assert!([b"a", b"b", b"c"].iter().all(|name| kept.contains(&Bytes::from_static(*name))));
    });
}

#[test]
fn recorder_in_every_order_of_two_callers() {
    fn case() {
        let recorder = Recorder::default();
        let other = recorder.clone();
        let caller = thread::spawn(move || block_on(call(other, b"a")));
        block_on(recorder.reached(1));
        assert_eq!(recorder.calls().len(), 1);
        caller.join().unwrap();
    }
    let orders = every_order(case);
    eprintln!("{orders} orders");
    assert!(orders > 3, "{orders}");
}

/// A recorder that takes its list out to add to it loses what comes meanwhile.
#[test]
fn a_push_outside_of_the_lock_is_found() {
    fn case() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let push = |call: u32| {
            let calls = Arc::clone(&calls);
            thread::spawn(move || {
                let mut longer = calls.lock().unwrap().clone();
                longer.push(call);
                *calls.lock().unwrap() = longer;
            })
        };
        [push(0), push(1)].into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(calls.lock().unwrap().len(), 2);
    }
    fails_and_replays(case);
}

// Keeper and restart accounting

fn keeper(crashes: usize) -> (Arc<Mutex<Lives>>, Arc<Keeper>) {
    let lives = Arc::new(Mutex::new(Lives::default()));
    let lived = Arc::clone(&lives);
    let builder = SupervisorBuilder { bundle: "number", lives: lived, crashes, hangs: false };
    (lives, Arc::new(Keeper::new(builder, KeeperOptions::default())))
}

#[test]
fn keeper_never_has_two_lives_and_a_deactivation_leaves_none() {
    random_orders(600, || {
        let (lives, keeper) = keeper(1);
        let tasks = [
            spawn({
                let keeper = Arc::clone(&keeper);
                async move { drop(keeper.activate().await) }
            }),
            spawn({
                let keeper = Arc::clone(&keeper);
                async move { drop(keeper.restart().await) }
            }),
            spawn({
                let keeper = Arc::clone(&keeper);
                async move {
                    keeper.deactivate().await;
                }
            }),
        ];
        tasks.into_iter().for_each(|task| block_on(task).unwrap());
        block_on(keeper.deactivate());
        assert_eq!(lives.lock().unwrap().alive, 0);
        assert_eq!(keeper.state(), PluginState::NotRunning);
        assert!(keeper.current().is_none());
    });
}

/// Three failures within the window, and no fourth launch, whoever looks on.
#[test]
fn keeper_gives_up_after_three_failures() {
    random_orders(400, || {
        let (lives, keeper) = keeper(usize::MAX);
        let mut states = keeper.states();
        let again = spawn({
            let keeper = Arc::clone(&keeper);
            async move { keeper.activate().await.unwrap() }
        });
        let first = block_on(keeper.activate()).unwrap();
        let second = block_on(again).unwrap();
        block_on(async {
            states.wait_for(|state| *state == PluginState::FailedToStayRunning).await.unwrap();
        });
        let launched = lives.lock().unwrap().launched;
        // The second activation came while the plugin ran, or after it was given up.
        let wanted = 3 * (usize::from(first) + usize::from(second));
        assert!(launched == wanted || launched < wanted && wanted == 6, "{launched} of {wanted}");
        assert!(lives.lock().unwrap().launched <= 6);
    });
}

/// A keeper that looks and then launches, with nothing to hold others off.
#[test]
fn a_keeper_without_its_lock_is_found() {
    fn case() {
        let lives = Arc::new(Mutex::new(Lives::default()));
        let builder = SupervisorBuilder { bundle: "number", lives, crashes: 0, hangs: false };
        let runs = Arc::new(watched(false));
        let activate = || {
            let (builder, runs) = (builder.clone(), Arc::clone(&runs));
            spawn(async move {
                if !*runs.borrow() {
                    let life = builder.launch_on(&Default::default()).await.unwrap();
                    runs.send_replace(true);
                    std::mem::forget(life);
                }
            })
        };
        [activate(), activate()].into_iter().for_each(|task| block_on(task).unwrap());
    }
    fails_and_replays(case);
}
