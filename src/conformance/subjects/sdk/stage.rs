//! The API server that a driver talks to: it answers as the present case says, and keeps what came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use plugin_proto::Method;
use tonic::Status;
use tower::{Layer, Service};

use super::case::{Case, Reply};
use super::relay::{Relay, Scissors};
use crate::api::{ApiCall, ApiServer, ListenError, PluginApi};

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The RPC that was called.
    pub method: &'static Method,
    /// The request as it came.
    pub request: Bytes,
}

/// Why there is no server for a driver.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The API server does not start.
    #[error("cannot serve the API for the driver: {0}")]
    Listen(#[from] ListenError),
    /// No port for the relay.
    #[error("cannot serve the API for the driver: no port of 127.0.0.1: {0}")]
    Relay(#[from] std::io::Error),
}

/// A server, and a relay before it.
pub(super) struct Stage {
    /// Stops when it is dropped.
    _server: ApiServer,
    relay: Relay,
    present: Arc<Mutex<Present>>,
}

/// The case at hand.
#[derive(Default)]
struct Present {
    case: Option<(&'static Method, Reply)>,
    arrived: Vec<Arrival>,
}

impl Stage {
    pub(super) async fn start() -> Result<Self, StageError> {
        let present = Arc::<Mutex<Present>>::default();
        let cutting = Arc::<Mutex<Option<Scissors>>>::default();
        let layer = Answers { present: Arc::clone(&present), scissors: Arc::clone(&cutting) };
        let server = ApiServer::builder(Arc::new(Nothing)).call_layer(layer).start().await?;
        let address =
            server.tcp_address().ok_or_else(|| std::io::Error::other("no TCP address"))?;
        let relay = Relay::start(address).await?;
        *lock(&cutting) = Some(relay.scissors());
        Ok(Self { _server: server, relay, present })
    }

    /// What belongs in the driver's environment.
    pub(super) fn target(&self) -> String {
        self.relay.address().to_string()
    }

    /// From now on this case is at hand. What has arrived since the last one belongs to neither.
    pub(super) fn begin(&self, case: &Case) {
        let mut present = lock(&self.present);
        present.case = Some((case.method, case.reply()));
        present.arrived.clear();
    }

    /// The case is over: what arrived.
    pub(super) fn finish(&self) -> Vec<Arrival> {
        let mut present = lock(&self.present);
        present.case = None;
        std::mem::take(&mut present.arrived)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The layer answers before this is asked.
struct Nothing;

impl PluginApi for Nothing {}

#[derive(Clone)]
struct Answers {
    present: Arc<Mutex<Present>>,
    scissors: Arc<Mutex<Option<Scissors>>>,
}

impl<S> Layer<S> for Answers {
    type Service = Self;

    fn layer(&self, _: S) -> Self {
        self.clone()
    }
}

impl Service<ApiCall> for Answers {
    type Response = Bytes;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Bytes, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ApiCall) -> Self::Future {
        let reply = {
            let mut present = lock(&self.present);
            present.arrived.push(Arrival { method: call.method, request: call.request });
            match &present.case {
                Some((method, reply)) if *method == call.method => reply.clone(),
                _ => Reply::Fail(Box::new(Status::failed_precondition(format!(
                    "nobody asked for {}",
                    call.method.name
                )))),
            }
        };
        let scissors = Arc::clone(&self.scissors);
        async move {
            match reply {
                Reply::Bytes(bytes) => Ok(bytes),
                Reply::Fail(status) => Err(*status),
                Reply::Drop => {
                    if let Some(scissors) = lock(&scissors).as_ref() {
                        scissors.cut();
                    }
                    // The connection is gone, and with it this call.
                    std::future::pending().await
                }
            }
        }
        .boxed()
    }
}
