//! The HTTP server before the plugins, over HTTP/1.1 and HTTP/2.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod http_common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use http_common::{
    BOTH, CHUNK, Client, Exchange, Http, ID, Peer, ask, chunk, front, front_with, full, head, last,
    peer, peer_with, raw, request, sized, soon, streamed, with,
};
use plugin_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// As the fake plugins of the Go side's own tests.
async fn upstream() -> Peer {
    peer(|mut exchange: Exchange| async move {
        let messages = exchange.read().await;
        let init = messages[0].init.clone().unwrap();
        let body: Vec<u8> = messages.iter().flat_map(|one| one.body_chunk.to_vec()).collect();
        let text = ("Content-Type", "text/plain");
        let json = ("Content-Type", "application/json");
        match (init.method.as_str(), init.url.as_str()) {
            ("GET", "/api/status") => {
                exchange.send(last(with(head(200, &[json]), r#"{"status":"ok"}"#))).await;
            }
            ("POST", "/api/echo") => {
                exchange.send(last(with(head(200, &[text, ("X-Echo", "true")]), body))).await;
            }
            ("GET", "/api/large") => {
                exchange.send(with(head(200, &[text]), vec![b'X'; 65536])).await;
                exchange.send(last(chunk(vec![b'X'; 36864]))).await;
            }
            ("GET", "/api/headers") => {
                let lines =
                    init.headers.iter().map(|one| format!("{}={}", one.key, one.values.join("|")));
                let list = lines.collect::<Vec<_>>().join("\n");
                let custom = ("X-Custom-Header", "custom-value");
                exchange.send(last(with(head(200, &[text, custom]), list))).await;
            }
            ("GET", "/api/error") => {
                exchange.send(last(with(head(500, &[text]), "internal error"))).await;
            }
            _ => {
                exchange.send(last(with(head(404, &[text]), "not here"))).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn i6_i8_to_i14_what_plugins_say_arrives() {
    let peer = upstream().await;
    let front = front(&peer).await;
    for http in BOTH {
        let get = |path| ask(http, front.address(), request("GET", path, full("")));
        let status = get("/api/status").await;
        assert_eq!(
            (status.status(), &status.headers()["content-type"]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
        assert_eq!(status.body(), r#"{"status":"ok"}"#);

        let echo = ask(http, front.address(), request("POST", "/api/echo", full("the body"))).await;
        assert_eq!(
            (echo.status(), &echo.headers()["x-echo"]),
            (StatusCode::OK, &"true".parse().unwrap())
        );
        assert_eq!(echo.body(), "the body");

        let large = get("/api/large").await;
        assert_eq!((large.status(), large.body().len()), (StatusCode::OK, 102_400));
        assert!(large.body().iter().all(|byte| *byte == b'X'));

        let mut asked = request("GET", "/api/headers", full(""));
        asked.headers_mut().insert("x-test-header", "a value".parse().unwrap());
        asked.headers_mut().insert("authorization", "Bearer unknown".parse().unwrap());
        let headers = ask(http, front.address(), asked).await;
        assert_eq!(headers.headers()["x-custom-header"], "custom-value");
        let list = std::str::from_utf8(headers.body()).unwrap();
        assert!(
            list.contains("X-Test-Header=a value") && list.contains("Authorization=Bearer unknown"),
            "{list}"
        );

        let error = get("/api/error").await;
        assert_eq!((error.status().as_u16(), &error.body()[..]), (500, &b"internal error"[..]));
        let unknown = get("/nothing").await;
        assert_eq!((unknown.status().as_u16(), &unknown.body()[..]), (404, &b"not here"[..]));
    }
}

/// Replies with as many bytes as it got.
async fn echo() -> Peer {
    peer(|mut exchange: Exchange| async move {
        exchange.send(head(200, &[])).await;
        while let Ok(Some(message)) = exchange.requests.message().await {
            assert!(message.body_chunk.len() <= CHUNK);
            let reply = v1::ServeHttpResponse {
                body_chunk: message.body_chunk,
                body_complete: message.body_complete,
                ..Default::default()
            };
            if !exchange.send(reply).await || message.body_complete {
                break;
            }
        }
    })
    .await
}

/// Sends so many bytes to a plugin that echoes them, and counts what comes back.
async fn there_and_back(http: Http, address: std::net::SocketAddr, bytes: usize) {
    let mut client = Client::connect(http, address).await;
    let mut asked = request("POST", "/echo", streamed(sized(bytes)));
    if http == Http::Two {
        asked.headers_mut().remove("host");
    }
    let mut answer = client.send(asked).await.unwrap();
    let mut back = 0;
    while let Some(frame) = answer.frame().await {
        back += frame.unwrap().into_data().map_or(0, |data| data.len());
    }
    assert_eq!(back, bytes, "{http:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_any_size_cross_both_ways() {
    let peer = echo().await;
    let front = front(&peer).await;
    for http in BOTH {
        for bytes in [0, 1, CHUNK, CHUNK + 1, 100_000_000] {
            soon(there_and_back(http, front.address(), bytes)).await;
        }
    }
}

/// Resident memory of this process, in bytes; 0 where the system does not say.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_bounded() {
    let peer = echo().await;
    let front = front(&peer).await;
    for http in BOTH {
        soon(there_and_back(http, front.address(), 8 << 20)).await;
        let before = resident();
        let limit = Duration::from_secs(60);
        let whole = there_and_back(http, front.address(), 256 << 20);
        tokio::time::timeout(limit, whole).await.expect("it takes too long");
        let grown = resident().saturating_sub(before);
        assert!(grown < 16 << 20, "{http:?}: {grown} bytes more");
    }
}

#[tokio::test]
async fn an_early_reply_reaches_a_client_that_sends_everything_first() {
    let (events, mut seen) = mpsc::channel(1);
    let peer = peer(move |mut exchange: Exchange| {
        let events = events.clone();
        async move {
            exchange.requests.message().await.unwrap();
            exchange.send(last(with(head(413, &[]), "too much"))).await;
            exchange.cancelled().await;
            events.send(()).await.unwrap();
        }
    })
    .await;
    let front = front(&peer).await;
    let mut stream = TcpStream::connect(front.address()).await.unwrap();
    let length = 20 << 20;
    let head =
        format!("POST /plugins/{ID}/up HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    soon(stream.write_all(head.as_bytes())).await.unwrap();
    soon(stream.write_all(&vec![0; length])).await.expect("all of it is taken");
    let mut answer = vec![0; 4096];
    let bytes = soon(stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..bytes]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too much"), "{answer}");
    soon(seen.recv()).await.unwrap();
    // The connection can be used on.
    let next = "GET /plugins/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(next.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("404 Not Found"), "{answer}");

    // HTTP/2: the reply, and the upload is told to stop.
    let mut client = Client::connect(Http::Two, front.address()).await;
    let block = Bytes::from(vec![0; CHUNK]);
    let endless = streamed(stream::repeat_with(move || block.clone()));
    let mut asked = request("POST", "/up", endless);
    asked.headers_mut().remove("host");
    let answer = soon(client.send(asked)).await.unwrap();
    assert_eq!(answer.status().as_u16(), 413);
    assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes(), "too much");
    soon(seen.recv()).await.unwrap();
}

#[tokio::test]
async fn an_upload_after_its_reply_is_read_for_a_while_only() {
    let peer = peer(|exchange: Exchange| async move {
        exchange.send(last(head(200, &[]))).await;
    })
    .await;
    let front = front_with(&peer, |front| front.read_on(Duration::from_millis(50))).await;
    let ask = format!("POST /plugins/{ID}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
    let answer = raw(front.address(), &ask).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A plugin that says when a stream begins and when it was cancelled; `act` is what it does between.
async fn watched(replies: bool, reads: bool) -> (Peer, mpsc::Receiver<&'static str>) {
    let (events, seen) = mpsc::channel(2);
    let peer = peer(move |mut exchange: Exchange| {
        let events = events.clone();
        async move {
            if replies {
                exchange.send(with(head(200, &[]), "begun")).await;
            }
            events.send("begun").await.unwrap();
            if reads {
                exchange.discard().await;
            }
            exchange.cancelled().await;
            events.send("cancelled").await.unwrap();
        }
    })
    .await;
    (peer, seen)
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_plugins_stream() {
    for http in BOTH {
        for (method, replies, reads) in [
            ("GET", false, true),
            ("GET", true, true),
            ("POST", false, false),
            ("POST", true, false),
            ("POST", false, true),
        ] {
            let (peer, mut seen) = watched(replies, reads).await;
            let front = front(&peer).await;
            // More than a plugin that does not read takes, and less than the system's buffers: no
            // hang-up overtakes what stands before it.
            let body = match method {
                "GET" => full(""),
                _ => streamed(sized(180_000).chain(stream::pending())),
            };
            let mut asked = request(method, "/", body);
            if http == Http::Two {
                asked.headers_mut().remove("host");
            }
            let mut client = Client::connect(http, front.address()).await;
            let call = tokio::spawn(async move {
                let answer = client.send(asked).await.unwrap();
                let _ = answer.into_body().collect().await;
                drop(client);
            });
            assert_eq!(soon(seen.recv()).await, Some("begun"));
            call.abort();
            let what = format!("{http:?} {method} replies: {replies} reads: {reads}");
            let told = tokio::time::timeout(Duration::from_secs(5), seen.recv()).await;
            assert_eq!(told.expect(&what), Some("cancelled"));
        }
    }
}

#[tokio::test]
async fn h11_h12_each_part_reaches_the_client_before_the_next_is_made() {
    for http in BOTH {
        let arrived = Arc::new(Notify::new());
        let seen = Arc::clone(&arrived);
        let peer = peer(move |mut exchange: Exchange| {
            let seen = Arc::clone(&seen);
            async move {
                exchange.read().await;
                for (at, part) in ["one", "two", "three"].into_iter().enumerate() {
                    let message = if at == 0 { with(head(200, &[]), part) } else { chunk(part) };
                    exchange.send(v1::ServeHttpResponse { flush: at != 1, ..message }).await;
                    seen.notified().await;
                }
            }
        })
        .await;
        let front = front(&peer).await;
        let mut client = Client::connect(http, front.address()).await;
        let mut asked = request("GET", "/", full(""));
        if http == Http::Two {
            asked.headers_mut().remove("host");
        }
        let mut answer = soon(client.send(asked)).await.unwrap();
        for part in ["one", "two", "three"] {
            let frame = soon(answer.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), part);
            arrived.notify_one();
        }
        let rest = soon(answer.into_body().collect()).await.expect("it is whole").to_bytes();
        assert!(rest.is_empty(), "{http:?}: {rest:?}");
    }
}

#[tokio::test]
async fn half_a_reply_shows_that_it_is_none() {
    for http in BOTH {
        for end in ["error", "init", "long", "short", "killed"] {
            let (begun, mut seen) = mpsc::channel(1);
            let peer = peer(move |mut exchange: Exchange| {
                let begun = begun.clone();
                async move {
                    exchange.read().await;
                    let fields = match end {
                        "long" => &[("Content-Length", "5")][..],
                        "short" => &[("Content-Length", "50")],
                        _ => &[],
                    };
                    exchange.send(with(head(200, fields), "half")).await;
                    begun.send(()).await.unwrap();
                    match end {
                        "error" => exchange.fail(Status::unknown("boom")).await,
                        "init" => drop(exchange.send(last(head(200, &[]))).await),
                        "killed" => std::future::pending().await,
                        _ => drop(exchange.send(last(chunk("half"))).await),
                    }
                }
            })
            .await;
            let front = front(&peer).await;
            let mut asked = request("GET", "/", full(""));
            if http == Http::Two {
                asked.headers_mut().remove("host");
            }
            let mut client = Client::connect(http, front.address()).await;
            let answer = soon(client.send(asked)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            soon(seen.recv()).await.unwrap();
            if end == "killed" {
                peer.kill.cancel();
            }
            let body = soon(answer.into_body().collect()).await;
            assert!(body.is_err(), "{http:?} {end}: {body:?}");
        }
    }
    // As it stands on the wire: the chunk and no last chunk.
    let peer = peer(|exchange: Exchange| async move {
        exchange.send(with(head(200, &[]), "half")).await;
        exchange.fail(Status::unknown("boom")).await;
    })
    .await;
    let front = front(&peer).await;
    let answer =
        raw(front.address(), &format!("GET /plugins/{ID}/ HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    assert!(answer.ends_with("\r\n4\r\nhalf\r\n"), "{answer}");
}

#[tokio::test]
async fn what_goes_wrong_before_the_headers_is_answered() {
    for http in BOTH {
        for (code, expected) in
            [(42, 500), (65535, 500), (101, 502), (100, 502), (999, 999), (0, 200)]
        {
            let peer = peer(move |mut exchange: Exchange| async move {
                exchange.read().await;
                exchange.send(last(head(code, &[]))).await;
            })
            .await;
            let front = front(&peer).await;
            let answer = ask(http, front.address(), request("GET", "/", full(""))).await;
            assert_eq!(answer.status().as_u16(), expected, "{code}");
        }
        // A first message that is not as long as it says: nothing is out yet. The connection is as
        // good as before.
        for body in ["012", "0123456789"] {
            let peer = peer(move |mut exchange: Exchange| async move {
                exchange.read().await;
                let promised = head(200, &[("Content-Length", "5")]);
                exchange.send(last(with(promised, body))).await;
            })
            .await;
            let front = front(&peer).await;
            let mut client = Client::connect(http, front.address()).await;
            for _ in 0..2 {
                let mut asked = request("GET", "/", full(""));
                if http == Http::Two {
                    asked.headers_mut().remove("host");
                }
                let answer = soon(client.send(asked)).await.unwrap();
                assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{http:?} {body}");
                soon(answer.into_body().collect()).await.unwrap();
            }
        }
        let peer = peer(|mut exchange: Exchange| async move {
            exchange.read().await;
            exchange.fail(Status::unknown("inside")).await;
        })
        .await;
        let front = front(&peer).await;
        let answer = ask(http, front.address(), request("GET", "/", full(""))).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        assert!(!answer.body().windows(6).any(|part| part == b"inside"));
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");

        let peer = peer_with(&[], |_| async {}).await;
        let front = crate::front(&peer).await;
        let answer = ask(http, front.address(), request("GET", "/", full(""))).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    let silent = peer(|exchange: Exchange| async move { exchange.cancelled().await }).await;
    let front =
        front_with(&silent, |front| front.first_message_limit(Duration::from_millis(20))).await;
    let answer = ask(Http::One, front.address(), request("GET", "/", full(""))).await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_reply_without_a_body_has_none() {
    let peer = peer(|mut exchange: Exchange| async move {
        let messages = exchange.read().await;
        let path = messages[0].init.as_ref().unwrap().url.clone();
        let code = path[1..].parse().unwrap();
        exchange.send(with(head(code, &[("Content-Length", "5")]), "he")).await;
        exchange.send(last(chunk("llo"))).await;
    })
    .await;
    let front = front(&peer).await;
    for http in BOTH {
        let head = ask(http, front.address(), request("HEAD", "/200", full(""))).await;
        assert_eq!(
            (head.status().as_u16(), &head.headers()["content-length"]),
            (200, &"5".parse().unwrap())
        );
        for code in ["204", "304"] {
            let path = format!("/{code}");
            let answer = ask(http, front.address(), request("GET", &path, full(""))).await;
            assert_eq!((answer.status().as_str(), answer.body().len()), (code, 0));
        }
        let answer = ask(http, front.address(), request("GET", "/200", full(""))).await;
        assert_eq!(
            (answer.body(), answer.headers().get_all("content-length").iter().count()),
            (&Bytes::from("hello"), 1)
        );
    }
    // Nothing stands between two replies of one connection.
    let asks: String = ["HEAD /plugins/X/200", "GET /plugins/X/204", "GET /plugins/X/304"]
        .map(|line| format!("{} HTTP/1.1\r\nHost: x\r\n\r\n", line.replace('X', ID)))
        .concat();
    let end = format!("GET /plugins/{ID}/200 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = raw(front.address(), &(asks + &end)).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 4, "{answer}");
    assert_eq!(answer.matches("hello").count(), 1, "{answer}");
}

#[tokio::test]
async fn upgrades_and_connect_are_refused_and_the_connection_stays() {
    let peer = peer(|mut exchange: Exchange| async move {
        let messages = exchange.read().await;
        let init = messages[0].init.clone().unwrap();
        assert_eq!(init.method, "GET");
        assert!(init.headers.iter().all(|field| field.key != "Upgrade"));
        exchange.send(last(with(head(200, &[]), "still here"))).await;
    })
    .await;
    let front = front(&peer).await;
    let websocket = format!(
        "GET /plugins/{ID}/ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let next = format!("GET /plugins/{ID}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = raw(front.address(), &(websocket + &next)).await;
    assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
    assert!(
        answer.contains("cannot take over a connection") && answer.ends_with("still here"),
        "{answer}"
    );
    let connect =
        "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nConnection: close\r\n\r\n";
    let answer = raw(front.address(), connect).await;
    assert!(answer.starts_with("HTTP/1.1 501"), "{answer}");
}

/// What the plugin got as the request's head.
async fn seen(
    http: Http,
    mut asked: http::Request<http_common::ClientBody>,
) -> v1::ServeHttpRequestInit {
    let (inits, mut seen) = mpsc::channel(1);
    let peer = peer(move |mut exchange: Exchange| {
        let inits = inits.clone();
        async move {
            let messages = exchange.read().await;
            inits.send(messages[0].init.clone().unwrap()).await.unwrap();
            exchange
                .send(last(head(
                    200,
                    &[("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "x")],
                )))
                .await;
        }
    })
    .await;
    let front = front(&peer).await;
    if http == Http::Two {
        asked.headers_mut().remove("connection");
    }
    let answer = ask(http, front.address(), asked).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(["x-hop", "keep-alive"].iter().all(|name| !answer.headers().contains_key(*name)));
    seen.recv().await.unwrap()
}

#[tokio::test]
async fn the_plugin_sees_the_request_as_it_should() {
    for http in BOTH {
        let path = "/a//b/%2e%2e/c?x=1&access_token=good&y=%20";
        let mut asked = request("POST", path, full("12345"));
        let fields: &[(&'static str, &str)] = &[
            ("mattermost-user-id", "admin"),
            ("mattermost-plugin-id", "other"),
            ("referer", "http://x"),
            ("cookie", "a=b; MMAUTHTOKEN=good"),
            ("x-requested-with", "XMLHttpRequest"),
            ("user-agent", "test/1"),
            ("accept-language", "de"),
            ("proxy-authorization", "Basic x"),
            ("x-many", "one"),
            ("x-many", "two"),
            ("x-hop", "1"),
            ("connection", "x-hop"),
        ];
        for (name, value) in fields {
            if http == Http::One || *name != "x-hop" {
                asked.headers_mut().append(*name, value.parse().unwrap());
            }
        }
        let init = seen(http, asked).await;
        assert_eq!((init.method.as_str(), init.content_length), ("POST", 5));
        assert_eq!(init.url, "/a//b/%2e%2e/c?x=1&y=%20");
        assert_eq!(init.request_uri, format!("/plugins/{ID}/a//b/%2e%2e/c?x=1&y=%20"));
        assert_eq!(init.host, "chat.example.com");
        let proto = (init.proto.as_str(), init.proto_major, init.proto_minor);
        assert_eq!(proto, if http == Http::One { ("HTTP/1.1", 1, 1) } else { ("HTTP/2.0", 2, 0) });
        assert!(init.remote_addr.starts_with("127.0.0.1:"));
        let context = init.plugin_context.unwrap();
        assert_eq!((context.request_id.len(), context.session_id.as_str()), (26, ""));
        assert_eq!(
            (
                context.ip_address.as_str(),
                context.user_agent.as_str(),
                context.accept_language.as_str()
            ),
            ("127.0.0.1", "test/1", "de")
        );
        let mut keys: Vec<_> = init.headers.iter().map(|field| field.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "Accept-Language",
                "Content-Length",
                "Cookie",
                "Mattermost-User-Id",
                "User-Agent",
                "X-Many",
                "X-Requested-With"
            ]
        );
        let value =
            |key| init.headers.iter().find(|field| field.key == key).unwrap().values.clone();
        assert_eq!(value("Mattermost-User-Id"), ["ada"]);
        assert_eq!(value("Cookie"), ["a=b"]);
        assert_eq!(value("X-Many"), ["one", "two"]);
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_says_so_and_a_cookie_alone_is_no_session() {
    for http in BOTH {
        let mut asked =
            request("POST", "", streamed(stream::iter([Bytes::from("a")]).chain(stream::empty())));
        asked.headers_mut().insert("cookie", "MMAUTHTOKEN=good".parse().unwrap());
        let init = seen(http, asked).await;
        assert_eq!((init.content_length, init.url.as_str()), (-1, "/"));
        assert!(
            init.headers
                .iter()
                .all(|field| !["Cookie", "Mattermost-User-Id"].contains(&field.key.as_str()))
        );
    }
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let peer = peer(|_| async { panic!("asked") }).await;
    let front = front(&peer).await;
    for http in BOTH {
        for path in [
            "/",
            "/plugins",
            "/plugins/",
            "/plugins/unknown/x",
            "/plugins/..%2fx/",
            "/api/v4/users",
        ] {
            let mut asked = request("POST", "", full("body"));
            *asked.uri_mut() = format!("http://x{path}").parse().unwrap();
            let answer = ask(http, front.address(), asked).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}

#[tokio::test]
async fn replies_under_way_may_end_and_others_are_cut_by_the_stop() {
    for finishes in [true, false] {
        let (events, mut seen) = mpsc::channel(2);
        let go = CancellationToken::new();
        let gone = go.clone();
        let peer = peer(move |exchange: Exchange| {
            let (events, gone) = (events.clone(), gone.clone());
            async move {
                exchange.send(with(head(200, &[]), "be")).await;
                events.send("begun").await.unwrap();
                tokio::select! {
                    () = gone.cancelled() => drop(exchange.send(last(chunk("gun"))).await),
                    () = exchange.cancelled() => events.send("cancelled").await.unwrap(),
                }
            }
        })
        .await;
        let front = front(&peer).await;
        let address = front.address();
        let mut clients = vec![];
        for http in BOTH {
            clients.push(tokio::spawn(async move {
                let mut client = Client::connect(http, address).await;
                let mut asked = request("GET", "/", full(""));
                if http == Http::Two {
                    asked.headers_mut().remove("host");
                }
                let answer = client.send(asked).await.unwrap();
                answer.into_body().collect().await.map(|body| body.to_bytes())
            }));
        }
        for _ in BOTH {
            assert_eq!(soon(seen.recv()).await, Some("begun"));
        }
        // An idle connection does not hold up the stop.
        let _idle = TcpStream::connect(address).await.unwrap();
        let drain = if finishes { Duration::from_secs(15) } else { Duration::from_millis(20) };
        let stop = async {
            let forced = front.stop(drain).await;
            assert_eq!(forced == 0, finishes, "{forced}");
        };
        let finish = async {
            if finishes {
                go.cancel();
            }
        };
        soon(async { tokio::join!(stop, finish) }).await;
        assert_eq!(front.tasks(), 0);
        TcpStream::connect(address).await.expect_err("nobody listens");
        for client in clients {
            let body = soon(client).await.unwrap();
            assert_eq!(body.is_ok(), finishes, "{body:?}");
            if !finishes {
                assert_eq!(soon(seen.recv()).await, Some("cancelled"));
            }
        }
    }
}

#[tokio::test]
async fn invalid_headers_of_a_plugin_do_no_harm() {
    let peer = peer(|mut exchange: Exchange| async move {
        exchange.read().await;
        let fields = [
            ("bad name", "v"),
            ("X-Split", "a\r\nX: b"),
            ("X-Fine", "yes"),
            ("Transfer-Encoding", "gzip"),
        ];
        exchange.send(last(with(head(200, &fields), "body"))).await;
    })
    .await;
    let front = front(&peer).await;
    for http in BOTH {
        let answer = ask(http, front.address(), request("GET", "/", full(""))).await;
        let mut names: Vec<_> =
            HeaderMap::keys(answer.headers()).map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "date", "x-fine"], "{http:?}");
        assert_eq!(answer.body(), "body");
    }
}
