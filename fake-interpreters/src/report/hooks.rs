//! What a report says of the hooks that were called.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest request that a report holds whole, in bytes.
const LONGEST_KEPT: usize = 64 << 10;

/// The most calls that a report has in each of its two lists: it is written anew at each
/// change.
pub(crate) const MOST_CALLS: usize = 1000;

/// One call of a unary hook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookCallReport {
    /// The hook's name.
    pub hook: String,
    /// The length of the request in bytes.
    pub request_bytes: u64,
    /// The request, as hexadecimal digits; none for a request above 64 KiB.
    pub request_hex: Option<String>,
    /// How the call ended.
    pub end: HookEnd,
}

impl HookCallReport {
    pub(crate) fn new(hook: &str, request: &[u8]) -> Self {
        let kept = request.len() <= LONGEST_KEPT;
        Self {
            hook: hook.to_owned(),
            request_bytes: request.len() as u64,
            request_hex: kept.then(|| hex::encode(request)),
            end: HookEnd::Open,
        }
    }
}

/// How a call of a unary hook ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEnd {
    /// Not yet.
    #[default]
    Open,
    /// With an answer, be it a message or a gRPC status.
    Answered,
    /// The caller gave it up before it was answered.
    Cancelled,
}

/// One call of `ServeHTTP`. What the request was is written when its first message came, at its
/// `body_complete` and at its end; what the reply was at the reply's end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpReport {
    /// The `init` of the first message as proto3 JSON: fields by their names in the contract, those
    /// not set as well, 64-bit numbers as numbers.
    pub init: Option<Value>,
    /// How many messages the request had.
    pub messages: u64,
    /// The length of the request's body in bytes.
    pub body_bytes: u64,
    /// The longest chunk in bytes.
    pub largest_chunk: u64,
    /// The CRC-32 (ISO-HDLC, as in gzip) of the request's body.
    pub body_crc32: u32,
    /// Whether a message said `body_complete`.
    pub body_complete: bool,
    /// How many messages came after the one that said so.
    pub after_complete: u64,
    /// Whether a message after the first one had an `init`.
    pub late_init: bool,
    /// How the request ended.
    pub request_end: RequestEnd,
    /// How many messages the reply had.
    pub reply_messages: u64,
    /// The length of the reply's body in bytes.
    pub reply_bytes: u64,
    /// How the reply ended.
    pub reply_end: ReplyEnd,
}

/// How the request of a call of `ServeHTTP` ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestEnd {
    /// It has not, or nobody read so far.
    #[default]
    Open,
    /// The caller closed its side.
    Closed,
    /// The caller or the connection broke it off.
    Reset,
    /// By a message that is no `ServeHTTPRequest`; nothing was read after it.
    Malformed,
}

/// How the reply of a call of `ServeHTTP` ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyEnd {
    /// It has not.
    #[default]
    Open,
    /// The stream ended with OK.
    Closed,
    /// The stream ended with another gRPC status.
    Failed,
    /// The caller went away before that.
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_requests_are_told_by_their_length() {
        let kept = HookCallReport::new("OnInstall", &[0xff; LONGEST_KEPT]);
        assert_eq!(kept.request_hex.unwrap().len(), 2 * LONGEST_KEPT);
        let told = HookCallReport::new("OnInstall", &[0xff; LONGEST_KEPT + 1]);
        assert_eq!((told.request_hex, told.request_bytes), (None, LONGEST_KEPT as u64 + 1));
    }
}
