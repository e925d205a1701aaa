//! The PluginAPI server: starts, says its target, stops for certain.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use plugin_proto::FILE_DESCRIPTOR_SET;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt as _};

use super::call::{ApiCall, BoxCallService, Calls};
use super::callers::{Callers, Guard};
use super::channel::{Dialect, ErrorBudget};
use super::connections::{Rules, accept};
use super::framing::UnderWay;
use super::http_service::{BoxGrpcService, HttpService};
use super::limits::{ConnectionLimits, MAX_BYTES_UNDER_WAY, MAX_MESSAGE_BYTES};
use super::listener::{Listen, ListenError, Listener};
use super::plugin_api::PluginApi;
use super::recording::{Recorder, RecordingLayer};
use super::service::GrpcService;
use super::tasks::Tasks;
use super::token::ApiToken;

/// After the drain's deadline, aborted tasks have this long to be dropped. Only an implementation
/// that blocks its thread needs it.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// Serves a [`PluginApi`], with gRPC health and reflection beside it.
///
/// Dropped, it stops at once: nothing of it outlives the value but what is being dropped.
#[derive(Debug)]
pub struct ApiServer {
    target: String,
    address: Option<SocketAddr>,
    tasks: Tasks,
}

/// How a server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiStop {
    /// Connections and calls that had not ended by the deadline and were dropped.
    pub forced: usize,
    /// Tasks that could not be dropped because the implementation blocks its thread; 0 but for that.
    pub stuck: usize,
}

