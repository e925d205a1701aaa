//! What must hold of ServeHTTP whatever is asked and replied, between this process and a plugin in
//! another: the stream's rules on the way there, the reply's meaning on the way back.
//!
//! The same random numbers in each run: `PROPTEST_RNG_SEED` gives others, `PROPTEST_CASES` more.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arbitrary;
mod common;
#[path = "arbitrary/plugin.rs"]
mod plugin;

use std::cell::RefCell;
use std::convert::Infallible;

use arbitrary::fixed;
use bytes::Bytes;
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use plugin::{DrivenPlugin, HttpEnd};
use plugin_conformance::hooks::ServeHttpError;
use plugin_proto::v1;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

/// The longest chunk that a plugin may be sent, in bytes.
const CHUNK: usize = 64 * 1024;
/// Fields that belong to a connection and not to a reply.
const HOP_BY_HOP: [&str; 4] = ["connection", "keep-alive", "te", "upgrade"];

/// What the plugin replies.
#[derive(Debug, Clone)]
struct Reply {
    messages: Vec<v1::ServeHttpResponse>,
    end: HttpEnd,
}

/// What the caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Whether the body came to a good end.
    whole: bool,
}

#[derive(Debug, Clone)]
struct Case {
    init: v1::ServeHttpRequestInit,
    /// The body, in the pieces in which it comes.
    body: Vec<Bytes>,
    reply: Reply,
}

fn headers() -> impl Strategy<Value = Vec<v1::HttpHeader>> {
    let key = prop_oneof![
        Just("X-One".to_owned()),
        Just("x-two".to_owned()),
        Just("Set-Cookie".to_owned()),
        Just("Upgrade".to_owned()),
        Just("TE".to_owned()),
    ];
    let values = prop::collection::vec("[ -~]{0,12}", 0..3);
    let header = (key, values).prop_map(|(key, values)| v1::HttpHeader { key, values });
    prop::collection::vec(header, 0..4)
}

fn bytes(longest: usize) -> impl Strategy<Value = Bytes> {
    let length = prop_oneof![
        Just(0),
        1..50_usize,
        Just(CHUNK - 1),
        Just(CHUNK),
        Just(CHUNK + 1),
        0..longest,
    ];
    (length, any::<u8>()).prop_map(|(length, first)| {
        let byte = |at: usize| (at as u8).wrapping_mul(31).wrapping_add(first);
        (0..length).map(byte).collect()
    })
}

fn request() -> impl Strategy<Value = (v1::ServeHttpRequestInit, Vec<Bytes>)> {
    let text = "[!-~]{0,20}";
    let words = (text, text, text, text, text);
    (words, headers(), any::<(i32, i32, i64)>(), prop::collection::vec(bytes(200_000), 0..4))
        .prop_map(|((method, url, host, remote_addr, request_uri), headers, numbers, body)| {
            let (proto_major, proto_minor, content_length) = numbers;
            let init = v1::ServeHttpRequestInit {
                plugin_context: Some(v1::PluginContext::default()),
                method,
                url,
                proto: "HTTP/1.1".to_owned(),
                proto_major,
                proto_minor,
                headers,
                host,
                remote_addr,
                request_uri,
                content_length,
            };
            (init, body)
        })
}

fn reply() -> impl Strategy<Value = Reply> {
    let code = prop_oneof![
        4 => 200..600_i32,
        1 => Just(0),
        1 => Just(204),
        1 => any::<i32>(),
        1 => -2..102_i32,
        1 => 998..1002_i32,
    ];
    let init = (code, headers())
        .prop_map(|(status_code, headers)| v1::ServeHttpResponseInit { status_code, headers })
        .boxed();
    let message = (prop::option::weighted(0.05, init.clone()), bytes(150_000), any::<[bool; 2]>())
        .prop_map(|(init, body_chunk, [flush, complete])| v1::ServeHttpResponse {
            init,
            body_chunk,
            flush,
            body_complete: complete,
        });
    let end = prop_oneof![
        3 => Just(HttpEnd::Close),
        1 => (1..=16_i32).prop_map(HttpEnd::Fail),
    ];
    let first = prop::option::weighted(0.9, init);
    (first, prop::collection::vec(message, 0..5), end).prop_map(|(init, mut messages, end)| {
        if let Some(message) = messages.first_mut() {
            message.init = init;
        }
        Reply { messages, end }
    })
}

fn case() -> impl Strategy<Value = Case> {
    (request(), reply()).prop_map(|((init, body), reply)| Case { init, body, reply })
}

/// What must come of a reply; `Err` is the kind of failure before the headers.
fn expected(method: &str, reply: &Reply) -> Result<Got, &'static str> {
    let Some(first) = reply.messages.first() else { return Err("no reply") };
    let init = first.init.clone().unwrap_or_default();
    let status = match init.status_code {
        0 => 200,
        code @ 100..=999 => code as u16,
        _ => return Err("bad status"),
    };
    let mut headers = Vec::new();
    for header in &init.headers {
        for value in &header.values {
            let name = header.key.to_lowercase();
            if !HOP_BY_HOP.contains(&name.as_str()) {
                // HTTP knows no space around a value.
                headers.push((name, value.trim().to_owned()));
            }
        }
    }
    headers.sort();
    let mut got = Got { status, headers, body: Vec::new(), whole: false };
    let bodiless = matches!(status, 100..=199 | 204 | 304) || method == "HEAD";
    for (at, message) in reply.messages.iter().enumerate() {
        if at > 0 && message.init.is_some() {
            return Ok(got);
        }
        if !bodiless {
            got.body.extend_from_slice(&message.body_chunk);
        }
        if message.body_complete {
            got.whole = true;
            return Ok(got);
        }
    }
    got.whole = matches!(reply.end, HttpEnd::Close);
    Ok(got)
}

