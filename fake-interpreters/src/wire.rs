//! gRPC without generated code: messages are the bytes they are, RPCs are rows of the catalogue.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use plugin_proto::Method;
pub use plugin_proto::{RawCodec, code_by_name, code_name, code_names};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// The variable that tells a plugin where its PluginAPI server is.
pub const API_TARGET: &str = "MATTERMOST_PLUGIN_API_TARGET";

/// The largest message that [`unary`] sends and takes, as the Python SDK sets it: 100 MiB.
pub const MAX_MESSAGE: usize = 100 << 20;

/// Why a target is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{API_TARGET} is {target:?}: {problem}; expected host:port or unix:///path")]
pub struct TargetError {
    target: String,
    problem: &'static str,
}

/// A gRPC target that has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `host:port`, also written `dns:///host:port`.
    Tcp(String),
    /// The path of `unix:///path` or `unix:path`.
    Unix(String),
}

impl Target {
    /// Understands `host:port`, `dns:///host:port`, `unix:///path` and `unix:path`.
    ///
    /// # Errors
    /// When the text is none of these; the error names the variable [`API_TARGET`].
    ///
    /// ```
    /// use fake_interpreters::wire::Target;
    ///
    /// assert_eq!(Target::parse("dns:///localhost:80"), Target::parse("localhost:80"));
    /// assert_eq!(Target::parse("unix:api.sock"), Ok(Target::Unix("api.sock".into())));
    /// assert!(Target::parse("localhost").unwrap_err().to_string().contains("no port"));
    /// ```
    pub fn parse(target: &str) -> Result<Self, TargetError> {
        let bad = |problem| Err(TargetError { target: target.to_owned(), problem });
        if let Some(rest) = target.strip_prefix("unix:") {
            return match rest.strip_prefix("//").unwrap_or(rest) {
                "" => bad("it has no path"),
                path => Ok(Self::Unix(path.to_owned())),
            };
        }
        let address = match target.strip_prefix("dns:") {
            Some(rest) => rest.rsplit('/').next().unwrap_or(rest),
            None => target,
        };
        let Some((host, port)) = address.rsplit_once(':') else {
            return bad("it has no port");
        };
        if host.is_empty() || host.contains(['/', ' ', '@']) {
            return bad("it has no host");
        }
        if port.parse::<u16>().is_err() {
            return bad("its port is no number up to 65535");
        }
        Ok(Self::Tcp(address.to_owned()))
    }

    /// Whether somebody listens there: one attempt to connect, given up after `limit`.
    pub async fn is_reachable(&self, limit: Duration) -> bool {
        let attempt = async {
            match self {
                Self::Tcp(address) => tokio::net::TcpStream::connect(address).await.map(drop),
                Self::Unix(path) => tokio::net::UnixStream::connect(path).await.map(drop),
            }
        };
        tokio::time::timeout(limit, attempt)
            .await
            .is_ok_and(|result: io::Result<()>| result.is_ok())
    }
}

/// A channel to `target`, which connects at the first call and again when a connection was lost.
/// Must be called inside a tokio runtime.
///
/// # Errors
/// When the target is no address; see [`Target::parse`].
pub fn connect(target: &str) -> Result<Channel, TargetError> {
    endpoint(target).map(|endpoint| endpoint.connect_lazy())
}

/// Where [`connect`] leads, to be configured.
pub(crate) fn endpoint(target: &str) -> Result<Endpoint, TargetError> {
    let uri = match Target::parse(target)? {
        Target::Tcp(address) => format!("http://{address}"),
        Target::Unix(path) => format!("unix:{path}"),
    };
    Endpoint::from_shared(uri)
        .map_err(|_| TargetError { target: target.to_owned(), problem: "it is no address" })
}

/// Calls a unary RPC and gives back the response's bytes.
///
/// # Errors
/// The status of the server, or of the transport (`UNAVAILABLE`), or `DEADLINE_EXCEEDED` when
/// `deadline` is over. The deadline is also sent along, as gRPC does.
pub async fn unary(
    channel: &Channel,
    method: &'static Method,
    request: Bytes,
    deadline: Option<Duration>,
) -> Result<Bytes, Status> {
    let mut request = Request::new(request);
    let Some(deadline) = deadline else {
        return send(channel, method, request).await;
    };
    // The header has eight digits, of hours at most.
    request.set_timeout(deadline.min(Duration::from_secs(99_999_999 * 3600)));
    let start = Instant::now();
    match tokio::time::timeout(deadline, send(channel, method, request)).await {
        // Transport and server watch the deadline, too, but tonic calls its end a cancellation.
        Ok(Err(status)) if status.code() == Code::Cancelled && start.elapsed() >= deadline => {
            Err(expired())
        }
        Ok(result) => result,
        Err(_) => Err(expired()),
    }
}

async fn send(
    channel: &Channel,
    method: &'static Method,
    request: Request<Bytes>,
) -> Result<Bytes, Status> {
    let mut client = client(channel).await?;
    let path = http::uri::PathAndQuery::from_static(method.path);
    client.unary(request, path, RawCodec).await.map(tonic::Response::into_inner)
}

/// A client that is ready to send.
pub(crate) async fn client(channel: &Channel) -> Result<tonic::client::Grpc<Channel>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    Ok(client)
}

fn expired() -> Status {
    Status::deadline_exceeded("Deadline Exceeded")
}
