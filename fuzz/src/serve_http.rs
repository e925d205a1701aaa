//! The stream of a reply to `ServeHTTP`.
//!
//! Its text has a line for the request's method and one for each event: `close`, `fail`, or a message,
//! whose parts stand between `|`: `status 200`, `Name: value` for a header, `+text` for the chunk,
//! `complete`, `flush`, and `hex 0a00` for a message as bytes.

use http::HeaderMap;
use plugin_conformance::hooks::{ReplyPart, ReplyRules, ServeHttpError};
use plugin_proto::v1;
use prost::Message as _;

/// Names of fields that are between two neighbours only.
const HOP_BY_HOP: [&str; 6] =
    ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

/// What happens on the stream after its first message.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message.
    Message(v1::ServeHttpResponse),
    /// The plugin ended it.
    Close,
    /// It failed.
    Fail,
}

/// What became of the stream.
#[derive(Debug)]
pub struct Seen {
    /// Status and headers; or why there are none.
    pub head: Result<(u16, HeaderMap), ServeHttpError>,
    /// The parts of the body, in their order.
    pub parts: Vec<ReplyPart>,
    /// Why it is not whole.
    pub failure: Option<ServeHttpError>,
    /// Whether it came to an end.
    pub over: bool,
}

/// A head or an error; the body is what was sent, in its order, up to the end and no further; a reply
/// that is not whole does not look so, and one that is holds to its `Content-Length`.
pub fn check(data: &[u8]) {
    check_with(data, by_the_rules);
}

