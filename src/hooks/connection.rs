//! A connection to a plugin's gRPC server.

use std::path::Path;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::util::BoxCloneSyncService;

use super::address::HandshakeAddress;
use super::limits::HookLimits;
use super::sending_tasks::SendingTasks;

/// A whole message with a chunk of [`CHUNK_BYTES`](super::CHUNK_BYTES) in one frame, in bytes: HTTP/2's default of 16 KiB
/// makes five of it.
const FRAME_BYTES: u32 = 128 * 1024;

/// Connects to the address of the handshake: plaintext, one HTTP/2 connection.
pub(crate) async fn connect(
    address: &HandshakeAddress,
    limits: &HookLimits,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = endpoint(address, limits)?;
    match address {
        HandshakeAddress::Tcp { .. } => endpoint.connect().await,
        HandshakeAddress::Unix(path) => endpoint.connect_with_connector(to_socket(path)).await,
    }
}

/// The same with the first call.
pub(super) fn connect_later(
    address: &HandshakeAddress,
    limits: &HookLimits,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = endpoint(address, limits)?;
    Ok(match address {
        HandshakeAddress::Tcp { .. } => endpoint.connect_lazy(),
        HandshakeAddress::Unix(path) => endpoint.connect_with_connector_lazy(to_socket(path)),
    })
}

fn endpoint(
    address: &HandshakeAddress,
    limits: &HookLimits,
) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = match address {
        HandshakeAddress::Tcp { host, port } => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            Endpoint::from_shared(format!("http://{host}:{port}"))?
        }
        HandshakeAddress::Unix(_) => Endpoint::from_static("http://plugin"),
    };
    // Calls can be cancelled while the plugin does not read.
    let endpoint = endpoint.executor(SendingTasks).max_frame_size(FRAME_BYTES);
    Ok(limits.tuned(endpoint).tcp_nodelay(true))
}

type ToSocket = BoxCloneSyncService<Uri, TokioIo<UnixStream>, std::io::Error>;

fn to_socket(path: &Path) -> ToSocket {
    let path = path.to_owned();
    BoxCloneSyncService::new(tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    }))
}
