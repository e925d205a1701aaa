//! Keeps from the gRPC client what it cannot bear.

use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tower::Service;

use super::limits::Gathering;

/// Where a status has its details, in base64.
const DETAILS: &str = "grpc-status-details-bin";

/// A channel whose answers have sound details, or none, and whole messages. tonic panics over details
/// that are not base64 (grpc/grpc-rust#2618) and reserves what a message announces; it is the plugin
/// that writes both.
#[derive(Debug, Clone)]
pub(super) struct Sound<S>(pub(super) S, pub(super) Gathering);

impl<S> Service<Request<Body>> for Sound<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        let gathering = self.1.clone();
        async move {
            let mut answer = answer.await?;
            make_sound(answer.headers_mut());
            Ok(answer.map(|body| Body::new(gathering.of(body.map_frame(sound_frame)))))
        }
        .boxed()
    }
}

fn sound_frame<D>(frame: Frame<D>) -> Frame<D> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            make_sound(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

/// Removes details that are not base64.
fn make_sound(headers: &mut HeaderMap) {
    let Some(details) = headers.get(DETAILS) else { return };
    let only = HeaderMap::from_iter([(http::HeaderName::from_static(DETAILS), details.clone())]);
    let only = MetadataMap::from_headers(only);
    if only.get_bin(DETAILS).is_some_and(|details| details.to_bytes().is_err()) {
        tracing::warn!("a plugin's gRPC status has details that are not base64; they are left out");
        headers.remove(DETAILS);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;
    use http_body_util::StreamBody;
    use tonic::Code;
    use tonic::codegen::http::uri::PathAndQuery;

    use super::*;
    use plugin_proto::RawCodec;

    /// What the client makes of a status with these details, in the headers or in the trailers.
    async fn status(details: &'static str, in_headers: bool) -> tonic::Status {
        let plugin = tower::service_fn(move |_: Request<Body>| async move {
            let mut map = HeaderMap::new();
            map.insert("grpc-status", HeaderValue::from_static("5"));
            map.insert("grpc-message", HeaderValue::from_static("gone"));
            map.insert(DETAILS, HeaderValue::from_static(details));
            let mut answer = Response::new(Body::default());
            if in_headers {
                answer.headers_mut().extend(map);
            } else {
                let trailers = Frame::<Bytes>::trailers(map);
                let frames = futures::stream::iter([Ok::<_, tonic::Status>(trailers)]);
                *answer.body_mut() = Body::new(StreamBody::new(frames));
            }
            Ok::<_, std::convert::Infallible>(answer)
        });
        let mut client = tonic::client::Grpc::new(Sound(plugin, Gathering::small()));
        client.ready().await.unwrap();
        let path = PathAndQuery::from_static("/a/b");
        let request = tonic::Request::new(Bytes::new());
        client.unary(request, path, RawCodec).await.unwrap_err()
    }

    #[tokio::test]
    async fn details_that_are_not_base64_are_left_out() {
        for in_headers in [true, false] {
            for details in ["!!", "a", "=", "AAA%"] {
                let status = status(details, in_headers).await;
                assert_eq!((status.code(), status.message()), (Code::NotFound, "gone"));
                assert_eq!(status.details(), b"", "{details}");
            }
        }
    }

    #[tokio::test]
    async fn sound_details_pass() {
        for details in ["aGVsbG8", "aGVsbG8="] {
            for in_headers in [true, false] {
                let status = status(details, in_headers).await;
                assert_eq!(status.details(), b"hello");
            }
        }
    }
}
