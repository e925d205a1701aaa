//! The connections of the HTTP server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustix::net::{Shutdown, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::answer::answer;
use super::shared::Shared;
use super::socket::{ClientSocket, gone};
use super::stall::{self, Streams};
use crate::api::pause::Pause;

/// Fewer bytes than any request to a plugin: the HTTP/2 preface.
const HEAD_BYTES: u64 = 24;
/// What a request's upload may have under way, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What all uploads of one connection may have under way, in bytes.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// The largest HTTP/2 frame that a client may send, in bytes: a chunk.
const FRAME_BYTES: u32 = 64 * 1024;
/// What hyper may hold of one connection's or stream's data, each way, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;
/// The header fields of one HTTP/2 request, in bytes; HTTP/1 has its limit in the buffer.
const MAX_HEADER_BYTES: u32 = 256 * 1024;

/// Stops listening when dropped, although a process that is being forked holds a copy of the socket.
struct Listener(TcpListener);

impl Drop for Listener {
    fn drop(&mut self) {
        // Systems other than Linux refuse; there the socket is closed only.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }
}

/// Accepts until closing, then lets go of the port at once.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = Listener(listener);
    let accepting = async {
        let mut pause = Pause::default();
        let most = shared.limits.connections.min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(most));
        let mut is_full = false;
        loop {
            match listener.0.accept().await {
                Ok((stream, client)) => {
                    pause.over("HTTP server");
                    let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                        if !is_full {
                            tracing::warn!(
                                most,
                                "the HTTP server has as many connections as it may; more are closed (FrontLimits::connections)"
                            );
                        }
                        is_full = true;
                        continue;
                    };
                    is_full = false;
                    let connection = serve(stream, client, Arc::clone(&shared));
                    shared.tasks.spawn(async move {
                        let _place = place;
                        stall::carry(connection).await
                    });
                }
                Err(error) => tokio::time::sleep(pause.after("HTTP server", &error)).await,
            }
        }
    };
    shared.tasks.closing.run_until_cancelled(accepting).await;
}

async fn serve(stream: TcpStream, client: SocketAddr, shared: Arc<Shared>) {
    let tuned = stream.set_nodelay(true).and_then(|()| {
        // A client whose machine is gone is noticed in the end.
        sockopt::set_socket_keepalive(&stream, true).map_err(Into::into)
    });
    if let Err(error) = tuned {
        tracing::debug!(%error, "a client's connection cannot be tuned");
    }
    let stream = Arc::new(stream);
    let read = Arc::new(AtomicU64::new(0));
    let io = TokioIo::new(ClientSocket::new(Arc::clone(&stream), Arc::clone(&read)));
    let service = service_fn(|request| {
        let answer = answer(Arc::clone(&shared), request, client);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let builder = builder(&shared);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut head = pin!(tokio::time::sleep(shared.limits.head));
    let mut gone = pin!(gone(&stream));
    let (mut waiting_for_head, mut closing) = (true, false);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = %crate::error_chain::chain(&*error), "a client's connection ended");
                }
                return;
            }
            // hyper does not look at the socket while a plugin has stopped reading an upload.
            () = gone.as_mut() => return,
            () = head.as_mut(), if waiting_for_head => {
                if read.load(Ordering::Relaxed) < HEAD_BYTES {
                    return;
                }
                waiting_for_head = false;
            }
            () = shared.tasks.closing.cancelled(), if !closing => {
                connection.as_mut().graceful_shutdown();
                closing = true;
            }
        }
    }
}

fn builder(shared: &Shared) -> auto::Builder<Streams> {
    let limits = &shared.limits;
    let mut builder = auto::Builder::new(Streams(shared.tasks.clone()));
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.ping_interval)
        .keep_alive_timeout(limits.ping_timeout)
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_send_buf_size(BUFFER_BYTES);
    builder
}
