//! What plugins and clients may take of the server: windows, places, descriptors, memory, time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod http_common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use http_common::{
    BOTH, CHUNK, Client, Exchange, Http, Peer, ask, chunk, front, front_with, full, head, last,
    limited, peer, raw, request, sized, soon, streamed, with,
};
use hyper::body::Frame;
use plugin_conformance::hooks::{HookLimits, ServeHttpError};
use plugin_conformance::http_front::{ExchangeEnd, FrontLimits};
use plugin_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

fn init(url: &str) -> v1::ServeHttpRequestInit {
    let (method, url) = ("GET".to_owned(), url.to_owned());
    v1::ServeHttpRequestInit { method, url, content_length: -1, ..Default::default() }
}

fn nothing() -> Empty<Bytes> {
    Empty::new()
}

/// A plugin that floods who asks for `/flood`, and answers all others. Counts the chunks that it got
/// rid of.
async fn flooding(limits: HookLimits) -> (Peer, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let peer = limited(limits, &["ServeHTTP"], move |mut exchange: Exchange| {
        let count = Arc::clone(&count);
        async move {
            let first = exchange.requests.message().await.unwrap().unwrap();
            if !first.init.unwrap().url.contains("/flood") {
                exchange.send(last(with(head(200, &[]), "small"))).await;
                return;
            }
            exchange.send(head(200, &[])).await;
            let block = Bytes::from(vec![0; CHUNK]);
            while exchange.send(chunk(block.clone())).await {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await;
    (peer, sent)
}

/// Waits until a number stays as it is.
async fn settled(number: &AtomicUsize) {
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let mut before = usize::MAX;
    soon(async {
        while before != number.load(Ordering::Relaxed) {
            before = number.load(Ordering::Relaxed);
            ticks.tick().await;
        }
    })
    .await;
}

/// 100 replies that nobody reads have all that they may have under way, and the next request has its
/// share all the same.
#[tokio::test]
async fn replies_that_nobody_reads_hold_up_no_other() {
    let (peer, sent) = flooding(HookLimits { requests: 101, ..Default::default() }).await;
    let hooks = &peer.hooks;
    let unread =
        (0..100).map(|_| async { soon(hooks.serve_http(init("/flood"), nothing())).await });
    let unread: Vec<_> =
        join_all(unread).await.into_iter().map(|reply| reply.expect("it begins")).collect();
    settled(&sent).await;
    let reply = soon(hooks.serve_http(init("/"), nothing())).await.unwrap();
    assert_eq!(soon(reply.body.collect()).await.unwrap().to_bytes(), "small");
    drop(unread);
}

/// One request, or one upload, more than a plugin may have is refused, and when one goes the next
/// may come.
#[tokio::test]
async fn a_plugin_has_as_many_requests_as_it_may() {
    let limits = HookLimits { requests: 2, uploads: 1, ..Default::default() };
    let (peer, _) = flooding(limits).await;
    let hooks = &peer.hooks;
    let endless = || {
        let first = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"a")));
        StreamBody::new(stream::iter([first]).chain(stream::pending()))
    };
    let upload = soon(hooks.serve_http(init("/flood"), endless())).await.unwrap();
    let error = soon(hooks.serve_http(init("/"), endless())).await.unwrap_err();
    assert!(matches!(error, ServeHttpError::Busy { what: "uploads", most: 1 }), "{error:?}");
    let download = soon(hooks.serve_http(init("/flood"), nothing())).await.unwrap();
    let error = soon(hooks.serve_http(init("/"), nothing())).await.unwrap_err();
    assert!(matches!(error, ServeHttpError::Busy { what: "requests", most: 2 }), "{error:?}");
    assert_eq!(error.http_status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(upload);
    let reply = soon(hooks.serve_http(init("/"), nothing())).await.unwrap();
    drop((reply, download));
}

#[tokio::test]
async fn a_message_beyond_the_limit_cuts_the_reply() {
    let limits = HookLimits { max_message_bytes: 1000, ..Default::default() };
    for first in [true, false] {
        let peer = limited(limits, &["ServeHTTP"], move |exchange: Exchange| async move {
            if !first {
                exchange.send(with(head(200, &[]), vec![b'a'; 900])).await;
            }
            exchange.send(last(with(head(200, &[]), vec![b'a'; 1000]))).await;
        })
        .await;
        let reply = soon(peer.hooks.serve_http(init("/"), nothing())).await;
        let error = match reply {
            Ok(reply) => soon(reply.body.collect()).await.map(drop).unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains("1000 bytes"), "{error}");
        assert_eq!(error.http_status(), StatusCode::BAD_GATEWAY);
    }
}

/// A total for all messages of a plugin that have come in part.
#[tokio::test]
async fn messages_under_way_have_a_limit_together() {
    let limits = HookLimits { bytes_under_way: 1 << 20, ..Default::default() };
    let peer = limited(limits, &["ServeHTTP"], |exchange: Exchange| async move {
        exchange.send(last(with(head(200, &[]), vec![b'a'; 700_000]))).await;
    })
    .await;
    // One after the other they pass.
    for _ in 0..3 {
        let reply = soon(peer.hooks.serve_http(init("/"), nothing())).await.unwrap();
        assert_eq!(soon(reply.body.collect()).await.unwrap().to_bytes().len(), 700_000);
    }
    let held = soon(peer.hooks.serve_http(init("/"), nothing())).await.unwrap();
    let error = soon(peer.hooks.serve_http(init("/"), nothing())).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("together may have 1048576 bytes"), "{error}");
    drop(held);
}

fn address_space() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * 1024
}

