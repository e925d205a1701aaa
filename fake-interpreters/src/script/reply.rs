//! The argument of the step `reply`: how `ServeHTTP` is answered.

use bytes::Bytes;
use plugin_proto::v1;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::arguments::{Crash, Fail};

/// The size of a chunk that nobody chose; the largest that a server must expect.
const CHUNK_BYTES: usize = 64 << 10;

/// The largest chunk: a message with it is one that any side takes.
const MOST_CHUNK_BYTES: usize = 32 << 20;

/// How `ServeHTTP` is answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "ReplyFields")]
pub struct Reply {
    /// What is read before the reply begins.
    pub read: Read,
    /// The status and the headers.
    pub head: v1::ServeHttpResponseInit,
    /// Where they stand.
    pub init: Init,
    /// The status of another init, in the message after the first one.
    pub second_init: Option<i32>,
    /// The body.
    pub body: Body,
    /// The size of a chunk; the last one may be smaller.
    pub chunk_bytes: usize,
    /// The chunks with `flush`.
    pub flush: Flush,
    /// A chunk that follows `body_complete`.
    pub after_complete: Option<Bytes>,
    /// How the reply ends.
    pub end: End,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyFields {
    #[serde(default)]
    read: Read,
    #[serde(default = "ok")]
    status: i32,
    #[serde(default)]
    headers: Value,
    #[serde(default)]
    init: Init,
    second_init: Option<i32>,
    body: Option<String>,
    body_bytes: Option<BodyBytes>,
    #[serde(default = "chunk_bytes")]
    chunk_bytes: usize,
    #[serde(default)]
    flush: Flush,
    after_complete: Option<String>,
    #[serde(default)]
    end: End,
}

fn ok() -> i32 {
    200
}

fn chunk_bytes() -> usize {
    CHUNK_BYTES
}

impl TryFrom<ReplyFields> for Reply {
    type Error = String;

    fn try_from(fields: ReplyFields) -> Result<Self, String> {
        if !(1..=MOST_CHUNK_BYTES).contains(&fields.chunk_bytes) {
            let size = fields.chunk_bytes;
            return Err(format!("chunk_bytes is {size}; it must be from 1 to {MOST_CHUNK_BYTES}"));
        }
        if fields.after_complete.is_some() && fields.end != End::Complete {
            return Err("`after_complete` needs `end: complete`".to_owned());
        }
        let body = match (fields.body, fields.body_bytes) {
            (None, None) => Body::Text(Bytes::new()),
            (Some(_), Some(_)) => {
                return Err("`body` and `body_bytes` are two ways to say one thing".to_owned());
            }
            _ if fields.read == Read::Echo => {
                return Err("with `read: echo` the request's body is the reply's: \
                     neither `body` nor `body_bytes` may be said"
                    .to_owned());
            }
            (Some(text), None) => Body::Text(text.into()),
            (None, Some(BodyBytes::Number(bytes))) => Body::Letters(bytes),
            (None, Some(BodyBytes::Word(BodyWord::FromPath))) => Body::LettersFromPath,
        };
        let head = v1::ServeHttpResponseInit {
            status_code: fields.status,
            headers: headers(fields.headers)?,
        };
        Ok(Self {
            read: fields.read,
            head,
            init: fields.init,
            second_init: fields.second_init,
            body,
            chunk_bytes: fields.chunk_bytes,
            flush: fields.flush,
            after_complete: fields.after_complete.map(Bytes::from),
            end: fields.end,
        })
    }
}

/// What is read before the reply begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// Everything until `body_complete`, or until the stream ends.
    #[default]
    All,
    /// The first message.
    First,
    /// Nothing.
    None,
    /// Each message, and its chunk is sent back before the next one is read.
    Echo,
}

/// Where the init stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// In the message with the first chunk.
    #[default]
    WithBody,
    /// In a message of its own.
    Alone,
    /// Nowhere.
    None,
}

/// A reply's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// This text.
    Text(Bytes),
    /// So many [letters](crate::sample::letters).
    Letters(u64),
    /// As many letters as the last part of the path says: 7 for `/bytes/7`.
    LettersFromPath,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "body_bytes must be a number of bytes or `from_path`")]
enum BodyBytes {
    Number(u64),
    Word(BodyWord),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum BodyWord {
    FromPath,
}

/// The chunks with `flush`, counted from 0; an init alone is no chunk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "flush must be true, false or a list of chunks, counted from 0")]
pub enum Flush {
    /// Each of them, or none.
    Each(bool),
    /// These.
    These(Vec<u64>),
}

impl Default for Flush {
    fn default() -> Self {
        Self::Each(false)
    }
}

impl Flush {
    pub(crate) fn is_on(&self, chunk: u64) -> bool {
        match self {
            Self::Each(each) => *each,
            Self::These(these) => these.contains(&chunk),
        }
    }
}

/// How a reply ends.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// With `body_complete` on the last message.
    #[default]
    Complete,
    /// The stream ends without it.
    Close,
    /// The stream ends with a gRPC status.
    Fail(Fail),
    /// It does not: nothing more comes.
    Hang,
    /// The process dies of a signal.
    Crash(Crash),
    /// It does not: letters follow for ever.
    Endless,
}

/// `{key: value}`, `{key: [value, value]}` or `[{key: .., values: [..]}]`.
fn headers(json: Value) -> Result<Vec<v1::HttpHeader>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Entry {
        key: String,
        #[serde(deserialize_with = "values")]
        values: Vec<String>,
    }
    fn values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(value) => Ok(vec![value]),
            list => serde_json::from_value(list).map_err(de::Error::custom),
        }
    }
    let entries = match json {
        Value::Null => Vec::new(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, values)| serde_json::json!({"key": key, "values": values}))
            .collect(),
        Value::Array(list) => list,
        _ => vec![json],
    };
    let entries: Result<Vec<Entry>, _> = entries.into_iter().map(serde_json::from_value).collect();
    let entries = entries.map_err(|error| {
        format!(
            "headers: {error}; they are a map of texts or lists of texts, \
             or a list of {{key: .., values: [..]}}"
        )
    })?;
    Ok(entries.into_iter().map(|Entry { key, values }| v1::HttpHeader { key, values }).collect())
}