impl ApiServer {
    /// Begins to describe a server of `api`.
    pub fn builder(api: Arc<dyn PluginApi>) -> ApiServerBuilder {
        ApiServerBuilder {
            api,
            listen: Listen::default(),
            dialect: Dialect::default(),
            budget: ErrorBudget::default(),
            max_message_bytes: MAX_MESSAGE_BYTES,
            bytes_under_way: MAX_BYTES_UNDER_WAY,
            callers: Callers::default(),
            limits: ConnectionLimits::default(),
            token: None,
            call_layers: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// What belongs in [`TARGET_VARIABLE`](super::TARGET_VARIABLE): `127.0.0.1:54321`, or
    /// `unix:///…/api@localhost`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The TCP address; `None` on a Unix socket.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// How many tasks the server has: the listener, one a connection, one a call under way.
    pub fn tasks(&self) -> usize {
        self.tasks.count()
    }

    /// Stops: no new connection from now on, calls under way may end within `drain`, then
    /// everything left is dropped. After it no port, no socket file, no connection and no task is
    /// left. May be called again, and from several tasks at once.
    pub async fn stop(&self, drain: Duration) -> ApiStop {
        self.tasks.close();
        if tokio::time::timeout(drain, self.tasks.ended()).await.is_ok() {
            return ApiStop { forced: 0, stuck: 0 };
        }
        let forced = self.tasks.count();
        self.tasks.abort();
        let ended = tokio::time::timeout(ABORT_GRACE, self.tasks.ended()).await;
        let stuck = if ended.is_ok() { 0 } else { self.tasks.count() };
        if stuck > 0 {
            tracing::error!(stuck, "calls of the API implementation block their threads");
        }
        ApiStop { forced, stuck }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

type CallLayer = Box<dyn FnOnce(BoxCallService) -> BoxCallService + Send>;
type HttpLayer = Box<dyn FnOnce(BoxGrpcService) -> BoxGrpcService + Send>;

/// What an [`ApiServer`] is to be.
pub struct ApiServerBuilder {
    api: Arc<dyn PluginApi>,
    listen: Listen,
    dialect: Dialect,
    budget: ErrorBudget,
    max_message_bytes: usize,
    bytes_under_way: usize,
    callers: Callers,
    limits: ConnectionLimits,
    token: Option<ApiToken>,
    call_layers: Vec<CallLayer>,
    layers: Vec<HttpLayer>,
}

impl ApiServerBuilder {
    /// Where to listen; 127.0.0.1:0 by default.
    #[must_use]
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen = listen;
        self
    }

    /// Which channel failures take; [`Dialect::GoServer`] by default.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// The largest message, in bytes, that is accepted or sent; 100 MiB by default. A larger one
    /// is answered RESOURCE_EXHAUSTED.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// How many bytes the requests that are under way may have together, from their first byte to
    /// the answer; 512 MiB by default. A call that goes beyond is answered RESOURCE_EXHAUSTED.
    #[must_use]
    pub fn max_bytes_under_way(mut self, bytes: usize) -> Self {
        self.bytes_under_way = bytes;
        self
    }

    /// Who may connect; [`Callers::SameUser`] by default.
    #[must_use]
    pub fn callers(mut self, callers: Callers) -> Self {
        self.callers = callers;
        self
    }

    /// What connections may take.
    #[must_use]
    pub fn connection_limits(mut self, limits: ConnectionLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Asks every call, those of health and reflection too, for the metadata
    /// `authorization: Bearer <token>`; without it a call is answered UNAUTHENTICATED. No token by
    /// default: the Python SDK sends none.
    #[must_use]
    pub fn token(mut self, token: ApiToken) -> Self {
        self.token = Some(token);
        self
    }

    /// How many bytes of metadata a failure on the status channel may take; 7 KiB by default, which
    /// every gRPC client accepts. A larger AppError is shortened to fit, parameters and detailed
    /// error first.
    #[must_use]
    pub fn max_error_bytes(mut self, bytes: usize) -> Self {
        self.budget = ErrorBudget(bytes);
        self
    }

    /// Records every call.
    #[must_use]
    pub fn record(self, recorder: &Recorder) -> Self {
        self.call_layer(RecordingLayer(recorder.clone()))
    }

    /// Wraps the calls, between framing and implementation: the service sees [`ApiCall`]s and
    /// gives response bytes or a status. The layer added last is the outermost.
    #[must_use]
    pub fn call_layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<BoxCallService> + Send + 'static,
        L::Service:
            Service<ApiCall, Response = Bytes, Error = Status> + Clone + Send + Sync + 'static,
        <L::Service as Service<ApiCall>>::Future: Send + 'static,
    {
        let wrap = move |inner| BoxCloneSyncService::new(layer.layer(inner));
        self.call_layers.push(Box::new(wrap));
        self
    }

    /// Wraps the whole server at the level of HTTP, as tonic's `Server::layer` does: health and
    /// reflection pass through it too. An error of the layer becomes a gRPC status. The layer added
    /// last is the outermost.
    #[must_use]
    pub fn layer<L, ResBody>(mut self, layer: L) -> Self
    where
        L: Layer<BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>> + Send + 'static,
        L::Service:
            Service<Request<Body>, Response = Response<ResBody>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError>,
        ResBody: http_body::Body<Data = Bytes> + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        let wrap = move |inner| {
            let wrapped = layer.layer(inner);
            let wrapped =
                wrapped.map_response(|response: Response<ResBody>| response.map(Body::new));
            BoxCloneSyncService::new(wrapped.map_err(Into::into))
        };
        self.layers.push(Box::new(wrap));
        self
    }

    /// The gRPC service alone, for a server of the caller's: with the token, but who may connect and
    /// what connections may take is that server's affair.
    pub async fn into_service(self) -> GrpcService {
        self.service().await.0
    }

    async fn service(self) -> (GrpcService, Vec<HttpLayer>) {
        let calls = Calls { api: self.api, dialect: self.dialect, budget: self.budget };
        let calls = BoxCallService::new(calls);
        let calls = self.call_layers.into_iter().fold(calls, |inner, wrap| wrap(inner));
        let service = GrpcService {
            calls,
            routes: beside().await,
            max_message_bytes: self.max_message_bytes,
            under_way: UnderWay::new(self.bytes_under_way),
            token: self.token,
        };
        (service, self.layers)
    }

    /// Listens and serves. When it returns, the server accepts connections.
    ///
    /// # Errors
    /// [`ListenError`] when the address is not to be had, or who calls could not be told.
    pub async fn start(self) -> Result<ApiServer, ListenError> {
        let (listener, target) = Listener::bind(&self.listen).await?;
        let guard = Guard::new(self.callers, &self.listen)?;
        let rules = Arc::new(Rules { guard, limits: self.limits.within_reason() });
        let (service, layers) = self.service().await;
        let service = if layers.is_empty() {
            HttpService::Plain(service)
        } else {
            let inner = BoxCloneSyncService::new(service.map_err(Into::into));
            HttpService::Layered(layers.into_iter().fold(inner, |inner, wrap| wrap(inner)))
        };
        let tasks = Tasks::default();
        let address = listener.tcp_address();
        tasks.spawn(accept(listener, service, rules, tasks.clone()));
        Ok(ApiServer { target, address, tasks })
    }
}

/// gRPC health (`""` and the service's name are SERVING) and reflection, v1 and v1alpha.
async fn beside() -> Routes {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<GrpcService>().await;
    reflection().clone().add_service(health)
}

/// Building reflection parses the whole descriptor set: once is enough.
fn reflection() -> &'static Routes {
    static REFLECTION: OnceLock<Routes> = OnceLock::new();
    REFLECTION.get_or_init(|| {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name(GrpcService::NAME)
                .with_service_name("grpc.health.v1.Health")
        };
        let mut routes = Routes::default();
        // The descriptor sets are this build's own; were one broken, the server would do without.
        match builder().build_v1() {
            Ok(service) => routes = routes.add_service(service),
            Err(error) => tracing::error!(%error, "no gRPC reflection v1"),
        }
        match builder().build_v1alpha() {
            Ok(service) => routes = routes.add_service(service),
            Err(error) => tracing::error!(%error, "no gRPC reflection v1alpha"),
        }
        routes.prepare()
    })
}
