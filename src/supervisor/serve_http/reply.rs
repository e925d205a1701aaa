//! From messages to an HTTP reply.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream as _;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use plugin_proto::v1;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Channel;

use super::headers::{content_length, reply_headers};
use super::upload::CancelOnDrop;
use super::{CHUNK_BYTES, ServeHttpError};

/// A plugin that has completed its reply has this long to end the stream by itself.
const LINGER: Duration = Duration::from_secs(1);

/// A plugin's reply, whose body is still to be read.
#[derive(Debug)]
pub struct ServeHttpReply {
    /// What the plugin said, or 200. May be anything in 100..=999, informational ones too.
    pub status: StatusCode,
    /// Without hop-by-hop fields; `Content-Length`, if it is there, is what the body holds to.
    pub headers: HeaderMap,
    /// The rest.
    pub body: ReplyBody,
}

impl ServeHttpReply {
    pub(super) fn new(
        method: &str,
        mut first: v1::ServeHttpResponse,
        open: Open,
    ) -> Result<Self, ServeHttpError> {
        let init = first.init.take().unwrap_or_default();
        let status = match init.status_code {
            0 => StatusCode::OK,
            code => u16::try_from(code)
                .ok()
                .and_then(|code| StatusCode::from_u16(code).ok())
                .ok_or(ServeHttpError::BadStatus { code })?,
        };
        let mut headers = reply_headers(&init.headers);
        let promised = content_length(&mut headers);
        let without_body = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || status.is_informational()
            || method == Method::HEAD;
        if status == StatusCode::NO_CONTENT || status.is_informational() {
            headers.remove(CONTENT_LENGTH);
        }
        let mut body = ReplyBody {
            open: Some(open),
            read: None,
            rest: Bytes::new(),
            length: promised.filter(|_| !without_body).map(|promised| Length { promised, sent: 0 }),
            without_body,
            failed: None,
        };
        // Nothing has been handed on yet: a client can still be told.
        body.take(first)?;
        Ok(Self { status, headers, body })
    }
}

/// A part of a reply's body, as the plugin sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyPart {
    /// May be empty.
    pub chunk: Bytes,
    /// The plugin asks that everything so far be sent to the client now.
    pub flush: bool,
}

/// The body of a plugin's reply, pulled from the plugin as it is read.
///
/// As an [`http_body::Body`] it gives frames of at most [`CHUNK_BYTES`], each as soon as it is there,
/// so that a flush has nothing left to do; who collects parts before sending them reads
/// [`part`](Self::part) and sees the marks. An error means that the reply is not whole and must not
/// look so. Dropped before its end, it cancels the plugin's stream.
#[derive(Debug)]
pub struct ReplyBody {
    /// `None` when nothing more is read.
    open: Option<Open>,
    /// Read, and not yet taken.
    read: Option<ReplyPart>,
    /// Of a part that is given away as frames.
    rest: Bytes,
    length: Option<Length>,
    /// HTTP allows no body here: what the plugin sends of it is dropped.
    without_body: bool,
    /// To be told after what was read before it.
    failed: Option<ServeHttpError>,
}

/// A stream that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) stream: Streaming<v1::ServeHttpResponse>,
    pub(super) cancel: CancelOnDrop,
    pub(super) stopping: CancellationToken,
    /// Perhaps the stream's own: it lasts as long as the stream.
    pub(super) _connection: Channel,
}

/// The plugin's `Content-Length` and how much of it has been seen, in bytes.
#[derive(Debug, Clone, Copy)]
struct Length {
    promised: u64,
    sent: u64,
}

impl ReplyBody {
    /// The next message's chunk and flush mark; `None` at the end.
    ///
    /// # Errors
    /// Why the reply is not whole; nothing follows.
    pub async fn part(&mut self) -> Option<Result<ReplyPart, ServeHttpError>> {
        if !self.rest.is_empty() {
            return Some(Ok(ReplyPart { chunk: std::mem::take(&mut self.rest), flush: false }));
        }
        poll_fn(|cx| self.poll_part(cx)).await
    }

