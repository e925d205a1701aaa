//! Messages reach the decoder whole.
//!
//! gRPC announces a message's length in five bytes, and a decoder that trusts them reserves up to 4 GiB
//! before a byte of the message has come. [`Gathered`] stands between the connection and the decoder:
//! it holds what has come of a message until all of it is there, so that memory is taken by bytes
//! that came, and counts them against a total for all that is under way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;
use tower::BoxError;

/// Compression flag and length.
const HEADER_BYTES: usize = 5;
/// A smaller piece is copied beside the one before it: a peer that sends single bytes must not cost a
/// multiple of them.
const PIECE_BYTES: usize = 4096;
/// Copied pieces make parts of this size.
const PART_BYTES: usize = 64 * 1024;

/// The bytes of all messages that are under way in one place, and how many there may be.
#[derive(Debug)]
pub(crate) struct UnderWay {
    limit: usize,
    bytes: AtomicUsize,
}

impl UnderWay {
    /// At most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, bytes: AtomicUsize::new(0) })
    }

    /// The share of one call, still empty.
    pub(crate) fn share(self: &Arc<Self>) -> Arc<Share> {
        Arc::new(Share { total: Arc::clone(self), bytes: AtomicUsize::new(0) })
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// What one call has of the total; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    total: Arc<UnderWay>,
    bytes: AtomicUsize,
}

impl Share {
    /// Takes more, or says why it may not.
    fn take(&self, bytes: usize) -> Result<(), Status> {
        let limit = self.total.limit;
        let before = self.total.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > limit {
            return Err(Status::resource_exhausted(format!(
                "too much is under way at the same time: all messages together may have {limit} bytes"
            )));
        }
        Ok(())
    }

    /// What it has now, as a share that others do not give back.
    pub(crate) fn hand_over(&self) -> Self {
        let bytes = AtomicUsize::new(self.bytes.swap(0, Ordering::Relaxed));
        Self { total: Arc::clone(&self.total), bytes }
    }

