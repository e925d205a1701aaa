//! A client's socket, which can be watched while nobody reads it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// Where the system cannot wait for a hang-up alone, it is looked for this often.
const LOOK: Duration = Duration::from_millis(100);

/// What hyper reads and writes; [`gone`] watches the same socket.
pub(super) struct ClientSocket {
    stream: Arc<TcpStream>,
    /// Bytes that came from the client.
    read: Arc<AtomicU64>,
}

impl ClientSocket {
    pub(super) fn new(stream: Arc<TcpStream>, read: Arc<AtomicU64>) -> Self {
        Self { stream, read }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read_buf(&mut buffer) {
                Ok(bytes) => {
                    self.read.fetch_add(bytes as u64, Ordering::Relaxed);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl ClientSocket {
    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(&*self.stream, Shutdown::Write) {
            // The client was faster.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

/// Waits until the client has closed its side, or the connection is broken, whatever it has sent that
/// nobody has read yet.
pub(super) async fn gone(stream: &TcpStream) {
    // Readiness for priority data, which nobody asks the system for, comes with a hang-up only.
    #[cfg(target_os = "linux")]
    let interest = Interest::PRIORITY | Interest::ERROR;
    #[cfg(not(target_os = "linux"))]
    let interest = Interest::READABLE | Interest::ERROR;
    loop {
        match stream.ready(interest).await {
            Ok(ready) if !ready.is_read_closed() && !ready.is_error() => {
                tokio::time::sleep(LOOK).await;
            }
            _ => return,
        }
    }
}
