//! `ServeHTTP` over a connection, as a script has it answered.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use bytes::Bytes;
use common::{Bundle, Plugin, report_where, soon};
use fake_interpreters::report::{HttpReport, ReplyEnd, RequestEnd};
use fake_interpreters::{sample, wire};
use futures::Stream;
use plugin_proto::prost::Message as _;
use plugin_proto::{Method, Service, v1};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

fn message(path: &str, body: &str, complete: bool) -> v1::ServeHttpRequest {
    let init = v1::ServeHttpRequestInit {
        method: "POST".into(),
        url: path.into(),
        content_length: -1,
        ..v1::ServeHttpRequestInit::default()
    };
    v1::ServeHttpRequest {
        init: Some(init),
        body_chunk: body.to_owned().into(),
        body_complete: complete,
    }
}

fn chunk(body: &str, complete: bool) -> v1::ServeHttpRequest {
    v1::ServeHttpRequest { init: None, ..message("", body, complete) }
}

async fn open(
    channel: &Channel,
    request: impl Stream<Item = v1::ServeHttpRequest> + Send + 'static,
) -> Result<Streaming<Bytes>, Status> {
    use futures::StreamExt as _;
    let method = Method::by_name(Service::PluginHooks, "ServeHTTP").unwrap();
    let mut client =
        tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(wire::MAX_MESSAGE);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(method.path);
    let request = request.map(|message| Bytes::from(message.encode_to_vec()));
    let reply = soon(client.streaming(Request::new(request), path, wire::RawCodec)).await;
    reply.map(tonic::Response::into_inner)
}

async fn next(reply: &mut Streaming<Bytes>) -> Result<Option<v1::ServeHttpResponse>, Status> {
    let message = soon(reply.message()).await?;
    Ok(message.map(|message| v1::ServeHttpResponse::decode(message).unwrap()))
}

/// The whole reply: its messages, and the status if it is not OK.
async fn exchange(
    channel: &Channel,
    request: Vec<v1::ServeHttpRequest>,
) -> (Vec<v1::ServeHttpResponse>, Option<Status>) {
    let mut reply = match open(channel, futures::stream::iter(request)).await {
        Ok(reply) => reply,
        Err(status) => return (Vec::new(), Some(status)),
    };
    let mut messages = Vec::new();
    loop {
        match next(&mut reply).await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(status) => return (messages, Some(status)),
        }
    }
}

async fn get(channel: &Channel, path: &str) -> (Vec<v1::ServeHttpResponse>, Option<Status>) {
    exchange(channel, vec![message(path, "", true)]).await
}

fn status(message: &v1::ServeHttpResponse) -> Option<i32> {
    message.init.as_ref().map(|init| init.status_code)
}

fn text(message: &v1::ServeHttpResponse) -> &str {
    std::str::from_utf8(&message.body_chunk).unwrap()
}

async fn start(character: &str) -> (Bundle, Plugin, Channel) {
    let bundle = Bundle::of(character);
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    (bundle, plugin, channel)
}

async fn http_where(bundle: &Bundle, wanted: impl Fn(&HttpReport) -> bool) -> HttpReport {
    let report = report_where(&bundle.path(), |report| report.http.iter().any(&wanted)).await;
    report.http.into_iter().find(wanted).unwrap()
}

#[tokio::test]
async fn an_application() {
    let (bundle, mut plugin, channel) = start("http-app").await;
    let (reply, failed) = get(&channel, "/api/large?x=1").await;
    assert!(failed.is_none());
    let shape: Vec<_> = reply
        .iter()
        .map(|part| (status(part), part.body_chunk.len(), part.body_complete))
        .collect();
    assert_eq!(shape, [(Some(200), 65536, false), (None, 36864, true)]);
    let body: Vec<u8> = reply.iter().flat_map(|part| part.body_chunk.clone()).collect();
    assert_eq!(body, sample::letters(0, 102_400));
    assert_eq!(body[0], b'X');

    let (reply, _) = get(&channel, "/api/headers").await;
    let headers = &reply[0].init.as_ref().unwrap().headers;
    let header = |key: &str| &headers.iter().find(|header| header.key == key).unwrap().values;
    assert_eq!(*header("X-Custom-Header"), ["custom-value"]);
    assert_eq!(*header("Set-Cookie"), ["a=1", "b=2"]);
    for (path, wanted) in [("/nowhere", 404), ("/api/error", 500), ("/hello", 200)] {
        let (reply, _) = get(&channel, path).await;
        assert_eq!((reply.len(), status(&reply[0])), (1, Some(wanted)), "{path}");
    }
    let (reply, _) = get(&channel, "/api/flush").await;
    let flushed: Vec<_> = reply.iter().map(|part| (text(part), part.flush)).collect();
    assert_eq!(flushed, [("a", true), ("b", false), ("c", true)]);
    let (reply, _) = get(&channel, "/bytes/3").await;
    assert_eq!(text(&reply[0]), "XYZ");
    assert!(plugin.terminate().await.success());
    let report = bundle.report();
    assert_eq!(report.hooks, ["ServeHTTP"; 7]);
    let first = &report.http[0];
    assert_eq!(first.init.as_ref().unwrap()["url"], "/api/large?x=1");
    assert_eq!(first.init.as_ref().unwrap()["content_length"], -1);
    assert_eq!((first.reply_messages, first.reply_bytes), (2, 102_400));
    assert_eq!(first.reply_end, ReplyEnd::Closed);
}

