//! Bytes per second of ServeHTTP: `Hooks::serve_http`, and a bare tonic bidirectional stream with
//! messages of the same size, to the same plugin.
//!
//! Plugin and callers are in this process, on the same runtime. They take turns, so that a busy
//! machine is busy for both. The lines `ratio …` are the result, the lines `memory …` are what the
//! process grew by while a gigabyte went through the HTTP server; criterion's numbers after them are
//! a second view.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "../tests/http_common/mod.rs"]
mod http_common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Figure, Wanted, runtime};
use criterion::{Criterion, Throughput};
use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use http_common::{Client, Exchange, Http, Peer, chunk, front, head, last, peer, sized};
use hyper::body::Frame;
use plugin_proto::v1;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

const ROUNDS: usize = 12;
/// Bytes of one measurement.
const BYTES: usize = 256 << 20;
const GIGABYTE: usize = 1_000_000_000;

#[derive(Debug, Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// A plugin that takes everything, or sends as many bytes as the URL says.
async fn plugin() -> Peer {
    peer(|mut exchange: Exchange| async move {
        let first = exchange.requests.message().await.unwrap().unwrap();
        let init = first.init.unwrap();
        if !first.body_complete {
            exchange.discard().await;
        }
        exchange.send(head(200, &[])).await;
        let bytes = init.url.rsplit('/').next().unwrap().parse().unwrap_or(0);
        let mut chunks = sized(bytes);
        while let Some(bytes) = chunks.next().await {
            exchange.send(chunk(bytes)).await;
        }
        exchange.send(last(chunk(""))).await;
    })
    .await
}

fn init(way: Way, bytes: usize) -> v1::ServeHttpRequestInit {
    let (method, url) = match way {
        Way::Up => ("POST", "/".to_owned()),
        Way::Down => ("GET", format!("/{bytes}")),
    };
    v1::ServeHttpRequestInit { method: method.into(), url, ..Default::default() }
}

async fn ours(peer: &Peer, way: Way, bytes: usize) -> Duration {
    let start = Instant::now();
    let init = init(way, bytes);
    let mut body = match way {
        Way::Up => {
            let parts = sized(bytes).map(|part| Ok::<_, std::io::Error>(Frame::data(part)));
            peer.hooks.serve_http(init, StreamBody::new(parts)).await
        }
        Way::Down => peer.hooks.serve_http(init, Empty::<Bytes>::new()).await,
    }
    .unwrap()
    .body;
    let mut back = 0;
    while let Some(frame) = body.frame().await {
        back += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(back, if matches!(way, Way::Up) { 0 } else { bytes });
    start.elapsed()
}

async fn bare(channel: &Channel, way: Way, bytes: usize) -> Duration {
    let start = Instant::now();
    let first = v1::ServeHttpRequest { init: Some(init(way, bytes)), ..Default::default() };
    let parts = sized(if matches!(way, Way::Up) { bytes } else { 0 });
    let parts = parts.map(|body_chunk| v1::ServeHttpRequest { body_chunk, ..Default::default() });
    let end = v1::ServeHttpRequest { body_complete: true, ..Default::default() };
    let messages = stream::iter([first]).chain(parts).chain(stream::iter([end]));
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static("/mattermost.pluginapi.v1.PluginHooks/ServeHTTP");
    let answer = grpc.streaming(Request::new(messages), path, ProstCodec::default()).await;
    let mut answer: Streaming<v1::ServeHttpResponse> = answer.unwrap().into_inner();
    let mut back = 0;
    while let Some(message) = answer.message().await.unwrap() {
        back += message.body_chunk.len();
    }
    assert_eq!(back, if matches!(way, Way::Up) { 0 } else { bytes });
    start.elapsed()
}

async fn compare(peer: &Peer, channel: &Channel) {
    for way in [Way::Up, Way::Down] {
        let mut speeds = [vec![], vec![]];
        for round in 0..ROUNDS {
            for turn in [round % 2, (round + 1) % 2] {
                let took = match turn {
                    0 => ours(peer, way, BYTES).await,
                    _ => bare(channel, way, BYTES).await,
                };
                speeds[turn].push(BYTES as f64 / took.as_secs_f64() / 1e6);
            }
        }
        let what = match way {
            Way::Up => "serve_http/up",
            Way::Down => "serve_http/down",
        };
        Figure::ratio(what, "MB/s", &speeds[0], ("bare stream", &speeds[1]))
            .wanted(Wanted::AtLeast(0.9))
            .tell();
    }
}

/// Resident memory of this process, in KiB; 0 where the system does not say.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// A gigabyte each way, over HTTP.
async fn over_http(address: SocketAddr) {
    for http in [Http::One, Http::Two] {
        for way in [Way::Up, Way::Down] {
            let mut before = 0;
            // The first one warms up.
            for bytes in [64 << 20, GIGABYTE] {
                before = resident();
                let start = Instant::now();
                let (method, path, body) = match way {
                    Way::Up => ("POST", "/".to_owned(), http_common::streamed(sized(bytes))),
                    Way::Down => ("GET", format!("/{bytes}"), http_common::full("")),
                };
                let mut request = http_common::request(method, &path, body);
                if http == Http::Two {
                    request.headers_mut().remove("host");
                }
                let mut client = Client::connect(http, address).await;
                let mut answer = client.send(request).await.unwrap();
                while let Some(frame) = answer.frame().await {
                    frame.unwrap();
                }
                let speed = bytes as f64 / start.elapsed().as_secs_f64() / 1e6;
                if bytes == GIGABYTE {
                    println!("HTTP/{http:?} {way:?}: {speed:.0} MB/s");
                }
            }
            let grown = resident().saturating_sub(before);
            println!("memory HTTP/{http:?} {way:?}, 1 GB: {grown} KiB more");
        }
    }
}

fn main() {
    let runtime = runtime();
    let peer = runtime.block_on(plugin());
    let endpoint = Endpoint::from_shared(format!("http://{}", peer.address)).unwrap();
    let channel = runtime.block_on(endpoint.tcp_nodelay(true).connect()).unwrap();
    let front = runtime.block_on(front(&peer));
    if common::is_bench() {
        runtime.block_on(compare(&peer, &channel));
        runtime.block_on(over_http(front.address()));
    }
    let mut criterion = Criterion::default().configure_from_args();
    let bytes = 16 << 20;
    for way in [Way::Up, Way::Down] {
        let mut group = criterion.benchmark_group(format!("ServeHTTP {way:?}, 16 MiB"));
        group.sample_size(10).throughput(Throughput::Bytes(bytes as u64));
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.bench_function("ours", |bencher| {
            bencher.to_async(&runtime).iter(|| ours(&peer, way, bytes));
        });
        group.bench_function("bare tonic", |bencher| {
            bencher.to_async(&runtime).iter(|| bare(&channel, way, bytes));
        });
        group.finish();
    }
    criterion.final_summary();
    runtime.block_on(front.stop(Duration::from_secs(1)));
}
