//! The connections of the API server, every task of which can be ended for certain.
//!
//! hyper spawns a task per stream and, asked to shut down gracefully, waits for its peer as long as
//! the peer likes. So each task here runs under two tokens: `closing` asks it to come to an end,
//! `abort` drops it where it stands.

use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::callers::Guard;
use super::http_service::HttpService;
use super::limits::ConnectionLimits;
use super::listener::{Listener, PeerStream};
use super::pause::Pause;
use super::peer::Peer;
use super::preface::{self, Stranger};
use super::tasks::Tasks;

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
        let mut pause = Pause::default();
        let mut is_full = false;
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tokio::time::sleep(pause.after("API server", &error)).await;
                    continue;
                }
            };
            pause.over("API server");
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
