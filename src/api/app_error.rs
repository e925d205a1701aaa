//! How an RPC fails: Mattermost's AppError.

use std::fmt;

use plugin_proto::{Method, v1};
use prost_types::Struct;

use crate::escape::escape_control;

/// A failure of the Mattermost server, as it crosses the boundary: field for field the message
/// `AppError` of the contract.
///
/// ```
/// use plugin_conformance::api::AppError;
///
/// let error = AppError::new("app.user.missing_account.const", 404)
///     .message("Unable to find the user.")
///     .at("GetUser");
/// assert_eq!(error.to_string(), "app.user.missing_account.const: Unable to find the user.");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AppError {
    /// Translation key, for example `app.user.missing_account.const`.
    pub id: String,
    /// What a person reads.
    pub message: String,
    /// What a developer reads.
    pub detailed_error: String,
    /// The request during which it happened.
    pub request_id: String,
    /// HTTP status, 100..=599; any other number travels as it is and counts as 500.
    pub status_code: i32,
    /// The function that failed.
    pub location: String,
    /// Parameters of the translated message.
    pub params: Option<Struct>,
}

impl AppError {
    /// A failure with this id and HTTP status. The message is the id until [`message`](Self::message)
    /// sets another, as it is in a server without translations.
    pub fn new(id: impl Into<String>, status_code: i32) -> Self {
        let id = id.into();
        Self { message: id.clone(), id, status_code, ..Self::default() }
    }

    /// What a method answers that nobody has implemented: 501, naming the RPC.
    pub fn not_implemented(method: &Method) -> Self {
        Self::new("plugin_api.not_implemented", 501)
            .message(format!("{} is not implemented by this server.", method.name))
            .at(method.name)
    }

    /// Sets the text that a person reads.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Sets the text that a developer reads.
    #[must_use]
    pub fn detail(mut self, detailed_error: impl Into<String>) -> Self {
        self.detailed_error = detailed_error.into();
        self
    }

    /// Sets the function that failed.
    #[must_use]
    pub fn at(mut self, location: impl Into<String>) -> Self {
        self.location = location.into();
        self
    }
}

/// One line: control characters are escaped.
impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", escape_control(&self.id), escape_control(&self.message))
    }
}

impl std::error::Error for AppError {}

impl From<AppError> for v1::AppError {
    fn from(error: AppError) -> Self {
        Self {
            id: error.id,
            message: error.message,
            detailed_error: error.detailed_error,
            request_id: error.request_id,
            status_code: error.status_code,
            r#where: error.location,
            params: error.params,
        }
    }
}

impl From<v1::AppError> for AppError {
    fn from(error: v1::AppError) -> Self {
        Self {
            id: error.id,
            message: error.message,
            detailed_error: error.detailed_error,
            request_id: error.request_id,
            status_code: error.status_code,
            location: error.r#where,
            params: error.params,
        }
    }
}
