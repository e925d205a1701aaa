//! Hooks answered by a driver in another process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use bytes::Bytes;
use common::{Bundle, Plugin, hook, only_version, serve_api, soon};
use fake_interpreters::control::Order;
use fake_interpreters::hook_control::{HookNews, HookOrder, HookStatus, HookStep, Told};
use fake_interpreters::wire;
use plugin_proto::{METHODS, Method, Service};
use tonic::transport::Channel;
use tonic::{Code, Request};

struct Driver(BufReader<UnixStream>);

impl Driver {
    async fn start(api: Option<&str>) -> (Bundle, Plugin, Channel, Self) {
        let bundle = Bundle::new("");
        let socket = bundle.path().join("driver");
        let control = serde_json::json!({
            "life": [
                {"serve": {"hooks": "all"}},
                {"control": {"socket": socket, "hooks": true}},
                "handshake",
                "wait",
            ]
        });
        std::fs::write(bundle.path().join("plugin.py"), control.to_string()).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let mut plugin = bundle.start(api);
        let accept = tokio::task::spawn_blocking(move || listener.accept().unwrap().0);
        let stream = soon(accept).await.unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let channel = plugin.connect().await;
        (bundle, plugin, channel, Self(BufReader::new(stream)))
    }

    async fn told(&mut self) -> Told {
        let mut reader = BufReader::new(self.0.get_ref().try_clone().unwrap());
        std::mem::swap(&mut reader, &mut self.0);
        let read = tokio::task::spawn_blocking(move || {
            let told = Told::read(&mut reader).unwrap();
            (told, reader)
        });
        let (told, reader) = read.await.unwrap();
        self.0 = reader;
        told
    }

    async fn news(&mut self) -> (u64, &'static str, HookNews) {
        match self.told().await {
            Told::Hook(event) => {
                (event.call, METHODS[event.hook as usize].name, event.news.unwrap())
            }
            Told::Outcome(outcome) => panic!("{outcome:?}"),
        }
    }

    fn order(&mut self, call: u64, step: HookStep) {
        HookOrder::new(call, step).write(self.0.get_mut()).unwrap();
    }
}

#[tokio::test]
async fn unary_hooks_and_calls_on_one_socket() {
    let api = serve_api(only_version).await;
    let (bundle, mut plugin, channel, mut driver) = Driver::start(Some(&api)).await;
    hook(&channel, "OnActivate").await.unwrap();

    let method = Method::by_name(Service::PluginHooks, "ExecuteCommand").unwrap();
    let start = |channel: Channel| {
        tokio::spawn(async move {
            wire::unary(&channel, method, Bytes::from_static(b"\0\xff"), None).await
        })
    };
    let call = start(channel.clone());
    let (id, name, news) = driver.news().await;
    assert_eq!((name, news), ("ExecuteCommand", HookNews::Request(Bytes::from_static(b"\0\xff"))));
    driver.order(id, HookStep::Message(Bytes::from_static(b"\xfe")));
    assert_eq!(soon(call).await.unwrap().unwrap(), Bytes::from_static(b"\xfe"));

    let call = start(channel.clone());
    let (id, ..) = driver.news().await;
    let status = HookStatus { code: Code::DataLoss.into(), message: "ä".into() };
    driver.order(id, HookStep::Fail(status));
    let status = soon(call).await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "ä"));

    let version = Method::by_name(Service::PluginAPI, "GetServerVersion").unwrap();
    let order = Order { id: 9, method: version.index as u32, ..Order::default() };
    order.write(driver.0.get_mut()).unwrap();
    match driver.told().await {
        Told::Outcome(outcome) => assert_eq!((outcome.id, outcome.code), (9, 0)),
        Told::Hook(event) => panic!("{event:?}"),
    }

    let call = start(channel.clone());
    let (id, ..) = driver.news().await;
    call.abort();
    assert_eq!(driver.news().await, (id, "ExecuteCommand", HookNews::Cancelled(true)));

    // An order for a call that is over is passed over; one without a driver fails.
    driver.order(id, HookStep::End(true));
    let call = start(channel.clone());
    driver.news().await;
    driver.0.get_mut().flush().unwrap();
    drop(driver);
    assert_eq!(soon(call).await.unwrap().unwrap_err().code(), Code::Unavailable);
    hook(&channel, "OnDeactivate").await.unwrap();
    assert!(plugin.terminate().await.success());
    let report = bundle.report();
    assert_eq!(report.hooks, ["OnActivate", "OnDeactivate"]);
    assert_eq!(report.failures, [""; 0]);
}

