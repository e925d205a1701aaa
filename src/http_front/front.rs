//! The server: listens, and stops for certain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::connection;
use super::exchange::ExchangeObserver;
use super::limits::FrontLimits;
use super::sessions::{NoSessions, Sessions};
use super::shared::{FindHooks, Shared};
use crate::api::tasks::Tasks;
use crate::remedy::remedy;

/// How long, by default, a client's upload is read on after the reply to it has ended.
const READ_ON: Duration = Duration::from_secs(5);
/// After the drain's deadline, aborted tasks have this long to be dropped.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "the HTTP server cannot listen on {address}: {source}; {}",
    remedy(source, "choose another address, or port 0 for a free port")
)]
pub struct HttpFrontError {
    /// The address asked for.
    pub address: SocketAddr,
    /// The system's answer.
    pub source: io::Error,
}

/// Serves the plugins' HTTP.
///
/// Dropped, it stops at once.
#[derive(Debug)]
pub struct HttpFront {
    address: SocketAddr,
    tasks: Tasks,
}

impl HttpFront {
    /// Begins to describe a server of these plugins.
    pub fn builder(plugins: Arc<dyn FindHooks>) -> HttpFrontBuilder {
        HttpFrontBuilder {
            plugins,
            sessions: Arc::new(NoSessions),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            first_message_limit: None,
            read_on: READ_ON,
            observer: None,
            limits: FrontLimits::default(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many tasks the server has: the listener, connections, streams, uploads that are read on.
    pub fn tasks(&self) -> usize {
        self.tasks.count()
    }

    /// Stops: no new connection and no new request from now on, replies under way may end within
    /// `drain`, then everything left is dropped, which cancels the plugins' streams. After it no
    /// port, no connection and no task is left. Gives the number of tasks that had to be dropped.
    /// May be called again.
    pub async fn stop(&self, drain: Duration) -> usize {
        self.tasks.close();
        if tokio::time::timeout(drain, self.tasks.ended()).await.is_ok() {
            return 0;
        }
        let forced = self.tasks.count();
        self.tasks.abort();
        if tokio::time::timeout(ABORT_GRACE, self.tasks.ended()).await.is_err() {
            tracing::error!(tasks = self.tasks.count(), "sessions or plugins block their threads");
        }
        forced
    }
}

impl Drop for HttpFront {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

/// What an [`HttpFront`] is to be.
pub struct HttpFrontBuilder {
    plugins: Arc<dyn FindHooks>,
    sessions: Arc<dyn Sessions>,
    listen: SocketAddr,
    first_message_limit: Option<Duration>,
    read_on: Duration,
    observer: Option<ExchangeObserver>,
    limits: FrontLimits,
}

impl HttpFrontBuilder {
    /// Who tokens belong to; by default, nobody has a session.
    #[must_use]
    pub fn sessions(mut self, sessions: Arc<dyn Sessions>) -> Self {
        self.sessions = sessions;
        self
    }

    /// Where to listen; 127.0.0.1:0 by default.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// How long a plugin may take until its first message, the upload of what it wants to read
    /// included; without limit by default.
    #[must_use]
    pub fn first_message_limit(mut self, limit: Duration) -> Self {
        self.first_message_limit = Some(limit);
        self
    }

    /// How long the upload of an HTTP/1 client is read, and thrown away, after the reply to it has
    /// ended; 5 s by default. Without it, a client that sends everything before it reads would find
    /// its connection reset instead of the reply. Then the connection is closed. HTTP/2 tells its
    /// clients to stop.
    #[must_use]
    pub fn read_on(mut self, limit: Duration) -> Self {
        self.read_on = limit;
        self
    }

    /// What clients may take.
    #[must_use]
    pub fn limits(mut self, limits: FrontLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Tells of every request when it is over.
    #[must_use]
    pub fn observe(mut self, observer: ExchangeObserver) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Listens and serves. When it returns, the server accepts connections.
    ///
    /// # Errors
    /// [`HttpFrontError`] when the address is not to be had.
    pub async fn start(self) -> Result<HttpFront, HttpFrontError> {
        let failed = |source| HttpFrontError { address: self.listen, source };
        let listener = TcpListener::bind(self.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tasks = Tasks::default();
        let limits = self.limits.affordable();
        let uploads = limits.uploads.min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            plugins: self.plugins,
            sessions: self.sessions,
            first_message_limit: self.first_message_limit,
            read_on: self.read_on,
            observer: self.observer,
            limits,
            uploads: Arc::new(Semaphore::new(uploads)),
            tasks: tasks.clone(),
        };
        tasks.spawn(connection::accept(listener, Arc::new(shared)));
        Ok(HttpFront { address, tasks })
    }
}
