//! tower layers around the calls and around the whole server, and the recorder, which is one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api_common::{Yield, api, empty, endless, frame, full_error, raw, rpc, served, soon};
use bytes::Bytes;
use fake_interpreters::{sample, wire};
use futures::future::join_all;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use plugin_conformance::api::{
    ApiCall, ApiServer, AppError, BoxCallService, Dialect, Outcome, Recorder, RecordingLayer,
};
use plugin_conformance::conformance::GeneratedApi;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer};
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Layer, ServiceExt as _};

type Log = Arc<Mutex<Vec<String>>>;

// Around the whole server

#[tokio::test]
async fn a_layer_of_towers_own_limits_the_calls() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (Arc::clone(&now), Arc::clone(&most));
    let api = api(move |_, _| {
        let (running, peak) = (Arc::clone(&running), Arc::clone(&peak));
        async move {
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..10 {
                Yield::default().await;
            }
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(Bytes::new())
        }
    });
    let builder = ApiServer::builder(api).layer(ConcurrencyLimitLayer::new(3));
    let (_server, channel) = served(builder).await;
    let calls = (0..50).map(|_| wire::unary(&channel, rpc("GetUser"), Bytes::new(), None));
    assert!(soon(join_all(calls)).await.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_call_layer_of_towers_own_limits_the_calls() {
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));
    let (running, peak) = (Arc::clone(&now), Arc::clone(&most));
    let api = api(move |_, _| {
        let (running, peak) = (Arc::clone(&running), Arc::clone(&peak));
        async move {
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..10 {
                Yield::default().await;
            }
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(Bytes::new())
        }
    });
    let builder = ApiServer::builder(api).call_layer(GlobalConcurrencyLimitLayer::new(2));
    let (_server, channel) = served(builder).await;
    let calls = (0..50).map(|_| wire::unary(&channel, rpc("GetUser"), Bytes::new(), None));
    assert!(soon(join_all(calls)).await.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_error_of_a_layer_is_a_status() {
    let builder = ApiServer::builder(endless()).layer(TimeoutLayer::new(Duration::from_millis(20)));
    let (_server, raw) = raw(builder).await;
    let answer = raw.call(rpc("GetUser"), b"").await;
    assert_eq!(answer.http.as_u16(), 200);
    assert_ne!(answer.code(), 0);
    assert!(answer.message().contains("timed%20out"), "{answer:?}");
    assert!(!raw.driver.is_finished());
}

#[tokio::test]
async fn a_status_that_a_layer_fails_with_stays_that_status() {
    let layer = tower::layer::layer_fn(|_inner| {
        tower::service_fn(|_: Request<Body>| async {
            let status = Status::permission_denied("not you");
            Err::<Response<Body>, BoxError>(status.into())
        })
    });
    let (_server, channel) = served(ApiServer::builder(empty()).layer(layer)).await;
    let status = soon(wire::unary(&channel, rpc("GetUser"), Bytes::new(), None)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "not you"));
}

/// Adds a header to each answer.
fn stamp(
    name: &'static str,
    log: &Log,
) -> impl Layer<
    tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>,
    Service = impl tower::Service<
        Request<Body>,
        Response = Response<Body>,
        Error = BoxError,
        Future = impl Send + 'static,
    > + Clone
              + Send
              + Sync
              + 'static,
> + Send
+ 'static {
    let log = Arc::clone(log);
    tower::layer::layer_fn(
        move |inner: tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>| {
            let log = Arc::clone(&log);
            tower::service_fn(move |request: Request<Body>| {
                log.lock().unwrap().push(name.to_owned());
                let inner = inner.clone();
                async move {
                    let mut response = inner.oneshot(request).await?;
                    response.headers_mut().append("x-layer", HeaderValue::from_static(name));
                    Ok::<_, BoxError>(response)
                }
            })
        },
    )
}

