//! What the connections of one server may take.

use std::time::Duration;

/// Limits of the connections of an [`ApiServer`](super::ApiServer). The defaults are generous for a
/// plugin, which needs one connection, and hold for peers of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at the same time; 4096. One more is closed at once, and a warning says so.
    pub connections: usize,
    /// Calls that one connection may have open; 1024. More wait in the client.
    pub streams: u32,
    /// From the accepted connection to its HTTP/2 preface, which a client sends first; 10 s.
    pub preface: Duration,
    /// How often an idle peer is pinged, to find half-open connections; 60 s.
    pub ping_interval: Duration,
    /// How long a peer has to answer a ping, or is gone; 20 s.
    pub ping_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            streams: 1024,
            preface: Duration::from_secs(10),
            ping_interval: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(20),
        }
    }
}

impl ConnectionLimits {
    /// Times that are as good as none, such as [`Duration::MAX`], as times that can be added to a
    /// moment: hyper adds them without looking.
    pub(super) fn within_reason(self) -> Self {
        const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
        Self {
            ping_interval: self.ping_interval.min(FAR),
            ping_timeout: self.ping_timeout.min(FAR),
            ..self
        }
    }
}

/// The largest message that is accepted or sent, in bytes: 100 MiB, what the Python SDK allows
/// itself on its API channel.
pub const MAX_MESSAGE_BYTES: usize = 100 * 1024 * 1024;

/// What all messages that are under way in one direction of one plugin may have together by default,
/// in bytes: 512 MiB, five of the largest.
pub const MAX_BYTES_UNDER_WAY: usize = 512 * 1024 * 1024;