    /// Gives all of it back.
    fn give_back(&self) {
        let bytes = self.bytes.swap(0, Ordering::Relaxed);
        self.total.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A body of gRPC messages that gives each only when it is whole.
///
/// A message that announces more than `limit` bytes is passed on as it comes, for the decoder to refuse
/// by its length. One that is cut is an error, whatever the trailers say, unless they have an error of
/// their own.
pub(crate) struct Gathered<B> {
    body: B,
    limit: usize,
    share: Arc<Share>,
    /// Of the message that is coming.
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    missing: usize,
    held: VecDeque<Bytes>,
    /// The end of `held`, made of small pieces.
    small: BytesMut,
    /// Whole messages.
    ready: VecDeque<Bytes>,
    refused: bool,
    over: bool,
    /// What a message had of the total is given back when the next one is asked for.
    one_by_one: bool,
}

impl<B> Gathered<B> {
    /// `limit` is the decoder's own for one message, in bytes.
    pub(crate) fn new(body: B, limit: usize, share: Arc<Share>) -> Self {
        Self {
            body,
            limit,
            share,
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            missing: 0,
            held: VecDeque::new(),
            small: BytesMut::new(),
            ready: VecDeque::new(),
            refused: false,
            over: false,
            one_by_one: false,
        }
    }

    /// For streams: a message counts until the next one is asked for. Otherwise all count until the
    /// share is dropped.
    pub(crate) fn one_by_one(mut self) -> Self {
        self.one_by_one = true;
        self
    }

    fn is_between_messages(&self) -> bool {
        self.header_bytes == 0
    }

    fn take_in(&mut self, mut data: Bytes) -> Result<(), Status> {
        self.share.take(data.len())?;
        // Up to here all messages are whole.
        let mut whole = 0;
        let mut at = 0;
        while at < data.len() && !self.refused {
            if self.header_bytes < HEADER_BYTES {
                let more = (HEADER_BYTES - self.header_bytes).min(data.len() - at);
                let part = &data[at..at + more];
                self.header[self.header_bytes..self.header_bytes + more].copy_from_slice(part);
                self.header_bytes += more;
                at += more;
                if self.header_bytes < HEADER_BYTES {
                    break;
                }
                let [_, a, b, c, d] = self.header;
                self.missing = u32::from_be_bytes([a, b, c, d]) as usize;
                self.refused = self.missing > self.limit;
            } else {
                let more = self.missing.min(data.len() - at);
                self.missing -= more;
                at += more;
            }
            if self.missing == 0 {
                self.header_bytes = 0;
                whole = at;
            }
        }
        if self.refused {
            whole = data.len();
        }
        if whole > 0 {
            self.end_part();
            self.ready.append(&mut self.held);
            self.ready.push_back(data.split_to(whole));
        }
        self.hold(data);
        Ok(())
    }

    fn hold(&mut self, piece: Bytes) {
        if piece.len() >= PIECE_BYTES {
            self.end_part();
            self.held.push_back(piece);
        } else {
            self.small.extend_from_slice(&piece);
            if self.small.len() >= PART_BYTES {
                self.end_part();
            }
        }
    }

    fn end_part(&mut self) {
        if !self.small.is_empty() {
            self.held.push_back(self.small.split().freeze());
        }
    }

    /// Nothing follows.
    fn end(&mut self) {
        self.over = true;
        self.held.clear();
        self.small.clear();
    }

    fn cut(&self) -> Status {
        let held = self.held.iter().map(Bytes::len).sum::<usize>() + self.small.len();
        Status::internal(format!("a message was cut after {held} bytes"))
    }
}

/// Whether trailers tell of a failure.
fn fails(trailers: &HeaderMap) -> bool {
    trailers.get(Status::GRPC_STATUS).is_some_and(|status| status != "0")
}

impl<B> Body for Gathered<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(part) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(part))));
            }
            if this.over {
                return Poll::Ready(None);
            }
            if this.one_by_one && this.is_between_messages() {
                // Who asks for the next message has done with the one before.
                this.share.give_back();
            }
            let failure: BoxError = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if this.refused => {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Ok(data) => match this.take_in(data) {
                        Ok(()) => continue,
                        Err(status) => status.into(),
                    },
                    Err(frame) => {
                        let told = frame.trailers_ref().is_some_and(fails);
                        if told || this.refused || this.is_between_messages() {
                            this.end();
                            return Poll::Ready(Some(Ok(frame)));
                        }
                        this.cut().into()
                    }
                },
                Some(Err(error)) => error.into(),
                None if this.refused || this.is_between_messages() => return Poll::Ready(None),
                None => this.cut().into(),
            };
            this.end();
            return Poll::Ready(Some(Err(failure)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty()
            && (self.over || self.is_between_messages() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;

    use super::*;

    type Pieces = Vec<Result<Frame<Bytes>, Status>>;

    fn message(bytes: usize) -> Vec<u8> {
        let mut framed = vec![0];
        framed.extend(u32::try_from(bytes).unwrap().to_be_bytes());
        framed.extend((0..bytes).map(|at| at.to_le_bytes()[0]));
        framed
    }

    fn data(bytes: &[u8]) -> Result<Frame<Bytes>, Status> {
        Ok(Frame::data(Bytes::copy_from_slice(bytes)))
    }

    fn gathered(
        pieces: Pieces,
        limit: usize,
        total: &Arc<UnderWay>,
    ) -> Gathered<impl Body<Data = Bytes, Error = Status> + Unpin> {
        Gathered::new(StreamBody::new(stream::iter(pieces)), limit, total.share()).one_by_one()
    }

    fn code(error: &BoxError) -> tonic::Code {
        error.downcast_ref::<Status>().unwrap().code()
    }

    #[tokio::test]
    async fn nothing_is_given_before_the_whole_message() {
        let whole = message(10_000);
        let (sender, frames) = futures::channel::mpsc::unbounded();
        let total = UnderWay::new(1 << 20);
        let share = total.share();
        let mut body = Gathered::new(StreamBody::new(frames), 1 << 20, Arc::clone(&share));
        for piece in [&whole[..3], &whole[3..5], &whole[5..6000]] {
            sender.unbounded_send(data(piece)).unwrap();
            assert!(futures::poll!(body.frame()).is_pending());
        }
        assert_eq!(total.bytes(), 6000);
        sender.unbounded_send(data(&whole[6000..])).unwrap();
        drop(sender);
        let bytes = body.collect().await.unwrap().to_bytes();
        assert!(bytes == whole);
        // The message counts as long as its call.
        assert_eq!(total.bytes(), 10_005);
        drop(share);
        assert_eq!(total.bytes(), 0);
    }

    #[tokio::test]
    async fn a_message_over_the_limit_is_for_the_decoder_to_refuse() {
        let total = UnderWay::new(1 << 20);
        let header = [0, 0x7f, 0xff, 0xff, 0xff, b'x'];
        let mut body = gathered(vec![data(&header), data(b"y")], 100, &total);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), &header[..]);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "y");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_message_that_is_cut_is_an_error_unless_the_trailers_have_their_own() {
        let total = UnderWay::new(1 << 20);
        let trailers = |status: &'static str| {
            let status = (
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static(status),
            );
            Ok(Frame::trailers(HeaderMap::from_iter([status])))
        };
        for bytes in [1, 5, 9] {
            let half = || data(&message(10)[..bytes]);
            for pieces in [vec![half()], vec![half(), trailers("0")]] {
                let error = gathered(pieces, 100, &total).collect().await.map(drop).unwrap_err();
                assert_eq!(code(&error), tonic::Code::Internal);
            }
            let told = gathered(vec![half(), trailers("5")], 100, &total).collect().await.unwrap();
            assert_eq!(told.trailers().unwrap()["grpc-status"], "5");
        }
    }

    #[tokio::test]
    async fn all_that_is_under_way_has_a_limit() {
        let total = UnderWay::new(25_000);
        let half = || (vec![data(&message(20_000)[..15_000])], 1 << 20, &total);
        let (pieces, limit, of) = half();
        let mut first = Gathered::new(
            StreamBody::new(futures::StreamExt::chain(stream::iter(pieces), stream::pending())),
            limit,
            of.share(),
        );
        assert!(futures::poll!(first.frame()).is_pending());
        let (pieces, limit, of) = half();
        let error = gathered(pieces, limit, of).collect().await.map(drop).unwrap_err();
        assert_eq!(code(&error), tonic::Code::ResourceExhausted);
        assert_eq!(total.bytes(), 15_000);
        drop(first);
        assert_eq!(total.bytes(), 0);
    }

    proptest! {
        #[test]
        fn however_they_are_cut_the_bytes_stay_the_same(
            sizes in proptest::collection::vec(0_usize..9000, 0..6),
            cuts in proptest::collection::vec(1_usize..7000, 1..6),
        ) {
            let bytes: Vec<u8> = sizes.into_iter().flat_map(message).collect();
            let (mut pieces, mut left, mut cuts) = (Vec::new(), &bytes[..], cuts.iter().cycle());
            while !left.is_empty() {
                let (piece, rest) = left.split_at((*cuts.next().unwrap()).min(left.len()));
                pieces.push(data(piece));
                left = rest;
            }
            let total = UnderWay::new(1 << 20);
            let body = gathered(pieces, 1 << 20, &total);
            let whole = futures::executor::block_on(body.collect()).unwrap().to_bytes();
            prop_assert!(whole == bytes);
            prop_assert_eq!(total.bytes(), 0);
        }
    }
}