/// The rules of the request's stream, and that nothing of it is lost.
fn request_fault(case: &Case, seen: &[v1::ServeHttpRequest]) -> Option<String> {
    let last = seen.len().checked_sub(1)?;
    for (at, message) in seen.iter().enumerate() {
        if message.init.is_some() != (at == 0) {
            return Some(format!("message {at}: init"));
        }
        if message.body_complete != (at == last) {
            return Some(format!("message {at} of {last}: body_complete"));
        }
        if message.body_chunk.len() > CHUNK {
            return Some(format!("message {at}: {} bytes", message.body_chunk.len()));
        }
    }
    if seen[0].init.as_ref() != Some(&case.init) {
        return Some(format!("init: {:?}, not {:?}", seen[0].init, case.init));
    }
    let arrived: Vec<u8> = seen.iter().flat_map(|message| message.body_chunk.clone()).collect();
    (arrived != case.body.concat()).then(|| format!("body: {} bytes arrived", arrived.len()))
}

/// Lets one case cross, and says what is wrong.
fn fault(
    plugin: &mut DrivenPlugin,
    case: &Case,
    spoil: impl Fn(&mut Vec<v1::ServeHttpRequest>, &mut Got),
) -> Option<String> {
    let pieces = case.body.clone().into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let body = StreamBody::new(stream::iter(pieces));
    let Reply { messages, end } = &case.reply;
    let (mut seen, replied) = plugin.serve_http(&case.init, body, messages, end);
    let expected = expected(&case.init.method, &case.reply);
    let got = match replied {
        Err(ServeHttpError::BadStatus { .. }) => Err("bad status"),
        Err(ServeHttpError::NoReply { .. }) => Err("no reply"),
        Err(other) => return Some(format!("{other:?}")),
        Ok((status, headers, body, whole)) => {
            let text = |value: &http::HeaderValue| value.to_str().unwrap().trim().to_owned();
            let mut headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            headers.sort();
            let mut got = Got { status, headers, body, whole };
            spoil(&mut seen, &mut got);
            Ok(got)
        }
    };
    if let Some(fault) = request_fault(case, &seen) {
        return Some(fault);
    }
    match (&got, &expected) {
        (Ok(got), Ok(expected)) if got == expected => None,
        // A cut reply may lack the end of what was sent before the cut.
        (Ok(got), Ok(expected)) if !expected.whole && !got.whole => {
            let same = got.status == expected.status && got.headers == expected.headers;
            let part = expected.body.starts_with(&got.body);
            (!same || !part).then(|| format!("{got:?}"))
        }
        (Err(got), Err(expected)) if got == expected => None,
        _ => Some(format!("{}, expected {}", short(&got), short(&expected))),
    }
}

fn short(got: &Result<Got, &'static str>) -> String {
    match got {
        Ok(got) => format!(
            "{} {:?}, {} bytes, whole: {}",
            got.status,
            got.headers,
            got.body.len(),
            got.whole
        ),
        Err(failure) => (*failure).to_owned(),
    }
}

fn runner(seed: u64) -> TestRunner {
    let mut config = fixed(arbitrary::hash("ServeHTTP") ^ arbitrary::seed() ^ seed);
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 192;
    }
    TestRunner::new(config)
}

#[test]
fn whatever_is_asked_and_replied_crosses() {
    let plugin = RefCell::new(DrivenPlugin::start());
    let crossed =
        runner(0).run(&case(), |case| match fault(&mut plugin.borrow_mut(), &case, |_, _| ()) {
            None => Ok(()),
            Some(fault) => Err(TestCaseError::fail(fault)),
        });
    if let Err(error) = crossed {
        panic!("{}", error.to_string().chars().take(4000).collect::<String>());
    }
}

/// The property can fail: each of these faults is seen within the same cases.
#[test]
fn faults_of_the_stream_are_seen() {
    type Spoil = fn(&mut Vec<v1::ServeHttpRequest>, &mut Got);
    let spoils: [(&str, Spoil); 8] = [
        ("a message is lost", |seen, _| drop(seen.pop())),
        ("init is sent twice", |seen, _| {
            let init = seen[0].init.clone();
            seen.last_mut().unwrap().init = init;
        }),
        ("init loses a field", |seen, _| seen[0].init.as_mut().unwrap().url.clear()),
        ("a chunk loses its last byte", |seen, _| {
            for message in seen {
                message.body_chunk.truncate(message.body_chunk.len().saturating_sub(1));
            }
        }),
        ("the status is 200 for ever", |_, got| got.status = 200),
        ("a header is lost", |_, got| drop(got.headers.pop())),
        ("the body lacks its last byte", |_, got| {
            got.body.truncate(got.body.len().saturating_sub(1));
        }),
        ("a cut looks like an end", |_, got| got.whole = true),
    ];
    let plugin = RefCell::new(DrivenPlugin::start());
    for (name, spoil) in spoils {
        let mut runner = runner(1);
        let seen = runner.run(&case().no_shrink(), |case| {
            match fault(&mut plugin.borrow_mut(), &case, spoil) {
                None => Ok(()),
                Some(fault) => Err(TestCaseError::fail(fault)),
            }
        });
        assert!(seen.is_err(), "nobody sees that {name}");
    }
}