/// As [`check`], of other rules.
pub fn check_with(data: &[u8], read: impl Fn(&str, v1::ServeHttpResponse, &[Event]) -> Seen) {
    let text = String::from_utf8_lossy(data);
    let (method, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let mut events = rest.lines().map(event);
    let Some(Event::Message(first)) = events.next() else { return };
    let events: Vec<_> = events.collect();
    let expected = expected(method, &first, &events);
    let seen = read(method, first, &events);
    let (status, headers) = match (&seen.head, expected.head) {
        (Ok((status, headers)), Some(wanted)) => {
            assert!(*status == wanted, "the status is {status}, not {wanted}");
            (*status, headers)
        }
        (Err(_), None) => return,
        (Ok((status, _)), None) => panic!("a reply that cannot be has the status {status}"),
        (Err(error), Some(_)) => panic!("a good reply is refused: {error}"),
    };
    for name in headers.keys() {
        let name = name.as_str();
        let hop = HOP_BY_HOP.contains(&name) || name.starts_with("proxy-");
        assert!(!hop, "{name} is handed on");
    }
    let body: Vec<u8> = seen.parts.iter().flat_map(|part| part.chunk.to_vec()).collect();
    assert!(
        body == expected.body,
        "the body has {} bytes, not {}",
        body.len(),
        expected.body.len()
    );
    let flushes = seen.parts.iter().filter(|part| part.flush).count();
    assert!(flushes == expected.flushes, "{flushes} flushes, not {}", expected.flushes);
    assert!(seen.over == expected.over, "over: {}", seen.over);
    assert!(seen.failure.is_some() == expected.fails, "it fails with {:?}", seen.failure);
    let lengths: Vec<_> = headers.get_all("content-length").iter().collect();
    assert!(lengths.len() <= 1, "Content-Length is there {} times", lengths.len());
    if let (Some(length), true, None) = (lengths.first(), seen.over, &seen.failure)
        && !expected.bodiless
    {
        let length = length.to_str().expect("digits");
        assert!(length.parse() == Ok(body.len()), "{length} bytes were promised: {status}");
    }
}

/// As the supervisor does it.
fn by_the_rules(method: &str, first: v1::ServeHttpResponse, events: &[Event]) -> Seen {
    let (status, headers, mut rules) = match ReplyRules::begin(method, first) {
        Ok(begun) => begun,
        Err(error) => return Seen { head: Err(error), parts: vec![], failure: None, over: true },
    };
    let (mut parts, mut failure) = (Vec::new(), None);
    let mut take = |rules: &mut ReplyRules| {
        while let Some(taken) = rules.take() {
            assert!(failure.is_none(), "something comes after the failure");
            match taken {
                Ok(part) => parts.push(part),
                Err(error) => failure = Some(error),
            }
        }
    };
    take(&mut rules);
    for event in events {
        match event.clone() {
            Event::Message(message) => rules.message(message),
            Event::Close => rules.closed(),
            Event::Fail => rules.cut(ServeHttpError::Broken { reason: "the stream failed" }),
        }
        take(&mut rules);
    }
    Seen { head: Ok((status.as_u16(), headers)), parts, failure, over: rules.is_over() }
}

struct Expected {
    head: Option<u16>,
    body: Vec<u8>,
    flushes: usize,
    fails: bool,
    over: bool,
    bodiless: bool,
}

/// What the contract says of the stream, without a look at how the supervisor does it.
fn expected(method: &str, first: &v1::ServeHttpResponse, events: &[Event]) -> Expected {
    let init = first.init.clone().unwrap_or_default();
    let head = match init.status_code {
        0 => Some(200),
        code @ 100..=999 => u16::try_from(code).ok(),
        _ => None,
    };
    let status = head.unwrap_or_default();
    let bodiless = matches!(status, 100..=199 | 204 | 304) || method == "HEAD";
    let promised = promised(&init.headers).filter(|_| !bodiless);
    let mut all = Expected { head, body: vec![], flushes: 0, fails: false, over: false, bodiless };
    let take = |all: &mut Expected, message: &v1::ServeHttpResponse| {
        let chunk = if bodiless { &b""[..] } else { &message.body_chunk[..] };
        let length = all.body.len() + chunk.len();
        if promised.is_some_and(|promised| length as u64 > promised) {
            (all.fails, all.over) = (true, true);
            return;
        }
        all.body.extend_from_slice(chunk);
        all.flushes += usize::from(message.flush);
        all.over = message.body_complete;
        all.fails = all.over && promised.is_some_and(|promised| (length as u64) < promised);
    };
    take(&mut all, first);
    if all.fails {
        // The client can still be told.
        all.head = None;
    }
    for event in events {
        match event {
            _ if all.over => break,
            Event::Message(message) if message.init.is_none() => take(&mut all, message),
            Event::Message(_) | Event::Fail => (all.fails, all.over) = (true, true),
            Event::Close => {
                all.over = true;
                all.fails = promised.is_some_and(|promised| (all.body.len() as u64) < promised);
            }
        }
    }
    all
}

/// The one valid `Content-Length`, unless it is named by `Connection`.
fn promised(fields: &[v1::HttpHeader]) -> Option<u64> {
    let named = |name: &str| {
        let fields = fields.iter().filter(move |field| field.key.eq_ignore_ascii_case(name));
        let values = fields.flat_map(|field| &field.values);
        values
            .filter(|value| http::HeaderValue::from_bytes(value.as_bytes()).is_ok())
            .cloned()
            .collect::<Vec<_>>()
    };
    let dropped = named("connection").iter().filter(|value| value.is_ascii()).any(|value| {
        value.split(',').any(|name| name.trim().eq_ignore_ascii_case("content-length"))
    });
    match &named("content-length")[..] {
        [one] if !dropped && one.bytes().all(|digit| digit.is_ascii_digit()) => one.parse().ok(),
        _ => None,
    }
}

/// A line as an event. What is no part of a message counts as its chunk.
fn event(line: &str) -> Event {
    match line {
        "close" => return Event::Close,
        "fail" => return Event::Fail,
        _ => {}
    }
    let mut message = v1::ServeHttpResponse::default();
    for part in line.split('|') {
        if let Some(bytes) = part.strip_prefix("hex ") {
            let digits: Vec<u8> = bytes.bytes().filter(u8::is_ascii_hexdigit).collect();
            let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
            let bytes: Vec<u8> =
                digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect();
            match v1::ServeHttpResponse::decode(&bytes[..]) {
                Ok(decoded) => message = decoded,
                // As a stream of gRPC ends then.
                Err(_) => return Event::Fail,
            }
        } else if let Some(code) = part.strip_prefix("status ") {
            let init = message.init.get_or_insert_default();
            init.status_code = code.trim().parse().unwrap_or_default();
        } else if part == "complete" {
            message.body_complete = true;
        } else if part == "flush" {
            message.flush = true;
        } else if let Some(chunk) = part.strip_prefix('+') {
            message.body_chunk = chunk.to_owned().into();
        } else if let Some((key, value)) = part.split_once(": ") {
            let init = message.init.get_or_insert_default();
            let values = vec![value.to_owned()];
            init.headers.push(v1::HttpHeader { key: key.to_owned(), values });
        } else {
            message.body_chunk = part.to_owned().into();
        }
    }
    Event::Message(message)
}
