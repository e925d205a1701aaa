//! Success and failure of all RPCs, in both dialects: what crosses is what the implementation said,
//! on the channel that the table says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_common;

use std::sync::{Arc, Mutex};

use api_common::{Raw, api, embedded, full_error, raw, rpc, rpcs, served, soon};
use fake_interpreters::{sample, wire};
use plugin_conformance::api::{
    ApiServer, AppError, Dialect, PluginApi, app_error_of_status, code_of_http_status,
};
use plugin_conformance::conformance::GeneratedApi;
use plugin_proto::prost_reflect::DynamicMessage;
use plugin_proto::{ErrorChannel, Method, v1};
use prost::Message as _;
use prost_types::{Struct, Value, value::Kind};
use tonic::{Code, Status};

const DIALECTS: [Dialect; 2] = [Dialect::GoServer, Dialect::Embedded];

/// The gRPC codes that the Go server sends for HTTP statuses, and every status around them.
const CODES: [(i32, Code); 19] = [
    (400, Code::InvalidArgument),
    (401, Code::Unauthenticated),
    (403, Code::PermissionDenied),
    (404, Code::NotFound),
    (409, Code::AlreadyExists),
    (413, Code::ResourceExhausted),
    (429, Code::ResourceExhausted),
    (501, Code::Unimplemented),
    (503, Code::Unavailable),
    (-1, Code::Internal),
    (0, Code::Internal),
    (402, Code::Internal),
    (405, Code::Internal),
    (408, Code::Internal),
    (410, Code::Internal),
    (422, Code::Internal),
    (500, Code::Internal),
    (502, Code::Internal),
    (504, Code::Internal),
];

/// An API that fails as it was last told to, and the place to tell it.
fn failing() -> (Arc<dyn PluginApi>, Arc<Mutex<AppError>>) {
    let error = Arc::new(Mutex::new(full_error(500)));
    let told = Arc::clone(&error);
    let answer = move |_, _| {
        let error = told.lock().unwrap().clone();
        async move { Err(error) }
    };
    (api(answer), error)
}

#[track_caller]
fn assert_status(method: &Method, status: &Status, code: Code, error: &AppError) {
    let name = method.name;
    assert_eq!(status.code(), code, "{name}, HTTP status {}", error.status_code);
    assert_eq!(status.message(), format!("{}: {}", error.id, error.message), "{name}");
    assert_eq!(app_error_of_status(status).as_ref(), Some(error), "{name}");
}

#[tokio::test]
async fn every_success_crosses_byte_for_byte_in_both_dialects() {
    for dialect in DIALECTS {
        let api = GeneratedApi::answering("GetServerVersionResponse.version");
        let (server, raw) = raw(ApiServer::builder(api).dialect(dialect)).await;
        let mut count = 0;
        for method in rpcs() {
            let answer = raw.call(method, &sample::request(method)).await;
            assert_eq!(answer.ok(), sample::response(method), "{} {dialect:?}", method.name);
            assert_eq!(answer.headers["content-type"], "application/grpc");
            count += 1;
        }
        assert_eq!((count, server.tasks()), (236, 2));
    }
}

#[tokio::test]
async fn every_request_reaches_the_implementation_byte_for_byte() {
    let api = api(|method, request| async move {
        match request == sample::request(method) {
            true => Ok(sample::response(method)),
            false => Err(AppError::new("test.other_request", 500)),
        }
    });
    let (_server, channel) = served(ApiServer::builder(api)).await;
    for method in rpcs() {
        let answer = soon(wire::unary(&channel, method, sample::request(method), None)).await;
        assert_eq!(answer.unwrap(), sample::response(method), "{}", method.name);
    }
}

#[tokio::test]
async fn every_generated_failure_takes_the_channel_of_the_table() {
    let (_server, channel) = served(ApiServer::builder(GeneratedApi::failing())).await;
    let mut seen = [0; 4];
    for method in rpcs() {
        let error = AppError::from(sample::app_error(method));
        let answer = soon(wire::unary(&channel, method, sample::request(method), None)).await;
        match method.error_channel {
            ErrorChannel::Status | ErrorChannel::Mixed => {
                let code = code_of_http_status(error.status_code);
                assert_status(method, &answer.unwrap_err(), code, &error);
            }
            ErrorChannel::None => {
                assert_status(method, &answer.unwrap_err(), Code::Internal, &error);
            }
            ErrorChannel::Embedded => assert_eq!(answer.unwrap(), embedded(error)),
        }
        seen[method.error_channel as usize] += 1;
    }
    assert_eq!(seen.iter().sum::<usize>(), 236);
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}

