//! What must hold of a call that crossed the boundary, whatever was sent and answered.

use bytes::Bytes;
use fake_interpreters::compare::{failure_difference, message_difference};
use fake_interpreters::wire::code_name;
use plugin_conformance::api::AppError;
use plugin_proto::prost_reflect::DynamicMessage;
use plugin_proto::{ErrorChannel, Method, prost_types, v1};
use prost::Message as _;
use tonic::{Code, Status};

/// One call: what is asked, and what the server answers.
#[derive(Debug, Clone)]
pub struct Case {
    pub request: DynamicMessage,
    pub answer: Answer,
}

/// An answer as a message: it owes nothing to the generated types that carry it.
#[derive(Debug, Clone)]
pub enum Answer {
    Response(DynamicMessage),
    /// An AppError.
    Failure(DynamicMessage),
}

impl Answer {
    pub fn message(&self) -> &DynamicMessage {
        let (Self::Response(message) | Self::Failure(message)) = self;
        message
    }

    /// As an implementation gives it.
    pub fn of_implementation(&self) -> Result<Bytes, AppError> {
        match self {
            Self::Response(message) => Ok(message.encode_to_vec().into()),
            Self::Failure(message) => Err(typed(message).into()),
        }
    }
}

pub fn typed(error: &DynamicMessage) -> v1::AppError {
    v1::AppError::decode(error.encode_to_vec().as_slice()).expect("it is an AppError")
}

/// What went wrong with a call of `method`: `arrived` are the requests that reached the
/// implementation, `result` is what the caller got. Nothing went wrong if the one request is what
/// was sent, and the result is what was answered, on the error channel of the method.
pub fn fault(
    method: &Method,
    case: &Case,
    arrived: &[Bytes],
    result: &Result<Bytes, Status>,
) -> Option<String> {
    let [request] = arrived else {
        return Some(format!("the request arrived {} times; {}", arrived.len(), end_of(result)));
    };
    if let Some(found) = message_difference(&case.request, request) {
        return Some(format!("request: {found}"));
    }
    match (&case.answer, result) {
        (Answer::Response(expected), Ok(response)) => message_difference(expected, response),
        (Answer::Response(_), Err(_)) => Some(format!("code: expected OK, {}", end_of(result))),
        (Answer::Failure(error), _) => failure_difference(method, &typed(error), result)
            .or_else(|| message_difference(error, &error_bytes(method, result)?)),
    }
}

fn end_of(result: &Result<Bytes, Status>) -> String {
    let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
    let text = result.as_ref().err().map_or("", Status::message);
    format!("got {} {text:?}", code_name(code))
}

/// The AppError of a failed call, as it was encoded.
fn error_bytes(method: &Method, result: &Result<Bytes, Status>) -> Option<Vec<u8>> {
    /// Any response.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Response {
        #[prost(bytes, tag = "1")]
        error: Vec<u8>,
    }
    /// google.rpc.Status.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Details {
        #[prost(message, repeated, tag = "3")]
        details: Vec<prost_types::Any>,
    }
    match (method.error_channel, result) {
        (ErrorChannel::Embedded, Ok(response)) => {
            Some(Response::decode(response.clone()).ok()?.error)
        }
        (_, Err(status)) => {
            Some(Details::decode(status.details()).ok()?.details.into_iter().next()?.value)
        }
        _ => None,
    }
}
