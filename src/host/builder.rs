//! What a host is to be.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Answers, Host, HostError, Trace};
use crate::api::DEFAULT_VERSION;
use crate::environment::KeeperOptions;
use crate::supervisor::{LogSink, Timeouts, tracing_sink};

/// Describes a [`Host`].
#[derive(Clone)]
pub struct HostBuilder {
    pub(super) bundles: Vec<PathBuf>,
    pub(super) answers: Answers,
    pub(super) server_version: String,
    pub(super) unix: bool,
    pub(super) sessions: BTreeMap<String, String>,
    pub(super) listen: SocketAddr,
    pub(super) log: LogSink,
    pub(super) trace: Trace,
    pub(super) timeouts: Timeouts,
    pub(super) keeper: KeeperOptions,
}

impl HostBuilder {
    pub(super) fn new(bundles: Vec<PathBuf>) -> Self {
        Self {
            bundles,
            answers: Answers::default(),
            server_version: DEFAULT_VERSION.to_owned(),
            unix: false,
            sessions: BTreeMap::new(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            log: tracing_sink(),
            trace: Trace::default(),
            timeouts: Timeouts::default(),
            keeper: KeeperOptions::default(),
        }
    }

    /// What answers the plugins' API calls; generated answers by default. The KV store is a real
    /// one, unless a mock answers an RPC of it.
    #[must_use]
    pub fn answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    /// What `GetServerVersion` answers, and what `min_server_version` is compared with.
    #[must_use]
    pub fn server_version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.server_version);
        self
    }

    /// Serves the API on Unix sockets instead of TCP.
    #[must_use]
    pub fn unix_sockets(mut self, yes: bool) -> Self {
        self.unix = yes;
        self
    }

    /// The sessions over HTTP: whose requests those with this token are. Without any, every request
    /// is nobody's.
    #[must_use]
    pub fn sessions(mut self, sessions: impl IntoIterator<Item = (String, String)>) -> Self {
        self.sessions.extend(sessions);
        self
    }

    /// Where HTTP is served; a free port on 127.0.0.1 by default.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Where the plugins' output goes; to `tracing` by default.
    #[must_use]
    pub fn log(mut self, sink: LogSink) -> Self {
        self.log = sink;
        self
    }

    /// Writes what happens to this trace.
    #[must_use]
    pub fn trace(mut self, trace: &Trace) -> Self {
        self.trace = trace.clone();
        self
    }

    /// Other time limits for every plugin.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How plugins are watched, and when they are started again.
    #[must_use]
    pub fn keeper(mut self, options: KeeperOptions) -> Self {
        self.keeper = options;
        self
    }

    /// Serves HTTP and launches the plugins, all at the same time. A plugin that cannot be launched
    /// is no error here: [`Host::launched`] tells.
    ///
    /// # Errors
    /// [`HostError`]: a bundle is none, two have one id, or the address is not to be had. Nothing is
    /// left then.
    pub async fn start(self) -> Result<Host, HostError> {
        Host::start(self).await
    }

    pub(super) fn bundle_paths<'a>(bundles: impl IntoIterator<Item = &'a Path>) -> Vec<PathBuf> {
        // A folder that is not there is reported by whoever reads its manifest.
        let path = |dir: &Path| dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        bundles.into_iter().map(path).collect()
    }
}
