//! A hook as bytes, between the typed methods and the wire: where layers see it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use plugin_proto::Method;
use plugin_proto::RawCodec;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tower::Service;
use tower::util::BoxCloneSyncService;

use super::limits::{Gathering, Room};
use super::sound::Sound;

/// A hook's request may be as large as gRPC allows, as with the upstream supervisor.
const MAX_REQUEST_BYTES: usize = i32::MAX as usize;

/// The longest that `grpc-timeout` can say: eight digits, of hours.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(99_999_999 * 3600);

/// One call of a unary hook. Its `Debug` shows no payload: that may hold passwords and messages.
#[derive(Clone)]
pub struct HookCall {
    /// The hook.
    pub method: &'static Method,
    /// The request message, encoded.
    pub request: Bytes,
    /// What the plugin is told of the deadline.
    pub deadline: Duration,
}

impl fmt::Debug for HookCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookCall")
            .field("hook", &self.method.name)
            .field("request_bytes", &self.request.len())
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// A tower service between the typed hooks and the wire: [`HookCall`]s in, response bytes or a
/// status out.
pub type BoxHookService = BoxCloneSyncService<HookCall, Bytes, Status>;

/// Wraps a plugin's hooks; once a launch.
pub type HookLayer = Arc<dyn Fn(BoxHookService) -> BoxHookService + Send + Sync>;

/// The innermost service: the wire.
#[derive(Clone)]
pub(super) struct Wire(pub(super) Channel, pub(super) Room);

impl Service<HookCall> for Wire {
    type Response = Bytes;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Bytes, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: HookCall) -> Self::Future {
        let mut request = Request::new(call.request);
        request.set_timeout(call.deadline.min(LONGEST_TIMEOUT));
        unary(self.0.clone(), call.method.path, request, self.1.answer()).boxed()
    }
}

/// One unary call on `channel`, of bytes.
pub(super) async fn unary(
    channel: Channel,
    path: &'static str,
    request: Request<Bytes>,
    gathering: Gathering,
) -> Result<Bytes, Status> {
    let mut grpc = Grpc::new(Sound(channel, gathering.clone()))
        .max_decoding_message_size(gathering.limit)
        .max_encoding_message_size(MAX_REQUEST_BYTES);
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path = PathAndQuery::from_static(path);
    Ok(grpc.unary(request, path, RawCodec).await?.into_inner())
}