#[tokio::test]
async fn every_http_status_has_its_code_on_every_rpc() {
    let (api, error) = failing();
    let (_server, channel) = served(ApiServer::builder(api)).await;
    for (http, code) in CODES {
        assert_eq!(code_of_http_status(http), code, "{http}");
        let failure = full_error(http);
        *error.lock().unwrap() = failure.clone();
        for method in rpcs() {
            let answer = soon(wire::unary(&channel, method, [].as_slice().into(), None)).await;
            match method.error_channel {
                ErrorChannel::Status | ErrorChannel::Mixed => {
                    assert_status(method, &answer.unwrap_err(), code, &failure);
                }
                ErrorChannel::None => {
                    assert_status(method, &answer.unwrap_err(), Code::Internal, &failure);
                }
                ErrorChannel::Embedded => {
                    assert_eq!(answer.unwrap(), embedded(failure.clone()), "{}", method.name);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_embedded_dialect_embeds_every_failure_with_status_ok() {
    let (api, error) = failing();
    let builder = ApiServer::builder(api).dialect(Dialect::Embedded);
    let (_server, channel) = served(builder).await;
    for method in rpcs() {
        let failure = full_error(CODES[method.index % CODES.len()].0);
        *error.lock().unwrap() = failure.clone();
        let answer = soon(wire::unary(&channel, method, [].as_slice().into(), None)).await.unwrap();
        let answer = DynamicMessage::decode(method.response_descriptor(), answer).unwrap();
        let fields: Vec<_> = answer.fields().collect();
        let [(field, value)] = fields.as_slice() else { panic!("{}: only the error", method.name) };
        assert_eq!(field.name(), "error", "{}", method.name);
        let embedded: v1::AppError = value.as_message().unwrap().transcode_to().unwrap();
        assert_eq!(AppError::from(embedded), failure, "{}", method.name);
    }
}

#[tokio::test]
async fn the_details_are_a_google_rpc_status_with_one_app_error() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct RpcStatus {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<prost_types::Any>,
    }
    let (api, error) = failing();
    *error.lock().unwrap() = full_error(404);
    let (_server, channel) = served(ApiServer::builder(api)).await;
    let status = soon(wire::unary(&channel, rpc("GetUser"), [].as_slice().into(), None)).await;
    let status = status.unwrap_err();
    let details = RpcStatus::decode(status.details()).unwrap();
    assert_eq!(details.code, 5);
    assert_eq!(details.message, status.message());
    let [any] = details.details.as_slice() else { panic!("one detail") };
    assert_eq!(any.type_url, "type.googleapis.com/mattermost.pluginapi.v1.AppError");
    let inside = v1::AppError::decode(any.value.as_slice()).unwrap();
    assert_eq!(AppError::from(inside), full_error(404));
}

#[tokio::test]
async fn the_mixed_rpc_embeds_the_failures_of_its_parts() {
    let mixed: Vec<_> = rpcs().filter(|rpc| rpc.error_channel == ErrorChannel::Mixed).collect();
    let [method] = mixed.as_slice() else { panic!("one mixed RPC") };
    assert_eq!(method.name, "CreateTeamMembersGracefully");
    let part = v1::TeamMemberWithError {
        user_id: "u1".into(),
        error: Some(full_error(403).into()),
        ..Default::default()
    };
    let whole =
        v1::CreateTeamMembersGracefullyResponse { team_members: vec![part], ..Default::default() };
    let bytes = whole.encode_to_vec();
    let answer = bytes.clone();
    let api = api(move |_, _| std::future::ready(Ok(answer.clone().into())));
    let (_server, raw) = raw(ApiServer::builder(api)).await;
    assert_eq!(raw.call(method, b"").await.ok(), bytes);
}

/// `check` and the fake interpreters have a table of their own.
#[test]
fn both_sides_have_the_same_codes() {
    for http in (-500..1000).chain([i32::MIN, i32::MAX]) {
        let named = CODES.iter().find(|(code, _)| *code == http);
        assert_eq!(code_of_http_status(http), named.map_or(Code::Internal, |(_, code)| *code));
        assert_eq!(
            code_of_http_status(http),
            fake_interpreters::compare::code_of_http_status(http),
            "{http}"
        );
    }
}

struct Nothing;

impl PluginApi for Nothing {}

#[tokio::test]
async fn what_nobody_implemented_is_a_501_that_names_the_rpc_on_its_channel() {
    for dialect in DIALECTS {
        let builder = ApiServer::builder(Arc::new(Nothing)).dialect(dialect);
        let (_server, channel) = served(builder).await;
        for method in rpcs() {
            let error = AppError::not_implemented(method);
            assert_eq!((error.status_code, error.location.as_str()), (501, method.name));
            assert!(error.message.contains(method.name), "{error}");
            let answer = soon(wire::unary(&channel, method, sample::request(method), None)).await;
            match dialect.channel(method) {
                ErrorChannel::Status | ErrorChannel::Mixed => {
                    assert_status(method, &answer.unwrap_err(), Code::Unimplemented, &error);
                }
                ErrorChannel::None => {
                    assert_status(method, &answer.unwrap_err(), Code::Internal, &error);
                }
                ErrorChannel::Embedded => assert_eq!(answer.unwrap(), embedded(error)),
            }
        }
    }
}

/// What grpc's C core takes without complaint.
const METADATA_LIMIT: usize = 8 * 1024;

/// Texts that are hard to put into metadata, by what is hard about them.
fn hard_texts() -> Vec<(&'static str, String)> {
    let hundred = 100 * 1024;
    let pattern = |text: &str| text.repeat(hundred / text.len() + 1);
    vec![
        ("empty", String::new()),
        ("letters", pattern("x")),
        ("spaces", pattern(" ")),
        ("words", pattern("some words ")),
        ("wide", pattern("ß漢🦀")),
        ("controls", pattern("\0\u{1}\n\r\t\u{7f}\u{1b}")),
        ("percent", pattern("%00%zz%")),
        ("quotes", pattern("\"#<>`?{}\\")),
        // Just about what fits: here the estimate must not be too low.
        ("1800 spaces", " ".repeat(1800)),
        ("1500 newlines", "\n".repeat(1500)),
        ("1200 controls", "\u{1}".repeat(1200)),
        ("700 crabs", "🦀".repeat(700)),
        ("short and hard", "\0\n\r \u{7f}€🦀%".into()),
    ]
}

async fn assert_fits(raw: &Raw, error: &AppError, what: &str) -> Option<AppError> {
    let method = rpc("GetUser");
    let answer = raw.call(method, b"").await;
    assert_eq!(answer.code(), 5, "{what}: {answer:?}");
    let size = answer.header_list();
    assert!(size <= METADATA_LIMIT, "{what}: the metadata has {size} bytes");
    let status = Status::from_header_map(answer.end()).unwrap();
    let told = app_error_of_status(&status)?;
    assert_eq!(told.status_code, error.status_code, "{what}");
    assert!(status.message().starts_with(&told.id), "{what}: {}", status.message());
    Some(told)
}

#[tokio::test]
async fn an_app_error_of_any_size_arrives_with_its_code_and_its_id() {
    let (api, error) = failing();
    let (_server, raw) = raw(ApiServer::builder(api)).await;
    for (what, text) in hard_texts() {
        let params = |text: &str| {
            let value = Value { kind: Some(Kind::StringValue(text.to_owned())) };
            Some(Struct { fields: [("Text".to_owned(), value)].into() })
        };
        let full = full_error(404);
        let cases = [
            ("message", AppError { message: text.clone(), ..full.clone() }),
            ("detail", AppError { detailed_error: text.clone(), ..full.clone() }),
            ("location", AppError { location: text.clone(), ..full.clone() }),
            ("request id", AppError { request_id: text.clone(), ..full.clone() }),
            ("params", AppError { params: params(&text), ..full.clone() }),
            (
                "all",
                AppError {
                    id: full.id.clone(),
                    message: text.clone(),
                    detailed_error: text.clone(),
                    request_id: text.clone(),
                    status_code: 404,
                    location: text.clone(),
                    params: params(&text),
                },
            ),
        ];
        for (field, failure) in cases {
            let what = format!("{what} in {field}");
            *error.lock().unwrap() = failure.clone();
            let told = assert_fits(&raw, &failure, &what).await.expect("the id always fits");
            assert_eq!(told.id, failure.id, "{what}");
            if text.len() < 100 {
                assert_eq!(told, failure, "{what}: small enough to cross whole");
            }
            if field == "params" || field == "detail" {
                assert_eq!(told.message, failure.message, "{what}: shortened last");
            }
        }
        // An id that large is no id; still, the code and the connection hold.
        let failure = AppError { id: text.clone(), ..full };
        *error.lock().unwrap() = failure.clone();
        assert_fits(&raw, &failure, &format!("{what} as id")).await;
    }
    assert!(!raw.driver.is_finished(), "the connection has ended");
}

#[tokio::test]
async fn an_app_error_of_any_size_is_embedded_whole() {
    let (api, error) = failing();
    let builder = ApiServer::builder(api).dialect(Dialect::Embedded);
    let (_server, raw) = raw(builder).await;
    for (what, text) in hard_texts() {
        let failure = AppError {
            id: text.clone(),
            message: text.clone(),
            detailed_error: text,
            ..full_error(404)
        };
        *error.lock().unwrap() = failure.clone();
        let answer = raw.call(rpc("GetUser"), b"").await;
        assert_eq!(answer.ok(), embedded(failure), "{what}");
    }
}

#[tokio::test]
async fn the_limit_for_metadata_can_be_set() {
    for (bytes, whole) in [(64 * 1024, true), (1024, false), (0, false)] {
        let (api, error) = failing();
        let failure = full_error(404).detail("x".repeat(10_000));
        *error.lock().unwrap() = failure.clone();
        let (_server, raw) = raw(ApiServer::builder(api).max_error_bytes(bytes)).await;
        let answer = raw.call(rpc("GetUser"), b"").await;
        assert_eq!(answer.code(), 5);
        let told = app_error_of_status(&Status::from_header_map(answer.end()).unwrap());
        assert_eq!(told.as_ref() == Some(&failure), whole, "{bytes}");
        assert!(answer.header_list() <= bytes + 512);
    }
}

#[test]
fn a_status_without_details_holds_no_app_error() {
    assert_eq!(app_error_of_status(&Status::not_found("x: x")), None);
    let garbage = Status::with_details(Code::Internal, "x", b"\xff\xff".as_slice().into());
    assert_eq!(app_error_of_status(&garbage), None);
}