#[tokio::test]
async fn an_echo_comes_chunk_by_chunk() {
    let (bundle, mut plugin, channel) = start("http-app").await;
    let (send, request) = tokio::sync::mpsc::unbounded_channel();
    send.send(message("/api/echo", "one", false)).unwrap();
    let mut reply = open(&channel, UnboundedReceiverStream::new(request)).await.unwrap();
    let first = next(&mut reply).await.unwrap().unwrap();
    assert_eq!((status(&first), text(&first), first.body_complete), (Some(200), "one", false));
    send.send(chunk("two", false)).unwrap();
    let second = next(&mut reply).await.unwrap().unwrap();
    assert_eq!((status(&second), text(&second)), (None, "two"));
    send.send(chunk("", true)).unwrap();
    assert!(next(&mut reply).await.unwrap().unwrap().body_complete);
    assert_eq!(next(&mut reply).await.unwrap(), None);
    drop(send);
    let call = http_where(&bundle, |call| call.reply_end == ReplyEnd::Closed).await;
    assert_eq!((call.messages, call.body_bytes, call.largest_chunk), (3, 6, 3));
    assert_eq!(call.body_crc32, crc32fast::hash(b"onetwo"));
    assert!(call.body_complete && !call.late_init);
    assert!(plugin.terminate().await.success());
}

#[tokio::test]
async fn what_a_request_does_wrong_is_noted() {
    let (bundle, mut plugin, channel) = start("http-app").await;
    let request =
        vec![message("/hello", "a", false), message("/x", "b", true), chunk("late", false)];
    let (reply, failed) = exchange(&channel, request).await;
    assert_eq!((status(&reply[0]), failed.is_none()), (Some(200), true));
    let (reply, _) = exchange(&channel, vec![message("/hello", "cut", false)]).await;
    assert_eq!(status(&reply[0]), Some(200));
    let cut = |call: &HttpReport| call.body_bytes == 3 && !call.body_complete;
    http_where(&bundle, |call| cut(call) && call.request_end == RequestEnd::Closed).await;
    http_where(&bundle, |call| call.late_init && call.body_complete).await;

    // Given up in the middle of the request.
    let (send, request) = tokio::sync::mpsc::unbounded_channel();
    send.send(message("/hello", "given up", false)).unwrap();
    let other = channel.clone();
    let call =
        tokio::spawn(
            async move { open(&other, UnboundedReceiverStream::new(request)).await.map(drop) },
        );
    report_where(&bundle.path(), |report| report.http.len() == 3).await;
    call.abort();
    http_where(&bundle, |call| call.reply_end == ReplyEnd::Cancelled).await;
    assert!(plugin.terminate().await.success());
}

#[tokio::test]
async fn misbehaviour() {
    let (bundle, mut plugin, channel) = start("http-misbehaves").await;
    let (reply, failed) = get(&channel, "/no-init").await;
    assert_eq!((status(&reply[0]), text(&reply[0]), failed.is_none()), (None, "no init", true));
    for bad in [0, 42, 99, -1, 1000, 65535] {
        let (reply, _) = get(&channel, &format!("/bad-status/{bad}")).await;
        assert_eq!(status(&reply[0]), Some(bad));
    }
    let (reply, failed) = get(&channel, "/half-reply").await;
    assert_eq!((text(&reply[0]), reply[0].body_complete), ("half", false));
    let failed = failed.unwrap();
    assert_eq!((failed.code(), failed.message()), (Code::Internal, "the other half is lost"));
    let (reply, failed) = get(&channel, "/half-reply-closed").await;
    assert!(!reply[0].body_complete && failed.is_none());
    let (reply, failed) = get(&channel, "/fails").await;
    assert_eq!((reply.len(), failed.unwrap().code()), (0, Code::Unavailable));
    let (reply, _) = get(&channel, "/second-init").await;
    let statuses: Vec<_> = reply.iter().map(status).collect();
    assert_eq!(statuses, [Some(200), Some(418), None]);
    let (reply, _) = get(&channel, "/after-complete").await;
    let parts: Vec<_> = reply.iter().map(|part| (text(part), part.body_complete)).collect();
    assert_eq!(parts, [("complete", true), ("and more", false)]);
    let (reply, _) = get(&channel, "/huge-chunk").await;
    assert_eq!((reply.len(), reply[0].body_chunk.len()), (1, 8 << 20));
    let (reply, _) = get(&channel, "/slow").await;
    assert_eq!(text(&reply[0]), "slow");

    // The reply is there while the request goes on.
    let (send, request) = tokio::sync::mpsc::unbounded_channel();
    send.send(message("/early-reply", "begin", false)).unwrap();
    let mut early = open(&channel, UnboundedReceiverStream::new(request)).await.unwrap();
    assert_eq!(status(&next(&mut early).await.unwrap().unwrap()), Some(413));
    let early = |call: &HttpReport| call.messages == 1 && call.body_bytes == 5;
    http_where(&bundle, |call| early(call) && call.reply_end == ReplyEnd::Closed).await;

    let mut endless =
        open(&channel, futures::stream::iter([message("/endless", "", true)])).await.unwrap();
    for _ in 0..100 {
        let part = next(&mut endless).await.unwrap().unwrap();
        assert_eq!((part.body_chunk.len(), part.body_complete, part.flush), (65536, false, true));
    }
    drop(endless);
    http_where(&bundle, |call| call.reply_end == ReplyEnd::Cancelled).await;

    let (reply, failed) = get(&channel, "/half-reply-crash").await;
    assert_eq!(text(&reply[0]), "half");
    assert!(failed.is_some());
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(plugin.exit().await.signal(), Some(rustix::process::Signal::SEGV.as_raw()));
}

