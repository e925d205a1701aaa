//! The client: a typed method for each hook.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use plugin_proto::prost::Message;
use plugin_proto::{METHODS, Method, v1};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tower::ServiceExt as _;

use super::address::HandshakeAddress;
use super::call::{self, BoxHookService, HookCall, HookLayer};
use super::connection::{connect, connect_later};
use super::error::HookError;
use super::limits::{Gathering, HookLimits, Room};
use super::meaning::Meaning;
use super::outcome::{Cause, HookOutcome};
use crate::error_chain::chain;

/// go-plugin's polite way to ask a plugin to leave.
const SHUTDOWN_PATH: &str = "/plugin.GRPCController/Shutdown";
/// A client of a plugin's hooks. Clones share one connection.
///
/// Each unary hook has a method that takes its request and gives a [`HookOutcome`]: a decision to go
/// on with, and where it comes from. A hook that the plugin did not name in `Implemented` is not
/// called. Calls run concurrently, each with a deadline; a call whose future is dropped, or whose
/// token ([`until`](Self::until)) is cancelled, is cancelled in the plugin too. Once the stop has
/// begun no call is made, and those under way are answered or fail, at the latest when the process
/// is gone. `ServeHTTP`, the stream, is [`serve_http`](Self::serve_http).
#[derive(Clone)]
pub struct Hooks {
    pub(super) channel: Channel,
    /// For requests over HTTP that have no body.
    http: Channel,
    address: Arc<HandshakeAddress>,
    limits: HookLimits,
    pub(super) room: Room,
    calls: BoxHookService,
    plugin_id: Arc<str>,
    implemented: Arc<BTreeSet<String>>,
    pub(crate) deadline: Duration,
    /// Cancelled when the stop begins: no new call.
    pub(crate) stopping: CancellationToken,
    /// Cancelled when the process is gone: no answer is to be expected.
    pub(crate) gone: CancellationToken,
    /// Cancelled when the process has ended by itself.
    crashed: CancellationToken,
    /// Cancelled when the caller no longer wants to know.
    caller: CancellationToken,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks")
            .field("plugin_id", &self.plugin_id)
            .field("implemented", &self.implemented)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What hooks need besides a connection.
#[derive(Clone)]
pub(crate) struct HooksConfig {
    pub(crate) plugin_id: String,
    pub(crate) deadline: Duration,
    pub(crate) stopping: CancellationToken,
    pub(crate) gone: CancellationToken,
    pub(crate) crashed: CancellationToken,
    pub(crate) layers: Vec<HookLayer>,
    pub(crate) limits: HookLimits,
}

impl Hooks {
    /// Hooks over `channel`, which is connected to `address`.
    pub(crate) fn new(channel: Channel, address: HandshakeAddress, config: HooksConfig) -> Self {
        let room = Room::new(&config.limits);
        let wire = BoxHookService::new(call::Wire(channel.clone(), room.clone()));
        let calls = config.layers.iter().fold(wire, |inner, layer| layer(inner));
        Self {
            // It cannot fail, since the same address has been connected to.
            http: connect_later(&address, &config.limits).unwrap_or_else(|_| channel.clone()),
            channel,
            address: Arc::new(address),
            limits: config.limits,
            room,
            calls,
            plugin_id: config.plugin_id.into(),
            implemented: Arc::default(),
            deadline: config.deadline,
            stopping: config.stopping,
            gone: config.gone,
            crashed: config.crashed,
            caller: CancellationToken::new(),
        }
    }

