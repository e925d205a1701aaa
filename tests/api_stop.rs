//! Stopping: whatever the peers do, after `stop` no port, no socket file, no connection and no task
//! is left. And where the server listens until then.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_common;

use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api_common::{OnDrop, Raw, api, empty, endless, frame, read, rpc, served, soon, until};
use bytes::Bytes;
use fake_interpreters::wire;
use futures::future::join_all;
use plugin_conformance::api::{
    ApiServer, ApiStop, AppError, Listen, ListenError, Outcome, PluginApi, Recorder,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, oneshot};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(15);
/// How long calls may go on in a stop that is to be forced.
const SHORT: Duration = Duration::from_millis(100);
/// What may come on top of a drain's deadline.
const BOUND: Duration = Duration::from_secs(10);

const CLEAN: ApiStop = ApiStop { forced: 0, stuck: 0 };

/// Stops, within the drain and a bit; then nothing is left.
async fn stopped(server: &ApiServer, drain: Duration) -> ApiStop {
    let start = Instant::now();
    let stop = soon(server.stop(drain)).await;
    let took = start.elapsed();
    assert!(took < drain + BOUND, "it took {took:?}");
    assert_nothing_left(server).await;
    stop
}

/// A stop that needs no force, and so does not wait for the drain's deadline either.
async fn stopped_at_once(server: &ApiServer) {
    let start = Instant::now();
    assert_eq!(stopped(server, LONG).await, CLEAN);
    assert!(start.elapsed() < BOUND, "it took {:?}", start.elapsed());
}

async fn assert_nothing_left(server: &ApiServer) {
    assert_eq!(server.tasks(), 0);
    match server.target().strip_prefix("unix://") {
        Some(path) => assert!(!folder(path).exists(), "{path} is still there"),
        None => {
            let refused = TcpStream::connect(server.target()).await;
            assert!(refused.is_err(), "{} still accepts connections", server.target());
        }
    }
}

fn folder(socket: &str) -> PathBuf {
    Path::new(socket).parent().unwrap().to_owned()
}

/// An API whose calls say when they begin, go on until told, and say when they are dropped.
struct Held {
    started: Notify,
    go_on: Notify,
    dropped: Mutex<Option<oneshot::Sender<()>>>,
}

impl Held {
    fn new() -> (Arc<Self>, Arc<dyn PluginApi>, oneshot::Receiver<()>) {
        let (dropped, is_dropped) = oneshot::channel();
        let held = Arc::new(Self {
            started: Notify::new(),
            go_on: Notify::new(),
            dropped: Mutex::new(Some(dropped)),
        });
        let inner = Arc::clone(&held);
        let api = api(move |_, _| {
            let held = Arc::clone(&inner);
            async move {
                let _guard = OnDrop(held.dropped.lock().unwrap().take());
                held.started.notify_one();
                held.go_on.notified().await;
                Ok(Bytes::new())
            }
        });
        (held, api, is_dropped)
    }
}

async fn tcp(server: &ApiServer) -> TcpStream {
    TcpStream::connect(server.tcp_address().unwrap()).await.unwrap()
}

// Peers

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let server = soon(ApiServer::builder(empty()).start()).await.unwrap();
    assert_eq!(server.tasks(), 1);
    stopped_at_once(&server).await;
}