    /// Whether HTTP allows no body with this status or to this method. It is empty then, but still
    /// comes to its end only with the plugin's.
    pub fn is_forbidden(&self) -> bool {
        self.without_body
    }

    fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ReplyPart, ServeHttpError>>> {
        loop {
            if let Some(part) = self.read.take() {
                return Poll::Ready(Some(Ok(part)));
            }
            if let Some(error) = self.failed.take() {
                // Gone, and so cancelled.
                self.open = None;
                return Poll::Ready(Some(Err(error)));
            }
            let Some(open) = &mut self.open else { return Poll::Ready(None) };
            let message = ready!(Pin::new(&mut open.stream).poll_next(cx));
            let taken = match message {
                Some(Ok(message)) if message.init.is_some() => {
                    Err(ServeHttpError::Broken { reason: "it sent init a second time" })
                }
                Some(Ok(message)) => self.take(message),
                // When the upload fails, the stream is reset, which is not the plugin's doing.
                _ if open.cancel.0.has_failed() => Err(open.cancel.0.failure()),
                Some(Err(status)) => Err(ServeHttpError::Cut { status: Box::new(status) }),
                None => self.end(),
            };
            self.failed = taken.err();
        }
    }

    /// Takes in a message.
    fn take(&mut self, mut message: v1::ServeHttpResponse) -> Result<(), ServeHttpError> {
        if self.without_body {
            message.body_chunk.clear();
        }
        if let Some(length) = &mut self.length {
            let sent = length.sent + message.body_chunk.len() as u64;
            if sent > length.promised {
                // Not counted: what is not sent is still owed, so that the cut shows.
                let promised = length.promised;
                return Err(ServeHttpError::WrongLength { promised, longer: true });
            }
            length.sent = sent;
        }
        if !message.body_chunk.is_empty() || message.flush {
            self.read = Some(ReplyPart { chunk: message.body_chunk, flush: message.flush });
        }
        if message.body_complete { self.end() } else { Ok(()) }
    }

    /// The plugin says that this was all.
    fn end(&mut self) -> Result<(), ServeHttpError> {
        self.finish();
        match self.length {
            Some(Length { promised, sent }) if sent < promised => {
                Err(ServeHttpError::WrongLength { promised, longer: false })
            }
            _ => Ok(()),
        }
    }

    /// Reads no more. An upload that is still under way is cancelled; otherwise the plugin may end
    /// the stream by itself, for a little while.
    fn finish(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open.cancel.0.is_complete() {
            tokio::spawn(linger(open));
        }
    }
}

async fn linger(open: Open) {
    let Open { mut stream, cancel: _cancel, stopping, _connection } = open;
    let ended = async {
        while let Ok(Some(message)) = stream.message().await {
            tracing::debug!(bytes = message.body_chunk.len(), "a message after a reply's end");
        }
    };
    let _ = stopping.run_until_cancelled(tokio::time::timeout(LINGER, ended)).await;
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ServeHttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ServeHttpError>>> {
        let this = self.get_mut();
        while this.rest.is_empty() {
            match ready!(this.poll_part(cx)) {
                Some(Ok(part)) => this.rest = part.chunk,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let bytes = this.rest.len().min(CHUNK_BYTES);
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.open.is_none()
            && self.failed.is_none()
            && self.rest.is_empty()
            && self.read.as_ref().is_none_or(|part| part.chunk.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.rest.len() + self.read.as_ref().map_or(0, |part| part.chunk.len());
        let to_come = match self.length {
            Some(Length { promised, sent }) => Some(promised - sent.min(promised)),
            None if self.without_body => Some(0),
            None if self.open.is_none() && self.failed.is_none() => Some(0),
            None => None,
        };
        match to_come {
            Some(bytes) => SizeHint::with_exact(here as u64 + bytes),
            None => SizeHint::default(),
        }
    }
}
