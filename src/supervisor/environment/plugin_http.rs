//! HTTP requests from plugin to plugin.

mod ask;
mod call;

pub use ask::{AskHttp, AskHttpError, HttpReply};
pub(super) use call::plugin_http;