#[tokio::test]
async fn a_large_body_is_not_held() {
    const BYTES: u64 = 256 << 20;
    let (bundle, mut plugin, channel) = start("http-app").await;
    let request = futures::stream::iter([message(&format!("/bytes/{BYTES}"), "", true)]);
    let mut reply = open(&channel, request).await.unwrap();
    next(&mut reply).await.unwrap().unwrap();
    let pid = plugin.child.id().unwrap();
    let mut bytes = 65536;
    while let Some(part) = next(&mut reply).await.unwrap() {
        bytes += part.body_chunk.len() as u64;
    }
    assert_eq!(bytes, BYTES);
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 64 << 10, "{kib} KiB");
    }
    assert!(plugin.terminate().await.success());
    assert_eq!(bundle.report().http[0].reply_bytes, BYTES);
}

#[tokio::test]
async fn init_alone_nothing_read_and_no_end() {
    let bundle = Bundle::new(
        "life: [{serve: {hooks: [ServeHTTP]}}, handshake, wait]\n\
         on:\n  ServeHTTP:\n    - reply:\n        read: none\n        init: alone\n        end: hang\n\
         \x20       headers: [{key: B, values: [one, two]}, {key: A, values: z}, {key: B, values: []}]\n\
         \x20       second_init: 201\n        body: abc\n        chunk_bytes: 2\n        flush: [1]\n",
    );
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    let (send, request) = tokio::sync::mpsc::unbounded_channel();
    let mut reply = open(&channel, UnboundedReceiverStream::new(request)).await.unwrap();
    let first = next(&mut reply).await.unwrap().unwrap();
    let head = first.init.as_ref().unwrap();
    let headers: Vec<_> =
        head.headers.iter().map(|header| (&*header.key, header.values.join(","))).collect();
    assert_eq!(headers, [("B", "one,two".to_owned()), ("A", "z".to_owned()), ("B", String::new())]);
    assert!(first.body_chunk.is_empty() && !first.body_complete);
    for (wanted, body, flush) in [(Some(201), "ab", false), (None, "c", true)] {
        let part = next(&mut reply).await.unwrap().unwrap();
        assert_eq!((status(&part), text(&part)), (wanted, body));
        assert_eq!((part.flush, part.body_complete), (flush, false));
    }
    let open = report_where(&bundle.path(), |report| report.http.len() == 1).await;
    assert_eq!(open.http[0].reply_end, ReplyEnd::Open);
    // The client resets a stream only once it has no request to send either.
    drop((send, reply));
    let call = http_where(&bundle, |call| call.reply_end == ReplyEnd::Cancelled).await;
    assert_eq!((call.messages, call.reply_messages, call.init), (0, 3, None));
    assert!(plugin.terminate().await.success());
}

#[tokio::test]
async fn an_upload_of_many_chunks() {
    let (bundle, mut plugin, channel) = start("http-app").await;
    const CHUNK: usize = 65536;
    let body = sample::letters(0, 100 * CHUNK + 1);
    let mut request = vec![message("/hello", "", false)];
    request.extend(body.chunks(CHUNK).map(|part| {
        let body_chunk = body.slice_ref(part);
        v1::ServeHttpRequest { body_chunk, ..v1::ServeHttpRequest::default() }
    }));
    request.last_mut().unwrap().body_complete = true;
    let (reply, failed) = exchange(&channel, request).await;
    assert_eq!((status(&reply[0]), failed.is_none()), (Some(200), true));
    let call = http_where(&bundle, |call| call.request_end == RequestEnd::Closed).await;
    assert_eq!((call.messages, call.body_bytes), (102, body.len() as u64));
    assert_eq!((call.largest_chunk, call.body_crc32), (CHUNK as u64, crc32fast::hash(&body)));
    assert!(plugin.terminate().await.success());
}
