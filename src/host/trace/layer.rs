//! Calls in the trace: a layer for both directions.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use plugin_proto::Method;
use plugin_proto::code_name;
use serde_json::json;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::{Category, Trace};
use crate::api::ApiCall;
use crate::hooks::{BoxHookService, HookCall};

/// Writes every call of one plugin to a trace: as a call layer of its API server, or around its
/// hooks ([`around_hooks`](Self::around_hooks)).
#[derive(Debug, Clone)]
pub struct TraceLayer {
    trace: Trace,
    plugin: Arc<str>,
}

impl TraceLayer {
    /// A layer for this plugin.
    pub fn new(trace: &Trace, plugin: &str) -> Self {
        Self { trace: trace.clone(), plugin: plugin.into() }
    }

    /// The same for the plugin's hooks.
    pub fn around_hooks(&self, inner: BoxHookService) -> BoxHookService {
        BoxHookService::new(self.layer(inner))
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { inner, layer: self.clone() }
    }
}

/// The service of a [`TraceLayer`].
#[derive(Debug, Clone)]
pub struct Traced<S> {
    inner: S,
    layer: TraceLayer,
}

macro_rules! traced {
    ($call:ty, $category:expr, $deadline:expr) => {
        impl<S> Service<$call> for Traced<S>
        where
            S: Service<$call, Response = Bytes, Error = Status>,
            S::Future: Send + 'static,
        {
            type Response = Bytes;
            type Error = Status;
            type Future = BoxFuture<'static, Result<Bytes, Status>>;

            fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
                self.inner.poll_ready(cx)
            }

            fn call(&mut self, call: $call) -> Self::Future {
                let open = Open {
                    layer: self.layer.clone(),
                    category: $category,
                    method: call.method,
                    request_bytes: call.request.len(),
                    start: Instant::now(),
                    deadline: ($deadline)(&call),
                    end: None,
                };
                let answer = self.inner.call(call);
                async move { open.ended(answer.await) }.boxed()
            }
        }
    };
}

traced!(ApiCall, Category::Api, |_: &ApiCall| None);
traced!(HookCall, Category::Hook, |call: &HookCall| Some(call.deadline));

/// A call under way; dropped before its end, it was given up.
struct Open {
    layer: TraceLayer,
    category: Category,
    method: &'static Method,
    request_bytes: usize,
    start: Instant,
    /// When the caller gives it up.
    deadline: Option<Duration>,
    end: Option<(Code, usize)>,
}

impl Open {
    fn ended(mut self, answer: Result<Bytes, Status>) -> Result<Bytes, Status> {
        self.end = Some(match &answer {
            Ok(response) => (Code::Ok, response.len()),
            Err(status) => (status.code(), 0),
        });
        answer
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let late = self.deadline.is_some_and(|deadline| self.start.elapsed() >= deadline);
        let given_up = if late { Code::DeadlineExceeded } else { Code::Cancelled };
        let (code, response_bytes) = self.end.unwrap_or((given_up, 0));
        let detail =
            json!({ "request_bytes": self.request_bytes, "response_bytes": response_bytes });
        let TraceLayer { trace, plugin } = &self.layer;
        trace.span(self.category, plugin, self.method.name, code_name(code), self.start, detail);
    }
}
