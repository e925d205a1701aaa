//! Asks a plugin over HTTP: straight through its hooks, or through the HTTP server before it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use plugin_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::hooks::Hooks;
use crate::http_front::{FindHooks, HttpFront};
use crate::supervisor::Supervisor;

/// So long may a request be under way when its front stops.
const DRAIN: Duration = Duration::from_secs(5);
/// The request of a client that keeps no connection.
const CLOSE: &str = "HTTP/1.1\r\nHost: stress\r\nConnection: close\r\n\r\n";

/// By `ServeHTTP` itself; the reply of a cancelled request is dropped unread.
pub(super) async fn plugin(hooks: &Hooks, path: &str, cancelled: bool) -> Result<(), String> {
    let init = v1::ServeHttpRequestInit {
        method: "GET".to_owned(),
        url: path.to_owned(),
        content_length: 0,
        ..Default::default()
    };
    let reply = hooks.serve_http(init, Empty::<Bytes>::new()).await;
    let reply = reply.map_err(|error| error.to_string())?;
    if !cancelled {
        reply.body.collect().await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The one plugin behind a front.
struct Only(String, Hooks);

impl FindHooks for Only {
    fn find(&self, plugin_id: &str) -> Option<Hooks> {
        (plugin_id == self.0).then(|| self.1.clone())
    }
}

/// By a front of its own; the client of a cancelled request hangs up after the first byte.
pub(super) async fn front(plugin: &Supervisor, path: &str, cancelled: bool) -> Result<(), String> {
    let only = Only(plugin.id().to_owned(), plugin.hooks().clone());
    let front = HttpFront::builder(Arc::new(only)).start().await;
    let front = front.map_err(|error| error.to_string())?;
    let asked = client(&front, &format!("/plugins/{}{path}", plugin.id()), cancelled).await;
    let forced = front.stop(DRAIN).await;
    let status = asked.map_err(|error| format!("the front's connection broke: {error}"))?;
    let wanted = if path == "/missing" { "404" } else { "200" };
    if !status.is_empty() && !status.starts_with(&format!("HTTP/1.1 {wanted}")) {
        return Err(format!("the front answered {status:?} instead of {wanted}"));
    }
    if forced > 0 {
        return Err(format!("the front had {forced} tasks left after {DRAIN:?}"));
    }
    Ok(())
}

/// The status line; empty if the client hung up.
async fn client(front: &HttpFront, url: &str, cancelled: bool) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(front.address()).await?;
    stream.write_all(format!("GET {url} {CLOSE}").as_bytes()).await?;
    if cancelled {
        stream.read_exact(&mut [0]).await?;
        return Ok(String::new());
    }
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    let line = reply.split(|byte| *byte == b'\r').next().unwrap_or_default();
    // A server that closes without a word has answered, too: wrongly.
    Ok(String::from_utf8_lossy(if line.is_empty() { b"nothing" } else { line }).into_owned())
}
