//! Where a plugin serves its hooks.

use std::fmt;
use std::path::PathBuf;

/// Where a plugin listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandshakeAddress {
    /// A TCP port.
    Tcp {
        /// An IPv4 address, an IPv6 address without brackets (a zone may follow), or a name that
        /// is not looked up yet.
        host: String,
        /// 1..=65535.
        port: u16,
    },
    /// A Unix domain socket; the path is not empty.
    Unix(PathBuf),
}

impl fmt::Display for HandshakeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp|[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp|{host}:{port}"),
            Self::Unix(path) => write!(f, "unix|{}", path.display()),
        }
    }
}
