//! `PluginHTTP`: checks, rewrites, asks, collects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use plugin_proto::v1;

use super::super::api_caller::ApiCaller;
use super::{AskHttp, HttpReply};
use crate::api::AppError;
use crate::supervisor::Supervisor;

/// The largest reply, in bytes: 64 MiB. It travels as one message.
const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;
/// From the request to the reply's last byte. The Python SDK ends a handler after 30 s.
const DEADLINE: Duration = Duration::from_secs(60);

/// Tells the asked plugin who asks.
const PLUGIN_ID: &str = "Mattermost-Plugin-Id";
/// Tells which user asks. No user stands behind a plugin's request.
const USER_ID: &str = "Mattermost-User-Id";

/// Answers `PluginHTTP`. What a web server would answer with a page (no such plugin, it does not
/// run, it gave no reply) is a reply with that status.
pub(in super::super) async fn plugin_http(
    caller: ApiCaller,
    request: v1::PluginHttpRequest,
) -> Result<v1::PluginHttpResponse, AppError> {
    let http = Arc::clone(&caller.environment.settings.http);
    let Some(url) = PluginUrl::parse(&request.url) else {
        let text = "Not enough URL. Form of URL should be /<pluginid>/*";
        return Ok(page(StatusCode::BAD_REQUEST, text));
    };
    let found =
        caller.environment.plugins.find(&url.plugin_id).ok().and_then(|entry| entry.running());
    let plugin = found.filter(|plugin| plugin.hooks().implements("ServeHTTP"));
    let Some(plugin) = plugin else {
        return Ok(page(StatusCode::NOT_FOUND, "404 page not found"));
    };
    let (init, body) = rewritten(request, url, caller.plugin.id());
    // Nothing of the environment is held while the plugin is waited for.
    drop(caller.environment);
    match tokio::time::timeout(DEADLINE, exchange(http, plugin, init, body)).await {
        Ok(reply) => reply,
        Err(_) => Ok(page(StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout")),
    }
}

async fn exchange(
    http: Arc<dyn AskHttp>,
    plugin: Arc<Supervisor>,
    init: v1::ServeHttpRequestInit,
    body: Bytes,
) -> Result<v1::PluginHttpResponse, AppError> {
    let HttpReply { status, headers, mut body } = match http.ask_http(plugin, init, body).await {
        Ok(reply) => reply,
        Err(error) => return Ok(page(error.status, &error.reason)),
    };
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Ok(page(StatusCode::BAD_GATEWAY, "The plugin broke off its reply."));
        };
        let Ok(piece) = frame.into_data() else { continue };
        if whole.len() + piece.len() > MAX_REPLY_BYTES {
            let text = format!("The reply has more than {MAX_REPLY_BYTES} bytes.");
            return Err(failed("too_large", 413, &text));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(v1::PluginHttpResponse {
        status_code: i32::from(status.as_u16()),
        headers: joined(&headers),
        body: whole.freeze(),
        error: None,
    })
}

/// `/{plugin_id}/path?query`, taken apart; a scheme and host in front do not count.
struct PluginUrl {
    plugin_id: String,
    /// `/path?query`.
    rest: String,
}

impl PluginUrl {
    fn parse(url: &str) -> Option<Self> {
        let url: http::Uri = url.parse().ok()?;
        let path = url.path_and_query().map(PathAndQuery::as_str)?;
        let (plugin_id, rest) = path.strip_prefix('/')?.split_once('/')?;
        // `/id?x=/y` has no path after the id.
        if plugin_id.is_empty() || plugin_id.contains('?') {
            return None;
        }
        Some(Self { plugin_id: plugin_id.to_owned(), rest: format!("/{rest}") })
    }
}

/// The request as the asked plugin gets it: it cannot be told lies about who asks.
fn rewritten(
    request: v1::PluginHttpRequest,
    url: PluginUrl,
    caller: &str,
) -> (v1::ServeHttpRequestInit, Bytes) {
    let kept = |name: &str| ![PLUGIN_ID, USER_ID].iter().any(|it| it.eq_ignore_ascii_case(name));
    let own = [(PLUGIN_ID.to_owned(), caller.to_owned())];
    let headers = request.headers.into_iter().filter(|(name, _)| kept(name)).chain(own);
    let headers = headers.map(|(key, value)| v1::HttpHeader { key, values: vec![value] }).collect();
    let method = if request.method.is_empty() { "GET".to_owned() } else { request.method };
    let init = v1::ServeHttpRequestInit {
        plugin_context: Some(v1::PluginContext::default()),
        method,
        url: url.rest,
        proto: "HTTP/1.1".to_owned(),
        proto_major: 1,
        proto_minor: 1,
        headers,
        request_uri: request.url,
        content_length: i64::try_from(request.body.len()).unwrap_or(-1),
        ..Default::default()
    };
    (init, request.body)
}

/// One text a name: several values are joined by a comma. Bytes that are no text are replaced.
fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let entry: &mut Option<String> = joined.entry(name.as_str().to_owned()).or_default();
        match entry {
            Some(text) => {
                text.push_str(", ");
                text.push_str(&value);
            }
            None => *entry = Some(value.into_owned()),
        }
    }
    joined.into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect()
}

/// A reply of the environment's own.
fn page(status: StatusCode, text: &str) -> v1::PluginHttpResponse {
    let kind = ("content-type".to_owned(), "text/plain; charset=utf-8".to_owned());
    v1::PluginHttpResponse {
        status_code: i32::from(status.as_u16()),
        headers: BTreeMap::from([kind]),
        body: text.to_owned().into(),
        error: None,
    }
}

fn failed(what: &str, status: i32, message: &str) -> AppError {
    AppError::new(format!("plugin_api.plugin_http.{what}.app_error"), status)
        .message(message)
        .at("PluginHTTP")
}