#[tokio::test]
async fn the_layer_added_last_is_the_outermost_and_health_passes_through() {
    let log = Log::default();
    let builder =
        ApiServer::builder(empty()).layer(stamp("inner", &log)).layer(stamp("outer", &log));
    let (server, raw) = raw(builder).await;
    let answer = raw.call(rpc("GetUser"), b"").await;
    assert_eq!(answer.ok(), b"");
    let stamps: Vec<_> = answer.headers.get_all("x-layer").iter().collect();
    assert_eq!(stamps, ["inner", "outer"]);
    assert_eq!(*log.lock().unwrap(), ["outer", "inner"]);

    let channel = wire::connect(server.target()).unwrap();
    let request = HealthCheckRequest::default();
    let answer = soon(HealthClient::new(channel).check(request)).await.unwrap();
    assert_eq!(answer.metadata().get_all("x-layer").iter().count(), 2);
}

/// As from tower-http: the body's type is the layer's own.
#[tokio::test]
async fn a_layer_may_change_the_type_of_the_body() {
    type Inner = tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;
    let layer = tower::layer::layer_fn(|inner: Inner| {
        inner.map_response(|response: Response<Body>| response.map(|body| Limited::new(body, 1000)))
    });
    let (_server, raw) = raw(ApiServer::builder(empty()).layer(layer)).await;
    assert_eq!(raw.call(rpc("GetUser"), b"").await.ok(), b"");
}

#[tokio::test]
async fn a_layer_sees_the_request_and_its_body() {
    let seen = Log::default();
    let log = Arc::clone(&seen);
    type Inner = tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;
    let layer = tower::layer::layer_fn(move |inner: Inner| {
        let log = Arc::clone(&log);
        tower::service_fn(move |request: Request<Body>| {
            let (inner, log) = (inner.clone(), Arc::clone(&log));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                log.lock().unwrap().push(format!("{} {body:?}", parts.uri.path()));
                let body = Body::new(http_body_util::Full::new(body));
                inner.oneshot(Request::from_parts(parts, body)).await
            }
        })
    });
    let (_server, raw) = raw(ApiServer::builder(empty()).layer(layer)).await;
    assert_eq!(raw.call(rpc("GetUser"), b"\x0a\x01u").await.ok(), b"");
    let expected = format!("{} {:?}", rpc("GetUser").path, frame(b"\x0a\x01u"));
    assert_eq!(*seen.lock().unwrap(), [expected]);
}

// Around the calls

fn logging(
    name: &'static str,
    log: &Log,
) -> impl Layer<
    BoxCallService,
    Service = impl tower::Service<
        ApiCall,
        Response = Bytes,
        Error = Status,
        Future = impl Send + 'static,
    > + Clone
              + Send
              + Sync
              + 'static,
> + Send
+ 'static {
    let log = Arc::clone(log);
    tower::layer::layer_fn(move |inner: BoxCallService| {
        let log = Arc::clone(&log);
        tower::service_fn(move |call: ApiCall| {
            let (inner, log) = (inner.clone(), Arc::clone(&log));
            async move {
                log.lock().unwrap().push(format!("{name} {}", call.method.name));
                let answer = inner.oneshot(call).await;
                log.lock().unwrap().push(format!("{name} {}", answer.is_ok()));
                answer
            }
        })
    })
}

