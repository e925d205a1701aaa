//! The connections of the API server, every task of which can be ended for certain.
//!
//! hyper spawns a task per stream and, asked to shut down gracefully, waits for its peer as long as
//! the peer likes. So each task here runs under two tokens: `closing` asks it to come to an end,
//! `abort` drops it where it stands.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listener::{Listener, PeerStream};
use super::server::HttpService;

/// A peer has this long to say the HTTP/2 preface.
const PREFACE_DEADLINE: Duration = Duration::from_secs(10);
/// Length of the HTTP/2 client preface, in bytes.
const PREFACE_BYTES: u64 = 24;
/// The server pings an idle peer this often, to find half-open connections.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// A peer has this long to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Calls that one connection may have open.
const MAX_STREAMS: u32 = 1024;
/// Pause after a failed accept, for example while file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Every task of a server, and the two ways to end them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    closing: CancellationToken,
    abort: CancellationToken,
}

impl Tasks {
    /// Spawns a task that ends, at the latest, when the tasks are aborted.
    pub(super) fn spawn<F: Future + Send + 'static>(&self, future: F) {
        let abort = self.abort.clone();
        self.tracker.spawn(async move {
            abort.run_until_cancelled_owned(future).await;
        });
    }

    /// Asks the tasks to come to an end.
    pub(super) fn close(&self) {
        self.closing.cancel();
        self.tracker.close();
    }

    /// Drops the tasks where they stand.
    pub(super) fn abort(&self) {
        self.close();
        self.abort.cancel();
    }

    /// Waits until [`close`](Self::close) was called and no task is left.
    pub(super) async fn ended(&self) {
        self.tracker.wait().await;
    }

    /// How many tasks there are: the listener, one a connection, one a call.
    pub(super) fn count(&self) -> usize {
        self.tracker.len()
    }
}

/// hyper's way to spawn a stream's task.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}

/// Accepts until closing, then lets go of the listener (its port, its socket file) at once.
pub(super) async fn accept(listener: Listener, service: HttpService, tasks: Tasks) {
    let closing = tasks.closing.clone();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok(stream) => tasks.spawn(serve(stream, service.clone(), tasks.clone())),
                Err(error) => {
                    tracing::warn!(%error, "the API server could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    closing.run_until_cancelled(accepting).await;
}

async fn serve(stream: Box<dyn PeerStream>, service: HttpService, tasks: Tasks) {
    let read = Arc::new(AtomicU64::new(0));
    let io = TokioIo::new(Counted { stream, read: Arc::clone(&read) });
    let mut connection = pin!(
        http2::Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS)
            .serve_connection(io, service)
    );
    let silent = || read.load(Ordering::Relaxed) < PREFACE_BYTES;
    let mut preface = pin!(tokio::time::sleep(PREFACE_DEADLINE));
    let mut waiting_for_preface = true;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = preface.as_mut(), if waiting_for_preface => {
                if silent() {
                    return;
                }
                waiting_for_preface = false;
            }
            () = tasks.closing.cancelled() => {
                if silent() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                break connection.await;
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API server ended");
    }
}

/// Counts the bytes that the peer has sent.
struct Counted {
    stream: Box<dyn PeerStream>,
    read: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let new = buffer.filled().len() - before;
        self.read.fetch_add(new as u64, Ordering::Relaxed);
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
