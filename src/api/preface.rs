//! The first bytes of a connection: HTTP/2, or somebody who took a wrong turn.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// What every HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A fatal TLS alert, `protocol_version`: a TLS client shows it as such.
const TLS_ALERT: &[u8] = &[21, 3, 1, 0, 2, 2, 70];
/// After the answer, a stranger may go on for so many bytes and so long. To close before it has
/// stopped would reset the connection, and the answer might be lost.
const LINGER_BYTES: u64 = 64 * 1024;
const LINGER: Duration = Duration::from_millis(250);

/// A peer that does not speak HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    #[error(
        "speaks HTTP/1.x; gRPC needs HTTP/2: use a gRPC client, and no proxy between (no_proxy=localhost,127.0.0.1)"
    )]
    Http1,
    #[error("speaks TLS; the API is served without: use an insecure channel")]
    Tls,
    #[error("does not speak HTTP/2: the target of a gRPC client belongs here")]
    Other,
    #[error("went away before it said the HTTP/2 preface")]
    Gone,
}

impl Stranger {
    fn of(said: &[u8]) -> Self {
        const METHODS: [&[u8]; 9] =
            [b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC"];
        match said {
            // A handshake record of any version of TLS.
            [22, 3, ..] => Self::Tls,
            _ if METHODS.iter().any(|method| said.starts_with(method)) => Self::Http1,
            _ => Self::Other,
        }
    }

    /// What it understands.
    fn answer(self) -> Vec<u8> {
        match self {
            Self::Http1 => {
                let text = format!("This is a gRPC server. The client {self}.\n");
                format!(
                    "HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{text}",
                    text.len()
                )
                .into_bytes()
            }
            Self::Tls => TLS_ALERT.to_vec(),
            Self::Other | Self::Gone => Vec::new(),
        }
    }
}

/// Reads the preface; a stranger is told what it is, in its own language, and is done with.
pub(super) async fn read<S>(mut stream: S) -> Result<Opened<S>, Stranger>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut said, mut length) = ([0; PREFACE.len()], 0);
    while length < said.len() {
        match stream.read(&mut said[length..]).await {
            Ok(0) | Err(_) => return Err(Stranger::Gone),
            Ok(new) => length += new,
        }
        if said[..length] != PREFACE[..length] {
            let stranger = Stranger::of(&said[..length]);
            dismiss(stream, stranger).await;
            return Err(stranger);
        }
    }
    Ok(Opened { stream, unread: PREFACE })
}

async fn dismiss<S>(mut stream: S, stranger: Stranger)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let goodbye = async {
        stream.write_all(&stranger.answer()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // It may be gone already, or stay for ever: either way it is closed now.
    let _ = tokio::time::timeout(LINGER, goodbye).await;
}

/// A stream whose preface was read, and will be read once more.
pub(super) struct Opened<S> {
    stream: S,
    unread: &'static [u8],
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let (now, later) = self.unread.split_at(self.unread.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.unread = later;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_preface_is_read_again_by_whoever_comes_next() {
        let (mut peer, stream) = tokio::io::duplex(64);
        peer.write_all(PREFACE).await.unwrap();
        peer.write_all(b"more").await.unwrap();
        let mut opened = read(stream).await.ok().unwrap();
        let mut all = [0; 28];
        opened.read_exact(&mut all).await.unwrap();
        assert_eq!((&all[..24], &all[24..]), (&PREFACE[..], &b"more"[..]));
    }

    #[tokio::test]
    async fn strangers_are_known_by_their_first_bytes() {
        for (said, stranger) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Stranger::Http1),
            (b"POST /mattermost HTTP/1.1\r\n", Stranger::Http1),
            (&[22, 3, 1, 2, 0, 1, 0], Stranger::Tls),
            (b"\xff", Stranger::Other),
            (b"PRI * HTTP/1.1\r\n", Stranger::Other),
            (b"PRI", Stranger::Gone),
            (b"", Stranger::Gone),
        ] {
            let (mut peer, stream) = tokio::io::duplex(4096);
            peer.write_all(said).await.unwrap();
            peer.shutdown().await.unwrap();
            assert_eq!(read(stream).await.err(), Some(stranger), "{said:?}");
        }
    }
}
