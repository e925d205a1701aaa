//! The request of one call of `ServeHTTP`: reading it, and noting what it was.

use bytes::Bytes;
use crc32fast::Hasher;
use plugin_proto::prost::Message as _;
use plugin_proto::prost_reflect::{DynamicMessage, SerializeOptions};
use plugin_proto::{MessageType, PACKAGE, v1};
use tokio::sync::mpsc::WeakSender;
use tonic::{Status, Streaming};

use super::http_reply::Part;
use crate::report::{HttpRecord, RequestEnd};

/// The request, message by message.
pub(crate) struct HttpRequest {
    messages: Streaming<Bytes>,
    /// Closed when the caller has gone.
    reply: WeakSender<Part>,
    record: HttpRecord,
    body: Hasher,
    /// The first message, once it was read and until it is taken.
    first: Option<v1::ServeHttpRequest>,
    /// The init of the first message.
    init: v1::ServeHttpRequestInit,
    begun: bool,
    complete: bool,
    over: Option<RequestEnd>,
}

impl HttpRequest {
    pub(crate) fn new(
        messages: Streaming<Bytes>,
        reply: WeakSender<Part>,
        record: HttpRecord,
    ) -> Self {
        Self {
            messages,
            reply,
            record,
            body: Hasher::new(),
            first: None,
            init: v1::ServeHttpRequestInit::default(),
            begun: false,
            complete: false,
            over: None,
        }
    }

    /// What the first message says, which is read if it was not; later messages remain unread.
    pub(crate) async fn init(&mut self) -> Result<&v1::ServeHttpRequestInit, Status> {
        if !self.begun {
            self.first = self.read().await?;
        }
        Ok(&self.init)
    }

    /// The next message; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<v1::ServeHttpRequest>, Status> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.read().await,
        }
    }

    /// Reads until `body_complete` or the end; the length of the body.
    pub(crate) async fn body(&mut self) -> Result<u64, Status> {
        let mut bytes = 0;
        while !self.complete || self.first.is_some() {
            let Some(message) = self.next().await? else { break };
            bytes += message.body_chunk.len() as u64;
        }
        Ok(bytes)
    }

    /// Whether `body_complete` came.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether the caller or the connection broke it off.
    pub(crate) fn is_reset(&self) -> bool {
        self.over == Some(RequestEnd::Reset)
    }

    /// Reads what should not come any more.
    pub(crate) async fn drain(&mut self) {
        while let Ok(Some(_)) = self.next().await {}
    }

    async fn read(&mut self) -> Result<Option<v1::ServeHttpRequest>, Status> {
        if self.over.is_some() {
            return Ok(None);
        }
        let message = match self.messages.message().await {
            Ok(Some(message)) => message,
            Ok(None) if !self.complete && self.caller_left().await => {
                self.end(RequestEnd::Reset);
                return Err(Status::cancelled("the caller broke the call off"));
            }
            Ok(None) => {
                self.end(RequestEnd::Closed);
                return Ok(None);
            }
            Err(status) => {
                self.end(RequestEnd::Reset);
                return Err(status);
            }
        };
        let message = v1::ServeHttpRequest::decode(message).map_err(|error| {
            self.end(RequestEnd::Malformed);
            Status::invalid_argument(format!("no ServeHTTPRequest: {error}"))
        })?;
        self.note(&message);
        Ok(Some(message))
    }

    /// Whether the end of the request is the end of the call: hyper tells a stream that was reset
    /// with CANCEL and one that was closed alike. The call's other half hears of a reset too, at
    /// the latest when the tasks that wait now have had their turn.
    async fn caller_left(&self) -> bool {
        const TURNS: usize = 4;
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        self.reply.upgrade().is_some_and(|reply| reply.is_closed())
    }

    fn note(&mut self, message: &v1::ServeHttpRequest) {
        let first = !std::mem::replace(&mut self.begun, true);
        let late = self.complete;
        self.complete |= message.body_complete;
        self.body.update(&message.body_chunk);
        let crc = self.body.clone().finalize();
        let chunk = message.body_chunk.len() as u64;
        self.record.note(|call| {
            call.messages += 1;
            call.after_complete += u64::from(late);
            call.body_bytes += chunk;
            call.largest_chunk = call.largest_chunk.max(chunk);
            call.body_crc32 = crc;
            call.body_complete |= message.body_complete;
            call.late_init |= !first && message.init.is_some();
        });
        if first {
            let init = message.init.as_ref();
            self.record.event(|call| call.init = init.and_then(json));
            self.init = init.cloned().unwrap_or_default();
        } else if message.body_complete {
            self.record.event(|_| {});
        }
    }

    fn end(&mut self, end: RequestEnd) {
        self.over = Some(end);
        self.begun = true;
        self.record.event(|call| call.request_end = end);
    }
}

fn json(init: &v1::ServeHttpRequestInit) -> Option<serde_json::Value> {
    let kind = MessageType::by_name(&format!("{PACKAGE}.ServeHTTPRequestInit"))?;
    let message = DynamicMessage::decode(kind.descriptor(), &*init.encode_to_vec()).ok()?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).ok()
}
