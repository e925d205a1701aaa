//! An AppError inside a gRPC status.
//!
//! The data are the trailers of a call, as lines `name: value`.

use http::{HeaderMap, HeaderName, HeaderValue};
use plugin_conformance::api::{AppError, app_error_of_status, code_of_http_status};
use plugin_proto::{PACKAGE, v1};
use prost::Message;
use prost_types::Any;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Where a status has its details.
const DETAILS: &str = "grpc-status-details-bin";

/// Trailers hold no AppError, or one that is the same after it has crossed as a status again; both
/// sides of the boundary see the same.
pub fn check(data: &[u8]) {
    check_with(data, app_error_of_status);
}

/// As [`check`], of another reader.
pub fn check_with(data: &[u8], read: impl Fn(&Status) -> Option<AppError>) {
    let Some(status) = Status::from_header_map(&trailers(data)) else { return };
    let error = read(&status).map(v1::AppError::from);
    let theirs = fake_interpreters::compare::app_error_of_status(&status);
    assert_eq!(wire(&error), wire(&theirs), "both sides of the boundary see different AppErrors");
    let Some(error) = error else { return };
    let crossed = Status::from_header_map(&sent(&error)).expect("a status was sent");
    let again = read(&crossed).map(v1::AppError::from);
    assert_eq!(wire(&again), wire(&Some(error)), "an AppError changes when it crosses again");
}

/// Bytes, since not every number is equal to itself.
fn wire(error: &Option<v1::AppError>) -> Option<Vec<u8>> {
    error.as_ref().map(Message::encode_to_vec)
}

fn trailers(data: &[u8]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            trailers.append(name, value);
        }
    }
    // tonic panics over details that are not base64; the supervisor takes them away, too.
    let details = MetadataMap::from_headers(trailers.clone());
    if details.get_bin(DETAILS).is_some_and(|details| details.to_bytes().is_err()) {
        trailers.remove(DETAILS);
    }
    trailers
}

/// google.rpc.Status.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// The trailers of a call that fails with this error.
fn sent(error: &v1::AppError) -> HeaderMap {
    let (code, message) = (code_of_http_status(error.status_code), error.message.clone());
    let any = Any {
        type_url: format!("type.googleapis.com/{PACKAGE}.AppError"),
        value: error.encode_to_vec(),
    };
    let details = RpcStatus { code: code.into(), message: message.clone(), details: vec![any] };
    let status = Status::with_details(code, message, details.encode_to_vec().into());
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).expect("a status fits into trailers");
    trailers
}
