//! HTTP requests from plugin to plugin.

mod ask;
mod call;
mod over_stream;

pub use ask::{AskHttp, AskHttpError, HttpReply};
pub(super) use call::plugin_http;
pub(super) use over_stream::OverStream;
