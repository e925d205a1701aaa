//! The other end of a connection to the API server.

use std::io;
use std::net::SocketAddr;

/// The other end of an accepted connection.
#[derive(Debug)]
pub(super) enum Peer {
    Tcp {
        theirs: SocketAddr,
        ours: io::Result<SocketAddr>,
    },
    /// The user that connected.
    Unix(io::Result<u32>),
}
