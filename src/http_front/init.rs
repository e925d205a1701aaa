//! From an HTTP request's head to `ServeHTTPRequestInit`.

use std::net::SocketAddr;

use http::header::{ACCEPT_LANGUAGE, HOST, HeaderMap, HeaderName, USER_AGENT};
use http::request::Parts;
use http::{Uri, Version};
use plugin_proto::v1;

use super::caller::{identify, query_without_token};
use super::request_id::request_id;
use super::route::Route;
use super::sessions::Sessions;
use crate::hooks::{http_headers, remove_hop_by_hop};

/// The head as the plugin may see it. `length` is the body's, where it is known.
pub(super) fn init(
    parts: Parts,
    route: &Route<'_>,
    length: Option<u64>,
    client: SocketAddr,
    sessions: &dyn Sessions,
) -> v1::ServeHttpRequestInit {
    let Parts { method, uri, version, mut headers, .. } = parts;
    let host = text(&headers, &HOST);
    // First: a client may name any field in `Connection`, but not what is set from here on.
    remove_hop_by_hop(&mut headers);
    let session = identify(&method, &uri, &mut headers, sessions);
    let (proto, proto_major, proto_minor) = match version {
        Version::HTTP_2 => ("HTTP/2.0", 2, 0),
        Version::HTTP_10 => ("HTTP/1.0", 1, 0),
        _ => ("HTTP/1.1", 1, 1),
    };
    let context = v1::PluginContext {
        session_id: session.unwrap_or_default(),
        request_id: request_id(),
        ip_address: client.ip().to_canonical().to_string(),
        accept_language: text(&headers, &ACCEPT_LANGUAGE),
        user_agent: text(&headers, &USER_AGENT),
    };
    v1::ServeHttpRequestInit {
        plugin_context: Some(context),
        method: method.as_str().to_owned(),
        url: with_query(route.path, &uri),
        proto: proto.to_owned(),
        proto_major,
        proto_minor,
        headers: http_headers(&headers),
        // A target in absolute form, and every HTTP/2 request, has the host in the URI.
        host: uri.authority().map_or(host, |authority| authority.as_str().to_owned()),
        remote_addr: client.to_string(),
        // Upstream leaves access_token in here, where no plugin needs it and every log finds it.
        request_uri: with_query(uri.path(), &uri),
        content_length: length.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1),
    }
}

fn with_query(path: &str, uri: &Uri) -> String {
    match uri.query().and_then(query_without_token) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    value.unwrap_or_default().into_owned()
}
