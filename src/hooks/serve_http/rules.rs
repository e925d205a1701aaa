//! The rules of a reply's stream, message by message. Nothing here waits, and nothing is sent.

use std::collections::VecDeque;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use plugin_proto::v1;

use super::error::ServeHttpError;
use super::headers::{content_length, reply_headers};

/// A part of a reply's body, as the plugin sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyPart {
    /// May be empty.
    pub chunk: Bytes,
    /// The plugin asks that everything so far be sent to the client now.
    pub flush: bool,
}

/// What the messages of one reply come to: they are put in as they arrive, and parts of the body,
/// or why the reply is not whole, are taken out.
///
/// [`ServeHttpReply`](super::ServeHttpReply) puts a plugin's stream through it; by itself it serves
/// whoever has such messages from elsewhere.
///
/// ```
/// use plugin_conformance::hooks::ReplyRules;
/// use plugin_proto::v1;
///
/// let first = v1::ServeHttpResponse { body_chunk: "he".into(), ..Default::default() };
/// let (status, headers, mut rules) = ReplyRules::begin("GET", first).unwrap();
/// assert_eq!((status.as_u16(), headers.len()), (200, 0));
/// assert_eq!(rules.take().unwrap().unwrap().chunk, "he");
/// rules.closed();
/// assert!(rules.take().is_none() && rules.is_over());
/// ```
#[derive(Debug)]
pub struct ReplyRules {
    /// Not yet taken.
    parts: VecDeque<ReplyPart>,
    length: Option<Length>,
    without_body: bool,
    /// To be told after what came before it.
    failure: Option<ServeHttpError>,
    over: bool,
}

/// The plugin's `Content-Length` and how much of it has been seen, in bytes.
#[derive(Debug, Clone, Copy)]
struct Length {
    promised: u64,
    sent: u64,
}

impl ReplyRules {
    /// Takes in the first message, the answer to a request with this method.
    ///
    /// # Errors
    /// [`ServeHttpError::BadStatus`], or a body that is longer or shorter than the plugin's
    /// `Content-Length`: nothing has been handed on yet, so a client can still be told.
    pub fn begin(
        method: &str,
        mut first: v1::ServeHttpResponse,
    ) -> Result<(StatusCode, HeaderMap, Self), ServeHttpError> {
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
        let length = promised.filter(|_| !without_body);
        let mut rules = Self {
            parts: VecDeque::new(),
            length: length.map(|promised| Length { promised, sent: 0 }),
            without_body,
            failure: None,
            over: false,
        };
        rules.message(first);
        match rules.failure.take() {
            Some(failure) => Err(failure),
            None => Ok((status, headers, rules)),
        }
    }

    /// Takes in a message after the first one. What comes after the end is passed over.
    pub fn message(&mut self, mut message: v1::ServeHttpResponse) {
        if self.over {
            return;
        }
        if message.init.is_some() {
            return self.cut(ServeHttpError::Broken { reason: "it sent init a second time" });
        }
        if self.without_body {
            message.body_chunk.clear();
        }
        if let Some(length) = &mut self.length {
            let sent = length.sent + message.body_chunk.len() as u64;
            if sent > length.promised {
                // Not counted: what is not sent is still owed, so that the cut shows.
                let promised = length.promised;
                return self.cut(ServeHttpError::WrongLength { promised, longer: true });
            }
            length.sent = sent;
        }
        if !message.body_chunk.is_empty() || message.flush {
            self.parts.push_back(ReplyPart { chunk: message.body_chunk, flush: message.flush });
        }
        if message.body_complete {
            self.closed();
        }
    }

    /// The plugin says that this was all, by `body_complete` or by the end of the stream.
    pub fn closed(&mut self) {
        if self.over {
            return;
        }
        self.over = true;
        self.failure =
            self.owed().filter(|owed| *owed > 0).and(self.length).map(|length| {
                ServeHttpError::WrongLength { promised: length.promised, longer: false }
            });
    }

    /// The reply was cut.
    pub fn cut(&mut self, failure: ServeHttpError) {
        if !self.over {
            self.over = true;
            self.failure = Some(failure);
        }
    }

    /// The next part, or why the reply is not whole; `None` while there is neither.
    pub fn take(&mut self) -> Option<Result<ReplyPart, ServeHttpError>> {
        self.parts.pop_front().map(Ok).or_else(|| self.failure.take().map(Err))
    }

    /// Whether no message is waited for any more: the reply is whole, or failed.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the plugin has ended its reply, and not something else.
    pub(super) fn is_ended(&self) -> bool {
        self.over
            && matches!(
                self.failure,
                None | Some(ServeHttpError::WrongLength { longer: false, .. })
            )
    }

    /// Whether HTTP allows no body here: what the plugin sends of it is dropped.
    pub fn without_body(&self) -> bool {
        self.without_body
    }

    /// How many bytes the plugin's `Content-Length` still promises; `None` if it said none.
    pub fn owed(&self) -> Option<u64> {
        self.length.map(|Length { promised, sent }| promised - sent.min(promised))
    }

    /// The bytes that can be taken now.
    pub(super) fn ready(&self) -> usize {
        self.parts.iter().map(|part| part.chunk.len()).sum()
    }

    /// Whether it is over and nothing is wrong, or what was wrong has been taken.
    pub(super) fn is_whole(&self) -> bool {
        self.over && self.failure.is_none()
    }
}
