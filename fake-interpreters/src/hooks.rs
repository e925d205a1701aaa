//! The plugin's own server: PluginHooks, health and go-plugin's controller.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use http_body_util::BodyExt as _;
use plugin_proto::prost::Message as _;
use plugin_proto::{Method, PACKAGE, v1};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthRpcs, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService, WatchStream};
use tower::Service;

use crate::life::{Flow, Life};
use crate::script::{Controller, Health, Network, Serve};
use crate::wire::RawCodec;

/// As the Python SDK sets it.
const MAX_MESSAGE: usize = 64 << 20;

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
    pub(crate) async fn start(life: &Arc<Life>, serve: &Serve) -> io::Result<Self> {
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
            })
        });
        let controller = (serve.controller != Controller::Absent)
            .then(|| ControllerService { life: Arc::clone(life), behaviour: serve.controller });
        let listed = serve.hooks.iter().map(|hook| hook.0.name).collect();
        let router = Server::builder()
            .add_service(HooksService { life: Arc::clone(life), listed })
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
                task = tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped));
            }
            Network::Unix => {
                let path = life.dir.join(format!("plugin-{}.sock", std::process::id()));
                let listener = UnixListener::bind(&path)?;
                (network, address) = ("unix", path.display().to_string());
                socket = Some(Socket(path));
                let incoming = UnixListenerStream::new(listener);
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
}

#[tonic::async_trait]
impl HealthRpcs for HealthFake {
    type WatchStream = WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
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

/// All hooks of the contract.
#[derive(Clone)]
struct HooksService {
    life: Arc<Life>,
    /// The names of those implemented.
    listed: Arc<[&'static str]>,
}

impl NamedService for HooksService {
    const NAME: &'static str = "mattermost.pluginapi.v1.PluginHooks";
}

impl Service<http::Request<Body>> for HooksService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(RawCodec)
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE);
            let Some(hook) = Method::by_path(request.uri().path()) else {
                let text = format!("{PACKAGE} has no such hook");
                return Ok(Status::unimplemented(text).into_http());
            };
            if !hook.is_unary() {
                let answer = tower::service_fn(|request: Request<Streaming<Bytes>>| {
                    let service = service.clone();
                    async move {
                        service.serve_http(hook, request.into_inner()).await.map(Response::new)
                    }
                });
                return Ok(grpc.streaming(answer, request).await);
            }
            let answer = tower::service_fn(|_: Request<Bytes>| {
                let service = service.clone();
                async move { service.answer(hook).await.map(Response::new) }
            });
            let response = grpc.unary(answer, request).await;
            Ok(if hook.name == "OnActivate" {
                service.then_after_activate(response)
            } else {
                response
            })
        })
    }
}

impl HooksService {
    /// The answer of a unary hook.
    async fn answer(&self, hook: &'static Method) -> Result<Bytes, Status> {
        self.begin(hook)?;
        match self.steps(hook).await {
            Flow::Answer(answer) => Ok(answer),
            Flow::Fail(status) => Err(status),
            Flow::Exit(code) => self.life.exit(code),
            Flow::Done if hook.name == "Implemented" => {
                let hooks = self.listed.iter().map(|&name| name.to_owned()).collect();
                let answer = v1::ImplementedResponse { hooks, error: None };
                Ok(answer.encode_to_vec().into())
            }
            Flow::Done => Ok(Bytes::new()),
        }
    }

    /// Notes the hook; an error when it is not implemented.
    fn begin(&self, hook: &'static Method) -> Result<(), Status> {
        self.life.report.update(|report| report.hooks.push(hook.name.to_owned()));
        if hook.name == "Implemented" || self.listed.contains(&hook.name) {
            return Ok(());
        }
        Err(Status::unimplemented(format!("this plugin does not implement {}", hook.name)))
    }

    async fn steps(&self, hook: &'static Method) -> Flow {
        match self.life.script.on.hooks.get(hook.name) {
            Some(steps) => self.life.steps(steps).await,
            None => Flow::Done,
        }
    }

    /// Reads the whole request and answers 200 with what it was.
    async fn serve_http(
        &self,
        hook: &'static Method,
        mut request: Streaming<Bytes>,
    ) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        self.begin(hook)?;
        match self.steps(hook).await {
            Flow::Fail(status) => return Err(status),
            Flow::Exit(code) => self.life.exit(code),
            Flow::Done | Flow::Answer(_) => {}
        }
        let mut init = None;
        let mut body_bytes = 0;
        while let Some(message) = request.message().await? {
            let message = v1::ServeHttpRequest::decode(message);
            let message = message.map_err(|error| Status::invalid_argument(error.to_string()))?;
            init = message.init.or(init);
            body_bytes += message.body_chunk.len();
            if message.body_complete {
                break;
            }
        }
        let init = init.unwrap_or_default();
        let body = serde_json::json!({
            "method": init.method, "url": init.url, "body_bytes": body_bytes,
        });
        let content_type = v1::HttpHeader {
            key: "Content-Type".to_owned(),
            values: vec!["application/json".to_owned()],
        };
        let answer = v1::ServeHttpResponse {
            init: Some(v1::ServeHttpResponseInit { status_code: 200, headers: vec![content_type] }),
            body_chunk: body.to_string().into(),
            body_complete: true,
            flush: false,
        };
        Ok(futures::stream::iter([Ok(answer.encode_to_vec().into())]).boxed())
    }

    /// Lets the steps of `after_activate` follow when the response was sent.
    fn then_after_activate(self, response: http::Response<Body>) -> http::Response<Body> {
        if self.life.script.on.after_activate.is_empty() {
            return response;
        }
        let (sent, when_sent) = oneshot::channel::<Infallible>();
        tokio::spawn(async move {
            // The sender is dropped with the body, when its last frame is with the connection.
            let _ = when_sent.await;
            // The connection has been woken and writes the frame on this same thread, before
            // anything new is read.
            tokio::task::yield_now().await;
            if let Flow::Exit(code) = self.life.steps(&self.life.script.on.after_activate).await {
                self.life.exit(code);
            }
        });
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _held = &sent;
                frame
            }))
        })
    }
}
