//! How an HTTP request reaches a plugin.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use plugin_proto::v1;

use crate::api::async_trait;
use crate::supervisor::Supervisor;

/// Asks a plugin's `ServeHTTP`.
#[async_trait]
pub trait AskHttp: Send + Sync + 'static {
    /// Sends a request with this whole body, and gives the reply once its headers are there.
    ///
    /// # Errors
    /// [`AskHttpError`] with the status that the caller is to see instead.
    async fn ask_http(
        &self,
        plugin: Arc<Supervisor>,
        init: v1::ServeHttpRequestInit,
        body: Bytes,
    ) -> Result<HttpReply, AskHttpError>;
}

/// What a plugin replied.
pub struct HttpReply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as it comes.
    pub body: UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Debug for HttpReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body: _ } = self;
        f.debug_struct("HttpReply")
            .field("status", status)
            .field("headers", headers)
            .finish_non_exhaustive()
    }
}

/// Why a plugin gave no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct AskHttpError {
    /// What the caller is to see: 502 or 503.
    pub status: StatusCode,
    /// Why, in words.
    pub reason: String,
}
