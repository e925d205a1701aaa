//! The hook `ServeHTTP`: one HTTP request and its reply on a stream of messages in each direction.
//!
//! - The request goes out in messages of at most [`CHUNK_BYTES`]; the first one has `init`, the last
//!   one `body_complete`. A body is read only as fast as the plugin takes it.
//! - The reply is pulled from the plugin only as fast as [`ReplyBody`] is read.
//! - Whoever drops the call or its [`ReplyBody`] cancels the stream at once, even while the plugin
//!   has stopped reading. A reply that is complete ends the upload in the same way.
//!
//! A call has no deadline of its own, for a download may last for hours; only opening the stream has
//! one. The caller who loses patience drops it.

mod call;
mod error;
mod headers;
mod reply;
mod request;
mod rules;
mod upload;

pub use error::ServeHttpError;
pub use headers::http_headers;
pub use reply::{ReplyBody, ServeHttpReply};
pub use request::CHUNK_BYTES;
pub use rules::{ReplyPart, ReplyRules};

pub(crate) use headers::remove_hop_by_hop;
