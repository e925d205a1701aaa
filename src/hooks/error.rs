//! Why a hook, or a health check, came to nothing.

use std::time::Duration;

use heck::ToSnakeCase as _;
use tonic::Status;

use crate::api::AppError;

/// Why a hook gave no answer, or a refusal.
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
    #[error("the connection to the plugin broke during {hook}: {reason}")]
    Disconnected {
        /// The hook.
        hook: &'static str,
        /// What the transport says.
        reason: String,
    },
    /// The plugin failed the call.
    #[error("gRPC {hook} call failed: {} ({:?})", status.message(), status.code())]
    Status {
        /// The hook.
        hook: &'static str,
        /// The plugin's answer.
        status: Box<Status>,
    },
    /// The plugin's answer is no such message.
    #[error("the answer to {hook} cannot be decoded: {reason}")]
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
    #[error("plugin RPC connection is not responding: {} ({:?}); a plugin must serve grpc.health.v1.Health for the service \"plugin\"", status.message(), status.code())]
    Status {
        /// gRPC's answer.
        status: Box<Status>,
    },
    /// The plugin answered that it does not serve.
    #[error("the plugin says of itself that it is {status}")]
    NotServing {
        /// `NOT_SERVING`, `UNKNOWN`, …
        status: String,
    },
}
