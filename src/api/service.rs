//! gRPC in front of the call service: paths, framing, limits, deadlines; health and reflection
//! beside it.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use plugin_proto::RawCodec;
use plugin_proto::{Method, Service as ProtoService};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;

use super::call::{ApiCall, BoxCallService};
use super::channel::shortened;
use super::framing::{Gathered, UnderWay};
use super::token::{ApiToken, TOKEN_VARIABLE};

/// The gRPC service `mattermost.pluginapi.v1.PluginAPI`; requests for other services go to its
/// routes (health, reflection).
///
/// It is an ordinary tower service, so it can be added to a `tonic::transport::Server` as well;
/// [`ApiServer`](super::ApiServer) is what can be stopped for certain.
#[derive(Clone)]
pub struct GrpcService {
    pub(super) calls: BoxCallService,
    pub(super) routes: Routes,
    pub(super) max_message_bytes: usize,
    pub(super) under_way: Arc<UnderWay>,
    /// What a caller has to know.
    pub(super) token: Option<ApiToken>,
}

impl NamedService for GrpcService {
    const NAME: &'static str = ProtoService::PluginAPI.full_name();
}

impl Service<Request<Body>> for GrpcService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.answer(request)
    }
}

/// How much of what a peer sent is said back to it in a status message, in bytes.
const ECHO_BYTES: usize = 128;

fn is_ours(path: &str) -> bool {
    let service = path.strip_prefix('/').and_then(|path| path.split('/').next());
    service == Some(ProtoService::PluginAPI.full_name())
}

impl GrpcService {
    /// [`Service::call`], without need of a clone for each request.
    pub(super) fn answer(
        &self,
        mut request: Request<Body>,
    ) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        if let Some(token) = &self.token {
            if !token.is_known_to(request.headers()) {
                let status = Status::unauthenticated(format!(
                    "a call of this API needs the metadata `authorization: Bearer <token>`; a plugin finds the token in {TOKEN_VARIABLE}"
                ));
                return futures::future::ready(Ok(status.into_http())).boxed();
            }
            // It has done its work: no layer gets to see it.
            request.headers_mut().remove(AUTHORIZATION);
        }
        let method = Method::by_path(request.uri().path());
        match method.filter(|method| method.service == ProtoService::PluginAPI) {
            Some(method) => self.unary(method, request).map(Ok).boxed(),
            None if is_ours(request.uri().path()) => {
                let mut name =
                    request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
                shortened(&mut name, ECHO_BYTES);
                let status = Status::unimplemented(format!("method {name} not implemented"));
                futures::future::ready(Ok(status.into_http())).boxed()
            }
            None => {
                let answer = self.routes.clone().call(request);
                async move { answer.await.map(|response| response.map(Body::new)) }.boxed()
            }
        }
    }

    fn unary(
        &self,
        method: &'static Method,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        let mut grpc = Grpc::new(RawCodec)
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes);
        let calls = self.calls.clone();
        let max_bytes = self.max_message_bytes;
        let share = self.under_way.share();
        async move {
            if !is_grpc(request.headers()) {
                let mut refusal = Response::new(Body::empty());
                *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                return refusal;
            }
            let deadline = match deadline(request.headers()) {
                Ok(deadline) => deadline,
                Err(status) => return status.into_http(),
            };
            let reached = AtomicBool::new(false);
            // `share` lasts as long as the call.
            let request =
                request.map(|body| Body::new(Gathered::new(body, max_bytes, Arc::clone(&share))));
            let unary = Unary { calls: Some(calls), method, max_bytes, reached: &reached };
            let call = grpc.unary(unary, request);
            let response = match deadline {
                Some(after) => match tokio::time::timeout(after, call).await {
                    Ok(response) => response,
                    Err(_) => Status::deadline_exceeded(format!(
                        "{}: the deadline of {after:?} passed in the server",
                        method.name
                    ))
                    .into_http(),
                },
                None => call.await,
            };
            if reached.load(Ordering::Relaxed) { response } else { limit_as_exhausted(response) }
        }
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let rest = kind.and_then(|kind| kind.strip_prefix("application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// The time that the caller grants, from the header `grpc-timeout`: at most eight digits and a unit.
fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let bad = || {
        let mut value = format!("{value:?}");
        shortened(&mut value, ECHO_BYTES);
        Status::internal(format!("malformed grpc-timeout {value}"))
    };
    let text = value.to_str().map_err(|_| bad())?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(bad)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let amount: u64 = digits.parse().map_err(|_| bad())?;
    Ok(Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return Err(bad()),
    }))
}

/// A request over the limit is RESOURCE_EXHAUSTED, as every gRPC implementation but tonic has it:
/// tonic says OUT_OF_RANGE.
fn limit_as_exhausted(mut response: Response<Body>) -> Response<Body> {
    let code = Some(Code::OutOfRange as i32);
    let told = response.headers().get(Status::GRPC_STATUS);
    if told.and_then(|told| told.to_str().ok()?.parse::<i32>().ok()) == code {
        let exhausted = HeaderValue::from(Code::ResourceExhausted as i32);
        response.headers_mut().insert(Status::GRPC_STATUS, exhausted);
    }
    response
}

struct Unary<'a> {
    /// Taken by the one call.
    calls: Option<BoxCallService>,
    method: &'static Method,
    max_bytes: usize,
    /// Whether the request message was read.
    reached: &'a AtomicBool,
}

impl UnaryService<Bytes> for Unary<'_> {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (metadata, _, request) = request.into_parts();
        let call = ApiCall { method: self.method, request, metadata: metadata.into_headers() };
        let calls = self.calls.take();
        let (method, limit) = (self.method, self.max_bytes);
        self.reached.store(true, Ordering::Relaxed);
        async move {
            let mut calls =
                calls.ok_or_else(|| Status::internal("a unary call has one message"))?;
            futures::future::poll_fn(|cx| calls.poll_ready(cx)).await?;
            let response = calls.call(call).await?;
            if response.len() > limit {
                return Err(Status::resource_exhausted(format!(
                    "{}: the response has {} bytes, the limit is {limit}",
                    method.name,
                    response.len()
                )));
            }
            Ok(tonic::Response::new(response))
        }
        .boxed()
    }
}
