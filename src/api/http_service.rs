//! What serves the requests of a connection.

use std::convert::Infallible;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt as _};

use super::service::GrpcService;

/// The service behind the connections.
#[derive(Clone)]
pub(super) enum HttpService {
    /// No layers: nothing to pay for them.
    Plain(GrpcService),
    Layered(BoxGrpcService),
}

impl hyper::service::Service<Request<Incoming>> for HttpService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(Body::new);
        match self {
            Self::Plain(service) => service.answer(request),
            Self::Layered(service) => {
                let answer = service.clone().oneshot(request);
                let failed = |error| Status::from_error(error).into_http();
                answer.map(move |answer| Ok(answer.unwrap_or_else(failed))).boxed()
            }
        }
    }
}

pub(super) type BoxGrpcService = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;
