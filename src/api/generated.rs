//! The API whose every answer is known beforehand.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use plugin_proto::prost::Message;
use plugin_proto::{Method, sample, v1};

use super::app_error::AppError;
use super::dynamic::{Dynamic, DynamicApi};
use super::plugin_api::PluginApi;

/// What `GetServerVersion` says unless told otherwise.
pub const DEFAULT_VERSION: &str = "11.2.0";

/// Answers every RPC with a message generated from its descriptor: `check` expects just these on
/// the other side of the process boundary, `serve` serves them.
#[derive(Debug, Clone)]
pub struct GeneratedApi {
    version: String,
    failing: bool,
}

impl GeneratedApi {
    /// Every RPC succeeds; `GetServerVersion` says `version`.
    pub fn answering(version: impl Into<String>) -> Arc<dyn PluginApi> {
        Arc::new(Dynamic(Self { version: version.into(), failing: false }))
    }

    /// Every RPC fails, with an AppError generated from its name.
    pub fn failing() -> Arc<dyn PluginApi> {
        Arc::new(Dynamic(Self { version: String::new(), failing: true }))
    }
}

#[async_trait]
impl DynamicApi for GeneratedApi {
    async fn call(&self, method: &'static Method, _request: Bytes) -> Result<Bytes, AppError> {
        if self.failing {
            return Err(sample::app_error(method).into());
        }
        if method.name == "GetServerVersion" {
            let version = self.version.clone();
            let response = v1::GetServerVersionResponse { version, ..Default::default() };
            return Ok(response.encode_to_vec().into());
        }
        Ok(sample::response(method))
    }
}