#[tokio::test]
async fn messages_of_serve_http_and_a_crash() {
    let (bundle, mut plugin, channel, mut driver) = Driver::start(None).await;
    let method = Method::by_name(Service::PluginHooks, "ServeHTTP").unwrap();
    let open = |messages: &'static [&'static [u8]]| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await.unwrap();
            let path = http::uri::PathAndQuery::from_static(method.path);
            let messages = messages.iter().map(|message| Bytes::from_static(message));
            let request = Request::new(futures::stream::iter(messages));
            client.streaming(request, path, wire::RawCodec).await.map(tonic::Response::into_inner)
        })
    };
    let reply = open(&[b"\xff", b""]);
    let mut news = Vec::new();
    for _ in 0..3 {
        news.push(driver.news().await.2);
    }
    let raw = |bytes: &'static [u8]| HookNews::Request(Bytes::from_static(bytes));
    assert_eq!(news, [raw(b"\xff"), raw(b""), HookNews::RequestEnd(true)]);
    driver.order(1, HookStep::Message(Bytes::from_static(b"\xfe")));
    driver.order(1, HookStep::Message(Bytes::new()));
    let status = HookStatus { code: Code::Aborted.into(), message: "half".into() };
    driver.order(1, HookStep::Fail(status));
    let mut reply = soon(reply).await.unwrap().unwrap();
    assert_eq!(soon(reply.message()).await.unwrap().unwrap(), Bytes::from_static(b"\xfe"));
    assert_eq!(soon(reply.message()).await.unwrap().unwrap(), Bytes::new());
    assert_eq!(soon(reply.message()).await.unwrap_err().code(), Code::Aborted);

    let reply = open(&[]);
    assert_eq!(driver.news().await, (2, "ServeHTTP", HookNews::RequestEnd(true)));
    driver.order(2, HookStep::End(true));
    let mut reply = soon(reply).await.unwrap().unwrap();
    assert_eq!(soon(reply.message()).await.unwrap(), None);

    // Requests that send one message and go no further are not in each other's way.
    let mut idle = Vec::new();
    for _ in 0..40 {
        use futures::StreamExt as _;
        let channel = channel.clone();
        idle.push(tokio::spawn(async move {
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await.unwrap();
            let path = http::uri::PathAndQuery::from_static(method.path);
            let request = futures::stream::iter([Bytes::new()]).chain(futures::stream::pending());
            client.streaming(Request::new(request), path, wire::RawCodec).await.map(drop)
        }));
    }
    for _ in 0..40 {
        assert_eq!(driver.news().await.2, raw(b""));
    }
    for call in idle {
        call.abort();
    }
    for _ in 0..40 {
        while !matches!(driver.news().await.2, HookNews::Cancelled(true)) {}
    }

    let reply = open(&[b""]);
    let (id, ..) = driver.news().await;
    driver.order(id, HookStep::Message(Bytes::from_static(b"last")));
    driver.order(id, HookStep::Crash(true));
    let mut reply = soon(reply).await.unwrap().unwrap();
    assert_eq!(soon(reply.message()).await.unwrap().unwrap(), Bytes::from_static(b"last"));
    assert_eq!(plugin.exit().await.signal(), Some(rustix::process::Signal::KILL.as_raw()));
    assert!(bundle.report().http.is_empty());
}
