//! What clients may take of the server.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// Limits of the clients of an [`HttpFront`](super::HttpFront).
///
/// Whatever is asked for, connections never take more than a quarter of the descriptors that this
/// process may have open (`ulimit -n`), and uploads, each of which needs another one on the plugin's
/// side, not more than an eighth: the rest is left for launching and stopping plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontLimits {
    /// Connections at the same time; 4096. One more is closed at once, and a warning says so.
    pub connections: usize,
    /// Requests that one HTTP/2 connection may have open; 250. More wait in the client.
    pub streams: u32,
    /// Requests with a body that are under way at the same time; 512. One more is answered 503.
    pub uploads: usize,
    /// For a request's head, and to say which HTTP it is; 30 s. An HTTP/1 connection may be idle for
    /// as long.
    pub head: Duration,
    /// A client that takes nothing of a reply, or sends nothing of an upload that the plugin waits
    /// for, within this time is given up; 120 s. Its plugin's stream is cancelled.
    pub stall: Duration,
    /// How often an idle HTTP/2 client is pinged, to find half-open connections; 60 s.
    pub ping_interval: Duration,
    /// How long a client has to answer a ping, or is gone; 20 s.
    pub ping_timeout: Duration,
}

impl Default for FrontLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            streams: 250,
            uploads: 512,
            head: Duration::from_secs(30),
            stall: Duration::from_secs(120),
            ping_interval: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(20),
        }
    }
}

impl FrontLimits {
    /// What the limit of descriptors allows of them.
    pub(super) fn affordable(self) -> Self {
        let files = getrlimit(Resource::Nofile).current;
        let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
        self.within(files)
    }

    fn within(self, files: usize) -> Self {
        Self {
            connections: self.connections.min((files / 4).max(1)),
            uploads: self.uploads.min((files / 8).max(1)),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_left_for_plugins() {
        let usual = FrontLimits::default().within(1024);
        assert_eq!((usual.connections, usual.uploads), (256, 128));
        let poor = FrontLimits::default().within(64);
        assert_eq!((poor.connections, poor.uploads), (16, 8));
        assert_eq!(FrontLimits::default().within(1 << 20), FrontLimits::default());
        assert_eq!(FrontLimits::default().within(2).connections, 1);
    }
}
