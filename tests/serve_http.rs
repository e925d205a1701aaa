//! The ServeHTTP stream itself: messages, rules, limits, cancellation.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod http_common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use http_common::{CHUNK, Exchange, Peer, chunk, head, last, peer, peer_with, soon, with};
use hyper::body::{Body, Frame};
use plugin_conformance::hooks::{ServeHttpError, ServeHttpReply, http_headers};
use plugin_proto::v1;
use tokio::sync::{Mutex, mpsc};
use tonic::Status;

fn init(method: &str) -> v1::ServeHttpRequestInit {
    v1::ServeHttpRequestInit {
        method: method.into(),
        url: "/x?y=1".into(),
        content_length: -1,
        ..Default::default()
    }
}

fn body(bytes: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(bytes.into())
}

/// A body that gives these parts and then never ends.
fn endless(parts: &[&'static str]) -> impl Body<Data = Bytes, Error = std::io::Error> + use<> {
    let parts: Vec<_> =
        parts.iter().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))).collect();
    StreamBody::new(stream::iter(parts).chain(stream::pending()))
}

/// A body without end, always ready.
fn flood() -> impl Body<Data = Bytes, Error = std::io::Error> {
    let block = Bytes::from(vec![0; CHUNK]);
    StreamBody::new(stream::repeat_with(move || Ok(Frame::data(block.clone()))))
}

/// A plugin that replies with these messages when it has read the request.
async fn replying(messages: Vec<v1::ServeHttpResponse>) -> Peer {
    peer(move |mut exchange: Exchange| {
        let messages = messages.clone();
        async move {
            exchange.read().await;
            for message in messages {
                exchange.send(message).await;
            }
        }
    })
    .await
}

async fn get(peer: &Peer) -> Result<ServeHttpReply, ServeHttpError> {
    soon(peer.hooks.serve_http(init("GET"), body(""))).await
}

async fn text(reply: ServeHttpReply) -> Result<String, ServeHttpError> {
    let bytes = soon(reply.body.collect()).await?.to_bytes();
    Ok(String::from_utf8(bytes.into()).unwrap())
}

/// The messages that a plugin gets of a body of these bytes.
async fn messages(chunk_bytes: usize, bytes: usize) -> Vec<v1::ServeHttpRequest> {
    let (seen, mut sent) = mpsc::channel(1);
    let peer = peer(move |mut exchange: Exchange| {
        let seen = seen.clone();
        async move {
            seen.send(exchange.read().await).await.unwrap();
            exchange.send(last(head(0, &[]))).await;
        }
    })
    .await;
    let bytes: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    let reply = peer.hooks.serve_http_in_chunks(chunk_bytes, init("POST"), body(bytes.clone()));
    text(soon(reply).await.unwrap()).await.unwrap();
    let messages = sent.recv().await.unwrap();
    let whole: Vec<u8> = messages.iter().flat_map(|message| message.body_chunk.to_vec()).collect();
    assert!(whole == bytes, "the body arrives as it was sent");
    let first = messages.iter().map(|message| message.init.is_some());
    assert!(first.eq((0..messages.len()).map(|at| at == 0)), "init in the first message only");
    let complete = messages.iter().map(|message| message.body_complete);
    assert!(complete.eq((1..=messages.len()).map(|at| at == messages.len())), "complete is last");
    messages
}

#[tokio::test]
async fn h1_headers_and_h2_context_cross() {
    let (seen, mut sent) = mpsc::channel(1);
    let peer = peer(move |mut exchange: Exchange| {
        let seen = seen.clone();
        async move {
            seen.send(exchange.read().await).await.unwrap();
            exchange.send(last(head(0, &[]))).await;
        }
    })
    .await;
    let mut headers = http::HeaderMap::new();
    headers.append("x-test-header", "one".parse().unwrap());
    headers.append("x-test-header", "two".parse().unwrap());
    headers.append("accept", "*/*".parse().unwrap());
    let asked = v1::ServeHttpRequestInit {
        plugin_context: Some(v1::PluginContext {
            request_id: "request".into(),
            session_id: "session".into(),
            ..Default::default()
        }),
        headers: http_headers(&headers),
        ..init("GET")
    };
    soon(peer.hooks.serve_http(asked.clone(), body(""))).await.unwrap();
    let got = sent.recv().await.unwrap()[0].init.clone().unwrap();
    assert_eq!(got, asked);
    assert_eq!(got.headers[0].key, "X-Test-Header");
    assert_eq!(got.headers[0].values, ["one", "two"]);
}

