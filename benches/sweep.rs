//! Every RPC once: 236 calls with generated requests, from the compiled interpreter in its own
//! process, each answer compared with the generated one.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use common::{Figure, Plugin, Wanted, runtime};
use criterion::Criterion;
use fake_interpreters::{sample, wire};
use plugin_conformance::api::ApiServer;
use plugin_conformance::conformance::GeneratedApi;
use plugin_proto::Service;
use tonic::transport::Channel;

const ROUNDS: usize = 20;

/// From the start of the process to its end, and the sum of the calls' own times.
async fn sweep(plugin: &Plugin, target: &str) -> (f64, f64) {
    let start = Instant::now();
    let report = plugin.run(target).await;
    let whole = start.elapsed().as_secs_f64() * 1e3;
    assert_eq!(report.calls.len(), 236);
    assert!(report.calls.iter().all(|call| call.matches == Some(true)));
    let calls: u64 = report.calls.iter().map(|call| call.micros).sum();
    (whole, calls as f64 / 1e3)
}

async fn across_processes(target: &str) {
    let plugin = Plugin::new("sweeps", "life:\n  - every_rpc: {expect: generated}\n");
    sweep(&plugin, target).await;
    let mut results = Vec::new();
    for _ in 0..ROUNDS {
        results.push(sweep(&plugin, target).await);
    }
    let whole: Vec<f64> = results.iter().map(|(whole, _)| *whole).collect();
    let calls: Vec<f64> = results.iter().map(|(_, calls)| *calls).collect();
    let most = Wanted::AtMost(300.0);
    Figure::value("sweep/236-rpcs, process start to end", "ms", &whole).wanted(most).tell();
    Figure::value("sweep/236-rpcs, calls alone", "ms", &calls).tell();
}

async fn calls(channel: &Channel) {
    for method in Service::PluginAPI.methods() {
        let answer = wire::unary(channel, method, sample::request(method), None).await;
        assert!(answer.is_ok(), "{}", method.name);
    }
}

fn main() {
    let runtime = runtime();
    let api = GeneratedApi::answering(common::VERSION);
    let server = runtime.block_on(ApiServer::builder(api).start()).unwrap();
    if common::is_bench() {
        runtime.block_on(across_processes(server.target()));
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("every RPC");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(3));
    group.sample_size(20);
    let _guard = runtime.enter();
    let channel = wire::connect(server.target()).unwrap();
    group.bench_function("one after the other", |bencher| {
        bencher.to_async(&runtime).iter(|| calls(&channel));
    });
    group.finish();
    criterion.final_summary();
    runtime.block_on(server.stop(Duration::from_secs(1)));
}
