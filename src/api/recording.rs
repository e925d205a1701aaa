//! Keeps what every call asked and got.

use std::fmt;
use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use plugin_proto::Method;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::call::ApiCall;
use crate::sync::{Arc, Mutex, MutexGuard, watch, watched};

/// One finished call. `Debug` shows sizes, not messages, which may be secret.
#[derive(Clone)]
pub struct RecordedCall {
    /// The RPC.
    pub method: &'static Method,
    /// The request message as it arrived.
    pub request: Bytes,
    /// What was answered.
    pub outcome: Outcome,
    /// From the request's arrival to the answer.
    pub duration: Duration,
}

impl fmt::Debug for RecordedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedCall")
            .field("method", &self.method.name)
            .field("request_bytes", &self.request.len())
            .field("outcome", &self.outcome)
            .field("duration", &self.duration)
            .finish()
    }
}

/// What a call was answered.
#[derive(Clone)]
pub enum Outcome {
    /// A response message (which may carry an AppError in its field `error`), as encoded.
    Response(Bytes),
    /// A gRPC status other than OK.
    Status(Code, String),
    /// Nothing: the caller cancelled, went away, or its deadline passed.
    Cancelled,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(bytes) => write!(f, "Response({} bytes)", bytes.len()),
            Self::Status(code, message) => write!(f, "Status({code:?}, {message:?})"),
            Self::Cancelled => f.write_str("Cancelled"),
        }
    }
}

/// Where a [`RecordingLayer`] writes and a test reads. Clones share their calls.
///
/// ```
/// # use std::sync::Arc;
/// use plugin_conformance::api::{ApiServer, Recorder};
/// # struct Tiny;
/// # impl plugin_conformance::api::PluginApi for Tiny {}
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let recorder = Recorder::default();
/// let server = ApiServer::builder(Arc::new(Tiny)).record(&recorder).start().await?;
/// // … a plugin calls …
/// assert!(recorder.calls().is_empty());
/// # server.stop(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Recorder {
    calls: Arc<Mutex<Vec<RecordedCall>>>,
    count: Arc<watch::Sender<usize>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { calls: Arc::default(), count: Arc::new(watched(0)) }
    }
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Vec<RecordedCall>> {
        // A panic elsewhere leaves the list whole: every change is one push.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls so far, in the order in which they ended.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.lock().clone()
    }

    /// The calls of one RPC so far.
    pub fn calls_of(&self, rpc: &str) -> Vec<RecordedCall> {
        let calls = self.lock();
        calls.iter().filter(|call| call.method.name == rpc).cloned().collect()
    }

    /// Waits until at least `count` calls have ended.
    pub async fn reached(&self, count: usize) {
        let mut counts = self.count.subscribe();
        // An error means that the sender is gone, and `self` holds it.
        let _ = counts.wait_for(|&now| now >= count).await;
    }

    fn push(&self, call: RecordedCall) {
        let mut calls = self.lock();
        calls.push(call);
        self.count.send_replace(calls.len());
    }
}

/// The layer that writes to a [`Recorder`].
#[derive(Debug, Clone)]
pub struct RecordingLayer(pub Recorder);

impl<S> Layer<S> for RecordingLayer {
    type Service = RecordingService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordingService { inner, recorder: self.0.clone() }
    }
}

/// A call service that writes every call to a [`Recorder`].
#[derive(Debug, Clone)]
pub struct RecordingService<S> {
    inner: S,
    recorder: Recorder,
}

impl<S> Service<ApiCall> for RecordingService<S>
where
    S: Service<ApiCall, Response = Bytes, Error = Status>,
    S::Future: Send + 'static,
{
    type Response = Bytes;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Bytes, Status>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: ApiCall) -> Self::Future {
        let mut pending = Pending {
            recorder: self.recorder.clone(),
            call: Some((call.method, call.request.clone())),
            start: Instant::now(),
        };
        let inner = self.inner.call(call);
        async move {
            let answer = inner.await;
            pending.end(match &answer {
                Ok(response) => Outcome::Response(response.clone()),
                Err(status) => Outcome::Status(status.code(), status.message().to_owned()),
            });
            answer
        }
        .boxed()
    }
}

/// A call under way; dropped before its end, it was cancelled.
struct Pending {
    recorder: Recorder,
    call: Option<(&'static Method, Bytes)>,
    start: Instant,
}

impl Pending {
    fn end(&mut self, outcome: Outcome) {
        if let Some((method, request)) = self.call.take() {
            let duration = self.start.elapsed();
            self.recorder.push(RecordedCall { method, request, outcome, duration });
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}
