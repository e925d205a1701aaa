//! Where the API server listens.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

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
    #[error("the API server cannot listen on {address}: {source}; choose another address, or port 0 for a free port")]
    Tcp {
        /// The address asked for.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The folder or the socket cannot be made.
    #[error("the API server cannot listen on a Unix socket in {}: {source}; set TMPDIR to a writable folder with a short path (a socket's path has at most 107 bytes)", folder.display())]
    Unix {
        /// The folder for the socket.
        folder: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// A bound listener.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Removed with its socket when the listener is dropped.
        _folder: TempDir,
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
                Self::bind_unix(&parent).map_err(|source| ListenError::Unix { folder: parent, source })
            }
        }
    }

    fn bind_unix(parent: &Path) -> io::Result<(Self, String)> {
        let parent = std::path::absolute(parent)?;
        let folder = tempfile::Builder::new()
            .prefix("mm-plugin-api-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let path = folder.path().join("api.sock");
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

    pub(super) async fn accept(&self) -> io::Result<Box<dyn PeerStream>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix { listener, .. } => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}
