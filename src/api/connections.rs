//! The connections of the API server, every task of which can be ended for certain.
//!
//! hyper spawns a task per stream and, asked to shut down gracefully, waits for its peer as long as
//! the peer likes. So each task here runs under two tokens: `closing` asks it to come to an end,
//! `abort` drops it where it stands.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::callers::{Guard, Peer};
use super::limits::ConnectionLimits;
use super::listener::{Listener, PeerStream};
use super::preface::{self, Stranger};
use super::server::HttpService;
use super::tasks::Tasks;

/// Pause after a failed accept, for example while file descriptors are short. It doubles each time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_ACCEPT_PAUSE: Duration = Duration::from_millis(320);

/// What holds for each connection.
pub(super) struct Rules {
    pub(super) guard: Guard,
    pub(super) limits: ConnectionLimits,
}

/// Accepts until closing, then lets go of the listener (its port, its socket file) at once.
pub(super) async fn accept(
    listener: Listener,
    service: HttpService,
    rules: Arc<Rules>,
    tasks: Tasks,
) {
    let closing = tasks.closing.clone();
    let most = rules.limits.connections.min(Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(most));
    let accepting = async {
        let mut failures = 0;
        let mut is_full = false;
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                // The peer's affair, not ours: the next may be better.
                Err(error) if is_of_peer(&error) => continue,
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(%error, "the API server cannot accept connections; it tries again");
                    }
                    let pause = ACCEPT_PAUSE.saturating_mul(1 << failures.min(5));
                    failures += 1;
                    tokio::time::sleep(pause.min(LONGEST_ACCEPT_PAUSE)).await;
                    continue;
                }
            };
            if failures > 0 {
                tracing::info!(failures, "the API server accepts connections again");
                failures = 0;
            }
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                if !is_full {
                    tracing::warn!(
                        most,
                        "the API server has as many connections as it may; more are closed (ConnectionLimits::connections)"
                    );
                }
                is_full = true;
                continue;
            };
            is_full = false;
            let accepted = Accepted { stream, peer, _place: place };
            tasks.spawn(serve(accepted, service.clone(), Arc::clone(&rules), tasks.clone()));
        }
    };
    closing.run_until_cancelled(accepting).await;
}

/// Whether it is this one connection that failed, before it was accepted.
fn is_of_peer(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::CONNABORTED | Errno::CONNRESET | Errno::PROTO | Errno::INTR))
}

/// A connection, and its place among those that are allowed.
struct Accepted {
    stream: Box<dyn PeerStream>,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

async fn serve(accepted: Accepted, service: HttpService, rules: Arc<Rules>, tasks: Tasks) {
    let Accepted { stream, peer, _place } = accepted;
    let Rules { guard, limits } = &*rules;
    let opening = async {
        if let Err(refusal) = guard.admit(peer).await {
            tracing::warn!(%refusal, "the API server refused a connection");
            return None;
        }
        match preface::read(stream).await {
            Ok(stream) => Some(stream),
            Err(Stranger::Gone) => None,
            Err(stranger) => {
                tracing::warn!("a peer of the API server {stranger}");
                None
            }
        }
    };
    let stream = tokio::select! {
        opened = tokio::time::timeout(limits.preface, opening) => match opened {
            Ok(Some(stream)) => stream,
            Ok(None) => return,
            Err(_) => {
                tracing::debug!("a peer of the API server did not say the HTTP/2 preface in time");
                return;
            }
        },
        () = tasks.closing.cancelled() => return,
    };
    let mut connection = pin!(
        http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_timeout)
            .max_concurrent_streams(limits.streams)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tasks.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API server ended");
    }
}
