//! What became of a request, for whoever watches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// A request over HTTP that is over.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The plugin that was named, in lower case, whether or not there is one; empty if none was.
    pub plugin_id: String,
    /// The method.
    pub method: String,
    /// The path, without the query: that may hold tokens.
    pub path: String,
    /// When it began.
    pub start: Instant,
    /// How long it took, the reply's body included.
    pub duration: Duration,
    /// The reply's status; `None` if the client left before there was one.
    pub status: Option<u16>,
    /// How much of the reply's body was handed to the client's connection, in bytes.
    pub reply_bytes: u64,
    /// How it ended.
    pub end: ExchangeEnd,
}

/// How a request over HTTP ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// With a whole reply.
    Whole,
    /// The reply was cut: the plugin failed after its headers.
    Cut(String),
    /// The client left.
    ClientLeft,
    /// The server stopped, and did not wait any longer.
    Stopped,
}

/// Hears of every request when it is over. Must not block.
pub type ExchangeObserver = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// A request under way: it is reported when this is dropped.
pub(super) struct Watched {
    observer: Option<ExchangeObserver>,
    closing: CancellationToken,
    exchange: Exchange,
}

impl Watched {
    pub(super) fn new(
        observer: Option<ExchangeObserver>,
        closing: CancellationToken,
        method: &str,
        path: &str,
    ) -> Self {
        let exchange = Exchange {
            plugin_id: String::new(),
            method: method.to_owned(),
            path: path.to_owned(),
            start: Instant::now(),
            duration: Duration::ZERO,
            status: None,
            reply_bytes: 0,
            end: ExchangeEnd::ClientLeft,
        };
        Self { observer, closing, exchange }
    }

    pub(super) fn plugin(&mut self, plugin_id: &str) {
        plugin_id.clone_into(&mut self.exchange.plugin_id);
    }

    pub(super) fn status(&mut self, status: http::StatusCode) {
        self.exchange.status = Some(status.as_u16());
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.exchange.reply_bytes += bytes as u64;
    }

    pub(super) fn whole(&mut self) {
        if self.exchange.end == ExchangeEnd::ClientLeft {
            self.exchange.end = ExchangeEnd::Whole;
        }
    }

    pub(super) fn cut(&mut self, reason: String) {
        self.exchange.end = ExchangeEnd::Cut(reason);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(observer) = &self.observer {
            self.exchange.duration = self.exchange.start.elapsed();
            if self.exchange.end == ExchangeEnd::ClientLeft && self.closing.is_cancelled() {
                self.exchange.end = ExchangeEnd::Stopped;
            }
            observer(&self.exchange);
        }
    }
}
