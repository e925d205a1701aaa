//! From nothing to an active plugin: our supervisor, and the same steps without any of its care
//! (start the program, read one line, connect, ask for health and hooks, activate). And back.
//!
//! The plugin is the compiled interpreter with a good script: its own start is in both.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Plugin, Tiny, median, runtime};
use criterion::Criterion;
use fake_interpreters::characters::Character;
use fake_interpreters::wire;
use plugin_conformance::api::ApiServer;
use plugin_conformance::supervisor::Supervisor;
use plugin_proto::prost::Message as _;
use plugin_proto::{Method, Service, v1};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const ROUNDS: usize = 40;

/// Launch and stop.
#[derive(Debug, Clone, Copy, Default)]
struct Took {
    launch: Duration,
    stop: Duration,
}

async fn supervised(plugin: &Plugin) -> Took {
    let builder = Supervisor::builder(&plugin.bundle.dir).api(Arc::new(Tiny));
    let start = Instant::now();
    let supervisor = builder.launch().await.unwrap();
    let launch = start.elapsed();
    let start = Instant::now();
    let ended = supervisor.shutdown().await;
    let stop = start.elapsed();
    assert!(ended.exit.unwrap().status.success());
    Took { launch, stop }
}

/// The API server is part of a launch, so it is started here as well.
async fn by_hand(plugin: &Plugin) -> Took {
    let hook = |name| Method::by_name(Service::PluginHooks, name).unwrap();
    let start = Instant::now();
    let api = ApiServer::builder(Arc::new(Tiny)).start().await.unwrap();
    let mut command = plugin.command(api.target());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line.split('|').nth(3).unwrap();
    let channel = wire::connect(address).unwrap();
    let plugin = HealthCheckRequest { service: "plugin".into() };
    let health = HealthClient::new(channel.clone()).check(plugin).await.unwrap();
    assert_eq!(health.into_inner().status, 1);
    let implemented = wire::unary(&channel, hook("Implemented"), Bytes::new(), None).await.unwrap();
    let implemented = v1::ImplementedResponse::decode(implemented).unwrap();
    assert!(implemented.hooks.iter().any(|hook| hook == "OnActivate"));
    wire::unary(&channel, hook("OnActivate"), Bytes::new(), None).await.unwrap();
    let launch = start.elapsed();

    let start = Instant::now();
    wire::unary(&channel, hook("OnDeactivate"), Bytes::new(), None).await.unwrap();
    let pid = Pid::from_raw(process.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(process.wait().await.unwrap().success());
    api.stop(Duration::from_secs(1)).await;
    Took { launch, stop: start.elapsed() }
}

async fn compare(plugin: &Plugin) {
    let mut results = [vec![], vec![]];
    for round in 0..ROUNDS {
        for turn in [round % 2, (round + 1) % 2] {
            let took = if turn == 0 { supervised(plugin).await } else { by_hand(plugin).await };
            results[turn].push(took);
        }
    }
    let of = |which: usize, part: fn(&Took) -> Duration| {
        let millis = results[which].iter().map(|took| part(took).as_secs_f64() * 1e3);
        median(&millis.collect::<Vec<_>>())
    };
    for (what, part) in [
        ("launch to active", (|took| took.launch) as fn(&Took) -> Duration),
        ("stop", |took| took.stop),
    ] {
        let (ours, bare) = (of(0, part), of(1, part));
        println!(
            "ratio {what}: {:.2} (supervisor {ours:.1} ms, by hand {bare:.1} ms, difference {:+.1} ms; medians of {ROUNDS} rounds)",
            ours / bare,
            ours - bare
        );
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
