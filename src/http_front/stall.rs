//! Replies that nobody takes.
//!
//! While a client takes nothing, its connection asks for nothing more of the reply, so that no error
//! could reach it that way. Hence what carries a reply (for HTTP/1 the connection, for HTTP/2 the
//! stream's task) can be dropped from outside.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::tasks::Tasks;

tokio::task_local! {
    /// Drops what carries the present request.
    static CARRIER: CancellationToken;
}

/// Runs `carrier` until it ends, or until a request in it is given up.
pub(super) async fn carry<F: Future>(carrier: F) -> Option<F::Output> {
    let token = CancellationToken::new();
    CARRIER.scope(token.clone(), token.run_until_cancelled(carrier)).await
}

/// hyper's way to spawn the task of an HTTP/2 stream.
#[derive(Clone)]
pub(super) struct Streams(pub(super) Tasks);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(carry(future));
    }
}

/// How far a reply has been taken.
#[derive(Debug)]
pub(super) struct Taking {
    state: Arc<Mutex<State>>,
    /// Ends the watch.
    _over: DropGuard,
}

#[derive(Debug)]
struct State {
    /// Since when nothing was asked for; `None` while the plugin is waited for.
    idle: Option<Instant>,
    given_up: bool,
}

impl Taking {
    /// Begins to watch the present request's reply, which is given up when nothing is taken of it
    /// within `limit`.
    pub(super) fn watch(limit: Duration, tasks: &Tasks) -> Self {
        let state = State { idle: Some(Instant::now()), given_up: false };
        let state = Arc::new(Mutex::new(state));
        let over = CancellationToken::new();
        if let Ok(carrier) = CARRIER.try_with(Clone::clone) {
            let (watched, over) = (Arc::downgrade(&state), over.clone());
            tasks.spawn(async move {
                let mut wait = limit;
                loop {
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = over.cancelled() => return,
                    }
                    let Some(state) = watched.upgrade() else { return };
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    let idle = state.idle.map(|since| since.elapsed()).unwrap_or_default();
                    match limit.checked_sub(idle) {
                        Some(rest) if !rest.is_zero() => wait = rest,
                        _ => {
                            state.given_up = true;
                            carrier.cancel();
                            return;
                        }
                    }
                }
            });
        }
        Self { state, _over: over.drop_guard() }
    }

    fn set(&self, idle: Option<Instant>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).idle = idle;
    }

    /// The client's connection asks for more; it waits for the plugin.
    pub(super) fn asked(&self) {
        self.set(None);
    }

    /// The client's connection has got something.
    pub(super) fn given(&self) {
        self.set(Some(Instant::now()));
    }

    /// Whether it was given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).given_up
    }
}
