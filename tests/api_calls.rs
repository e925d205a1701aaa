//! Calls that go wrong, on either side: panics, broken requests, deadlines, cancellations. Each is
//! one call's affair: the connection and the other calls on it live.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api_common::{
    Answer, OnDrop, Raw, Yield, api, empty, endless, flagged, frame, raw, read, rpc, rpcs, served,
    soon, until,
};
use bytes::Bytes;
use fake_interpreters::{sample, wire};
use futures::future::join_all;
use h2::Reason;
use plugin_conformance::api::{
    ApiServer, AppError, GrpcService, Outcome, PluginApi, Recorder, async_trait,
};
use plugin_proto::v1;
use prost::Message as _;
use tokio::sync::{Barrier, Notify, oneshot};
use tonic::server::NamedService as _;

// Panics

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, AppError>> + Send + 'a>>;

/// Panics in each way there is; `GetServerVersion` waits until it is told to go on.
#[derive(Default)]
struct Panicking {
    go_on: Notify,
}

#[async_trait]
impl PluginApi for Panicking {
    async fn get_server_version(
        &self,
        _: v1::GetServerVersionRequest,
    ) -> Result<v1::GetServerVersionResponse, AppError> {
        self.go_on.notified().await;
        Ok(v1::GetServerVersionResponse { version: "alive".into(), error: None })
    }

    async fn get_user(&self, _: v1::GetUserRequest) -> Result<v1::GetUserResponse, AppError> {
        panic!("before an await")
    }

    async fn get_team(&self, request: v1::GetTeamRequest) -> Result<v1::GetTeamResponse, AppError> {
        Yield::default().await;
        panic!("after an await: {}", request.team_id)
    }

