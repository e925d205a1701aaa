//! From messages to an HTTP reply.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream as _;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use plugin_proto::v1;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::rules::{ReplyPart, ReplyRules};
use super::upload::CancelOnDrop;
use super::{CHUNK_BYTES, ServeHttpError};
use crate::api::framing::Share;
use crate::hooks::limits::{Gathering, Place};

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
        first: v1::ServeHttpResponse,
        open: Open,
    ) -> Result<Self, ServeHttpError> {
        match ReplyRules::begin(method, first) {
            Ok((status, headers, rules)) => {
                let mut body =
                    ReplyBody { open: Some(open), rest: Bytes::new(), rules, last: None };
                body.finish_if_ended();
                Ok(Self { status, headers, body })
            }
            Err(error) => {
                // It has ended all the same, and need not be cancelled.
                if matches!(error, ServeHttpError::WrongLength { longer: false, .. }) {
                    finish(open);
                }
                Err(error)
            }
        }
    }
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
    /// Of a part that is given away as frames.
    rest: Bytes,
    rules: ReplyRules,
    /// What is left of a reply that has ended, among all that is under way.
    last: Option<Share>,
}

/// A stream that is open.
pub(super) struct Open {
    pub(super) stream: Streaming<v1::ServeHttpResponse>,
    pub(super) cancel: CancelOnDrop,
    pub(super) stopping: CancellationToken,
    /// The plugin's process is gone: what has not come will not come.
    pub(super) end: Pin<Box<dyn Future<Output = Status> + Send + Sync>>,
    pub(super) gathering: Gathering,
    /// Perhaps the stream's own: it lasts as long as the stream.
    pub(super) _connection: Channel,
    pub(super) _place: Place,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("cancel", &self.cancel).finish_non_exhaustive()
    }
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
        self.rules.without_body()
    }

    fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<ReplyPart, ServeHttpError>>> {
        loop {
            if let Some(part) = self.rules.take() {
                if part.is_err() {
                    // Gone, and so cancelled.
                    self.open = None;
                }
                return Poll::Ready(Some(part));
            }
            let Some(open) = &mut self.open else { return Poll::Ready(None) };
            let Poll::Ready(next) = Pin::new(&mut open.stream).poll_next(cx) else {
                let status = Box::new(ready!(open.end.as_mut().poll(cx)));
                self.rules.cut(ServeHttpError::Cut { status });
                continue;
            };
            match next {
                Some(Ok(message)) => self.rules.message(message),
                // When the upload fails, the stream is reset, which is not the plugin's doing.
                _ if open.cancel.0.has_failed() => self.rules.cut(open.cancel.0.failure()),
                Some(Err(status)) => {
                    self.rules.cut(ServeHttpError::Cut { status: Box::new(status) });
                }
                None => self.rules.closed(),
            }
            self.finish_if_ended();
        }
    }

    fn finish_if_ended(&mut self) {
        if self.rules.is_ended()
            && let Some(open) = self.open.take()
        {
            self.last = Some(open.gathering.hand_over());
            finish(open);
        }
    }
}

/// Reads no more. An upload that is still under way is cancelled; otherwise the plugin may end the
/// stream by itself, for a little while.
fn finish(open: Open) {
    if open.cancel.0.is_complete() {
        tokio::spawn(linger(open));
    }
}

async fn linger(open: Open) {
    let Open { mut stream, cancel: _cancel, stopping, end: _, gathering: _, _connection, _place } =
        open;
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
        self.rest.is_empty() && self.rules.is_whole() && self.rules.ready() == 0
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.rest.len() + self.rules.ready();
        let to_come = match self.rules.owed() {
            Some(bytes) => Some(bytes),
            None if self.rules.without_body() || self.rules.is_whole() => Some(0),
            None => None,
        };
        match to_come {
            Some(bytes) => SizeHint::with_exact(here as u64 + bytes),
            None => SizeHint::default(),
        }
    }
}
