//! Where the API server listens.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::owners::OwnersError;
use super::peer::Peer;
use super::socket_folder::SocketFolder;
use super::token::TokenError;
use crate::remedy::remedy;

/// The environment variable in which a plugin finds the API server: `host:port`, or
/// `unix:///absolute/path`.
pub const TARGET_VARIABLE: &str = "MATTERMOST_PLUGIN_API_TARGET";

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// On this TCP address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// On a Unix socket in a new folder that only this user may enter (mode 0700). The folder goes
    /// when the server stops.
    PrivateUnix,
}

impl Default for Listen {
    /// 127.0.0.1, a port of the system's choice.
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

/// Why the API server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, not ours, or not allowed.
    #[error(
        "the API server cannot listen on {address}: {source}; {}",
        remedy(source, "choose another address, or port 0 for a free port")
    )]
    Tcp {
        /// The address asked for.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The folder or the socket cannot be made.
    #[error(
        "the API server cannot listen on a Unix socket in {}: {source}; {}",
        folder.display(),
        remedy(source, "set TMPDIR to a writable folder with a short path (a socket's path has at most 107 bytes)")
    )]
    Unix {
        /// The folder for the socket.
        folder: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Who calls cannot be told, though this system has a way to.
    #[error(
        "the API server cannot tell who calls it: {source}; {}",
        remedy(
            source.cause(),
            "let the server's user read /proc/net/tcp, listen on a Unix socket, or let everybody in \
             with ApiServerBuilder::callers(Callers::Anyone)"
        )
    )]
    Callers {
        /// What is in the way.
        #[from]
        source: OwnersError,
    },
    /// The token that the launch asks for cannot be made.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// A bound listener.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Removed with its socket when the listener is dropped.
        _folder: SocketFolder,
    },
}

/// A stream to one peer.
pub(super) trait PeerStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> PeerStream for T {}

impl Listener {
    /// Binds, and says what belongs in [`TARGET_VARIABLE`](super::TARGET_VARIABLE).
    pub(super) async fn bind(listen: &Listen) -> Result<(Self, String), ListenError> {
        match listen {
            Listen::Tcp(address) => {
                let failed = |source| ListenError::Tcp { address: *address, source };
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let target = listener.local_addr().map_err(failed)?.to_string();
                Ok((Self::Tcp(listener), target))
            }
            Listen::PrivateUnix => {
                let parent = std::env::temp_dir();
                Self::bind_unix(&parent)
                    .map_err(|source| ListenError::Unix { folder: parent, source })
            }
        }
    }

    fn bind_unix(parent: &Path) -> io::Result<(Self, String)> {
        let parent = std::path::absolute(parent)?;
        let folder = SocketFolder::make(&parent)?;
        let path = folder.socket();
        let listener = UnixListener::bind(&path)?;
        let target = format!("unix://{}", path.display());
        Ok((Self::Unix { listener, _folder: folder }, target))
    }

    /// The address, when it is TCP.
    pub(super) fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix { .. } => None,
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Box<dyn PeerStream>, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, theirs) = accept_tcp(listener).await?;
                let peer = Peer::Tcp { theirs, ours: stream.local_addr() };
                Ok((Box::new(stream), peer))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let peer = Peer::Unix(stream.peer_cred().map(|peer| peer.uid()));
                Ok((Box::new(stream), peer))
            }
        }
    }
}

/// A call's answer is several small writes: none of them waits for the peer's acknowledgement.
async fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    // It fails when the peer is gone already; serving it will say so.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection to the API server has no TCP_NODELAY");
    }
    Ok((stream, peer))
}

/// Stops listening, at once and for certain.
///
/// Closing alone does not do: a process that is being forked just now, by another launch, holds a
/// copy of the socket until it has become its program.
impl Drop for Listener {
    fn drop(&mut self) {
        // Systems other than Linux refuse to shut a listening socket down; there it is closed only.
        let _ = match self {
            Self::Tcp(listener) => rustix::net::shutdown(&*listener, Shutdown::Both),
            Self::Unix { listener, .. } => rustix::net::shutdown(&*listener, Shutdown::Both),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_connections_do_not_delay_small_writes() {
        let (listener, target) = Listener::bind(&Listen::default()).await.unwrap();
        let Listener::Tcp(listener) = &listener else { panic!("TCP is the default") };
        let (peer, accepted) = tokio::join!(TcpStream::connect(target), accept_tcp(listener));
        assert!(accepted.unwrap().0.nodelay().unwrap());
        drop(peer.unwrap());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_hold_a_socket_is_named_with_the_remedy() {
        let parent = Path::new("/nonexistent/folder");
        let failed = Listener::bind_unix(parent).err().unwrap();
        let error = ListenError::Unix { folder: parent.to_owned(), source: failed };
        let text = error.to_string();
        assert!(text.contains("/nonexistent/folder") && text.contains("set TMPDIR"), "{text}");
    }
}
