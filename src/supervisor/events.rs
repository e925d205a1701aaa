//! What happened in a life, typed and timed.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::process::ExitReport;
use crate::sync::{Arc, Mutex, MutexGuard, watch, watched};

/// One thing that happened.
#[derive(Debug, Clone)]
pub struct LifeEvent {
    /// When, on the monotonic clock.
    pub at: Instant,
    /// Since the log was made.
    pub elapsed: Duration,
    /// What.
    pub kind: EventKind,
}

/// What happened. In an undisturbed life the events come in the order in which they stand here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The API server accepts connections; the value is the plugin's `MATTERMOST_PLUGIN_API_TARGET`.
    ApiListening {
        /// `host:port` or `unix:///…`.
        target: String,
    },
    /// The interpreter runs.
    Spawned {
        /// Its process id, which is its group's as well.
        pid: u32,
    },
    /// The handshake line was read and is valid.
    Handshaken {
        /// Where the plugin serves its hooks.
        address: String,
    },
    /// The plugin answered its first health check.
    Healthy,
    /// The plugin named its hooks.
    HooksKnown {
        /// The names, as it gave them.
        hooks: Vec<String>,
    },
    /// The plugin is active.
    Active,
    /// The end has begun.
    Stopping {
        /// Why, in words.
        reason: String,
    },
    /// `OnDeactivate` ended.
    Deactivated {
        /// How it failed, if it did; the stop goes on all the same.
        error: Option<String>,
    },
    /// The plugin was asked to leave by go-plugin's `GRPCController/Shutdown`.
    AskedToLeave {
        /// Whether it agreed. Most plugins have no controller.
        agreed: bool,
    },
    /// SIGTERM was sent to the group.
    Terminating,
    /// The grace period is over: SIGKILL is sent to the group.
    Killing,
    /// The process is gone and reaped, and so is its group.
    Exited {
        /// How it ended.
        report: ExitReport,
    },
    /// The API server is gone: no port, no connection, no task.
    ApiStopped {
        /// Connections and calls that the deadline cut off.
        forced: usize,
    },
    /// Nothing is left.
    Ended,
}

/// The events of a life; clones share them. Every reader gets every event from the first.
#[derive(Debug, Clone)]
pub struct EventLog {
    start: Instant,
    events: Arc<Mutex<Vec<LifeEvent>>>,
    count: Arc<watch::Sender<usize>>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { start: Instant::now(), events: Arc::default(), count: Arc::new(watched(0)) }
    }
}

impl EventLog {
    fn lock(&self) -> MutexGuard<'_, Vec<LifeEvent>> {
        // A panic elsewhere leaves the list whole: every change is one push.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, kind: EventKind) {
        let at = Instant::now();
        let elapsed = at.duration_since(self.start);
        tracing::debug!(?elapsed, ?kind, "life event");
        let mut events = self.lock();
        events.push(LifeEvent { at, elapsed, kind });
        self.count.send_replace(events.len());
    }

    /// The events so far.
    pub fn events(&self) -> Vec<LifeEvent> {
        self.lock().clone()
    }

    /// What happened so far, without times.
    pub fn kinds(&self) -> Vec<EventKind> {
        self.lock().iter().map(|event| event.kind.clone()).collect()
    }

    /// Waits for the first event that `wanted` accepts, past ones included.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&EventKind) -> bool) -> LifeEvent {
        let mut reader = self.reader();
        loop {
            let event = reader.next().await;
            if wanted(&event.kind) {
                return event;
            }
        }
    }

    /// A reader that begins with the first event.
    pub fn reader(&self) -> EventReader {
        EventReader { log: self.clone(), next: 0, count: self.count.subscribe() }
    }
}

/// Reads an [`EventLog`] from its first event on.
#[derive(Debug)]
pub struct EventReader {
    log: EventLog,
    next: usize,
    count: watch::Receiver<usize>,
}

impl EventReader {
    /// The next event, when it is there. Cancel-safe.
    pub async fn next(&mut self) -> LifeEvent {
        loop {
            let event = self.log.lock().get(self.next).cloned();
            if let Some(event) = event {
                self.next += 1;
                return event;
            }
            let next = self.next;
            // The sender lives as long as `self.log`.
            let _ = self.count.wait_for(|&count| count > next).await;
        }
    }
}
