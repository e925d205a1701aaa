//! A connection to a plugin's gRPC server.

use std::path::Path;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::util::BoxCloneSyncService;

use super::address::HandshakeAddress;
use super::sending_tasks::SendingTasks;

/// What a reply may have under way while its client does not read, in bytes.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// What all replies of a plugin may have under way, in bytes. While it is used up by clients that do
/// not read, every other hook waits; so it is large.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;
/// A whole message with a chunk of [`CHUNK_BYTES`](super::CHUNK_BYTES) in one frame, in bytes: HTTP/2's default of 16 KiB
/// makes five of it.
const FRAME_BYTES: u32 = 128 * 1024;

/// Connects to the address of the handshake: plaintext, one HTTP/2 connection.
pub(crate) async fn connect(
    address: &HandshakeAddress,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = endpoint(address)?;
    match address {
        HandshakeAddress::Tcp { .. } => endpoint.connect().await,
        HandshakeAddress::Unix(path) => endpoint.connect_with_connector(to_socket(path)).await,
    }
}

/// The same with the first call.
pub(super) fn connect_later(
    address: &HandshakeAddress,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = endpoint(address)?;
    Ok(match address {
        HandshakeAddress::Tcp { .. } => endpoint.connect_lazy(),
        HandshakeAddress::Unix(path) => endpoint.connect_with_connector_lazy(to_socket(path)),
    })
}

fn endpoint(address: &HandshakeAddress) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = match address {
        HandshakeAddress::Tcp { host, port } => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            Endpoint::from_shared(format!("http://{host}:{port}"))?
        }
        HandshakeAddress::Unix(_) => Endpoint::from_static("http://plugin"),
    };
    Ok(tuned(endpoint).tcp_nodelay(true))
}

type ToSocket = BoxCloneSyncService<Uri, TokioIo<UnixStream>, std::io::Error>;

fn to_socket(path: &Path) -> ToSocket {
    let path = path.to_owned();
    BoxCloneSyncService::new(tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    }))
}

/// A plugin's connection as streams need it: calls can be cancelled while the plugin does not read,
/// and slow readers do not hold up the other hooks.
fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .executor(SendingTasks)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES)
}
