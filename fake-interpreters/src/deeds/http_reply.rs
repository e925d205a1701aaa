//! The reply of one call of `ServeHTTP`: composing its messages as a script says.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use plugin_proto::prost::Message as _;
use plugin_proto::{sample, v1};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::oneshot;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::outgoing::Outgoing;
use crate::report::HttpRecord;
use crate::script::{End, Init, Reply};

/// The caller has gone: nobody reads the reply any more.
pub(crate) struct Gone;

/// What goes into the stream of a reply.
pub(crate) enum Part {
    Message(Bytes),
    /// Ends the stream.
    Fail(Status),
    /// Nothing that is sent; it is dropped when the transport has taken everything before it.
    Mark(#[expect(dead_code, reason = "only its end says something")] oneshot::Sender<()>),
}

/// Where encoded replies go. It holds one message until the transport takes it: a caller that does
/// not read holds up whoever writes.
#[derive(Clone)]
pub(crate) struct HttpSender {
    pub(crate) messages: Sender<Part>,
    pub(crate) record: HttpRecord,
}

impl HttpSender {
    pub(crate) async fn message(&self, message: &v1::ServeHttpResponse) -> Result<(), Gone> {
        let bytes = message.encode_to_vec().into();
        self.messages.send(Part::Message(bytes)).await.map_err(|_| Gone)?;
        self.record.note(|call| {
            call.reply_messages += 1;
            call.reply_bytes += message.body_chunk.len() as u64;
        });
        Ok(())
    }

    /// Ends the stream.
    pub(crate) async fn fail(&self, status: Status) -> Result<(), Gone> {
        self.messages.send(Part::Fail(status)).await.map_err(|_| Gone)
    }
}

/// Waits until what was sent is with the kernel; not if the caller has gone.
pub(crate) async fn sent(messages: &Sender<Part>, outgoing: &Outgoing) {
    let (mark, taken) = oneshot::channel();
    if messages.send(Part::Mark(mark)).await.is_ok() {
        let _ = taken.await;
    }
    outgoing.left().await;
}

/// What a call gives back: the messages of the reply, or why there are none.
pub(crate) type HttpReplies = Result<BoxStream<'static, Result<Bytes, Status>>, Status>;

/// Waits for the first message: like the Python SDK's, a server that has nothing to say yet sends
/// no headers either, and one that fails at once sends nothing but its status.
pub(crate) async fn replies(mut receiver: Receiver<Part>) -> HttpReplies {
    let first = loop {
        match receiver.recv().await {
            Some(Part::Message(message)) => break message,
            Some(Part::Fail(status)) => return Err(status),
            Some(Part::Mark(_)) => {}
            None => return Ok(futures::stream::empty().boxed()),
        }
    };
    let rest = ReceiverStream::new(receiver).filter_map(async |part| match part {
        Part::Message(message) => Some(Ok(message)),
        Part::Fail(status) => Some(Err(status)),
        Part::Mark(_) => None,
    });
    Ok(futures::stream::iter([Ok(first)]).chain(rest).boxed())
}

/// Puts chunks into messages.
pub(crate) struct Composer<'a> {
    reply: &'a Reply,
    sender: &'a HttpSender,
    messages: u64,
    chunks: u64,
    init_due: bool,
}

impl<'a> Composer<'a> {
    pub(crate) fn new(reply: &'a Reply, sender: &'a HttpSender) -> Self {
        Self { reply, sender, messages: 0, chunks: 0, init_due: reply.init != Init::None }
    }

    /// Sends the init, if it is to stand alone.
    pub(crate) async fn begin(&mut self) -> Result<(), Gone> {
        if self.reply.init != Init::Alone {
            return Ok(());
        }
        self.init_due = false;
        let init = Some(self.reply.head.clone());
        self.send(v1::ServeHttpResponse { init, ..Default::default() }).await
    }

    /// Sends one chunk; `last`: no other follows.
    pub(crate) async fn chunk(&mut self, body_chunk: Bytes, last: bool) -> Result<(), Gone> {
        let second = self.reply.second_init.filter(|_| self.messages == 1);
        let init = match second {
            Some(status_code) => Some(v1::ServeHttpResponseInit { status_code, headers: vec![] }),
            None => std::mem::take(&mut self.init_due).then(|| self.reply.head.clone()),
        };
        let second_to_come = self.reply.second_init.is_some() && self.messages == 0;
        let body_complete = last && !second_to_come && self.reply.end == End::Complete;
        let flush = self.reply.flush.is_on(self.chunks);
        self.chunks += 1;
        self.send(v1::ServeHttpResponse { init, body_chunk, body_complete, flush }).await?;
        if last && second_to_come {
            let status_code = self.reply.second_init.unwrap_or_default();
            let init = Some(v1::ServeHttpResponseInit { status_code, headers: vec![] });
            let body_complete = self.reply.end == End::Complete;
            self.send(v1::ServeHttpResponse { init, body_complete, ..Default::default() }).await?;
        }
        match &self.reply.after_complete {
            Some(late) if last => {
                let body_chunk = late.clone();
                self.send(v1::ServeHttpResponse { body_chunk, ..Default::default() }).await
            }
            _ => Ok(()),
        }
    }

    async fn send(&mut self, message: v1::ServeHttpResponse) -> Result<(), Gone> {
        self.messages += 1;
        self.sender.message(&message).await
    }
}

/// A body in chunks: first a text, then letters. Nothing of the letters is held but one period.
pub(crate) struct Chunks {
    text: Bytes,
    letters: u64,
    sent: u64,
    size: usize,
    /// A chunk and a period of letters, of which every chunk is a part.
    pattern: Bytes,
}

impl Chunks {
    pub(crate) fn new(text: Bytes, letters: u64, size: usize) -> Self {
        let pattern = if letters > 0 { sample::letters(0, size + 26) } else { Bytes::new() };
        Self { text, letters, sent: 0, size, pattern }
    }

    /// The next chunk, an empty one when there is none, and whether it is the last.
    pub(crate) fn next(&mut self) -> (Bytes, bool) {
        let chunk = if self.text.is_empty() {
            let length = self.letters.min(self.size as u64);
            let from = (self.sent % 26) as usize;
            self.letters -= length;
            self.sent += length;
            self.pattern.slice(from..from + length as usize)
        } else {
            self.text.split_to(self.size.min(self.text.len()))
        };
        (chunk, self.text.is_empty() && self.letters == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_the_body_and_the_last_one_is_known() {
        for (letters, size, count) in [(0, 7, 1), (7, 7, 1), (8, 7, 2), (1000, 27, 38)] {
            let mut chunks = Chunks::new(Bytes::new(), letters, size);
            let (mut body, mut seen) = (Vec::new(), 0);
            loop {
                let (chunk, last) = chunks.next();
                body.extend_from_slice(&chunk);
                seen += 1;
                if last {
                    break;
                }
            }
            assert_eq!(seen, count);
            assert_eq!(body, sample::letters(0, letters as usize));
        }
        let mut chunks = Chunks::new(Bytes::from_static(b"abc"), 3, 2);
        let all: Vec<_> = std::iter::repeat_with(|| chunks.next()).take(4).collect();
        let all: Vec<_> = all.iter().map(|(chunk, last)| (&chunk[..], *last)).collect();
        assert_eq!(all[..3], [(&b"ab"[..], false), (b"c", false), (b"XY", false)]);
        assert_eq!(all[3], (&b"Z"[..], true));
    }
}
