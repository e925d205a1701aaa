//! What a failure of the PluginAPI must look like.

use bytes::Bytes;
pub use plugin_proto::compare::{difference, message_difference};
use plugin_proto::prost::Message;
use plugin_proto::prost_reflect::ReflectMessage as _;
use plugin_proto::{ErrorChannel, Method, code_name, prost_types, v1};
use tonic::{Code, Status};

/// What any response of the PluginAPI has in common: a field `error` with number 1.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AnyResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) error: Option<v1::AppError>,
}

/// `google.rpc.Status`, as it travels in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<prost_types::Any>,
}

/// The AppError in the details of a status.
pub fn app_error_of_status(status: &Status) -> Option<v1::AppError> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let error =
        details.iter().find(|any| any.type_url.ends_with("/mattermost.pluginapi.v1.AppError"));
    v1::AppError::decode(error?.value.as_slice()).ok()
}

/// The AppError inside an answer.
pub fn app_error_of_response(response: &[u8]) -> Option<v1::AppError> {
    AnyResponse::decode(response).ok()?.error
}

/// The gRPC code that stands for an AppError's HTTP status.
pub fn code_of_http_status(status_code: i32) -> Code {
    match status_code {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::AlreadyExists,
        413 | 429 => Code::ResourceExhausted,
        501 => Code::Unimplemented,
        503 => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// How `result` differs from what the API must answer when `method` fails with `error`, by the
/// method's error channel.
pub fn failure_difference(
    method: &Method,
    error: &v1::AppError,
    result: &Result<Bytes, Status>,
) -> Option<String> {
    let expected = match method.error_channel {
        ErrorChannel::Embedded => Code::Ok,
        ErrorChannel::Status | ErrorChannel::Mixed => code_of_http_status(error.status_code),
        ErrorChannel::None => Code::Internal,
    };
    let actual = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
    if actual != expected {
        let (expected, actual) = (code_name(expected), code_name(actual));
        return Some(format!("code: expected {expected}, got {actual}"));
    }
    let status = match result {
        Ok(response) => {
            let expected = AnyResponse { error: Some(error.clone()) }.encode_to_vec();
            return difference(&method.response_descriptor(), &expected, response);
        }
        Err(status) => status,
    };
    let text = format!("{}: {}", error.id, error.message);
    if status.message() != text {
        return Some(format!("message: expected {text:?}, got {:?}", status.message()));
    }
    let details = match RpcStatus::decode(status.details()) {
        Ok(details) => details,
        Err(error) => return Some(format!("details: no google.rpc.Status: {error}")),
    };
    if (details.code, details.message.as_str()) != (expected as i32, text.as_str()) {
        return Some(format!("details: code {} and message {:?}", details.code, details.message));
    }
    match app_error_of_status(status) {
        None => Some("details: no AppError".to_owned()),
        Some(actual) => {
            difference(&error.descriptor(), &error.encode_to_vec(), &actual.encode_to_vec())
                .map(|found| format!("details: {found}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use plugin_proto::Service;

    use super::*;
    use plugin_proto::sample;

    #[test]
    fn every_response_has_its_error_in_field_1() {
        for method in Service::PluginAPI.methods() {
            let field = method.response_descriptor().get_field(1).unwrap();
            assert_eq!(field.name(), "error", "{}", method.name);
        }
    }

    #[test]
    fn failures_are_checked_by_channel() {
        let by_name = |name| Method::by_name(Service::PluginAPI, name).unwrap();
        let method = by_name("GetUser");
        let error = v1::AppError { status_code: 404, ..sample::app_error(method) };
        let text = format!("{}: {}", error.id, error.message);
        let any = prost_types::Any {
            type_url: "type.googleapis.com/mattermost.pluginapi.v1.AppError".into(),
            value: error.encode_to_vec(),
        };
        let details = RpcStatus { code: 5, message: text.clone(), details: vec![any] };
        let good =
            Status::with_details(Code::NotFound, text.clone(), details.encode_to_vec().into());
        assert_eq!(app_error_of_status(&good).unwrap(), error);
        assert_eq!(failure_difference(method, &error, &Err(good)), None);
        let bare = failure_difference(method, &error, &Err(Status::not_found(text)));
        assert!(bare.unwrap().starts_with("details: code 0"));
        let wrong = failure_difference(method, &error, &Err(Status::internal("")));
        assert_eq!(wrong.unwrap(), "code: expected NOT_FOUND, got INTERNAL");
        let embedded = plugin_proto::METHODS.iter().find(|method| {
            method.service == Service::PluginAPI && method.error_channel == ErrorChannel::Embedded
        });
        let embedded = embedded.unwrap();
        let answer = AnyResponse { error: Some(error.clone()) }.encode_to_vec().into();
        assert_eq!(failure_difference(embedded, &error, &Ok(answer)), None);
        let empty = failure_difference(embedded, &error, &Ok(Bytes::new()));
        assert!(empty.unwrap().contains("got nothing"));
    }
}
