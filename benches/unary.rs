//! Calls per second: `GetServerVersion` on our API server, and on a bare tonic server with that one
//! method, made as tonic's generated code makes it.
//!
//! Both serve in this process, on the same runtime; the client is the compiled interpreter in its
//! own process. They take turns, so that a busy machine is busy for both. The lines `ratio …` are
//! the result; criterion's numbers after them, from a client in this process, are a second view.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use common::{Plugin, Tiny, VERSION, median, runtime};
use criterion::Criterion;
use fake_interpreters::wire;
use futures::StreamExt as _;
use plugin_conformance::api::{ApiServer, async_trait};
use plugin_proto::v1::{GetServerVersionRequest, GetServerVersionResponse};
use plugin_proto::{Method, Service};
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Many and short: where the system puts the two processes halves or doubles the speed of a run.
const ROUNDS: usize = 40;
const IN_FLIGHT: [(usize, u32); 2] = [(1, 800), (16, 3000)];

// The bare server, as tonic generates it

#[async_trait]
trait Version: Send + Sync + 'static {
    async fn get_server_version(
        &self,
        request: Request<GetServerVersionRequest>,
    ) -> Result<Response<GetServerVersionResponse>, Status>;
}

#[async_trait]
impl Version for Tiny {
    async fn get_server_version(
        &self,
        _: Request<GetServerVersionRequest>,
    ) -> Result<Response<GetServerVersionResponse>, Status> {
        Ok(Response::new(GetServerVersionResponse { version: VERSION.into(), error: None }))
    }
}

struct VersionServer<T>(Arc<T>);

impl<T> Clone for VersionServer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> NamedService for VersionServer<T> {
    const NAME: &'static str = Service::PluginAPI.full_name();
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Version> tower::Service<http::Request<Body>> for VersionServer<T> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        struct GetServerVersion<T>(Arc<T>);

        impl<T: Version> UnaryService<GetServerVersionRequest> for GetServerVersion<T> {
            type Response = GetServerVersionResponse;
            type Future = Boxed<Result<Response<Self::Response>, Status>>;

            fn call(&mut self, request: Request<GetServerVersionRequest>) -> Self::Future {
                let inner = Arc::clone(&self.0);
                Box::pin(async move { inner.get_server_version(request).await })
            }
        }

        match request.uri().path() {
            "/mattermost.pluginapi.v1.PluginAPI/GetServerVersion" => {
                let inner = Arc::clone(&self.0);
                Box::pin(async move {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    Ok(grpc.unary(GetServerVersion(inner), request).await)
                })
            }
            _ => Box::pin(async { Ok(Status::unimplemented("").into_http()) }),
        }
    }
}

async fn bare() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder().add_service(VersionServer(Arc::new(Tiny)));
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

// The measurements

/// Calls per second, for each number of calls in flight.
async fn measure(plugin: &Plugin, target: &str) -> Vec<f64> {
    let report = plugin.run(target).await;
    assert!(report.repeat.iter().all(|repeat| repeat.failed == 0));
    // The first one warms up.
    report.repeat[1..].iter().map(|repeat| repeat.calls_per_second).collect()
}

async fn across_processes(ours: &str, bare: &str) {
    let repeat = |(in_flight, times): (usize, u32)| {
        format!(
            "  - repeat_call: {{rpc: GetServerVersion, times: {times}, in_flight: {in_flight}}}\n"
        )
    };
    let steps: String = [(4, 300)].into_iter().chain(IN_FLIGHT).map(repeat).collect();
    let plugin = Plugin::new("repeats", &format!("life:\n{steps}"));
    let mut results = [vec![], vec![]];
    for round in 0..ROUNDS {
        // First one, then the other; next time the other first.
        for turn in [round % 2, (round + 1) % 2] {
            results[turn].push(measure(&plugin, [ours, bare][turn]).await);
        }
    }
    for (at, (in_flight, _)) in IN_FLIGHT.into_iter().enumerate() {
        let [ours, bare] = [0, 1]
            .map(|which: usize| results[which].iter().map(|round| round[at]).collect::<Vec<_>>());
        let (ours, bare) = (median(&ours), median(&bare));
        println!(
            "ratio unary in_flight={in_flight}: {:.2} (ours {ours:.0} calls/s, bare tonic {bare:.0} calls/s; medians of {ROUNDS} rounds, client in its own process)",
            ours / bare
        );
    }
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

fn in_one_process(criterion: &mut Criterion, runtime: &Runtime, servers: [(&str, &str); 2]) {
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
    let bare = runtime.block_on(bare()).to_string();
    if common::is_bench() {
        runtime.block_on(across_processes(ours.target(), &bare));
    }
    let mut criterion = Criterion::default().configure_from_args();
    in_one_process(&mut criterion, &runtime, [("ours", ours.target()), ("bare tonic", &bare)]);
    criterion.final_summary();
    runtime.block_on(ours.stop(Duration::from_secs(1)));
}