#[tokio::test]
async fn idle_clients_do_not_delay_a_stop() {
    let (server, channel) = served(ApiServer::builder(empty())).await;
    let raw = Raw::connect(&server).await;
    raw.assert_lives().await;
    soon(wire::unary(&channel, rpc("GetUser"), Bytes::new(), None)).await.unwrap();
    stopped_at_once(&server).await;
    // The client was told, by a GOAWAY without an error.
    assert!(soon(raw.driver).await.unwrap().is_ok());
    let answer = soon(wire::unary(&channel, rpc("GetUser"), Bytes::new(), None)).await;
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn peers_that_never_spoke_http2_do_not_delay_a_stop() {
    for said in [
        &b""[..],
        b"P",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HT",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0xff; 5000],
        &[0x00; 10],
    ] {
        let server = soon(ApiServer::builder(empty()).start()).await.unwrap();
        let mut peers = [tcp(&server).await, tcp(&server).await];
        // The second one closes its side.
        for peer in &mut peers {
            let _ = peer.write_all(said).await;
        }
        peers[1].shutdown().await.unwrap();
        // A peer that talks well meanwhile is served.
        Raw::connect(&server).await.assert_lives().await;
        stopped_at_once(&server).await;
        // And the silent ones were hung up on.
        for mut peer in peers {
            let mut rest = Vec::new();
            let _ = soon(peer.read_to_end(&mut rest)).await;
        }
    }
}

/// The preface and an empty SETTINGS frame: a client has come, and then?
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn peers_that_ignore_goaway_are_dropped_at_the_deadline() {
    for more in [
        &b""[..],
        // Half of a frame's header.
        b"\0\0",
        // A HEADERS frame that lacks its payload.
        b"\0\x10\0\x01\x04\0\0\0\x01",
    ] {
        let server = soon(ApiServer::builder(empty()).start()).await.unwrap();
        let mut peer = tcp(&server).await;
        peer.write_all(HELLO).await.unwrap();
        peer.write_all(more).await.unwrap();
        // The server's own SETTINGS: it has heard.
        let mut settings = [0; 9];
        soon(peer.read_exact(&mut settings)).await.unwrap();
        assert_eq!(settings[3], 4);
        let stop = stopped(&server, SHORT).await;
        assert_eq!(stop, ApiStop { forced: 1, stuck: 0 }, "{more:?}");
        let mut rest = Vec::new();
        let _ = soon(peer.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn a_peer_that_takes_no_answer_is_dropped_at_the_deadline() {
    let large = [&[0x12, 0x80, 0x08][..], &[0; 1024]].concat();
    let api = api(move |_, _| std::future::ready(Ok(large.clone().into())));
    let server = soon(ApiServer::builder(api).start()).await.unwrap();
    let mut client = h2::client::Builder::new();
    client.initial_window_size(0);
    let raw = Raw::over(tcp(&server).await, client).await;
    let (answer, mut stream) = raw.start(rpc("ReadFile").path, &[]).await;
    stream.send_data(frame(b""), true).unwrap();
    let answer = soon(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let stop = stopped(&server, SHORT).await;
    assert!(stop.forced > 0 && stop.stuck == 0, "{stop:?}");
}

#[tokio::test]
async fn a_request_that_never_ends_is_dropped_at_the_deadline() {
    let server = soon(ApiServer::builder(empty()).start()).await.unwrap();
    let raw = Raw::connect(&server).await;
    let (answer, mut stream) = raw.start(rpc("GetUser").path, &[]).await;
    stream.send_data(Bytes::from_static(b"\0\0"), false).unwrap();
    until("the call has begun", || server.tasks() == 3).await;
    let stop = stopped(&server, SHORT).await;
    assert_eq!(stop, ApiStop { forced: 2, stuck: 0 });
    assert!(read(answer).await.is_err());
}

#[tokio::test]
async fn a_watch_of_health_is_dropped_at_the_deadline() {
    let (server, channel) = served(ApiServer::builder(empty())).await;
    let mut client = HealthClient::new(channel);
    let watch = soon(client.watch(HealthCheckRequest::default())).await;
    let mut watch = watch.unwrap().into_inner();
    let first = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status, 1);
    let stop = stopped(&server, SHORT).await;
    assert!(stop.forced > 0 && stop.stuck == 0, "{stop:?}");
    assert!(soon(watch.message()).await.is_err());
}

#[tokio::test]
async fn many_peers_of_all_kinds_at_once() {
    let (held, api, _) = Held::new();
    let server = soon(ApiServer::builder(api).start()).await.unwrap();
    let mut silent = Vec::new();
    for said in [&b""[..], b"PRI", b"GET / HTTP/1.1\r\n\r\n", HELLO] {
        for _ in 0..20 {
            let mut peer = tcp(&server).await;
            peer.write_all(said).await.unwrap();
            silent.push(peer);
        }
    }
    let raw = Raw::connect(&server).await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        let (answer, mut stream) = raw.start(rpc("GetUser").path, &[]).await;
        stream.send_data(frame(b""), true).unwrap();
        calls.push(answer);
    }
    soon(held.started.notified()).await;
    let stop = stopped(&server, SHORT).await;
    assert!(stop.forced >= 20 && stop.stuck == 0, "{stop:?}");
}

// Calls

#[tokio::test]
async fn a_call_that_ends_within_the_drain_is_answered() {
    let (held, api, _) = Held::new();
    let recorder = Recorder::default();
    let (server, channel) = served(ApiServer::builder(api).record(&recorder)).await;
    let call =
        tokio::spawn(
            async move { wire::unary(&channel, rpc("GetUser"), Bytes::new(), None).await },
        );
    soon(held.started.notified()).await;
    let mut stopping = Box::pin(server.stop(LONG));
    // Stopping has begun: the port is closed, the call goes on.
    assert!(futures::poll!(&mut stopping).is_pending());
    let target = server.target();
    soon(async { while TcpStream::connect(target).await.is_ok() {} }).await;
    assert!(!call.is_finished());
    held.go_on.notify_one();
    assert_eq!(soon(stopping).await, CLEAN);
    assert_eq!(soon(call).await.unwrap().unwrap(), Bytes::new());
    assert!(matches!(recorder.calls()[0].outcome, Outcome::Response(_)));
    assert_nothing_left(&server).await;
}

#[tokio::test]
async fn a_call_that_never_ends_is_dropped_at_the_deadline() {
    let (held, api, is_dropped) = Held::new();
    let recorder = Recorder::default();
    let (server, channel) = served(ApiServer::builder(api).record(&recorder)).await;
    let call =
        tokio::spawn(
            async move { wire::unary(&channel, rpc("GetUser"), Bytes::new(), None).await },
        );
    soon(held.started.notified()).await;
    // The call and its connection.
    assert_eq!(stopped(&server, SHORT).await, ApiStop { forced: 2, stuck: 0 });
    soon(is_dropped).await.unwrap();
    assert!(matches!(recorder.calls()[0].outcome, Outcome::Cancelled));
    let status = soon(call).await.unwrap().unwrap_err();
    assert_ne!(status.code(), Code::Ok);
}

#[tokio::test]
async fn no_drain_is_no_wait() {
    let (held, api, is_dropped) = Held::new();
    let (server, channel) = served(ApiServer::builder(api)).await;
    let call =
        tokio::spawn(
            async move { wire::unary(&channel, rpc("GetUser"), Bytes::new(), None).await },
        );
    soon(held.started.notified()).await;
    let stop = stopped(&server, Duration::ZERO).await;
    assert!(stop.forced > 0 && stop.stuck == 0, "{stop:?}");
    soon(is_dropped).await.unwrap();
    assert!(soon(call).await.unwrap().is_err());
}

/// The one thing that cannot be helped is at least told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_implementation_that_blocks_its_thread_is_told() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (released, started) = (Mutex::new(released), Arc::new(Notify::new()));
    let starts = Arc::clone(&started);
    let api = api(move |_, _| {
        starts.notify_one();
        let _ = released.lock().unwrap().recv();
        async { Err(AppError::new("late", 500)) }
    });
    let (server, channel) = served(ApiServer::builder(api)).await;
    let call =
        tokio::spawn(
            async move { wire::unary(&channel, rpc("GetUser"), Bytes::new(), None).await },
        );
    soon(started.notified()).await;
    let stop = soon(server.stop(SHORT)).await;
    assert!(stop.forced >= 1 && stop.stuck == 1, "{stop:?}");
    assert_eq!(server.tasks(), 1);
    assert!(TcpStream::connect(server.target()).await.is_err());
    drop(release);
    until("the call is gone", || server.tasks() == 0).await;
    assert!(soon(call).await.unwrap().is_err());
}

// Again, together, not at all

#[tokio::test]
async fn a_server_stops_twice() {
    let (server, channel) = served(ApiServer::builder(endless())).await;
    let call = wire::unary(&channel, rpc("GetUser"), Bytes::new(), Some(SHORT));
    let _ = soon(call).await;
    stopped(&server, SHORT).await;
    stopped_at_once(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tasks_stop_a_server_at_once() {
    let (held, api, is_dropped) = Held::new();
    let (server, channel) = served(ApiServer::builder(api)).await;
    let call =
        tokio::spawn(
            async move { wire::unary(&channel, rpc("GetUser"), Bytes::new(), None).await },
        );
    soon(held.started.notified()).await;
    let server = Arc::new(server);
    let stops = (0..8).map(|at| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let stop = server.stop(SHORT * at).await;
            assert_eq!(server.tasks(), 0, "after any of them nothing is left");
            stop
        })
    });
    let start = Instant::now();
    let stops: Vec<_> = soon(join_all(stops)).await.into_iter().map(Result::unwrap).collect();
    assert!(stops.iter().all(|stop| stop.stuck == 0) && stops[0].forced > 0, "{stops:?}");
    assert!(start.elapsed() < BOUND, "the shortest drain counts for all");
    assert_nothing_left(&server).await;
    soon(is_dropped).await.unwrap();
    assert!(soon(call).await.unwrap().is_err());
}

#[tokio::test]
async fn a_stop_that_is_given_up_can_be_taken_up_again() {
    let (held, api, _) = Held::new();
    let (server, channel) = served(ApiServer::builder(api)).await;
    let call =
        tokio::spawn(
            async move { wire::unary(&channel, rpc("GetUser"), Bytes::new(), None).await },
        );
    soon(held.started.notified()).await;
    assert!(tokio::time::timeout(SHORT, server.stop(LONG)).await.is_err());
    assert!(!call.is_finished());
    assert!(stopped(&server, SHORT).await.forced > 0);
    assert!(soon(call).await.unwrap().is_err());
}

#[tokio::test]
async fn a_dropped_server_stops_by_itself() {
    for unix in [false, true] {
        let (held, api, is_dropped) = Held::new();
        let listen = if unix { Listen::PrivateUnix } else { Listen::default() };
        let (server, channel) = served(ApiServer::builder(api).listen(listen)).await;
        let call =
            tokio::spawn(
                async move { wire::unary(&channel, rpc("GetUser"), Bytes::new(), None).await },
            );
        soon(held.started.notified()).await;
        let target = server.target().to_owned();
        drop(server);
        soon(is_dropped).await.unwrap();
        assert!(soon(call).await.unwrap().is_err());
        match target.strip_prefix("unix://") {
            Some(path) => until("the folder is gone", || !folder(path).exists()).await,
            None => soon(async { while TcpStream::connect(&target).await.is_ok() {} }).await,
        }
    }
}

#[tokio::test]
async fn a_port_is_free_again_after_a_stop() {
    let server = soon(ApiServer::builder(empty()).start()).await.unwrap();
    let listen = Listen::Tcp(server.tcp_address().unwrap());
    Raw::connect(&server).await.assert_lives().await;
    stopped_at_once(&server).await;
    let again = soon(ApiServer::builder(empty()).listen(listen).start()).await.unwrap();
    assert_eq!(again.target(), server.target());
    Raw::connect(&again).await.assert_lives().await;
    stopped_at_once(&again).await;
}

// Where it listens

#[tokio::test]
async fn the_default_is_the_loopback_and_a_free_port() {
    let server = soon(ApiServer::builder(empty()).start()).await.unwrap();
    let address = server.tcp_address().unwrap();
    assert_eq!(address.ip().to_string(), "127.0.0.1");
    assert_ne!(address.port(), 0);
    assert_eq!(server.target(), address.to_string());
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let started = ApiServer::builder(empty()).listen(Listen::Tcp(address)).start();
    let error = soon(started).await.unwrap_err();
    assert!(matches!(&error, ListenError::Tcp { address: told, .. } if *told == address));
    let text = error.to_string();
    assert!(text.contains(&address.to_string()), "{text}");
    assert!(text.contains("port 0 for a free port"), "{text}");
}

#[tokio::test]
async fn a_unix_socket_is_for_this_user_only() {
    let builder = ApiServer::builder(empty()).listen(Listen::PrivateUnix);
    let (server, channel) = served(builder).await;
    assert_eq!(server.tcp_address(), None);
    let path = server.target().strip_prefix("unix://").unwrap();
    assert!(path.starts_with('/') && path.len() <= 107, "{path}");
    let mode = folder(path).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    let answer = soon(wire::unary(&channel, rpc("GetUser"), Bytes::new(), None)).await;
    assert_eq!(answer.unwrap(), Bytes::new());
    let raw = Raw::over(UnixStream::connect(path).await.unwrap(), h2::client::Builder::new()).await;
    assert_eq!(raw.call(rpc("GetUser"), b"").await.ok(), b"");
    stopped_at_once(&server).await;
}

#[tokio::test]
async fn a_unix_socket_goes_with_its_folder_even_by_force() {
    let builder = ApiServer::builder(endless()).listen(Listen::PrivateUnix);
    let server = soon(builder.start()).await.unwrap();
    let path = server.target().strip_prefix("unix://").unwrap().to_owned();
    let mut peer = UnixStream::connect(&path).await.unwrap();
    peer.write_all(HELLO).await.unwrap();
    soon(peer.read_exact(&mut [0; 9])).await.unwrap();
    assert_eq!(stopped(&server, SHORT).await.forced, 1);
    assert!(!folder(&path).exists());
}

/// Drains that cannot be counted are none too many.
#[tokio::test]
async fn an_endless_drain_is_allowed() {
    let server = soon(ApiServer::builder(empty()).start()).await.unwrap();
    assert_eq!(soon(server.stop(Duration::MAX)).await, CLEAN);
}

fn _stop_can_be_spawned(server: Arc<ApiServer>) -> impl Future + Send {
    async move { server.stop(SHORT).await }
}
