//! Spying: the calls that came.

use std::fmt;

use plugin_proto::Method;
use plugin_proto::prost_reflect::DynamicMessage;
use serde_json::Value;

use super::ApiRequest;
use crate::api::{json, shown};

/// A call that a [`MockApi`](super::MockApi) received.
#[derive(Clone)]
pub struct ReceivedCall {
    /// The RPC.
    pub method: &'static Method,
    /// The request.
    pub request: DynamicMessage,
    /// Who answered it.
    pub answered_by: AnsweredBy,
}

/// Secrets are not shown.
impl fmt::Debug for ReceivedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedCall")
            .field("method", &self.method.name)
            .field("request", &format_args!("{}", shown::of_message(&self.request)))
            .field("answered_by", &self.answered_by)
            .finish()
    }
}

/// Who answered a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The mock with this number, from 1 in the order of mounting.
    Mock(usize),
    /// The API set with [`MockApi::otherwise`](super::MockApi::otherwise).
    Otherwise,
    /// Nobody: the call got the AppError `plugin_api.mock.unmatched`.
    Nobody,
}

impl ReceivedCall {
    /// The request as this type; `None` if the call is of another RPC.
    ///
    /// ```no_run
    /// # let api = plugin_conformance::api::mock::MockApi::new();
    /// use plugin_proto::v1::GetUserRequest;
    ///
    /// let first = &api.received_of("GetUser")[0];
    /// assert_eq!(first.decode::<GetUserRequest>().unwrap().user_id, "abc");
    /// ```
    pub fn decode<Q: ApiRequest>(&self) -> Option<Q> {
        let ours = self.method.index == Q::method().index;
        ours.then(|| self.request.transcode_to().ok())?
    }

    /// The request as JSON, without the fields that are unset, but with its secrets.
    ///
    /// ```no_run
    /// # let api = plugin_conformance::api::mock::MockApi::new();
    /// let first = &api.received()[0];
    /// assert_eq!(first.json()["user_id"], "abc");
    /// ```
    pub fn json(&self) -> Value {
        json::of_message(&self.request)
    }
}
