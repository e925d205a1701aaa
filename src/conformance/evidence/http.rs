//! Requests over HTTP that a story makes of a plugin, and what came of them.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use fake_interpreters::sample;
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use plugin_proto::v1;

use crate::hooks::Hooks;

/// No request of a story takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// A body comes in pieces of this length, in bytes.
const PIECE: usize = 50_000;

/// A request over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The method.
    pub method: &'static str,
    /// The path as the plugin sees it.
    pub path: &'static str,
    /// The length of the body in bytes; its content is [`sample::letters`].
    pub body_bytes: usize,
}

/// A GET without a body.
pub(in super::super) const fn get(path: &'static str) -> Ask {
    Ask { method: "GET", path, body_bytes: 0 }
}

/// A POST with a body.
pub(in super::super) const fn post(path: &'static str, body_bytes: usize) -> Ask {
    Ask { method: "POST", path, body_bytes }
}

/// What the client of the server would see of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSeen {
    /// What was asked.
    pub ask: Ask,
    /// The status, the server's own included.
    pub status: u16,
    /// Whether the status is the plugin's.
    pub replied: bool,
    /// The plugin's headers: names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// As much of the body as came.
    pub body: Bytes,
    /// Whether the body came to a good end. One that did not is cut visibly.
    pub whole: bool,
}

impl Ask {
    /// Asks the plugin.
    pub(in super::super) async fn of(self, hooks: &Hooks) -> HttpSeen {
        let mut seen = HttpSeen {
            ask: self,
            status: 504,
            replied: false,
            headers: Vec::new(),
            body: Bytes::new(),
            whole: false,
        };
        // What has come when the patience ends is kept.
        let _ = tokio::time::timeout(PATIENCE, self.exchange(hooks, &mut seen)).await;
        seen
    }

    async fn exchange(self, hooks: &Hooks, seen: &mut HttpSeen) {
        let letters = sample::letters(0, self.body_bytes);
        let pieces: Vec<_> = letters.chunks(PIECE).map(Bytes::copy_from_slice).collect();
        let pieces = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
        let body = StreamBody::new(stream::iter(pieces));
        let mut reply = match hooks.serve_http(self.init(), body).await {
            Ok(reply) => reply,
            Err(error) => {
                seen.status = error.http_status().as_u16();
                return;
            }
        };
        seen.status = reply.status.as_u16();
        seen.replied = true;
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        seen.headers =
            reply.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let mut body = Vec::new();
        seen.whole = loop {
            match reply.body.part().await {
                Some(Ok(part)) => body.extend_from_slice(&part.chunk),
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        seen.body = body.into();
    }

    fn init(self) -> v1::ServeHttpRequestInit {
        let header = |key: &str, values: &[&str]| v1::HttpHeader {
            key: key.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        };
        v1::ServeHttpRequestInit {
            plugin_context: Some(v1::PluginContext {
                request_id: "request".to_owned(),
                ..Default::default()
            }),
            method: self.method.to_owned(),
            url: self.path.to_owned(),
            proto: "HTTP/1.1".to_owned(),
            proto_major: 1,
            proto_minor: 1,
            headers: vec![header("X-Test-Header", &["one", "two"]), header("Cookie", &["a=b"])],
            host: "localhost".to_owned(),
            remote_addr: "127.0.0.1:40000".to_owned(),
            request_uri: format!("/plugins/sample{}", self.path),
            content_length: i64::try_from(self.body_bytes).unwrap_or(-1),
        }
    }
}
