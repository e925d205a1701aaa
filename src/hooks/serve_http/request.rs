//! From an HTTP body to messages.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http_body::Body;
use plugin_proto::v1;
use tower::BoxError;

use super::upload::Upload;
use crate::error_chain::chain;

/// The largest part of a request's body in one message, in bytes: 64 KiB.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// The messages of a request, each made when there is room for it.
///
/// What of the body is there goes out at once; frames that are there together go out together.
pub(super) struct RequestMessages<B> {
    init: Option<v1::ServeHttpRequestInit>,
    /// `None` when it has ended.
    body: Option<Pin<Box<B>>>,
    held: Held,
    chunk_bytes: usize,
    opened: bool,
    complete: bool,
    upload: Arc<Upload>,
}

impl<B: Body<Data = Bytes>> RequestMessages<B> {
    pub(super) fn new(
        init: v1::ServeHttpRequestInit,
        body: B,
        chunk_bytes: usize,
        upload: Arc<Upload>,
    ) -> Self {
        Self {
            init: Some(init),
            body: Some(Box::pin(body)),
            held: Held::default(),
            chunk_bytes: chunk_bytes.max(1),
            opened: false,
            complete: false,
            upload,
        }
    }

    fn body_has_ended(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn message(&mut self) -> v1::ServeHttpRequest {
        let body_chunk = self.held.take(self.chunk_bytes);
        self.complete = self.held.bytes == 0 && self.body_has_ended();
        if self.complete {
            self.body = None;
            self.upload.complete();
        }
        v1::ServeHttpRequest { init: self.init.take(), body_chunk, body_complete: self.complete }
    }
}

impl<B> Stream for RequestMessages<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Item = v1::ServeHttpRequest;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // The first look at the messages is the connection's own: the stream is open. The task that
        // sends them is yet to be made; only what is asked for there can be cancelled at any time.
        if !this.opened {
            this.opened = true;
            this.upload.open();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.upload.sends_here();
        if this.complete {
            return Poll::Ready(None);
        }
        // An upload that failed never ends: it is cancelled.
        if this.upload.has_failed() {
            return Poll::Pending;
        }
        while this.held.bytes < this.chunk_bytes && !this.body_has_ended() {
            let Some(body) = &mut this.body else { break };
            match body.as_mut().poll_frame(cx) {
                Poll::Pending if this.held.bytes == 0 => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(None) => this.body = None,
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers have no place in the messages.
                    if let Ok(data) = frame.into_data() {
                        this.held.push(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.body = None;
                    let error: BoxError = error.into();
                    this.upload.fail(chain(&*error));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Some(this.message()))
    }
}

/// Parts of the body that were read and not yet sent: less than a chunk and one frame.
#[derive(Default)]
struct Held {
    parts: VecDeque<Bytes>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.bytes += part.len();
            self.parts.push_back(part);
        }
    }

    /// The first `limit` bytes, or all there are. Copies only what lies in several parts.
    fn take(&mut self, limit: usize) -> Bytes {
        let limit = limit.min(self.bytes);
        self.bytes -= limit;
        let mut first = self.cut(limit);
        if first.len() < limit {
            let mut whole = BytesMut::with_capacity(limit);
            while whole.len() < limit && !first.is_empty() {
                whole.extend_from_slice(&first);
                first = self.cut(limit - whole.len());
            }
            first = whole.freeze();
        }
        first
    }

    /// The first part, or the first `limit` bytes of it.
    fn cut(&mut self, limit: usize) -> Bytes {
        match self.parts.pop_front() {
            Some(mut part) if part.len() > limit => {
                let cut = part.split_to(limit);
                self.parts.push_front(part);
                cut
            }
            part => part.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_and_joined_to_the_limit() {
        let mut held = Held::default();
        for part in ["abc", "", "de", "fghij"] {
            held.push(Bytes::from_static(part.as_bytes()));
        }
        assert_eq!(held.take(4), "abcd");
        assert_eq!(held.take(1), "e");
        assert_eq!(held.take(2), "fg");
        assert_eq!(held.take(9), "hij");
        assert_eq!((held.take(9).len(), held.bytes), (0, 0));
    }
}
