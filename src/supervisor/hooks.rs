//! Calls to the plugin: server → plugin.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use plugin_proto::prost::Message;
use plugin_proto::{METHODS, Method, v1};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;

use super::handshake::HandshakeAddress;
use super::serve_http::tuned;
use crate::api::AppError;

/// The service name whose health counts.
const HEALTH_SERVICE: &str = "plugin";
/// go-plugin's polite way to ask a plugin to leave.
const SHUTDOWN_PATH: &str = "/plugin.GRPCController/Shutdown";
/// A hook's message may be as large as gRPC allows, as with the upstream supervisor.
const MAX_MESSAGE_BYTES: usize = i32::MAX as usize;
/// How often one health check asks, back to back, before it says that the plugin is unhealthy.
const PINGS: usize = 3;

/// Why a hook gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HookError {
    /// The plugin did not name this hook in `Implemented`: no call was made.
    #[error("the plugin does not implement {hook}")]
    NotImplemented {
        /// The hook.
        hook: &'static str,
    },
    /// The plugin is being stopped or is gone: no call was made, or it was cut off.
    #[error("{hook} was not called: the plugin is stopping")]
    Stopping {
        /// The hook.
        hook: &'static str,
    },
    /// No answer in time.
    #[error("{hook} did not answer within {after:?}")]
    Timeout {
        /// The hook.
        hook: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The call failed.
    #[error("gRPC {hook} call failed: {} ({:?})", status.message(), status.code())]
    Status {
        /// The hook.
        hook: &'static str,
        /// gRPC's answer.
        status: Box<Status>,
    },
    /// The plugin answered with an AppError.
    #[error("{hook} was refused by the plugin: {error}")]
    Refused {
        /// The hook.
        hook: &'static str,
        /// The plugin's error, whole.
        error: Box<AppError>,
    },
}

/// Why a plugin is not healthy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HealthError {
    /// The plugin is being stopped or is gone.
    #[error("the plugin is not running")]
    NotRunning,
    /// No answer in time.
    #[error("the plugin did not answer a health check within {after:?}")]
    Timeout {
        /// The deadline of one ping.
        after: Duration,
    },
    /// The connection or the service failed.
    #[error("plugin RPC connection is not responding: {} ({:?}); a plugin must serve grpc.health.v1.Health for the service \"plugin\"", status.message(), status.code())]
    Status {
        /// gRPC's answer.
        status: Box<Status>,
    },
    /// The plugin answered that it does not serve.
    #[error("the plugin says of itself that it is {status}")]
    NotServing {
        /// `NOT_SERVING`, `UNKNOWN`, …
        status: String,
    },
}

/// A client of a plugin's hooks. Clones share one connection.
///
/// Each hook has a method that takes its request and gives its response. A hook that the plugin did
/// not name in `Implemented` fails with [`HookError::NotImplemented`] and without a call; an error in
/// the response is [`HookError::Refused`]; once the stop has begun, every call fails with
/// [`HookError::Stopping`].
#[derive(Debug, Clone)]
pub struct Hooks {
    pub(super) channel: Channel,
    implemented: BTreeSet<String>,
    pub(super) deadline: Duration,
    pub(super) stopping: CancellationToken,
}

impl Hooks {
    pub(super) fn new(channel: Channel, deadline: Duration, stopping: CancellationToken) -> Self {
        Self { channel, implemented: BTreeSet::new(), deadline, stopping }
    }

