//! How large a message may be: what fits passes, one byte more is RESOURCE_EXHAUSTED, and the
//! connection lives on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use api_common::{api, empty, flagged, raw, read, rpc, rpcs, served, soon, until};
use bytes::Bytes;
use fake_interpreters::wire;
use plugin_conformance::api::{ApiServer, Dialect, MAX_MESSAGE_BYTES, Recorder};
use plugin_proto::v1;
use prost::Message as _;
use tonic::Status;

const LIMIT: usize = 1000;

/// A request of just this size.
fn request(bytes: usize) -> Vec<u8> {
    let mut path = "x".repeat(bytes);
    loop {
        let request = v1::ReadFileRequest { path: path.clone() }.encode_to_vec();
        if request.len() <= bytes {
            assert_eq!(request.len(), bytes, "no request has this size");
            return request;
        }
        path.pop();
    }
}

#[tokio::test]
async fn a_request_of_the_limit_passes_and_one_byte_more_does_not() {
    let called = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&called);
    let api = api(move |_, request| {
        calls.fetch_add(1, Ordering::SeqCst);
        assert!(request.len() <= LIMIT);
        async { Ok(Bytes::new()) }
    });
    let (server, raw) = raw(ApiServer::builder(api).max_message_bytes(LIMIT)).await;
    for size in [LIMIT - 1, LIMIT] {
        assert_eq!(raw.call(rpc("ReadFile"), &request(size)).await.ok(), b"", "{size}");
    }
    for size in [LIMIT + 1, 2 * LIMIT, 60_000] {
        let answer = raw.call(rpc("ReadFile"), &request(size)).await;
        assert_eq!(answer.code(), 8, "{size}: {answer:?}");
    }
    assert_eq!(called.load(Ordering::SeqCst), 2);
    raw.assert_lives().await;
    until("no call is left", || server.tasks() == 2).await;
}

#[tokio::test]
async fn a_response_of_the_limit_passes_and_one_byte_more_does_not() {
    let size = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&size);
    let api = api(move |_, _| {
        let data = vec![7; asked.load(Ordering::SeqCst)];
        async { Ok(v1::ReadFileResponse { data: data.into(), error: None }.encode_to_vec().into()) }
    });
    let (server, raw) = raw(ApiServer::builder(api).max_message_bytes(LIMIT)).await;
    // The field's tag and length take three bytes.
    for data in [LIMIT - 4, LIMIT - 3] {
        size.store(data, Ordering::SeqCst);
        assert_eq!(raw.call(rpc("ReadFile"), b"").await.ok().len(), data + 3);
    }
    for data in [LIMIT - 2, 100_000] {
        size.store(data, Ordering::SeqCst);
        let answer = raw.call(rpc("ReadFile"), b"").await;
        assert_eq!(answer.code(), 8, "{data}: {answer:?}");
        assert_eq!(answer.body, b"", "nothing of it is sent");
        assert!(answer.message().contains("ReadFile"), "{answer:?}");
    }
    size.store(0, Ordering::SeqCst);
    raw.assert_lives().await;
    until("no call is left", || server.tasks() == 2).await;
}

#[tokio::test]
async fn an_embedded_failure_is_limited_as_any_response() {
    let api = api(|_, _| async {
        Err(plugin_conformance::api::AppError::new("x", 404).detail("x".repeat(LIMIT)))
    });
    let builder = ApiServer::builder(api).dialect(Dialect::Embedded).max_message_bytes(LIMIT);
    let (_server, raw) = raw(builder).await;
    assert_eq!(raw.call(rpc("GetUser"), b"").await.code(), 8);
}

/// A prefix suffices to refuse: nobody waits for what will not be read.
#[tokio::test]
async fn a_request_over_the_limit_is_refused_before_it_is_sent() {
    let (server, raw) = raw(ApiServer::builder(empty()).max_message_bytes(LIMIT)).await;
    for claimed in [LIMIT + 1, u32::MAX as usize] {
        let (answer, mut stream) = raw.start(rpc("ReadFile").path, &[]).await;
        stream.send_data(flagged(0, claimed, b"begin"), false).unwrap();
        assert_eq!(read(answer).await.unwrap().code(), 8, "{claimed}");
    }
    raw.assert_lives().await;
    until("no call is left", || server.tasks() == 2).await;
}

#[tokio::test]
async fn limits_hold_for_every_rpc() {
    let (_server, raw) = raw(ApiServer::builder(empty()).max_message_bytes(10)).await;
    for method in rpcs() {
        let answer = raw.call(method, &[0; 11]).await;
        assert_eq!(answer.code(), 8, "{}: {answer:?}", method.name);
    }
    raw.assert_lives().await;
}

#[tokio::test]
async fn a_limit_of_nothing_lets_empty_messages_pass() {
    let (_server, raw) = raw(ApiServer::builder(empty()).max_message_bytes(0)).await;
    assert_eq!(raw.call(rpc("GetUser"), b"").await.ok(), b"");
    assert_eq!(raw.call(rpc("GetUser"), &[0x0a, 0x00]).await.code(), 8);
}

/// A status of the implementation's side is no limit, whatever its code.
#[tokio::test]
async fn a_layers_out_of_range_stays_what_it_is() {
    let layer = tower::layer::layer_fn(|_inner| {
        tower::service_fn(|_: plugin_conformance::api::ApiCall| async {
            Err::<Bytes, _>(Status::out_of_range("not in the list"))
        })
    });
    let (_server, raw) = raw(ApiServer::builder(empty()).call_layer(layer)).await;
    let answer = raw.call(rpc("GetUser"), b"").await;
    assert_eq!((answer.code(), answer.message()), (11, "not%20in%20the%20list"));
}

#[tokio::test]
async fn a_refused_request_is_not_recorded() {
    let recorder = Recorder::default();
    let builder = ApiServer::builder(empty()).max_message_bytes(LIMIT).record(&recorder);
    let (_server, raw) = raw(builder).await;
    raw.call(rpc("ReadFile"), &request(LIMIT + 1)).await;
    raw.call(rpc("ReadFile"), &request(LIMIT)).await;
    assert_eq!(recorder.calls().len(), 1);
}

/// What the Python SDK may send, and grpc-go's default server refuses.
#[tokio::test]
async fn twenty_mebibytes_pass_both_ways_by_default() {
    assert_eq!(MAX_MESSAGE_BYTES, 100 << 20);
    let stored = Arc::new(Mutex::new(Bytes::new()));
    let api = api(move |method, request| {
        let mut stored = stored.lock().unwrap();
        let response = match method.name {
            "KVSet" => {
                *stored = v1::KvSetRequest::decode(request).unwrap().value;
                Bytes::new()
            }
            _ => {
                let value = stored.clone();
                v1::KvGetResponse { value, error: None }.encode_to_vec().into()
            }
        };
        async { Ok(response) }
    });
    let (_server, channel) = served(ApiServer::builder(api)).await;
    let value = Bytes::from((0..20 << 20).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    let request = v1::KvSetRequest { key: "k".into(), value: value.clone() };
    let set = wire::unary(&channel, rpc("KVSet"), request.encode_to_vec().into(), None);
    assert_eq!(soon(set).await.unwrap(), b"".as_slice());
    let answer = soon(wire::unary(&channel, rpc("KVGet"), Bytes::new(), None)).await.unwrap();
    assert!(v1::KvGetResponse::decode(answer).unwrap().value == value);
}
