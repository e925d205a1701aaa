//! The plugin's own server: the hooks, health and go-plugin's controller.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthRpcs, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService, WatchStream};
use tower::Service;

use super::follow::Follow;
use super::hooks::HooksService;
use super::life::Life;
use crate::report::{MOST_CALLS, Reporter};
use crate::script::{Controller, Health, Network, Serve};
use crate::wire::RawCodec;

/// The name by which go-plugin asks for a plugin's health.
const PLUGIN: &str = "plugin";

/// A server that runs.
pub(crate) struct Serving {
    pub(crate) network: &'static str,
    pub(crate) address: String,
    health: HealthReporter,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
    _socket: Option<Socket>,
}

/// A socket's file, removed when it is dropped.
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Serving {
    pub(crate) async fn start(
        life: &Arc<Life>,
        interpreter: Arc<dyn Follow>,
        serve: &Serve,
    ) -> io::Result<Self> {
        let health = HealthReporter::new();
        match serve.health {
            Health::NotServing => set_health(&health, ServingStatus::NotServing).await,
            Health::Unknown => {}
            _ => set_health(&health, ServingStatus::Serving).await,
        }
        let health_rpcs = (serve.health != Health::Missing).then(|| {
            HealthServer::new(HealthFake {
                inner: HealthService::from_health_reporter(health.clone()),
                blocked: serve.health == Health::Blocked,
                report: life.report.clone(),
            })
        });
        let controller = (serve.controller != Controller::Absent)
            .then(|| ControllerService { life: Arc::clone(life), behaviour: serve.controller });
        let listed = serve.hooks.iter().map(|hook| hook.0.name).collect();
        let router = Server::builder()
            .add_service(HooksService { life: Arc::clone(life), interpreter, listed })
            .add_optional_service(health_rpcs)
            .add_optional_service(controller);

        let shutdown = CancellationToken::new();
        let stopped = shutdown.clone().cancelled_owned();
        let (network, address, socket, task);
        match serve.network {
            Network::Tcp => {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
                (network, socket) = ("tcp", None);
                address = listener.local_addr()?.to_string();
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                let incoming = life.outgoing.watch(incoming);
                task = tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped));
            }
            Network::Unix => {
                let path = life.dir.join(format!("plugin-{}.sock", std::process::id()));
                let listener = UnixListener::bind(&path)?;
                (network, address) = ("unix", path.display().to_string());
                socket = Some(Socket(path));
                let incoming = life.outgoing.watch(UnixListenerStream::new(listener));
                task = tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped));
            }
        }
        Ok(Self { network, address, health, shutdown, task, _socket: socket })
    }

    /// Says that it no longer serves, lets open calls end, and closes the connections.
    pub(crate) async fn stop(mut self, grace: Duration) {
        set_health(&self.health, ServingStatus::NotServing).await;
        self.shutdown.cancel();
        let _ = tokio::time::timeout(grace, &mut self.task).await;
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status(PLUGIN, status).await;
    health.set_service_status("", status).await;
}

struct HealthFake {
    inner: HealthService,
    blocked: bool,
    report: Reporter,
}

#[tonic::async_trait]
impl HealthRpcs for HealthFake {
    type WatchStream = WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.get_ref().service.clone();
        self.report.update(|report| {
            if report.health.len() < MOST_CALLS {
                report.health.push(service);
            }
        });
        if self.blocked {
            std::future::pending().await
        }
        self.inner.check(request).await
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        if self.blocked {
            std::future::pending().await
        }
        self.inner.watch(request).await
    }
}

/// `plugin.GRPCController` of go-plugin: the single RPC `Shutdown`, with empty messages.
#[derive(Clone)]
struct ControllerService {
    life: Arc<Life>,
    behaviour: Controller,
}

impl NamedService for ControllerService {
    const NAME: &'static str = "plugin.GRPCController";
}

impl Service<http::Request<Body>> for ControllerService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { life, behaviour } = self.clone();
        let known = request.uri().path().ends_with("/Shutdown");
        Box::pin(async move {
            let shutdown = tower::service_fn(move |_: Request<Bytes>| {
                let life = Arc::clone(&life);
                async move {
                    match behaviour {
                        _ if !known => {
                            return Err(Status::unimplemented("go-plugin has Shutdown only"));
                        }
                        Controller::Blocked => std::future::pending().await,
                        Controller::Exits => {
                            life.asked_to_stop(None).await;
                            life.stop.cancel();
                        }
                        Controller::Ignores | Controller::Absent => {}
                    }
                    Ok(Response::new(Bytes::new()))
                }
            });
            Ok(Grpc::new(RawCodec).unary(shutdown, request).await)
        })
    }
}
