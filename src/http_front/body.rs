//! The two bodies of a request: what the client sends, and what it gets.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::exchange::Watched;
use crate::api::tasks::Tasks;
use crate::hooks::{ReplyBody, ServeHttpError};

/// A client's upload. What was not read of it goes back to its [`ReadOn`].
pub(super) struct UploadBody {
    incoming: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
}

impl UploadBody {
    /// The upload, and what to do with its rest, if that is worth anything.
    pub(super) fn new(incoming: Incoming) -> (Self, oneshot::Receiver<Incoming>) {
        let (back, rest) = oneshot::channel();
        (Self { incoming: Some(incoming), back: Some(back) }, rest)
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
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
        Self { content, failure: None, read_on: None, watched: None }
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
