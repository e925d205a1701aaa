//! 1, 10 and 100 plugins at once: how long they take to launch and to stop, and what each of them
//! costs this process, in which the supervisors are: memory, file descriptors, threads, tasks.
//!
//! The baseline is as many plugins by hand (see `common/life.rs`). Memory is measured in processes
//! made for it, which are this program again: what one measurement leaves behind in the allocator
//! would make the next one look better than it is.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "plugins/footprint.rs"]
mod footprint;

use std::time::{Duration, Instant};

use common::life::{self, ByHand};
use common::{Figure, Plugin, Quartiles, Wanted, runtime};
use criterion::{BenchmarkId, Criterion};
use fake_interpreters::characters::Character;
use footprint::Footprint;
use futures::future::join_all;

const COUNTS: [usize; 3] = [1, 10, 100];
/// Set in the processes that measure memory: who launches, and how many.
const ROLE: &str = "PLUGIN_CONFORMANCE_BENCH_FOOTPRINT";
const SUPERVISED: &str = "supervised";
const BY_HAND: &str = "by-hand";
/// Processes that measure memory, for each who and how many.
const FOOTPRINTS: usize = 3;
/// What a plugin may cost the supervisor's process.
const MOST_KIB: f64 = 1024.0;

/// Many plugins take long enough to need few rounds.
fn rounds(count: usize) -> usize {
    match count {
        1 => 20,
        10 => 10,
        _ => 5,
    }
}

fn plugins(count: usize) -> Vec<Plugin> {
    let script = Character::by_name("well-behaved").unwrap().script;
    (0..count).map(|_| Plugin::new("well-behaved", script)).collect()
}

/// Launches all of them at once, lets `meanwhile` look, stops all of them at once. Milliseconds a
/// plugin, for launch and stop.
async fn supervised(plugins: &[Plugin], meanwhile: impl FnOnce()) -> [f64; 2] {
    let start = Instant::now();
    let active = join_all(plugins.iter().map(life::supervise)).await;
    let launched = start.elapsed();
    meanwhile();
    let start = Instant::now();
    join_all(active.into_iter().map(life::end)).await;
    each(plugins, [launched, start.elapsed()])
}

async fn by_hand(plugins: &[Plugin], meanwhile: impl FnOnce()) -> [f64; 2] {
    let start = Instant::now();
    let active = join_all(plugins.iter().map(ByHand::launch)).await;
    let launched = start.elapsed();
    meanwhile();
    let start = Instant::now();
    join_all(active.into_iter().map(ByHand::stop)).await;
    each(plugins, [launched, start.elapsed()])
}

fn each(plugins: &[Plugin], took: [Duration; 2]) -> [f64; 2] {
    took.map(|took| took.as_secs_f64() * 1e3 / plugins.len() as f64)
}

async fn compare_times(plugins: &[Plugin]) {
    let mut alone = None;
    for count in COUNTS {
        let plugins = &plugins[..count];
        let mut results = [vec![], vec![]];
        for round in 0..rounds(count) {
            for turn in [round % 2, (round + 1) % 2] {
                results[turn].push(match turn {
                    0 => supervised(plugins, || ()).await,
                    _ => by_hand(plugins, || ()).await,
                });
            }
        }
        let of = |which: usize, part: usize| -> Vec<f64> {
            results[which].iter().map(|took: &[f64; 2]| took[part]).collect()
        };
        for (part, what) in ["launch", "stop"].into_iter().enumerate() {
            let name = format!("plugins/{count}, {what}");
            Figure::ratio(&name, "ms a plugin", &of(0, part), ("by hand", &of(1, part))).tell();
        }
        // Linear means that a plugin among many takes no longer than one alone.
        let medians = [0, 1].map(|part| Quartiles::of(&of(0, part)).median);
        let [launch, stop] = *alone.get_or_insert(medians);
        if count > 1 {
            for (part, what, one) in [(0, "launch", launch), (1, "stop", stop)] {
                let name = format!("plugins/{count}, {what} of each");
                let ones = vec![one; rounds(count)];
                Figure::ratio(&name, "ms a plugin", &of(0, part), ("1 plugin", &ones)).tell();
            }
        }
    }
}