    /// Connects to a plugin that somebody else has started, at the address of its handshake line,
    /// and asks it which hooks it implements. For tests and tools: a
    /// [`Supervisor`](crate::supervisor::Supervisor) has the hooks of the plugin that it launched.
    ///
    /// # Errors
    /// [`HookError::Disconnected`] when nobody listens there, or why `Implemented` failed.
    pub async fn connect(
        address: &HandshakeAddress,
        deadline: Duration,
    ) -> Result<Self, HookError> {
        Self::connect_with(address, deadline, HookLimits::default()).await
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(
        address: &HandshakeAddress,
        deadline: Duration,
        limits: HookLimits,
    ) -> Result<Self, HookError> {
        let unavailable = |reason: String| HookError::Disconnected {
            hook: "Implemented",
            reason: format!("{address}: {reason}"),
        };
        let channel = match tokio::time::timeout(deadline, connect(address, &limits)).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(unavailable(chain(&error))),
            Err(_) => return Err(unavailable(format!("no answer within {deadline:?}"))),
        };
        let mut hooks = Self::new(
            channel,
            address.clone(),
            HooksConfig {
                plugin_id: address.to_string(),
                deadline,
                stopping: CancellationToken::new(),
                gone: CancellationToken::new(),
                crashed: CancellationToken::new(),
                layers: Vec::new(),
                limits,
            },
        );
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

    /// The plugin's id.
    pub fn plugin_id(&self) -> &str {
        &self.plugin_id
    }

    /// Another deadline for the calls of this client; 30 s by default. ServeHTTP has none.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Wraps the calls of this client, as
    /// [`SupervisorBuilder::hook_layer`](crate::supervisor::SupervisorBuilder::hook_layer) does for all.
    #[must_use]
    pub fn layered(mut self, layer: impl Fn(BoxHookService) -> BoxHookService) -> Self {
        self.calls = layer(self.calls);
        self
    }

    /// Cancels the calls of this client, in the plugin too, when `caller` is cancelled.
    #[must_use]
    pub fn until(mut self, caller: CancellationToken) -> Self {
        self.caller = caller;
        self
    }

    /// The same connection for the supervisor's own last call, which is made while nobody else may
    /// call any more.
    pub(crate) fn for_the_end(self, deadline: Duration) -> Self {
        Self { deadline, stopping: CancellationToken::new(), ..self }
    }

    /// A connection for a request over HTTP. One with a body has its own: a plugin that does not read
    /// it fills the connection's window, and would hold up every other call on it.
    pub(crate) fn http_channel(&self, has_body: bool) -> Result<Channel, tonic::transport::Error> {
        if has_body { connect_later(&self.address, &self.limits) } else { Ok(self.http.clone()) }
    }

    /// Asks the plugin which hooks it implements, and remembers them.
    pub(crate) async fn learn(&mut self) -> Result<Vec<String>, HookError> {
        let named = self.implemented(v1::ImplementedRequest::default()).await.decision?;
        let unknown =
            || named.iter().filter(|name| !METHODS.iter().any(|method| method.name == **name));
        // One warning, and a short one, whatever the plugin says.
        let count = unknown().count();
        if count > 0 {
            let some: Vec<String> =
                unknown().take(5).map(|name| name.chars().take(64).collect()).collect();
            tracing::warn!(
                plugin_id = &*self.plugin_id,
                count,
                hooks = ?some,
                "the plugin names hooks that do not exist"
            );
        }
        self.implemented = Arc::new(named.iter().cloned().collect());
        Ok(named)
    }

    /// Asks the plugin, if it implements the hook, and says what its answer means.
    async fn ask<Q, R>(&self, method: &'static Method, request: Q) -> HookOutcome<R::Decision>
    where
        Q: Message,
        R: Meaning,
    {
        let hook = method.name;
        if !self.implements(hook) {
            return HookOutcome { decision: R::unasked(), cause: Cause::NotImplemented };
        }
        let answer = self.call(method, request.encode_to_vec().into()).await;
        let answer = answer.and_then(|answer| {
            R::decode(answer)
                .map_err(|error| HookError::Malformed { hook, reason: error.to_string() })
        });
        match answer {
            Ok(answer) => HookOutcome { decision: answer.answered(hook), cause: Cause::Answered },
            Err(error) => {
                tracing::error!(plugin_id = &*self.plugin_id, hook, %error, "the hook failed");
                HookOutcome { decision: R::failed(&error), cause: Cause::Failed(error) }
            }
        }
    }

    /// Calls `method`, whether or not it is implemented.
    async fn call(&self, method: &'static Method, request: Bytes) -> Result<Bytes, HookError> {
        let hook = method.name;
        if self.stopping.is_cancelled() {
            return Err(HookError::Stopping { hook });
        }
        if self.caller.is_cancelled() {
            return Err(HookError::Cancelled { hook });
        }
        let call = HookCall { method, request, deadline: self.deadline };
        let start = Instant::now();
        let answer = tokio::select! {
            // An answer that is there counts, whatever else has happened meanwhile.
            biased;
            answer = self.calls.clone().oneshot(call) => answer,
            () = self.gone.cancelled() => return Err(self.cut(hook)),
            () = self.caller.cancelled() => return Err(HookError::Cancelled { hook }),
            () = tokio::time::sleep(self.deadline) => {
                return Err(HookError::Timeout { hook, after: self.deadline });
            }
        };
        answer.map_err(|status| {
            if self.stopping.is_cancelled() {
                return self.cut(hook);
            }
            // The channel or the plugin may notice the deadline first, each with a code of its own.
            let late = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
            if late && start.elapsed() >= self.deadline {
                return HookError::Timeout { hook, after: self.deadline };
            }
            // A status with a cause was made on this side of the wire.
            match std::error::Error::source(&status) {
                Some(cause) => HookError::Disconnected { hook, reason: chain(cause) },
                None => HookError::Status { hook, status: Box::new(status) },
            }
        })
    }

    /// Why a call was cut off by the end of the plugin.
    fn cut(&self, hook: &'static str) -> HookError {
        if self.crashed.is_cancelled() {
            return HookError::Disconnected { hook, reason: "the process has ended".to_owned() };
        }
        HookError::Stopping { hook }
    }

    /// Asks the plugin to leave, as go-plugin does. True when it agreed.
    pub(crate) async fn ask_to_leave(&self, deadline: Duration) -> bool {
        let request = Request::new(Bytes::new());
        let call = call::unary(self.channel.clone(), SHUTDOWN_PATH, request, Gathering::small());
        matches!(tokio::time::timeout(deadline, call).await, Ok(Ok(_)))
    }
}

macro_rules! typed_hooks {
    ($({ $index:literal $doc:literal $rpc:ident $method:ident $request:ident $response:ident $channel:ident })*) => {
        impl Hooks {
            $(
                #[doc = $doc]
                pub async fn $method(
                    &self,
                    request: v1::$request,
                ) -> HookOutcome<<v1::$response as Meaning>::Decision> {
                    self.ask::<_, v1::$response>(&METHODS[$index], request).await
                }
            )*
        }
    };
}

plugin_proto::plugin_hooks_rpcs!(typed_hooks);
