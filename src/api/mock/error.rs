//! A mock that makes no sense.

/// Why a mock cannot be mounted. Each text names the RPC, the field, and what is allowed.
///
/// ```
/// use plugin_conformance::api::mock::{MockApi, field, rpc};
/// use serde_json::json;
///
/// let api = MockApi::new();
/// let mock = api.given(rpc("GetUser")).with(field("id").equals("abc")).respond_with(json!({}));
/// assert_eq!(
///     mock.try_mount().unwrap_err().to_string(),
///     "GetUser: the request's id: there is no field id in GetUserRequest (fields: user_id)"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MockError {
    /// `PluginAPI` has no RPC of this name.
    #[error("there is no RPC {name}{hint}")]
    UnknownRpc {
        /// The name as given.
        name: String,
        /// What was probably meant; may be empty.
        hint: String,
    },
    /// A matcher does not fit the request.
    #[error("{rpc}: the request{}: {problem}", owned(path))]
    Matcher {
        /// The RPC.
        rpc: &'static str,
        /// The field, part by part.
        path: Vec<String>,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The answer is not one of this RPC.
    #[error("{rpc}: the answer{}: {problem}", owned(path))]
    Answer {
        /// The RPC.
        rpc: &'static str,
        /// The field, part by part.
        path: Vec<String>,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// No number of calls would do.
    #[error("{rpc}: the range of expected calls is empty")]
    NoNumber {
        /// The RPC.
        rpc: &'static str,
    },
}

/// `'s a.b`, or nothing.
fn owned(path: &[String]) -> String {
    match path {
        [] => String::new(),
        path => format!("'s {}", path.join(".")),
    }
}
