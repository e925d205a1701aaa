//! Why a hook, or a health check, came to nothing.

use std::time::Duration;

use heck::ToSnakeCase as _;
use tonic::Status;

use crate::api::AppError;
use crate::escape::escape_control;

/// A plugin's status, in one line whatever its message is.
pub(super) fn said(status: &Status) -> String {
    format!("{} ({:?})", escape_control(status.message()), status.code())
}

/// Why a hook gave no answer, or a refusal.
///
/// As a text it is one line, in which the plugin's own words have no control characters.
///
/// What the server does then is the hook's affair, and stands in the decision of its
/// [`HookOutcome`](super::HookOutcome): this is the reason to log and to show.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// The plugin is being stopped or is gone: no call was made, or it was cut off.
    #[error("{hook} has no answer: the plugin is stopping")]
    Stopping {
        /// The hook.
        hook: &'static str,
    },
    /// No answer in time.
    #[error("{hook} did not answer within {after:?}")]
    Timeout {
        /// The hook.
        hook: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The caller no longer wants to know.
    #[error("{hook} was cancelled by its caller")]
    Cancelled {
        /// The hook.
        hook: &'static str,
    },
    /// The connection broke while the call was under way: most often, the plugin died.
    #[error("the connection to the plugin broke during {hook}: {}", escape_control(reason))]
    Disconnected {
        /// The hook.
        hook: &'static str,
        /// What the transport says.
        reason: String,
    },
    /// The plugin failed the call.
    #[error("gRPC {hook} call failed: {}", said(status))]
    Status {
        /// The hook.
        hook: &'static str,
        /// The plugin's answer.
        status: Box<Status>,
    },
    /// The plugin's answer is no such message.
    #[error("the answer to {hook} cannot be decoded: {}", escape_control(reason))]
    Malformed {
        /// The hook.
        hook: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The plugin answered with an AppError.
    #[error("{hook} was refused by the plugin: {error}")]
    Refused {
        /// The hook.
        hook: &'static str,
        /// The plugin's error, whole.
        error: Box<AppError>,
    },
}

impl HookError {
    /// The hook.
    pub fn hook(&self) -> &'static str {
        match self {
            Self::Stopping { hook }
            | Self::Timeout { hook, .. }
            | Self::Cancelled { hook }
            | Self::Disconnected { hook, .. }
            | Self::Status { hook, .. }
            | Self::Malformed { hook, .. }
            | Self::Refused { hook, .. } => hook,
        }
    }

    /// As the error that a user of the server gets: the plugin's own one if it refused, else 500
    /// with the id `plugin.grpc.<hook>.error`, as upstream names it.
    pub fn to_app_error(&self) -> AppError {
        if let Self::Refused { error, .. } = self {
            return (**error).clone();
        }
        AppError::new(format!("plugin.grpc.{}.error", self.hook().to_snake_case()), 500)
            .message("The plugin could not be asked.")
            .detail(self.to_string())
            .at(self.hook())
    }
}

/// Why a plugin is not healthy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HealthError {
    /// The plugin is being stopped or is gone.
    #[error("the plugin is not running")]
    NotRunning,
    /// No answer in time.
    #[error("the plugin did not answer a health check within {after:?}")]
    Timeout {
        /// The deadline of one ping.
        after: Duration,
    },
    /// The connection or the service failed.
    #[error(
        "plugin RPC connection is not responding: {}; a plugin must serve grpc.health.v1.Health for the service \"plugin\"",
        said(status)
    )]
    Status {
        /// gRPC's answer.
        status: Box<Status>,
    },
    /// The plugin answered that it does not serve.
    #[error("the plugin says of itself that it is {}", escape_control(status))]
    NotServing {
        /// `NOT_SERVING`, `UNKNOWN`, …
        status: String,
    },
}

#[cfg(test)]
mod tests {
    use super::super::ServeHttpError;
    use super::*;

    #[test]
    fn no_error_is_more_than_a_line() {
        let words = || "\u{1b}[2J\nforged".to_owned();
        let status = || Box::new(Status::internal(words()));
        let hook = "OnActivate";
        let error = Box::new(AppError::new(words(), 400).message(words()));
        let errors: [&dyn std::error::Error; 11] = [
            &HookError::Disconnected { hook, reason: words() },
            &HookError::Status { hook, status: status() },
            &HookError::Malformed { hook, reason: words() },
            &HookError::Refused { hook, error },
            &HealthError::Status { status: status() },
            &HealthError::NotServing { status: words() },
            &ServeHttpError::CannotOpen { reason: words() },
            &ServeHttpError::NoReply { status: Some(status()) },
            &ServeHttpError::Cut { status: status() },
            &ServeHttpError::Upload { reason: words() },
            &AppError::new("id", 400).message(words()),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.contains("\\u{1b}[2J\\nforged"), "{text}");
            assert!(!text.chars().any(char::is_control), "{text}");
        }
    }
}