    // Not even a future.
    fn get_channel<'a, 'b>(&'a self, _: v1::GetChannelRequest) -> Boxed<'b, v1::GetChannelResponse>
    where
        'a: 'b,
        Self: 'b,
    {
        panic!("before the future")
    }

    async fn kv_get(&self, _: v1::KvGetRequest) -> Result<v1::KvGetResponse, AppError> {
        std::panic::panic_any(7)
    }

    async fn get_post(&self, _: v1::GetPostRequest) -> Result<v1::GetPostResponse, AppError> {
        std::panic::panic_any("\n\0%🦀".repeat(50_000))
    }
}

#[tokio::test]
async fn a_panic_is_internal_for_its_call_alone() {
    let api = Arc::new(Panicking::default());
    let (server, raw) = raw(ApiServer::builder(api.clone())).await;
    let (waiting, mut stream) = raw.start(rpc("GetServerVersion").path, &[]).await;
    stream.send_data(frame(b""), true).unwrap();

    let team = v1::GetTeamRequest { team_id: "t1".into() }.encode_to_vec();
    for (name, request, text) in [
        ("GetUser", &b""[..], "before an await"),
        ("GetTeam", &team, "after an await: t1"),
        ("GetChannel", b"", "before the future"),
        ("KVGet", b"", "no message"),
        ("GetPost", b"", ""),
    ] {
        let answer = raw.call(rpc(name), request).await;
        assert_eq!(answer.code(), 13, "{name}: {answer:?}");
        let expected = format!("plugin_api.panic: {name} panicked in the server: {text}");
        let expected = expected.replace(' ', "%20");
        assert!(answer.message().starts_with(&expected), "{name}: {}", answer.message());
        assert!(answer.header_list() < 8192, "{name}: {}", answer.header_list());
    }

    // Listener, connection, and the call that waited all the time.
    until("the failed calls are gone", || server.tasks() == 3).await;
    api.go_on.notify_one();
    let answer = read(waiting).await.unwrap();
    let version = v1::GetServerVersionResponse::decode(answer.ok()).unwrap().version;
    assert_eq!(version, "alive");
    assert!(!raw.driver.is_finished());
}

#[tokio::test]
async fn a_panic_is_recorded_as_what_was_answered() {
    let recorder = Recorder::default();
    let builder = ApiServer::builder(Arc::new(Panicking::default())).record(&recorder);
    let (_server, raw) = raw(builder).await;
    raw.call(rpc("GetUser"), b"").await;
    let calls = recorder.calls();
    assert!(
        matches!(&calls[0].outcome, Outcome::Status(tonic::Code::Internal, text) if text.contains("before an await")),
        "{calls:?}"
    );
}

// Requests that are broken, strange or unknown

#[tokio::test]
async fn a_request_that_is_no_such_message_is_internal_and_names_the_rpc() {
    let (server, raw) = raw(ApiServer::builder(empty())).await;
    for method in rpcs() {
        // A wire type that there is not; a field that ends too early; the field number 0.
        for bytes in [&[0x0f][..], &[0xff, 0x0f], &[0x7a, 0x05, 0x01], &[0x00]] {
            let answer = raw.call(method, bytes).await;
            assert_eq!(answer.code(), 13, "{} {bytes:?}: {answer:?}", method.name);
            let message = answer.message();
            assert!(message.starts_with(&format!("{}:", method.name)), "{message}");
            assert!(message.contains(method.request), "{message}");
        }
    }
    raw.assert_lives().await;
    until("no call is left", || server.tasks() == 2).await;
}

#[tokio::test]
async fn unknown_fields_are_passed_over() {
    let api = api(|method, request| async move {
        assert_eq!(request, sample::request(method));
        Ok(sample::response(method))
    });
    let (_server, raw) = raw(ApiServer::builder(api)).await;
    for method in rpcs() {
        let mut request = sample::request(method).to_vec();
        // Field 1000 as a number, as text and as 64 bits; a group, which nobody sends any more.
        prost::encoding::uint64::encode(1000, &7, &mut request);
        prost::encoding::string::encode(1000, &"new".to_owned(), &mut request);
        prost::encoding::fixed64::encode(1000, &7, &mut request);
        request.extend([0xc3, 0x3e, 0xc4, 0x3e]);
        let answer = raw.call(method, &request).await;
        assert_eq!(answer.ok(), sample::response(method), "{}", method.name);
    }
}

#[tokio::test]
async fn the_layers_see_unknown_fields() {
    let recorder = Recorder::default();
    let (_server, raw) = raw(ApiServer::builder(empty()).record(&recorder)).await;
    let mut request = Vec::new();
    prost::encoding::string::encode(1000, &"new".to_owned(), &mut request);
    raw.call(rpc("GetUser"), &request).await.ok();
    assert_eq!(recorder.calls()[0].request, request);
}

#[tokio::test]
async fn what_is_not_in_the_catalogue_is_unimplemented() {
    let (_server, raw) = raw(ApiServer::builder(empty())).await;
    let long = format!("/mattermost.pluginapi.v1.PluginAPI/{}", "x".repeat(6000));
    for (path, named) in [
        ("/mattermost.pluginapi.v1.PluginAPI/GetEverything", "GetEverything"),
        ("/mattermost.pluginapi.v1.PluginAPI/getuser", "getuser"),
        ("/mattermost.pluginapi.v1.PluginAPI/", ""),
        ("/mattermost.pluginapi.v1.PluginAPI", ""),
        (&long, "xxxx"),
        ("/mattermost.pluginapi.v1.PluginAPI/GetUser/", ""),
        // The hooks are the plugin's, not the server's.
        ("/mattermost.pluginapi.v1.PluginHooks/OnActivate", ""),
        ("/mattermost.pluginapi.v2.PluginAPI/GetUser", ""),
        ("/GetUser", ""),
        ("/", ""),
    ] {
        let answer = raw.send(path, &[], frame(b"")).await;
        assert_eq!((answer.http.as_u16(), answer.code()), (200, 12), "{path}: {answer:?}");
        assert!(answer.message().contains(named), "{path}: {answer:?}");
        assert!(answer.header_list() < 1024, "{path}");
    }
    raw.assert_lives().await;
}

#[tokio::test]
async fn what_is_no_grpc_is_told_so_by_http() {
    let (_server, raw) = raw(ApiServer::builder(empty())).await;
    let path = rpc("GetUser").path;
    for kind in ["application/json", "text/html", "", "application/grpc-web", "application/grpcx"] {
        let answer = raw.send(path, &[("content-type", kind)], frame(b"")).await;
        assert_eq!(answer.http.as_u16(), 415, "{kind}: {answer:?}");
    }
    for kind in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
        let answer = raw.send(path, &[("content-type", kind)], frame(b"")).await;
        assert_eq!(answer.ok(), b"", "{kind}");
    }
}

