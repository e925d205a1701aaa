//! Calls per second: `GetServerVersion` on our API server, on a bare tonic server with that one
//! method, made as tonic's generated code makes it, and on raw HTTP/2, which says the same bytes
//! without knowing what they mean.
//!
//! All serve in this process, on the same runtime; the client is the compiled interpreter in its
//! own process. They take turns, so that a busy machine is busy for all. The lines `ratio …` are
//! the result; criterion's numbers after them, from a client in this process, are a second view.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "unary/raw.rs"]
mod raw;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Bare, Figure, Plugin, Tiny, Wanted, runtime};
use criterion::Criterion;
use fake_interpreters::wire;
use futures::StreamExt as _;
use plugin_conformance::api::ApiServer;
use plugin_proto::{Method, Service};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

/// Many and short: where the system puts the two processes halves or doubles the speed of a run.
const ROUNDS: usize = 12;
/// Calls in flight, and how many calls.
const WARM_UP: (usize, u32) = (4, 300);
const IN_FLIGHT: [(usize, u32); 2] = [(1, 800), (16, 3000)];

// The measurements

/// What one run of the client gave.
struct Run {
    /// Calls per second, for each number of calls in flight.
    speeds: Vec<f64>,
    /// Seconds that the threads of this process, the server's, ran.
    cpu: f64,
}

async fn measure(plugin: &Plugin, target: &str) -> Run {
    let before = cpu_seconds();
    let report = plugin.run(target).await;
    assert!(report.repeat.iter().all(|repeat| repeat.failed == 0));
    // The first one warms up.
    let speeds = report.repeat[1..].iter().map(|repeat| repeat.calls_per_second).collect();
    Run { speeds, cpu: cpu_seconds() - before }
}

/// How long this process's threads have run so far; 0 where the system does not say.
fn cpu_seconds() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanos = threads.flatten().filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e9
}

async fn across_processes(targets: [&str; 3]) {
    let repeat = |(in_flight, times): (usize, u32)| {
        format!(
            "  - repeat_call: {{rpc: GetServerVersion, times: {times}, in_flight: {in_flight}}}\n"
        )
    };
    let steps: String = [WARM_UP].into_iter().chain(IN_FLIGHT).map(repeat).collect();
    let plugin = Plugin::new("repeats", &format!("life:\n{steps}"));
    let mut runs = [vec![], vec![], vec![]];
    for round in 0..ROUNDS {
        // Who was first is last in the next round.
        for turn in (0..3).map(|turn| (round + turn) % 3) {
            runs[turn].push(measure(&plugin, targets[turn]).await);
        }
    }
    let [ours, bare, raw] = &runs;
    let of = |runs: &[Run], value: &dyn Fn(&Run) -> f64| -> Vec<f64> {
        runs.iter().map(value).collect()
    };
    let compare = |what: &str, unit: &str, wanted: Wanted, value: &dyn Fn(&Run) -> f64| {
        let ours = of(ours, value);
        let ratio = |whose, runs| Figure::ratio(what, unit, &ours, (whose, &of(runs, value)));
        ratio("bare tonic", bare).wanted(wanted).tell();
        ratio("raw HTTP/2", raw).tell();
    };
    for (at, (in_flight, _)) in IN_FLIGHT.into_iter().enumerate() {
        let what = format!("unary/{in_flight}-in-flight");
        compare(&what, "calls/s", Wanted::AtLeast(0.95), &|run| run.speeds[at]);
    }
    let calls: u32 = [WARM_UP].into_iter().chain(IN_FLIGHT).map(|(_, times)| times).sum();
    let micros = |run: &Run| run.cpu / f64::from(calls) * 1e6;
    compare("unary/server-cpu, less is better", "us a call", Wanted::Open, &micros);
}

async fn calls(channel: Channel, times: u64, in_flight: usize) -> Duration {
    let method = Method::by_name(Service::PluginAPI, "GetServerVersion").unwrap();
    let start = Instant::now();
    futures::stream::iter(0..times)
        .map(|_| wire::unary(&channel, method, bytes::Bytes::new(), None))
        .buffer_unordered(in_flight)
        .for_each(|answer| async move { assert!(answer.is_ok()) })
        .await;
    start.elapsed()
}

fn in_one_process(criterion: &mut Criterion, runtime: &Runtime, servers: [(&str, &str); 3]) {
    for (in_flight, _) in IN_FLIGHT {
        let mut group =
            criterion.benchmark_group(format!("GetServerVersion, {in_flight} in flight"));
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.sample_size(20);
        for (name, target) in servers {
            let _guard = runtime.enter();
            let channel = wire::connect(target).unwrap();
            group.bench_function(name, |bencher| {
                bencher
                    .to_async(runtime)
                    .iter_custom(|times| calls(channel.clone(), times, in_flight));
            });
        }
        group.finish();
    }
}

fn main() {
    let runtime = runtime();
    let ours = runtime.block_on(ApiServer::builder(Arc::new(Tiny)).start()).unwrap();
    let bare_server = runtime.block_on(Bare::start());
    let bare = bare_server.target();
    let raw = runtime.block_on(raw::serve()).to_string();
    if common::is_bench() {
        runtime.block_on(across_processes([ours.target(), bare, &raw]));
    }
    let mut criterion = Criterion::default().configure_from_args();
    let servers = [("ours", ours.target()), ("bare tonic", bare), ("raw HTTP/2", &raw)];
    in_one_process(&mut criterion, &runtime, servers);
    criterion.final_summary();
    runtime.block_on(ours.stop(Duration::from_secs(1)));
    runtime.block_on(bare_server.stop());
}
