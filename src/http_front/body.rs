//! The two bodies of a request: what the client sends, and what it gets.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Sleep;

use super::exchange::Watched;
use super::stall::Taking;
use crate::api::tasks::Tasks;
use crate::hooks::{ReplyBody, ServeHttpError};

/// A client's upload. What was not read of it goes back to its [`ReadOn`].
pub(super) struct UploadBody {
    incoming: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
    stall: Duration,
    /// While the client is waited for.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Shared with the answer: a plugin's connection lasts as long as both.
    place: Option<UploadPlace>,
}

/// The place of an upload among those that may be under way.
pub(super) type UploadPlace = Arc<OwnedSemaphorePermit>;

/// Why an upload ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error(transparent)]
    Client(#[from] hyper::Error),
    #[error("{STALLED}: nothing of it came within {0:?}")]
    Stalled(Duration),
}

/// How the text of [`UploadError::Stalled`] begins.
pub(super) const STALLED: &str = "the client has stalled";

impl UploadBody {
    /// The upload, and what to do with its rest, if that is worth anything.
    pub(super) fn new(incoming: Incoming, stall: Duration) -> (Self, oneshot::Receiver<Incoming>) {
        let (back, rest) = oneshot::channel();
        let (incoming, back) = (Some(incoming), Some(back));
        (Self { incoming, back, stall, stalled: None, place: None }, rest)
    }

    /// Keeps the place until the upload is over.
    pub(super) fn keep(&mut self, place: UploadPlace) {
        self.place = Some(place);
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = self.get_mut();
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(incoming).poll_frame(cx) {
            this.stalled = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = this.stall;
        let stalled = this.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Some(Err(UploadError::Stalled(limit))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for UploadBody {
    fn drop(&mut self) {
        if let (Some(incoming), Some(back)) = (self.incoming.take(), self.back.take())
            && !incoming.is_end_stream()
        {
            let _ = back.send(incoming);
        }
    }
}

/// Reads on what a client still sends after its reply, so that it gets to reading that.
pub(super) struct ReadOn {
    pub(super) rest: oneshot::Receiver<Incoming>,
    pub(super) limit: Duration,
    pub(super) tasks: Tasks,
}

impl ReadOn {
    async fn run(self) {
        let reading = async {
            // The upload comes back when the plugin's stream has let go of it.
            let Ok(mut rest) = self.rest.await else { return };
            while let Some(Ok(_)) = rest.frame().await {}
        };
        let _ = tokio::time::timeout(self.limit, reading).await;
    }
}

/// What the client gets.
pub(super) struct AnswerBody {
    content: Content,
    failure: Option<ServeHttpError>,
    read_on: Option<ReadOn>,
    watched: Option<Watched>,
    taking: Option<Taking>,
    place: Option<UploadPlace>,
}

enum Content {
    Text(Full<Bytes>),
    Reply(Box<ReplyBody>),
}

impl AnswerBody {
    /// An answer of the server's own.
    pub(super) fn text(text: String) -> Self {
        Self::new(Content::Text(Full::from(text)))
    }

    /// A plugin's reply.
    pub(super) fn reply(reply: ReplyBody) -> Self {
        Self::new(Content::Reply(Box::new(reply)))
    }

    fn new(content: Content) -> Self {
        Self { content, failure: None, read_on: None, watched: None, taking: None, place: None }
    }

    /// Keeps the upload's place until the answer has ended.
    pub(super) fn keep(&mut self, place: Option<UploadPlace>) {
        self.place = place;
    }

    /// Gives the answer up when its client takes nothing of it for too long.
    pub(super) fn watch(mut self, limit: Duration, tasks: &Tasks) -> Self {
        self.taking = (!self.is_end_stream()).then(|| Taking::watch(limit, tasks));
        self
    }

    /// Reads on, and tells, when the answer has ended.
    pub(super) fn then(mut self, read_on: Option<ReadOn>, watched: Watched) -> Self {
        self.read_on = read_on;
        self.watched = Some(watched);
        self
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = ServeHttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ServeHttpError>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let frame = match &mut self.content {
            Content::Text(text) => Pin::new(text).poll_frame(cx).map_err(|never| match never {}),
            Content::Reply(reply) => Pin::new(&mut **reply).poll_frame(cx),
        };
        if let Poll::Ready(Some(Err(failure))) = frame {
            if failure.blames_plugin() {
                tracing::warn!(error = %failure, "a plugin's reply is cut");
            } else {
                tracing::debug!(error = %failure, "a client's upload failed during the reply");
            }
            if let Some(watched) = &mut self.watched {
                watched.cut(failure.to_string());
            }
            // hyper sends what it has before it asks again. What came in time arrives.
            self.failure = Some(failure);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let ended = matches!(frame, Poll::Ready(None));
        if let Some(taking) = &self.taking {
            match &frame {
                Poll::Pending => taking.asked(),
                Poll::Ready(_) => taking.given(),
            }
        }
        if let (Poll::Ready(Some(Ok(frame))), Some(watched)) = (&frame, &mut self.watched) {
            watched.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        if let (true, Some(watched)) = (ended, &mut self.watched) {
            watched.whole();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.failure.is_none()
            && match &self.content {
                Content::Text(text) => text.is_end_stream(),
                Content::Reply(reply) => reply.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => text.size_hint(),
            Content::Reply(reply) => reply.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let (Some(taking), Some(watched)) = (&self.taking, &mut self.watched)
            && taking.is_given_up()
        {
            watched.cut("the client took nothing of it for too long".to_owned());
        }
        // A connection that has sent all it promised does not ask for the end.
        let rest = self.size_hint().exact();
        let ended = self.is_end_stream() || rest == Some(0);
        if let (true, Some(watched)) = (ended, &mut self.watched) {
            watched.whole();
        }
        // Dropped by its connection's task; at the end of the runtime there is nothing to read on.
        if let Some(read_on) = self.read_on.take()
            && Handle::try_current().is_ok()
        {
            read_on.tasks.clone().spawn(read_on.run());
        }
    }
}
