//! Whether what was written has left: a crash must not take along what was sent before it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tonic::transport::server::Connected;

/// The plugin's connections, of which some wait until the other side reads.
#[derive(Clone)]
pub(crate) struct Outgoing {
    /// How many wait.
    held_up: watch::Sender<usize>,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self { held_up: watch::Sender::new(0) }
    }

    /// The same connections, watched.
    pub(crate) fn watch<IO, S: Stream<Item = io::Result<IO>>>(
        &self,
        incoming: S,
    ) -> impl Stream<Item = io::Result<Watched<IO>>> + use<IO, S> {
        let outgoing = self.clone();
        incoming
            .map(move |io| io.map(|io| Watched { io, outgoing: outgoing.clone(), held_up: false }))
    }

    /// Waits until what the connections hold is with the kernel; not for a peer that does not
    /// read.
    pub(crate) async fn left(&self) {
        /// From the frame to the connection and from there to the socket: each of them has been
        /// woken before this task comes again.
        const TURNS: usize = 32;
        const PATIENCE: Duration = Duration::from_secs(5);
        let mut held_up = self.held_up.subscribe();
        let left = async {
            loop {
                for _ in 0..TURNS {
                    tokio::task::yield_now().await;
                }
                if *held_up.borrow() == 0
                    || held_up.wait_for(|held_up| *held_up == 0).await.is_err()
                {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, left).await;
    }
}

/// A connection that says when it waits for the other side to read.
pub(crate) struct Watched<IO> {
    io: IO,
    outgoing: Outgoing,
    held_up: bool,
}

impl<IO> Watched<IO> {
    fn note<T>(&mut self, written: Poll<T>) -> Poll<T> {
        let held_up = written.is_pending();
        if held_up != self.held_up {
            self.held_up = held_up;
            self.outgoing.held_up.send_modify(|count| match held_up {
                true => *count += 1,
                false => *count -= 1,
            });
        }
        written
    }
}

impl<IO> Drop for Watched<IO> {
    fn drop(&mut self) {
        let _ = self.note(Poll::Ready(()));
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl<IO: Connected> Connected for Watched<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_held_up_has_not_left() {
        let outgoing = Outgoing::new();
        let (here, mut there) = tokio::io::duplex(4);
        let incoming = outgoing.watch(futures::stream::iter([Ok(here)]));
        let mut here = std::pin::pin!(incoming).next().await.unwrap().unwrap();
        outgoing.left().await;
        here.write_all(b"abcd").await.unwrap();
        let writing = tokio::spawn(async move {
            here.write_all(b"efgh").await.unwrap();
            here
        });
        let waits = outgoing.clone();
        let mut left = std::pin::pin!(waits.left());
        while *outgoing.held_up.borrow() == 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            assert!(futures::poll!(left.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        there.read_exact(&mut [0; 8]).await.unwrap();
        left.await;
        let here = writing.await.unwrap();
        assert_eq!(*outgoing.held_up.borrow(), 0);
        drop((here, there));
    }

    #[tokio::test]
    async fn a_connection_that_ends_holds_nothing_up() {
        let outgoing = Outgoing::new();
        let (here, _there) = tokio::io::duplex(1);
        let incoming = outgoing.watch(futures::stream::iter([Ok(here)]));
        let mut here = std::pin::pin!(incoming).next().await.unwrap().unwrap();
        assert!(futures::poll!(std::pin::pin!(here.write_all(b"ab"))).is_pending());
        assert_eq!(*outgoing.held_up.borrow(), 1);
        drop(here);
        assert_eq!(*outgoing.held_up.borrow(), 0);
    }
}
