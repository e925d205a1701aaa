//! One request.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::{AnswerBody, ReadOn, STALLED, UploadBody, UploadPlace};
use super::exchange::Watched;
use super::init::init;
use super::route::Route;
use super::shared::Shared;
use crate::hooks::{ServeHttpError, ServeHttpReply};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Why the server answers by itself.
type Refusal = (StatusCode, String);

pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    client: SocketAddr,
) -> Response<AnswerBody> {
    let version = request.version();
    let has_upload = !request.body().is_end_stream();
    let (parts, incoming) = request.into_parts();
    let observer = shared.observer.clone();
    let closing = shared.tasks.closing.clone();
    let mut watched = Watched::new(observer, closing, parts.method.as_str(), parts.uri.path());
    let (upload, rest) = UploadBody::new(incoming, shared.limits.stall);
    // HTTP/2 resets the stream with NO_ERROR, which tells the client to stop.
    let read_on = (has_upload && version < Version::HTTP_2).then(|| ReadOn {
        rest,
        limit: shared.read_on,
        tasks: shared.tasks.clone(),
    });
    let answer = match reply(&shared, &mut watched, parts, upload, client).await {
        Ok((reply, place)) => {
            let mut body = AnswerBody::reply(reply.body);
            body.keep(place);
            let mut answer = Response::new(body);
            *answer.status_mut() = reply.status;
            *answer.headers_mut() = reply.headers;
            answer
        }
        Err((status, reason)) => {
            let mut answer = Response::new(AnswerBody::text(format!("{reason}\n")));
            *answer.status_mut() = status;
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, TEXT);
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            answer
        }
    };
    watched.status(answer.status());
    let limit = shared.limits.stall;
    answer.map(|body| body.then(read_on, watched).watch(limit, &shared.tasks))
}

async fn reply(
    shared: &Shared,
    watched: &mut Watched,
    parts: http::request::Parts,
    mut upload: UploadBody,
    client: SocketAddr,
) -> Result<(ServeHttpReply, Option<UploadPlace>), Refusal> {
    if parts.method == Method::CONNECT || is_upgrade(&parts.headers) {
        let reason = "a plugin cannot take over a connection: WebSocket, other upgrades and CONNECT are not supported";
        return Err((StatusCode::NOT_IMPLEMENTED, reason.to_owned()));
    }
    let path = parts.uri.path().to_owned();
    let not_found = |reason: &str| (StatusCode::NOT_FOUND, reason.to_owned());
    let route = Route::of(&path).ok_or_else(|| not_found("404 page not found"))?;
    watched.plugin(&route.plugin_id);
    let hooks = shared.plugins.find(&route.plugin_id);
    let hooks = hooks.ok_or_else(|| not_found("there is no such active plugin"))?;
    let mut place = None;
    if !upload.is_end_stream() {
        let Ok(free) = Arc::clone(&shared.uploads).try_acquire_owned() else {
            let most = shared.limits.uploads;
            tracing::warn!(
                most,
                "as many uploads are under way as may be; one more is refused (FrontLimits::uploads)"
            );
            let reason = "too many uploads are under way; try again later".to_owned();
            return Err((StatusCode::SERVICE_UNAVAILABLE, reason));
        };
        let free = Arc::new(free);
        upload.keep(Arc::clone(&free));
        place = Some(free);
    }
    let init = init(parts, &route, upload.size_hint().exact(), client, &*shared.sessions);

    let asked = async {
        let mut reply = hooks.serve_http(init, upload).await?;
        // hyper does not read a body that must not be there; the plugin may come to its end.
        let waits = reply.body.is_forbidden() && !reply.status.is_informational();
        while waits && let Some(part) = reply.body.part().await {
            part?;
        }
        Ok(reply)
    };
    let asked = match shared.first_message_limit {
        None => asked.await,
        Some(limit) => tokio::time::timeout(limit, asked).await.map_err(|_| {
            tracing::warn!(plugin = route.plugin_id, "a plugin did not reply within {limit:?}");
            (StatusCode::GATEWAY_TIMEOUT, format!("the plugin did not reply within {limit:?}"))
        })?,
    };
    let reply = asked.map_err(|error: ServeHttpError| {
        if error.blames_plugin() {
            tracing::warn!(plugin = route.plugin_id, %error, "a plugin gave no reply");
        } else {
            tracing::debug!(plugin = route.plugin_id, %error, "a plugin was not asked to the end");
        }
        let status = match &error {
            ServeHttpError::Upload { reason } if reason.starts_with(STALLED) => {
                StatusCode::REQUEST_TIMEOUT
            }
            error => error.http_status(),
        };
        // What went wrong inside is for the log.
        (status, status.canonical_reason().unwrap_or_default().to_owned())
    })?;
    if reply.status.is_informational() {
        tracing::warn!(plugin = route.plugin_id, status = %reply.status, "a plugin's reply cannot end with an informational status");
        let reason = format!("the plugin replied {}, which cannot be final", reply.status.as_u16());
        return Err((StatusCode::BAD_GATEWAY, reason));
    }
    Ok((reply, place))
}

/// Whether the client wants another protocol on this connection. `h2c` may be ignored, as HTTP allows:
/// some clients offer it with every request.
fn is_upgrade(headers: &HeaderMap) -> bool {
    let has = |name: HeaderName, token: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    has(CONNECTION, "upgrade") && headers.contains_key(UPGRADE) && !has(UPGRADE, "h2c")
}