/// What this process is when [`ROLE`] says so: it prints what `count` plugins cost it.
fn measure_footprint(role: &str) {
    let (who, count) = role.split_once(' ').expect("who and how many");
    let plugins = plugins(count.parse().expect("a number of plugins"));
    let runtime = runtime();
    let footprint = runtime.block_on(async {
        // What is made once is no plugin's.
        launch(who, &plugins[..1], || ()).await;
        let before = Footprint::now();
        let mut after = before;
        launch(who, &plugins, || after = Footprint::now()).await;
        after.since(before)
    });
    println!("{}", serde_json::to_string(&footprint).unwrap());
}

async fn launch(who: &str, plugins: &[Plugin], meanwhile: impl FnOnce()) {
    match who {
        SUPERVISED => supervised(plugins, meanwhile).await,
        _ => by_hand(plugins, meanwhile).await,
    };
}

/// Starts this program again, to measure.
fn footprint(who: &str, count: usize) -> Footprint {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.env(ROLE, format!("{who} {count}")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("a footprint")
}

/// The footprints of `count` plugins, per plugin, several times.
fn footprints(who: &str, count: usize) -> Vec<Footprint> {
    (0..FOOTPRINTS).map(|_| footprint(who, count).each(count)).collect()
}

fn compare_footprints() {
    let mut alone = None;
    for count in COUNTS {
        let ours = footprints(SUPERVISED, count);
        let bare = footprints(BY_HAND, count);
        let of = |footprints: &[Footprint], part: fn(&Footprint) -> f64| -> Vec<f64> {
            footprints.iter().map(part).collect()
        };
        let memory: fn(&Footprint) -> f64 = |footprint| footprint.private_kib;
        let ours_memory = of(&ours, memory);
        let name = format!("plugins/{count}, supervisor memory of each");
        let most = Wanted::AtMost(MOST_KIB);
        Figure::value(&name, "KiB", &ours_memory).wanted(most).tell();
        Figure::ratio(&name, "KiB", &ours_memory, ("by hand", &of(&bare, memory))).tell();
        let one = *alone.get_or_insert(Quartiles::of(&ours_memory).median);
        if count > 1 {
            Figure::ratio(&name, "KiB", &ours_memory, ("1 plugin", &[one; FOOTPRINTS])).tell();
        }
        for (what, part) in [
            ("resident memory", (|it| it.resident_kib) as fn(&Footprint) -> f64),
            ("file descriptors", |it| it.descriptors),
            ("threads", |it| it.threads),
            ("tasks", |it| it.tasks),
        ] {
            let unit = if what == "resident memory" { "KiB" } else { "" };
            let bare = Quartiles::of(&of(&bare, part)).median;
            let name = format!("plugins/{count}, {what} of each");
            let figure = Figure::value(&name, unit, &of(&ours, part));
            figure.beside(format!("by hand {bare:.1}")).tell();
        }
    }
}

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        return measure_footprint(&role);
    }
    let runtime = runtime();
    if common::is_bench() {
        let plugins = plugins(COUNTS[2]);
        runtime.block_on(async {
            // The first of each warms up.
            supervised(&plugins[..1], || ()).await;
            by_hand(&plugins[..1], || ()).await;
            compare_times(&plugins).await;
        });
        compare_footprints();
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("plugins at once, launch and stop");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(3));
    group.sample_size(10);
    for count in [1, 10] {
        let plugins = plugins(count);
        group.bench_function(BenchmarkId::new("supervised", count), |bencher| {
            bencher.to_async(&runtime).iter(|| supervised(&plugins, || ()));
        });
        group.bench_function(BenchmarkId::new("by hand", count), |bencher| {
            bencher.to_async(&runtime).iter(|| by_hand(&plugins, || ()));
        });
    }
    group.finish();
    criterion.final_summary();
}