/// A plugin that announces the largest message, and sends none of it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_announced_message_reserves_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (announced, mut seen) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let announced = announced.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let is_first = request.uri().path().ends_with("/Implemented");
                    let answer =
                        http::Response::builder().header("content-type", "application/grpc");
                    let mut send = respond.send_response(answer.body(()).unwrap(), false).unwrap();
                    if is_first {
                        let hooks = vec!["ServeHTTP".to_owned(), "OnInstall".to_owned()];
                        let answer = v1::ImplementedResponse { hooks, ..Default::default() };
                        let answer = plugin_proto::prost::Message::encode_to_vec(&answer);
                        let mut framed = vec![0, 0, 0, 0, u8::try_from(answer.len()).unwrap()];
                        framed.extend(answer);
                        send.send_data(framed.into(), false).unwrap();
                        let status = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
                        send.send_trailers(http::HeaderMap::from_iter::<
                            [(http::HeaderName, http::HeaderValue); 1],
                        >(status))
                            .unwrap();
                        continue;
                    }
                    // 100 MiB, the limit.
                    send.send_data(Bytes::from_static(&[0, 6, 64, 0, 0, 1]), false).unwrap();
                    announced.send((send, request)).await.unwrap();
                }
            });
        }
    });
    let address = plugin_conformance::supervisor::HandshakeAddress::Tcp {
        host: "127.0.0.1".into(),
        port: address.port(),
    };
    let connect = plugin_conformance::hooks::Hooks::connect(&address, Duration::from_secs(5));
    let hooks = soon(connect).await.unwrap();
    let before = address_space();
    let (http, hook) = (hooks.clone(), hooks.clone());
    let calls = tokio::spawn(async move {
        let http = (0..20).map(|_| http.serve_http(init("/"), nothing()));
        let unary = (0..20).map(|_| hook.on_install(Default::default()));
        tokio::join!(join_all(http), join_all(unary))
    });
    let mut open = Vec::new();
    while open.len() < 40 {
        open.push(soon(seen.recv()).await.unwrap());
    }
    // What was announced has been read when what follows it is answered.
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..10 {
        ticks.tick().await;
    }
    let grown = address_space().saturating_sub(before);
    assert!(grown < 1 << 30, "{} MiB are reserved for 40 bytes", grown >> 20);
    calls.abort();
}

