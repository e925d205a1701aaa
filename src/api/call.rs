//! One call, between the gRPC framing and the implementation.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::HeaderMap;
use plugin_proto::Method;
use tonic::Status;
use tower::Service;
use tower::util::BoxCloneSyncService;

use super::PluginApi;
use super::channel::{Dialect, ErrorBudget, shortened};
use super::plugin_api::{Failure, handler};

/// One unary call of the plugin. `Debug` shows sizes and names only, since what a plugin sends may
/// be secret.
#[derive(Clone)]
pub struct ApiCall {
    /// The RPC.
    pub method: &'static Method,
    /// The request message as it arrived, with whatever fields the peer knows and we do not.
    pub request: Bytes,
    /// The call's metadata.
    pub metadata: HeaderMap,
}

impl fmt::Debug for ApiCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metadata: Vec<_> = self.metadata.keys().map(http::HeaderName::as_str).collect();
        f.debug_struct("ApiCall")
            .field("method", &self.method.name)
            .field("request_bytes", &self.request.len())
            .field("metadata", &metadata)
            .finish()
    }
}

/// A tower service between framing and implementation, after all layers.
pub type BoxCallService = BoxCloneSyncService<ApiCall, Bytes, Status>;

/// The innermost service: handler, panic guard, error channel.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) api: Arc<dyn PluginApi>,
    pub(super) dialect: Dialect,
    pub(super) budget: ErrorBudget,
}

impl Service<ApiCall> for Calls {
    type Response = Bytes;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Bytes, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ApiCall) -> Self::Future {
        let Self { api, dialect, budget } = self.clone();
        async move {
            let method = call.method;
            let Some(handler) = handler(method) else {
                return Err(Status::unimplemented(format!(
                    "method {} not implemented",
                    method.name
                )));
            };
            // The implementation may panic before its first await, so the call is inside as well.
            let guarded = AssertUnwindSafe(async move { handler(api, call.request).await });
            match guarded.catch_unwind().await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(Failure::App(error))) => dialect.fail(method, *error, budget),
                Ok(Err(Failure::Malformed(error))) => Err(Status::internal(format!(
                    "{}: the request is no {}: {error}",
                    method.name, method.request
                ))),
                Err(panic) => Err(panicked(method, panic.as_ref())),
            }
        }
        .boxed()
    }
}

/// How much of a panic's text the plugin gets to see, in bytes: metadata must not grow beyond what
/// clients accept.
const PANIC_TEXT_BYTES: usize = 1024;

fn panicked(method: &Method, panic: &(dyn Any + Send)) -> Status {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(rpc = method.name, panic = text, "the API implementation panicked");
    let mut text = text.to_owned();
    shortened(&mut text, PANIC_TEXT_BYTES);
    Status::internal(format!("plugin_api.panic: {} panicked in the server: {text}", method.name))
}