    /// Connects to a plugin that somebody else has started, at the address of its handshake line,
    /// and asks it which hooks it implements. For tests and tools: a
    /// [`Supervisor`](super::Supervisor) has the hooks of the plugin that it launched.
    ///
    /// # Errors
    /// [`HookError::Status`], `UNAVAILABLE` when nobody listens there, or why `Implemented` failed.
    pub async fn connect(
        address: &HandshakeAddress,
        deadline: Duration,
    ) -> Result<Self, HookError> {
        let unavailable = |reason: String| HookError::Status {
            hook: "Implemented",
            status: Box::new(Status::unavailable(format!("{address}: {reason}"))),
        };
        let channel = match tokio::time::timeout(deadline, connect(address)).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(unavailable(super::error::chain(&error))),
            Err(_) => return Err(unavailable(format!("no answer within {deadline:?}"))),
        };
        let mut hooks = Self::new(channel, deadline, CancellationToken::new());
        hooks.learn().await?;
        Ok(hooks)
    }

    /// The hooks that the plugin named in `Implemented`, in alphabetical order.
    pub fn implemented_hooks(&self) -> impl Iterator<Item = &str> {
        self.implemented.iter().map(String::as_str)
    }

    /// Whether the plugin named this hook in `Implemented`, which itself is mandatory.
    pub fn implements(&self, hook: &str) -> bool {
        hook == "Implemented" || self.implemented.contains(hook)
    }

    /// Another deadline for the calls of this client; 30 s by default.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same connection for the supervisor's own last call, which is made while nobody else may
    /// call any more.
    pub(super) fn for_the_end(self, deadline: Duration) -> Self {
        Self { deadline, stopping: CancellationToken::new(), ..self }
    }

    /// Asks the plugin which hooks it implements, and remembers them.
    pub(super) async fn learn(&mut self) -> Result<Vec<String>, HookError> {
        let named = self.implemented(v1::ImplementedRequest::default()).await?.hooks;
        for name in &named {
            if !METHODS.iter().any(|method| method.name == name) {
                tracing::warn!(hook = name, "the plugin names a hook that does not exist");
            }
        }
        self.implemented = named.iter().cloned().collect();
        Ok(named)
    }

    /// Calls `method`, whether or not it is implemented.
    async fn call<Q, R>(&self, method: &'static Method, request: Q) -> Result<R, HookError>
    where
        Q: Message + Send + Sync + 'static,
        R: Message + Default + Send + Sync + 'static,
    {
        let hook = method.name;
        if self.stopping.is_cancelled() {
            return Err(HookError::Stopping { hook });
        }
        let mut request = Request::new(request);
        request.set_timeout(self.deadline);
        let call = unary(self.channel.clone(), method.path, request);
        let start = Instant::now();
        match tokio::time::timeout(self.deadline, call).await {
            Err(_) => Err(HookError::Timeout { hook, after: self.deadline }),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) if self.stopping.is_cancelled() => Err(HookError::Stopping { hook }),
            // The channel or the plugin may notice the deadline first, each with a code of its own.
            Ok(Err(status))
                if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)
                    && start.elapsed() >= self.deadline =>
            {
                Err(HookError::Timeout { hook, after: self.deadline })
            }
            Ok(Err(status)) => Err(HookError::Status { hook, status: Box::new(status) }),
        }
    }

    /// One health check: up to three pings, each with the deadline `each`.
    pub(super) async fn check_health(&self, each: Duration) -> Result<(), HealthError> {
        let mut last = HealthError::NotRunning;
        for _ in 0..PINGS {
            match tokio::time::timeout(each, ping(self.channel.clone())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => last = error,
                // A plugin that hangs is not asked three times over.
                Err(_) => return Err(HealthError::Timeout { after: each }),
            }
        }
        Err(last)
    }

    /// Asks the plugin to leave, as go-plugin does. True when it agreed.
    pub(super) async fn ask_to_leave(&self, deadline: Duration) -> bool {
        let call = unary::<(), ()>(self.channel.clone(), SHUTDOWN_PATH, Request::new(()));
        matches!(tokio::time::timeout(deadline, call).await, Ok(Ok(())))
    }
}

/// The error of a response, if it has one.
fn refused(hook: &'static str, error: Option<v1::AppError>) -> Result<(), HookError> {
    match error {
        None => Ok(()),
        Some(error) => Err(HookError::Refused { hook, error: Box::new(error.into()) }),
    }
}

/// The AppError in a response whose kind can have one.
macro_rules! error_in {
    (Embedded $response:ident) => {
        $response.error.clone()
    };
    (Status $response:ident) => {
        None
    };
}

macro_rules! typed_hooks {
    ($({ $index:literal $doc:literal $rpc:ident $method:ident $request:ident $response:ident $channel:ident })*) => {
        impl Hooks {
            $(
                #[doc = $doc]
                ///
                /// # Errors
                /// See [`HookError`].
                pub async fn $method(&self, request: v1::$request) -> Result<v1::$response, HookError> {
                    let method = &METHODS[$index];
                    let hook = method.name;
                    if !self.implements(hook) {
                        return Err(HookError::NotImplemented { hook });
                    }
                    let response: v1::$response = self.call(method, request).await?;
                    refused(hook, error_in!($channel response))?;
                    Ok(response)
                }
            )*
        }
    };
}

plugin_proto::plugin_hooks_rpcs!(typed_hooks);

async fn unary<Q, R>(channel: Channel, path: &'static str, request: Request<Q>) -> Result<R, Status>
where
    Q: Message + Send + Sync + 'static,
    R: Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(path);
    let response = grpc.unary(request, path, ProstCodec::<Q, R>::default()).await?;
    Ok(response.into_inner())
}

async fn ping(channel: Channel) -> Result<(), HealthError> {
    let request = HealthCheckRequest { service: HEALTH_SERVICE.to_owned() };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(|status| HealthError::Status { status: Box::new(status) })?;
    match answer.get_ref().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(HealthError::NotServing { status: other.as_str_name().to_owned() }),
    }
}

/// Connects to the address of the handshake: plaintext, one HTTP/2 connection.
pub(super) async fn connect(
    address: &HandshakeAddress,
) -> Result<Channel, tonic::transport::Error> {
    match address {
        HandshakeAddress::Tcp { host, port } => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let endpoint = Endpoint::from_shared(format!("http://{host}:{port}"))?;
            tuned(endpoint).tcp_nodelay(true).connect().await
        }
        HandshakeAddress::Unix(path) => {
            let path: PathBuf = path.clone();
            let connector = tower::service_fn(move |_: Uri| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            });
            let endpoint = tuned(Endpoint::from_static("http://plugin"));
            endpoint.connect_with_connector(connector).await
        }
    }
}
