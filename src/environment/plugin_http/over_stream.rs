//! How an HTTP request reaches a plugin that the environment runs: over `ServeHTTP`.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use plugin_proto::v1;

use super::{AskHttp, AskHttpError, HttpReply};
use crate::api::async_trait;
use crate::supervisor::Supervisor;

/// Asks over the plugin's own stream.
#[derive(Debug)]
pub(in super::super) struct OverStream;

#[async_trait]
impl AskHttp for OverStream {
    async fn ask_http(
        &self,
        plugin: Arc<Supervisor>,
        init: v1::ServeHttpRequestInit,
        body: Bytes,
    ) -> Result<HttpReply, AskHttpError> {
        let reply = plugin.hooks().serve_http(init, Full::new(body)).await;
        let reply = reply.map_err(|error| AskHttpError {
            status: error.http_status(),
            reason: error.to_string(),
        })?;
        Ok(HttpReply {
            status: reply.status,
            headers: reply.headers,
            body: reply.body.map_err(Into::into).boxed_unsync(),
        })
    }
}
