//! Who may connect to the API server.

use std::io;
use std::sync::Arc;

use super::listener::Listen;
use super::owners::{Owner, Owners, OwnersError, Pair};
use super::peer::Peer;

/// Who may connect to an [`ApiServer`](super::ApiServer).
///
/// A loopback port is open to every user of the machine, and the API can do whatever the server
/// can; so a peer is looked at before a byte of it is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Callers {
    /// Processes of our own effective user; others are cut off, root among them. The peer is known
    /// by the credentials of its Unix socket, or by the owner of its TCP socket (/proc/net/tcp).
    ///
    /// It cannot be known, and everybody is let in, when the server listens on an address other
    /// than the loopback's, and over TCP on systems that have no table of sockets at all (macOS):
    /// there a [token](super::ApiServerBuilder::token) or a Unix socket protects. Where there is one
    /// and it cannot be read, the server does not start.
    #[default]
    SameUser,
    /// Everybody who reaches the address. For a plugin that changes its user.
    Anyone,
}

/// Why a peer is cut off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "it belongs to user {theirs}, the server to user {ours}; run the plugin as the same user, or let others in with ApiServerBuilder::callers(Callers::Anyone)"
    )]
    OtherUser { theirs: u32, ours: u32 },
    #[error("it has gone already")]
    Gone,
    #[error(
        "no socket of this machine is the other end of it, so its user is not known; connect without a proxy, or let others in with ApiServerBuilder::callers(Callers::Anyone)"
    )]
    NoSocket,
    #[error("its user is not known: {0}")]
    Unknown(#[from] io::Error),
}

/// Looks at peers.
pub(super) enum Guard {
    Anyone,
    Unix { ours: u32 },
    Tcp { ours: u32, owners: Arc<Owners> },
}

impl Guard {
    /// # Errors
    /// When who calls could be known on this system, but not by us, or not now.
    pub(super) fn new(callers: Callers, listen: &Listen) -> Result<Self, OwnersError> {
        let ours = rustix::process::geteuid().as_raw();
        Ok(match (callers, listen) {
            (Callers::Anyone, _) => Self::Anyone,
            (Callers::SameUser, Listen::PrivateUnix) => Self::Unix { ours },
            (Callers::SameUser, Listen::Tcp(address)) => {
                if !address.ip().to_canonical().is_loopback() {
                    tracing::debug!(%address, "who calls the API server cannot be known there");
                    return Ok(Self::Anyone);
                }
                match Owners::open()? {
                    Some(owners) => Self::Tcp { ours, owners: Arc::new(owners) },
                    None => {
                        if cfg!(target_os = "linux") {
                            tracing::warn!(
                                "this system has no table of sockets (/proc/net/tcp): any of its \
                                 users may call the API"
                            );
                        }
                        Self::Anyone
                    }
                }
            }
        })
    }

    /// Whether the peer may stay.
    pub(super) async fn admit(&self, peer: Peer) -> Result<(), Refusal> {
        let (theirs, ours) = match (self, peer) {
            (Self::Unix { ours }, Peer::Unix(theirs)) => (theirs?, *ours),
            (Self::Tcp { ours, owners }, Peer::Tcp { theirs, ours: our_end }) => {
                match owners.owner(Pair::new(theirs, our_end?)).await? {
                    Some(Owner::User(theirs)) => (theirs, *ours),
                    Some(Owner::Nobody) => return Err(Refusal::Gone),
                    None => return Err(Refusal::NoSocket),
                }
            }
            _ => return Ok(()),
        };
        match theirs == ours {
            true => Ok(()),
            false => Err(Refusal::OtherUser { theirs, ours }),
        }
    }
}
