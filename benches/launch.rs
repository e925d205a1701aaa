//! From nothing to an active plugin, and back: our supervisor, and the same steps by hand (see
//! `common/life.rs`).
//!
//! The plugin is the compiled interpreter with a good script: its own start is in both.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use common::life::{self, ByHand};
use common::{Figure, Plugin, Wanted, runtime};
use criterion::Criterion;
use fake_interpreters::characters::Character;

const ROUNDS: usize = 40;

/// Launch and stop, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Took {
    launch: f64,
    stop: f64,
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

async fn supervised(plugin: &Plugin) -> Took {
    let start = Instant::now();
    let supervisor = life::supervise(plugin).await;
    let launch = millis(start);
    let start = Instant::now();
    life::end(supervisor).await;
    Took { launch, stop: millis(start) }
}

async fn by_hand(plugin: &Plugin) -> Took {
    let start = Instant::now();
    let active = ByHand::launch(plugin).await;
    let launch = millis(start);
    let start = Instant::now();
    active.stop().await;
    Took { launch, stop: millis(start) }
}

async fn compare(plugin: &Plugin) {
    let mut results = [vec![], vec![]];
    for round in 0..ROUNDS {
        for turn in [round % 2, (round + 1) % 2] {
            let took = if turn == 0 { supervised(plugin).await } else { by_hand(plugin).await };
            results[turn].push(took);
        }
    }
    let of = |which: usize, part: fn(&Took) -> f64| -> Vec<f64> {
        results[which].iter().map(part).collect()
    };
    for (what, part, wanted) in [
        ("launch/to-active", (|took| took.launch) as fn(&Took) -> f64, Wanted::AtMost(1.3)),
        ("launch/stop", |took| took.stop, Wanted::Open),
    ] {
        let bare = of(1, part);
        Figure::ratio(what, "ms", &of(0, part), ("by hand", &bare)).wanted(wanted).tell();
    }
}

fn main() {
    let runtime = runtime();
    let script = Character::by_name("well-behaved").unwrap().script;
    let plugin = Plugin::new("well-behaved", script);
    if common::is_bench() {
        // The first of each warms up.
        runtime.block_on(async {
            supervised(&plugin).await;
            by_hand(&plugin).await;
            compare(&plugin).await;
        });
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("launch to active and back");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(3));
    group.sample_size(20);
    group.bench_function("supervisor", |bencher| {
        bencher.to_async(&runtime).iter(|| supervised(&plugin));
    });
    group.bench_function("by hand", |bencher| {
        bencher.to_async(&runtime).iter(|| by_hand(&plugin));
    });
    group.finish();
    criterion.final_summary();
}
