//! The cases of an RPC: what is asked, and what the server answers.

use bytes::Bytes;
use fake_interpreters::sample;
use plugin_proto::prost::Message as _;
use plugin_proto::prost_reflect::DynamicMessage;
use plugin_proto::{Method, v1};
use tonic::Status;

use super::values;
use crate::api::{embedded_failure, status_failure};

/// What the server does with the case's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseKind {
    /// It answers with every field filled. The number says which booleans are true.
    Answer(u32),
    /// It answers with fields that the contract does not know, beside all that it knows.
    UnknownFields,
    /// It answers with no field at all.
    Empty,
    /// It fails with an AppError in the response.
    ErrorEmbedded,
    /// It fails with an AppError as a gRPC status.
    ErrorStatus,
    /// It fails with UNAVAILABLE.
    Unavailable,
    /// It fails with DEADLINE_EXCEEDED.
    DeadlineExceeded,
    /// It drops the connection.
    Dropped,
}

impl CaseKind {
    /// The cases of `method`, in the order in which they are asked.
    pub fn of(method: &Method) -> Vec<Self> {
        let answers = (0..values::patterns(&method.response_descriptor())).map(Self::Answer);
        // The connection goes last, so that it is made once per RPC.
        answers
            .chain([
                Self::UnknownFields,
                Self::Empty,
                Self::ErrorEmbedded,
                Self::ErrorStatus,
                Self::Unavailable,
                Self::DeadlineExceeded,
                Self::Dropped,
            ])
            .collect()
    }

    /// Whether it is asked of all RPCs before anything is judged.
    pub const fn is_surveyed(self) -> bool {
        matches!(self, Self::Answer(0) | Self::ErrorEmbedded)
    }

    /// Whether a client may send the request again of its own accord.
    pub const fn may_be_retried(self) -> bool {
        matches!(
            self,
            Self::ErrorStatus | Self::Unavailable | Self::DeadlineExceeded | Self::Dropped
        )
    }
}

impl std::fmt::Display for CaseKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Answer(_) => "a filled answer",
            Self::UnknownFields => "an answer with unknown fields",
            Self::Empty => "an empty answer",
            Self::ErrorEmbedded => "an AppError in the response",
            Self::ErrorStatus => "an AppError as a gRPC status",
            Self::Unavailable => "UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Dropped => "a dropped connection",
        })
    }
}

/// One case, ready to be asked.
#[derive(Debug, Clone)]
pub struct Case {
    /// The RPC.
    pub method: &'static Method,
    /// What the server does.
    pub kind: CaseKind,
    /// The number by which the driver knows it: unique in a run.
    pub number: u64,
    /// What the driver is asked to send.
    pub request: DynamicMessage,
    /// What the server answers, if it answers.
    pub answer: DynamicMessage,
}

/// What the server does.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Bytes(Bytes),
    Fail(Box<Status>),
    Drop,
}

impl Case {
    /// The cases of `method`. Numbers begin with `first`.
    pub(super) fn all(method: &'static Method, first: u64) -> Vec<Self> {
        let of = |(place, kind)| {
            let number = first + place as u64;
            let pattern = match kind {
                CaseKind::Answer(pattern) => pattern,
                _ => 0,
            };
            Self {
                method,
                kind,
                number,
                request: values::message(&method.request_descriptor(), number, place as u32),
                answer: values::success(&method.response_descriptor(), number, pattern),
            }
        };
        CaseKind::of(method).into_iter().enumerate().map(of).collect()
    }

    /// The AppError with which the server fails.
    pub fn app_error(&self) -> v1::AppError {
        sample::app_error(self.method)
    }

    pub(super) fn reply(&self) -> Reply {
        let fail = |status| Reply::Fail(Box::new(status));
        match self.kind {
            CaseKind::Answer(_) => Reply::Bytes(self.answer.encode_to_vec().into()),
            CaseKind::UnknownFields => {
                Reply::Bytes(values::with_unknown_fields(&self.answer).encode_to_vec().into())
            }
            CaseKind::Empty => Reply::Bytes(Bytes::new()),
            CaseKind::ErrorEmbedded => Reply::Bytes(embedded_failure(self.app_error())),
            CaseKind::ErrorStatus => fail(status_failure(self.app_error())),
            CaseKind::Unavailable => fail(Status::unavailable("the server is not available")),
            CaseKind::DeadlineExceeded => {
                fail(Status::deadline_exceeded("the server took too long"))
            }
            CaseKind::Dropped => Reply::Drop,
        }
    }
}
