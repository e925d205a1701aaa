use http::StatusCode;
use tonic::Status;

use crate::escape::escape_control;
use crate::hooks::error::said;

/// Why a plugin gave no reply to an HTTP request, or only a part of one.
///
/// As a text it is one line, in which the plugin's own words have no control characters.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServeHttpError {
    /// The plugin did not name `ServeHTTP` in `Implemented`: nothing was sent.
    #[error("the plugin does not implement ServeHTTP")]
    NotImplemented,
    /// The plugin is being stopped or is gone: nothing was sent.
    #[error("ServeHTTP was not called: the plugin is stopping")]
    Stopping,
    /// The plugin has as much to do as it may: nothing was sent.
    #[error(
        "ServeHTTP was not called: the plugin has {most} {what} open, as many as it may (HookLimits)"
    )]
    Busy {
        /// `requests` or `uploads`.
        what: &'static str,
        /// How many it may have.
        most: usize,
    },
    /// The stream could not be opened.
    #[error("the ServeHTTP stream to the plugin cannot be opened: {}", escape_control(reason))]
    CannotOpen {
        /// What stood in the way.
        reason: String,
    },
    /// The stream failed, or ended, before its first message.
    #[error("the plugin sent no reply: {}", .status.as_ref().map_or_else(|| "the ServeHTTP stream ended without a message".to_owned(), |status| said(status)))]
    NoReply {
        /// gRPC's answer; `None` for a stream that ended well.
        status: Option<Box<Status>>,
    },
    /// The reply's status code is neither 0 nor in 100..=999.
    #[error(
        "the plugin sent the invalid status code {code}; 100 to 999 are valid, 0 stands for 200"
    )]
    BadStatus {
        /// The code.
        code: i32,
    },
    /// A message after the first one broke the stream's rules.
    #[error("the plugin broke off its reply: {reason}")]
    Broken {
        /// The rule.
        reason: &'static str,
    },
    /// The stream failed after the first message: the reply is not whole.
    #[error("the plugin's reply was cut: {}", said(status))]
    Cut {
        /// gRPC's answer.
        status: Box<Status>,
    },
    /// The body is longer or shorter than the plugin's own `Content-Length`.
    #[error("the plugin promised {promised} bytes in Content-Length and sent {}", if *longer { "more" } else { "less" })]
    WrongLength {
        /// `Content-Length`, in bytes.
        promised: u64,
        /// Whether there was more.
        longer: bool,
    },
    /// The request's body could not be read to its end; the plugin's stream was cancelled.
    #[error("the body of the request could not be read: {}", escape_control(reason))]
    Upload {
        /// What the body's source said.
        reason: String,
    },
}

impl ServeHttpError {
    /// What the client should be answered, as long as nothing else was.
    pub fn http_status(&self) -> StatusCode {
        match self {
            Self::NotImplemented => StatusCode::NOT_FOUND,
            Self::Stopping | Self::Busy { .. } | Self::CannotOpen { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::BadStatus { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Upload { .. } => StatusCode::BAD_REQUEST,
            Self::NoReply { .. }
            | Self::Broken { .. }
            | Self::Cut { .. }
            | Self::WrongLength { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether it is the plugin's fault: neither the client's nor that of the moment.
    pub fn blames_plugin(&self) -> bool {
        match self {
            Self::NotImplemented | Self::Stopping | Self::Busy { .. } | Self::Upload { .. } => {
                false
            }
            Self::CannotOpen { .. }
            | Self::NoReply { .. }
            | Self::BadStatus { .. }
            | Self::Broken { .. }
            | Self::Cut { .. }
            | Self::WrongLength { .. } => true,
        }
    }
}