/// Counts the descriptors of this process.
#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Five clients with as many uploads as HTTP/2 lets them have, to a plugin that reads none.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn five_clients_do_not_use_up_the_descriptors() {
    let peer = peer(|mut exchange: Exchange| async move {
        let first = exchange.requests.message().await;
        let upload = first.is_ok_and(|first| first.is_some_and(|first| !first.body_complete));
        if upload {
            exchange.cancelled().await;
        } else {
            exchange.send(last(with(head(200, &[]), "here"))).await;
        }
    })
    .await;
    let limits = FrontLimits { uploads: 8, streams: 100, ..Default::default() };
    let front = front_with(&peer, |front| front.limits(limits)).await;
    let before = descriptors();
    let mut clients = Vec::new();
    let mut refused = 0;
    for _ in 0..5 {
        let mut client = Client::connect(Http::Two, front.address()).await;
        let mut answers = Vec::new();
        for _ in 0..100 {
            let body = streamed(sized(CHUNK).chain(stream::pending()));
            let mut asked = request("POST", "/", body);
            asked.headers_mut().remove("host");
            let Client::Two(send) = &mut client else { unreachable!() };
            answers.push(send.send_request(asked));
        }
        clients.push((client, answers));
    }
    // All but eight are answered.
    for (_, answers) in &mut clients {
        let mut answers: futures::stream::FuturesUnordered<_> = answers.drain(..).collect();
        let enough = 100 - 8;
        for _ in 0..enough {
            let answer = soon(answers.next()).await.unwrap().unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            refused += 1;
        }
        // The rest is under way, or refused as well.
        tokio::spawn(async move { while answers.next().await.is_some() {} });
    }
    assert_eq!(refused, 5 * 92);
    // A connection has two ends here: five of clients, eight to the plugin.
    let taken = descriptors() - before;
    assert!(taken <= 2 * (5 + 8) + 4, "{taken} descriptors");
    for http in BOTH {
        let answer = ask(http, front.address(), request("GET", "/", full(""))).await;
        assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"here"[..]));
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_the_next_may_come() {
    let peer = peer(|exchange: Exchange| async move {
        exchange.send(last(head(204, &[]))).await;
    })
    .await;
    let limits = FrontLimits { connections: 2, ..Default::default() };
    let front = front_with(&peer, |front| front.limits(limits)).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(Http::One, front.address()).await;
        let answer = soon(client.send(request("GET", "/", full("")))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        held.push(client);
    }
    let mut surplus = TcpStream::connect(front.address()).await.unwrap();
    let closed = soon(surplus.read(&mut [0])).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    held.pop();
    soon(async {
        loop {
            let mut client = Client::connect(Http::One, front.address()).await;
            if client.send(request("GET", "/", full(""))).await.is_ok() {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A client that takes nothing of its reply, by the socket or by HTTP/2's window, is given up, and so is
/// the plugin's stream.
#[tokio::test]
async fn a_reply_that_nobody_takes_ends() {
    let (events, mut seen) = mpsc::channel(1);
    let peer = peer(move |exchange: Exchange| {
        let events = events.clone();
        async move {
            exchange.send(head(200, &[])).await;
            let block = Bytes::from(vec![0; CHUNK]);
            while exchange.send(chunk(block.clone())).await {}
            events.send(()).await.unwrap();
        }
    })
    .await;
    let (ends, mut ended) = mpsc::unbounded_channel();
    let limits = FrontLimits { stall: Duration::from_millis(300), ..Default::default() };
    let front = front_with(&peer, |front| {
        front.limits(limits).observe(Arc::new(move |exchange| {
            let _ = ends.send(exchange.end.clone());
        }))
    })
    .await;
    for http in BOTH {
        let mut client = Client::connect(http, front.address()).await;
        let mut asked = request("GET", "/", full(""));
        if http == Http::Two {
            asked.headers_mut().remove("host");
        }
        let answer = soon(client.send(asked)).await.unwrap();
        soon(seen.recv()).await.unwrap();
        let end = soon(ended.recv()).await.unwrap();
        assert!(matches!(&end, ExchangeEnd::Cut(why) if why.contains("took nothing")), "{end:?}");
        // What is left shows that it is not whole.
        assert!(soon(answer.into_body().collect()).await.is_err(), "{http:?}");
    }
}

/// A reply on which the plugin takes its time is none that nobody takes.
#[tokio::test]
async fn a_slow_plugin_is_waited_for() {
    let (go, mut wait) = mpsc::channel::<()>(1);
    let wait = Arc::new(tokio::sync::Mutex::new(move || wait.try_recv().is_ok()));
    let peer = peer(move |exchange: Exchange| {
        let wait = Arc::clone(&wait);
        async move {
            exchange.send(with(head(200, &[]), "first ")).await;
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while !(wait.lock().await)() {
                ticks.tick().await;
            }
            exchange.send(last(chunk("last"))).await;
        }
    })
    .await;
    let limits = FrontLimits { stall: Duration::from_millis(50), ..Default::default() };
    let front = front_with(&peer, |front| front.limits(limits)).await;
    for http in BOTH {
        let asked = tokio::spawn(ask(http, front.address(), request("GET", "/", full(""))));
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..6 {
            ticks.tick().await;
        }
        go.send(()).await.unwrap();
        assert_eq!(soon(asked).await.unwrap().body(), "first last");
    }
}

/// An upload of which nothing comes is given up; one that nobody reads is not its client's fault.
#[tokio::test]
async fn an_upload_that_does_not_come_ends() {
    let peer = peer(|mut exchange: Exchange| async move {
        exchange.discard().await;
        exchange.send(last(head(200, &[]))).await;
    })
    .await;
    let limits = FrontLimits { stall: Duration::from_millis(200), ..Default::default() };
    let front = front_with(&peer, |front| front.limits(limits).read_on(Duration::ZERO)).await;
    let said = raw(
        front.address(),
        &format!(
            "POST /plugins/{}/ HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf",
            http_common::ID
        ),
    )
    .await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
}

/// A client names what the server sets in `Connection`, which makes it a field of the one hop.
#[tokio::test]
async fn a_client_cannot_strip_or_name_who_it_is() {
    let (seen, mut inits) = mpsc::channel(4);
    let peer = peer(move |mut exchange: Exchange| {
        let seen = seen.clone();
        async move {
            let first = exchange.requests.message().await.unwrap().unwrap();
            seen.send(first.init.unwrap()).await.unwrap();
            exchange.send(last(head(204, &[]))).await;
        }
    })
    .await;
    let front = front(&peer).await;
    let mut stream = TcpStream::connect(front.address()).await.unwrap();
    let asked = format!(
        "GET /plugins/{}/ HTTP/1.1\r\nHost: chat.example.com\r\nAuthorization: Bearer good\r\n\
         Connection: close, Mattermost-User-Id, host, x-mine\r\nX-Mine: 1\r\nX-Stays: 1\r\n\
         Mattermost-User-Id: admin\r\nMattermost_User_Id: admin\r\n\
         MATTERMOST_PLUGIN-ID: other\r\n\r\n",
        http_common::ID
    );
    stream.write_all(asked.as_bytes()).await.unwrap();
    let init = soon(inits.recv()).await.unwrap();
    assert_eq!(init.host, "chat.example.com");
    let mut fields: Vec<_> = init
        .headers
        .iter()
        .map(|field| format!("{}={}", field.key, field.values.join("|")))
        .collect();
    fields.sort();
    assert_eq!(fields, ["Mattermost-User-Id=ada", "X-Stays=1"]);
}