#[tokio::test]
async fn h3_a_small_body_comes_with_init() {
    assert_eq!(messages(CHUNK, 11).await.len(), 1);
}

#[tokio::test]
async fn h4_a_body_of_exactly_one_chunk() {
    assert_eq!(messages(CHUNK, CHUNK).await.len(), 1);
    assert_eq!(messages(CHUNK, CHUNK + 1).await.len(), 2);
}

#[tokio::test]
async fn h5_250_bytes_in_chunks_of_100() {
    let sizes = messages(100, 250).await;
    let sizes: Vec<_> = sizes.iter().map(|message| message.body_chunk.len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
}

#[tokio::test]
async fn h6_no_body_is_one_message() {
    let messages = messages(CHUNK, 0).await;
    assert_eq!(messages.len(), 1);
    assert!(messages[0].body_chunk.is_empty());
}

#[tokio::test]
async fn h7_a_mebibyte_is_16_messages() {
    assert_eq!(messages(CHUNK, 1 << 20).await.len(), 16);
}

#[tokio::test]
async fn parts_that_are_there_are_joined_and_none_waits_for_the_next() {
    let (seen, mut sent) = mpsc::channel(4);
    let peer = peer(move |mut exchange: Exchange| {
        let seen = seen.clone();
        async move {
            while let Ok(Some(message)) = exchange.requests.message().await {
                seen.send(message).await.unwrap();
            }
            drop(exchange.replies);
        }
    })
    .await;
    let (send, parts) = mpsc::channel::<Bytes>(4);
    let parts = tokio_stream::wrappers::ReceiverStream::new(parts);
    let upload = StreamBody::new(parts.map(|part| Ok::<_, std::io::Error>(Frame::data(part))));
    for part in ["a", "b", ""] {
        send.send(part.into()).await.unwrap();
    }
    let hooks = peer.hooks.clone();
    let call = tokio::spawn(async move { hooks.serve_http(init("POST"), upload).await });
    assert_eq!(soon(sent.recv()).await.unwrap().body_chunk, "ab");
    send.send("c".into()).await.unwrap();
    assert_eq!(soon(sent.recv()).await.unwrap().body_chunk, "c");
    drop(send);
    assert!(soon(sent.recv()).await.unwrap().body_complete);
    let error = soon(call).await.unwrap().unwrap_err();
    assert!(matches!(error, ServeHttpError::NoReply { status: None }), "{error:?}");
}

#[tokio::test]
async fn h8_valid_status_codes() {
    for (code, expected) in [(200, 200), (404, 404), (100, 100), (999, 999), (0, 200)] {
        let peer = replying(vec![last(head(code, &[("X-Custom-Header", "v")]))]).await;
        let reply = get(&peer).await.unwrap();
        assert_eq!(reply.status.as_u16(), expected);
        assert_eq!(reply.headers["x-custom-header"], "v");
    }
    let peer = replying(vec![chunk("he"), last(chunk("llo"))]).await;
    let reply = get(&peer).await.unwrap();
    assert_eq!((reply.status, reply.headers.len()), (StatusCode::OK, 0));
    assert_eq!(text(reply).await.unwrap(), "hello");
}

#[tokio::test]
async fn h9_invalid_status_codes() {
    for code in [42, 99, -1, 1000, 1001, 65535, i32::MIN, i32::MAX] {
        let peer = replying(vec![last(head(code, &[]))]).await;
        let error = get(&peer).await.unwrap_err();
        assert!(matches!(error, ServeHttpError::BadStatus { code: got } if got == code));
        assert_eq!(error.http_status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[tokio::test]
async fn h10_a_caller_that_leaves_during_the_upload_cancels_the_stream() {
    let (events, mut seen) = mpsc::channel(2);
    let peer = peer(move |mut exchange: Exchange| {
        let events = events.clone();
        async move {
            events.send(exchange.requests.message().await.is_ok()).await.unwrap();
            exchange.cancelled().await;
            events
                .send(exchange.requests.message().await.is_ok_and(|more| more.is_some()))
                .await
                .unwrap();
        }
    })
    .await;
    let hooks = peer.hooks.clone();
    let call = tokio::spawn(async move { hooks.serve_http(init("POST"), endless(&["a"])).await });
    assert_eq!(soon(seen.recv()).await, Some(true));
    call.abort();
    assert_eq!(soon(seen.recv()).await, Some(false));
}

#[tokio::test]
async fn h11_h12_flush_marks_are_seen_in_their_order() {
    let flush = |message| v1::ServeHttpResponse { flush: true, ..message };
    let peer = replying(vec![
        flush(with(head(200, &[]), "one")),
        chunk("two"),
        last(flush(chunk("three"))),
    ])
    .await;
    let mut reply = get(&peer).await.unwrap();
    let mut parts = vec![];
    while let Some(part) = soon(reply.body.part()).await {
        let part = part.unwrap();
        parts.push((String::from_utf8(part.chunk.into()).unwrap(), part.flush));
    }
    let expected = [("one", true), ("two", false), ("three", true)];
    assert_eq!(parts, expected.map(|(text, flush)| (text.to_owned(), flush)));
    assert_eq!(text(get(&peer).await.unwrap()).await.unwrap(), "onetwothree");
}

#[tokio::test]
async fn h13_an_early_reply_cancels_the_upload() {
    let (events, mut seen) = mpsc::channel(2);
    let peer = peer(move |mut exchange: Exchange| {
        let events = events.clone();
        async move {
            let first = exchange.requests.message().await.unwrap().unwrap();
            events.send(first.init.is_some()).await.unwrap();
            exchange.send(last(head(200, &[]))).await;
            exchange.cancelled().await;
            while exchange.requests.message().await.is_ok_and(|more| more.is_some()) {}
            events.send(false).await.unwrap();
        }
    })
    .await;
    let reply = soon(peer.hooks.serve_http(init("POST"), endless(&["a"]))).await.unwrap();
    assert_eq!(text(reply).await.unwrap(), "");
    assert_eq!(soon(seen.recv()).await, Some(true));
    assert_eq!(soon(seen.recv()).await, Some(false));
}

#[tokio::test]
async fn i15_a_reply_ends_with_body_complete_and_the_plugin_in_its_own_time() {
    let (events, mut seen) = mpsc::channel(1);
    let peer = peer(move |mut exchange: Exchange| {
        let events = events.clone();
        async move {
            exchange.read().await;
            exchange.send(last(with(head(200, &[]), "all"))).await;
            exchange.send(chunk("more")).await;
            exchange.cancelled().await;
            events.send(()).await.unwrap();
        }
    })
    .await;
    let reply = get(&peer).await.unwrap();
    assert_eq!(text(reply).await.unwrap(), "all");
    // Even a plugin that never ends the stream is let go of.
    soon(seen.recv()).await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_does_not_read_is_cancelled_with_its_caller() {
    // Before the first message, and after it.
    for replies in [false, true] {
        let (events, mut seen) = mpsc::channel(1);
        let peer = peer(move |exchange: Exchange| {
            let events = events.clone();
            async move {
                if replies {
                    exchange.send(head(200, &[])).await;
                }
                events.send(()).await.unwrap();
                exchange.cancelled().await;
                events.send(()).await.unwrap();
            }
        })
        .await;
        let hooks = peer.hooks.clone();
        let call = tokio::spawn(async move {
            let reply = hooks.serve_http(init("POST"), flood()).await.unwrap();
            soon(reply.body.collect()).await.map(drop)
        });
        soon(seen.recv()).await.unwrap();
        call.abort();
        soon(seen.recv()).await.expect("the plugin is told");
    }
}

#[tokio::test]
async fn a_reply_that_is_complete_ends_an_upload_that_nobody_reads() {
    let (events, mut seen) = mpsc::channel(1);
    let peer = peer(move |exchange: Exchange| {
        let events = events.clone();
        async move {
            exchange.send(head(200, &[])).await;
            exchange.send(last(chunk("done"))).await;
            exchange.cancelled().await;
            events.send(()).await.unwrap();
        }
    })
    .await;
    let reply = soon(peer.hooks.serve_http(init("POST"), flood())).await.unwrap();
    assert_eq!(text(reply).await.unwrap(), "done");
    soon(seen.recv()).await.expect("the plugin is told");
}

#[tokio::test]
async fn an_upload_that_fails_is_not_taken_for_whole() {
    for early_head in [false, true] {
        let (events, mut seen) = mpsc::channel(1);
        let peer = peer(move |mut exchange: Exchange| {
            let events = events.clone();
            async move {
                if early_head {
                    exchange.send(head(200, &[])).await;
                }
                let messages = exchange.read().await;
                let complete = messages.iter().any(|message| message.body_complete);
                exchange.cancelled().await;
                events.send(complete).await.unwrap();
            }
        })
        .await;
        let parts = [Ok(Frame::data(Bytes::from("a"))), Err(std::io::Error::other("gone"))];
        let call = peer.hooks.serve_http(init("POST"), StreamBody::new(stream::iter(parts)));
        let error = match soon(call).await {
            Err(error) => error,
            Ok(reply) => text(reply).await.unwrap_err(),
        };
        assert!(
            matches!(&error, ServeHttpError::Upload { reason } if reason == "gone"),
            "{error:?}"
        );
        assert_eq!(soon(seen.recv()).await, Some(false));
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_message_gives_502() {
    let peer = peer(|mut exchange: Exchange| async move {
        exchange.read().await;
        exchange.fail(Status::unknown("boom")).await;
    })
    .await;
    let error = get(&peer).await.unwrap_err();
    assert!(error.to_string().contains("boom"), "{error}");
    assert_eq!(error.http_status(), StatusCode::BAD_GATEWAY);
    let peer = replying(vec![]).await;
    assert_eq!(get(&peer).await.unwrap_err().http_status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_plugin_that_dies_gives_its_outcome_at_once() {
    // While it is waited for: 502. During its reply: cut. Afterwards: 503.
    for replies in [false, true] {
        let (events, mut seen) = mpsc::channel(1);
        let peer = peer(move |exchange: Exchange| {
            let events = events.clone();
            async move {
                if replies {
                    exchange.send(with(head(200, &[]), "half")).await;
                }
                events.send(()).await.unwrap();
                std::future::pending::<()>().await;
            }
        })
        .await;
        let call = async {
            match peer.hooks.serve_http(init("POST"), endless(&["a"])).await {
                Ok(reply) => text(reply).await.unwrap_err(),
                Err(error) => error,
            }
        };
        let kill = async {
            seen.recv().await.unwrap();
            peer.kill.cancel();
        };
        let (error, ()) = soon(async { tokio::join!(call, kill) }).await;
        match replies {
            false => {
                assert!(matches!(error, ServeHttpError::NoReply { status: Some(_) }), "{error:?}")
            }
            true => assert!(matches!(error, ServeHttpError::Cut { .. }), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn a_plugin_that_cannot_be_reached_gives_503() {
    let peer = peer(|_| async {}).await;
    peer.kill.cancel();
    // It accepts, and breaks, each new connection.
    let error = get(&peer).await.unwrap_err();
    let status = error.http_status();
    assert!(
        [StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY].contains(&status),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_plugin_without_the_hook_is_not_asked() {
    let peer = peer_with(&["OnActivate"], |_| async { panic!("asked") }).await;
    let error = get(&peer).await.unwrap_err();
    assert!(matches!(error, ServeHttpError::NotImplemented));
    assert_eq!(error.http_status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_error_after_the_first_message_and_a_second_init_cut_the_reply() {
    let peer = peer(|mut exchange: Exchange| async move {
        exchange.read().await;
        exchange.send(with(head(200, &[]), "half")).await;
        exchange.fail(Status::data_loss("boom")).await;
    })
    .await;
    let error = text(get(&peer).await.unwrap()).await.unwrap_err();
    assert!(
        matches!(&error, ServeHttpError::Cut { status } if status.message() == "boom"),
        "{error:?}"
    );
    let peer = replying(vec![head(200, &[]), chunk("half"), last(head(200, &[]))]).await;
    let error = text(get(&peer).await.unwrap()).await.unwrap_err();
    assert!(matches!(error, ServeHttpError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn an_end_without_body_complete_is_an_end_and_empty_chunks_are_fine() {
    let peer = replying(vec![head(200, &[]), chunk(""), chunk("a"), chunk(""), chunk("b")]).await;
    assert_eq!(text(get(&peer).await.unwrap()).await.unwrap(), "ab");
    let many: Vec<_> = std::iter::repeat_n(chunk(""), 20_000).collect();
    let peer = replying(many).await;
    assert_eq!(text(get(&peer).await.unwrap()).await.unwrap(), "");
}

#[tokio::test]
async fn the_body_must_be_as_long_as_the_plugin_said() {
    let length = |bytes| head(200, &[("Content-Length", bytes)]);
    for (messages, expected) in [
        (vec![last(with(length("5"), "hello"))], Ok("hello")),
        (vec![with(length("5"), "hel"), chunk("lo")], Ok("hello")),
        (vec![with(length("4"), "hel"), last(chunk("lo"))], Err(true)),
        (vec![with(length("6"), "hel"), last(chunk("lo"))], Err(false)),
        (vec![length("6"), chunk("hello")], Err(false)),
        (vec![last(with(length("six"), "hello"))], Ok("hello")),
    ] {
        let peer = replying(messages).await;
        match (text(get(&peer).await.unwrap()).await, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected),
            (Err(ServeHttpError::WrongLength { longer, .. }), Err(expected)) => {
                assert_eq!(longer, expected);
            }
            (got, expected) => panic!("{got:?} instead of {expected:?}"),
        }
    }
}

#[tokio::test]
async fn a_large_message_is_given_in_bounded_frames() {
    let peer = replying(vec![last(with(head(200, &[]), vec![b'x'; 10 << 20]))]).await;
    let mut reply = get(&peer).await.unwrap();
    assert_eq!(reply.body.size_hint().exact(), Some(10 << 20));
    let mut bytes = 0;
    while let Some(frame) = soon(reply.body.frame()).await {
        let frame = frame.unwrap().into_data().unwrap();
        assert!(frame.len() <= CHUNK);
        bytes += frame.len();
    }
    assert_eq!(bytes, 10 << 20);
}

#[tokio::test]
async fn a_plugin_is_not_read_faster_than_its_reply() {
    let sent = Arc::new(Mutex::new(0_usize));
    let count = Arc::clone(&sent);
    let peer = peer(move |exchange: Exchange| {
        let count = Arc::clone(&count);
        async move {
            exchange.send(head(200, &[])).await;
            let block = Bytes::from(vec![0; CHUNK]);
            while exchange.send(chunk(block.clone())).await {
                *count.lock().await += CHUNK;
            }
        }
    })
    .await;
    let reply = soon(peer.hooks.serve_http(init("GET"), Empty::<Bytes>::new())).await.unwrap();
    // It comes to a stop by itself.
    let mut before = usize::MAX;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    soon(async {
        while before != *sent.lock().await {
            before = *sent.lock().await;
            ticks.tick().await;
        }
    })
    .await;
    assert!(before < 8 << 20, "{before} bytes are under way");
    drop(reply);
}
