//! A request on its way through the matchers.

use bytes::Bytes;
use plugin_proto::Method;
use plugin_proto::prost::DecodeError;
use plugin_proto::prost_reflect::DynamicMessage;
use serde_json::Value;

use crate::api::{json, shown};

pub(super) struct Request {
    pub(super) method: &'static Method,
    pub(super) message: DynamicMessage,
    pub(super) json: Value,
}

impl Request {
    pub(super) fn decode(method: &'static Method, bytes: Bytes) -> Result<Self, DecodeError> {
        let message = DynamicMessage::decode(method.request_descriptor(), bytes)?;
        let json = json::of_message(&message);
        Ok(Self { method, message, json })
    }

    /// `GetUser {"user_id":"abc"}`.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.method.name, self.shown_message())
    }

    /// `{"user_id":"abc"}`.
    pub(super) fn shown_message(&self) -> String {
        json::short(&shown::of_message(&self.message))
    }
}