#[tokio::test]
async fn broken_framing_is_the_calls_affair_alone() {
    let (server, raw) = raw(ApiServer::builder(empty())).await;
    let path = rpc("GetUser").path;
    let twice = [frame(b""), frame(b"")].concat();
    for (what, body, codes) in [
        ("no message", Bytes::new(), &[13][..]),
        ("half a prefix", Bytes::from_static(&[0, 0]), &[13]),
        ("half a message", flagged(0, 10, b"12345"), &[13]),
        ("compressed, but nothing agreed", flagged(1, 0, b""), &[12, 13]),
        ("an unknown flag", flagged(2, 0, b""), &[12, 13]),
        ("garbage", Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n"), &[8, 12, 13]),
        ("two messages", twice.into(), &[0, 12, 13]),
    ] {
        let answer = raw.send(path, &[], body).await;
        assert!(codes.contains(&answer.code()), "{what}: {answer:?}");
    }
    raw.assert_lives().await;
    until("no call is left", || server.tasks() == 2).await;
}

#[tokio::test]
async fn a_compressed_request_is_unimplemented() {
    let (_server, raw) = raw(ApiServer::builder(empty())).await;
    let gzip = [("grpc-encoding", "gzip")];
    let answer = raw.send(rpc("GetUser").path, &gzip, flagged(1, 1, b"x")).await;
    assert_eq!(answer.code(), 12, "{answer:?}");
    raw.assert_lives().await;
}

/// The SDK allows compressed answers; ours are never.
#[tokio::test]
async fn an_answer_is_never_compressed() {
    let (_server, raw) = raw(ApiServer::builder(empty())).await;
    let accepts = [("grpc-accept-encoding", "identity, deflate, gzip, zstd")];
    let answer = raw.send(rpc("GetUser").path, &accepts, frame(b"")).await;
    assert_eq!(answer.ok(), b"");
    assert!(!answer.headers.contains_key("grpc-encoding"));
}

/// A message may come in any number of pieces.
#[tokio::test]
async fn a_request_in_single_bytes_is_a_request() {
    let api = api(|_, request| async move { Ok(request) });
    let (_server, raw) = raw(ApiServer::builder(api)).await;
    // A user id that read as a message is an AppError: the request is a response, too.
    let request = b"\x0a\x03\x0a\x01x";
    let (answer, mut stream) = raw.start(rpc("GetUser").path, &[]).await;
    for byte in frame(request) {
        stream.send_data(Bytes::copy_from_slice(&[byte]), false).unwrap();
        tokio::task::yield_now().await;
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(read(answer).await.unwrap().ok(), request);
}

#[tokio::test]
async fn the_service_alone_fits_a_server_of_the_callers() {
    assert_eq!(GrpcService::NAME, "mattermost.pluginapi.v1.PluginAPI");
    let service = ApiServer::builder(empty()).into_service().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let router = tonic::transport::Server::builder().add_service(service);
    let serving = tokio::spawn(router.serve_with_incoming(incoming));
    let channel = wire::connect(&address.to_string()).unwrap();
    let answer = soon(wire::unary(&channel, rpc("GetUser"), Bytes::new(), None)).await;
    assert_eq!(answer.unwrap(), Bytes::new());
    serving.abort();
}

// Deadlines and cancellations

#[tokio::test]
async fn the_callers_deadline_ends_the_call_in_the_server() {
    let recorder = Recorder::default();
    let (dropped, is_dropped) = oneshot::channel();
    let dropped = std::sync::Mutex::new(Some(dropped));
    let api = api(move |_, _| {
        let guard = OnDrop(dropped.lock().unwrap().take());
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    });
    let (server, raw) = raw(ApiServer::builder(api).record(&recorder)).await;
    let answer = raw.send(rpc("GetUser").path, &[("grpc-timeout", "30m")], frame(b"")).await;
    assert_eq!(answer.code(), 4, "{answer:?}");
    assert!(answer.message().contains("GetUser"), "{answer:?}");
    soon(is_dropped).await.unwrap();
    let calls = recorder.calls();
    assert!(matches!(calls[0].outcome, Outcome::Cancelled), "{calls:?}");
    assert!(calls[0].duration >= Duration::from_millis(30));
    until("no call is left", || server.tasks() == 2).await;
    assert!(!raw.driver.is_finished());
}

#[tokio::test]
async fn a_deadline_runs_while_the_request_is_still_coming() {
    let (server, raw) = raw(ApiServer::builder(empty())).await;
    let (answer, _stream) = raw.start(rpc("GetUser").path, &[("grpc-timeout", "30m")]).await;
    assert_eq!(read(answer).await.unwrap().code(), 4);
    until("no call is left", || server.tasks() == 2).await;
}

#[tokio::test]
async fn every_unit_of_a_deadline_is_understood() {
    let (_server, raw) = raw(ApiServer::builder(endless())).await;
    for short in ["0H", "0S", "1n", "99999999n", "1000u", "1m", "00000001m"] {
        let answer = raw.send(rpc("GetUser").path, &[("grpc-timeout", short)], frame(b"")).await;
        assert_eq!(answer.code(), 4, "{short}: {answer:?}");
    }
    let (_server, raw) = self::raw(ApiServer::builder(empty())).await;
    for long in ["1H", "99999999H", "99999999M", "99999999S", "99999999m", "99999999u"] {
        let answer = raw.send(rpc("GetUser").path, &[("grpc-timeout", long)], frame(b"")).await;
        assert_eq!(answer.ok(), b"", "{long}");
    }
}

#[tokio::test]
async fn a_malformed_deadline_is_internal() {
    let (_server, raw) = raw(ApiServer::builder(empty())).await;
    let long = "9".repeat(5000) + "S";
    for bad in ["", "5", "S", "123456789S", "-1S", "+1S", "1x", "1 S", " ", "1.5S", "S1", &long] {
        let answer = raw.send(rpc("GetUser").path, &[("grpc-timeout", bad)], frame(b"")).await;
        assert_eq!(answer.code(), 13, "{bad:?}: {answer:?}");
        assert!(answer.message().contains("grpc-timeout"), "{bad:?}: {answer:?}");
        assert!(answer.header_list() < 1024);
    }
    raw.assert_lives().await;
}

#[tokio::test]
async fn a_client_sees_its_deadline() {
    let (_server, channel) = served(ApiServer::builder(endless())).await;
    let deadline = Some(Duration::from_millis(40));
    let answer = soon(wire::unary(&channel, rpc("GetUser"), Bytes::new(), deadline)).await;
    assert_eq!(answer.unwrap_err().code(), tonic::Code::DeadlineExceeded);
}

/// Begins a call and waits until the implementation has it.
async fn begun(raw: &Raw, started: &Notify) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let (answer, mut stream) = raw.start(rpc("GetUser").path, &[]).await;
    stream.send_data(frame(b""), true).unwrap();
    soon(started.notified()).await;
    (answer, stream)
}

/// An API that says when it is called, and never answers.
fn announced() -> (Arc<dyn PluginApi>, Arc<Notify>) {
    let started = Arc::new(Notify::new());
    let starts = Arc::clone(&started);
    let api = api(move |_, _| {
        starts.notify_one();
        std::future::pending()
    });
    (api, started)
}

#[tokio::test]
async fn a_cancelled_call_is_dropped_and_recorded() {
    let recorder = Recorder::default();
    let (api, started) = announced();
    let (server, raw) = raw(ApiServer::builder(api).record(&recorder)).await;
    let (answer, mut stream) = begun(&raw, &started).await;
    stream.send_reset(Reason::CANCEL);
    soon(recorder.reached(1)).await;
    assert!(matches!(recorder.calls()[0].outcome, Outcome::Cancelled));
    assert!(read(answer).await.is_err());
    until("no call is left", || server.tasks() == 2).await;
    assert!(!raw.driver.is_finished());
}

#[tokio::test]
async fn the_calls_of_a_lost_connection_are_dropped() {
    let recorder = Recorder::default();
    let (api, started) = announced();
    let (server, raw) = raw(ApiServer::builder(api).record(&recorder)).await;
    let (_answer, _stream) = begun(&raw, &started).await;
    let (_other, _stream) = begun(&raw, &started).await;
    raw.driver.abort();
    soon(recorder.reached(2)).await;
    assert!(recorder.calls().iter().all(|call| matches!(call.outcome, Outcome::Cancelled)));
    until("only the listener is left", || server.tasks() == 1).await;
}

// Many calls

#[tokio::test]
async fn sixty_four_calls_at_once_do_not_mix_their_answers() {
    // Nobody is answered before all are there: they do run at once.
    let all_there = Arc::new(Barrier::new(64));
    let api = api(move |method, request| {
        let all_there = Arc::clone(&all_there);
        async move {
            all_there.wait().await;
            let id = v1::GetUserRequest::decode(request).unwrap().user_id;
            let user = v1::User { id: format!("{} {id}", method.name), ..Default::default() };
            Ok(v1::GetUserResponse { user: Some(user), error: None }.encode_to_vec().into())
        }
    });
    let (server, channel) = served(ApiServer::builder(api)).await;
    for _ in 0..8 {
        let calls = (0..64).map(|at| {
            let request = v1::GetUserRequest { user_id: at.to_string() }.encode_to_vec();
            let channel = channel.clone();
            async move { wire::unary(&channel, rpc("GetUser"), request.into(), None).await }
        });
        for (at, answer) in soon(join_all(calls)).await.into_iter().enumerate() {
            let user = v1::GetUserResponse::decode(answer.unwrap()).unwrap().user.unwrap();
            assert_eq!(user.id, format!("GetUser {at}"));
        }
    }
    until("one connection", || server.tasks() == 2).await;
}

#[tokio::test]
async fn every_rpc_at_once_on_one_connection() {
    let api = api(|method, request| async move {
        Yield::default().await;
        assert_eq!(request, sample::request(method));
        Ok(sample::response(method))
    });
    let (_server, raw) = raw(ApiServer::builder(api)).await;
    let raw = &raw;
    let calls = rpcs()
        .map(|method| async move { (method, raw.call(method, &sample::request(method)).await) });
    let answers: Vec<(_, Answer)> = soon(join_all(calls)).await;
    for (method, answer) in answers {
        assert_eq!(answer.ok(), sample::response(method), "{}", method.name);
    }
}