#[tokio::test]
async fn the_call_layer_added_last_is_the_outermost() {
    let log = Log::default();
    let builder = ApiServer::builder(empty())
        .call_layer(logging("inner", &log))
        .call_layer(logging("outer", &log));
    let (_server, raw) = raw(builder).await;
    raw.call(rpc("GetUser"), b"").await.ok();
    let expected = ["outer GetUser", "inner GetUser", "inner true", "outer true"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_call_layer_sees_metadata_and_may_answer_by_itself() {
    let layer = tower::layer::layer_fn(|inner: BoxCallService| {
        tower::service_fn(move |call: ApiCall| {
            let inner = inner.clone();
            async move {
                match call.metadata.get("x-plugin").map(HeaderValue::as_bytes) {
                    Some(b"good") => inner.oneshot(call).await,
                    Some(b"cached") => Ok(sample::response(call.method)),
                    _ => Err(Status::permission_denied("who are you?")),
                }
            }
        })
    });
    let (_server, raw) = raw(ApiServer::builder(empty()).call_layer(layer)).await;
    let path = rpc("GetUser").path;
    let call = |who| raw.send(path, who, frame(b""));
    assert_eq!(call(&[("x-plugin", "good")]).await.ok(), b"");
    assert_eq!(call(&[("x-plugin", "cached")]).await.ok(), sample::response(rpc("GetUser")));
    assert_eq!(call(&[]).await.code(), 7);
}

// The recorder

#[tokio::test]
async fn the_recorder_keeps_what_was_asked_and_answered() {
    let recorder = Recorder::default();
    let failure = full_error(404);
    let fails = failure.clone();
    let api = api(move |method, _| {
        let answer = match method.name {
            "GetTeam" | "KVGet" => Err(fails.clone()),
            _ => Ok(sample::response(method)),
        };
        async { answer }
    });
    let (_server, raw) = raw(ApiServer::builder(api).record(&recorder)).await;
    for name in ["GetUser", "GetTeam", "KVGet"] {
        raw.call(rpc(name), &sample::request(rpc(name))).await;
    }
    soon(recorder.reached(3)).await;
    let calls = recorder.calls();
    let names: Vec<_> = calls.iter().map(|call| call.method.name).collect();
    assert_eq!(names, ["GetUser", "GetTeam", "KVGet"]);
    for call in &calls {
        assert_eq!(call.request, sample::request(call.method));
        assert!(call.duration < Duration::from_secs(5));
    }
    assert!(
        matches!(&calls[0].outcome, Outcome::Response(answer) if *answer == sample::response(rpc("GetUser")))
    );
    // As it travels: shown to a person, its control characters would be escaped.
    let on_the_wire = format!("{}: {}", failure.id, failure.message);
    assert!(
        matches!(&calls[1].outcome, Outcome::Status(Code::NotFound, text) if *text == on_the_wire)
    );
    let embedded = api_common::embedded(failure);
    assert!(matches!(&calls[2].outcome, Outcome::Response(answer) if *answer == embedded));
    assert_eq!(recorder.calls_of("GetTeam").len(), 1);
    assert!(recorder.calls_of("GetTeams").is_empty());
}

#[tokio::test]
async fn the_recorder_measures_and_clones_share() {
    let recorder = Recorder::default();
    let api = api(|_, _| async {
        let mut ticks = tokio::time::interval(Duration::from_millis(30));
        ticks.tick().await;
        ticks.tick().await;
        Ok(Bytes::new())
    });
    let builder = ApiServer::builder(api).call_layer(RecordingLayer(recorder.clone()));
    let (_server, raw) = raw(builder).await;
    raw.call(rpc("GetUser"), b"").await.ok();
    let calls = recorder.clone().calls();
    assert!(calls[0].duration >= Duration::from_millis(29), "{calls:?}");
}

#[tokio::test]
async fn the_recorder_sees_the_embedded_dialect_and_all_236() {
    let recorder = Recorder::default();
    let builder =
        ApiServer::builder(GeneratedApi::failing()).dialect(Dialect::Embedded).record(&recorder);
    let (_server, raw) = raw(builder).await;
    for method in api_common::rpcs() {
        raw.call(method, b"").await.ok();
    }
    let calls = recorder.calls();
    assert_eq!(calls.len(), 236);
    for call in calls {
        let error = AppError::from(sample::app_error(call.method));
        let expected = api_common::embedded(error);
        assert!(matches!(&call.outcome, Outcome::Response(answer) if *answer == expected));
    }
}
