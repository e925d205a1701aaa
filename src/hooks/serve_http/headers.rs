//! Header fields, between HTTP and messages.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use plugin_proto::v1;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Header fields as a plugin gets them: keys as Go writes them (`X-Test-Header`), all values of a
/// key in their order. `Host` is not among them, for it is a field of the message of its own.
///
/// Bytes that are not UTF-8 become U+FFFD.
pub fn http_headers(headers: &HeaderMap) -> Vec<v1::HttpHeader> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .keys()
        .filter(|key| **key != HOST)
        .map(|key| v1::HttpHeader {
            key: canonical(key.as_str()),
            values: headers.get_all(key).iter().map(text).collect(),
        })
        .collect()
}

/// `x-test-header` → `X-Test-Header`.
fn canonical(name: &str) -> String {
    let mut upper = true;
    let letters = name.chars().map(|letter| {
        let out = if upper { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        upper = letter == '-';
        out
    });
    letters.collect()
}

/// Removes what is between two neighbours only: `Connection` and the fields that it names,
/// `Keep-Alive`, `Proxy-*`, `TE`, `Trailer`, `Transfer-Encoding` and `Upgrade`.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = named.flat_map(|value| value.split(','));
    let mut names: Vec<HeaderName> = named.filter_map(|name| name.trim().parse().ok()).collect();
    names.extend([CONNECTION, KEEP_ALIVE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE]);
    names.extend(headers.keys().filter(|name| name.as_str().starts_with("proxy-")).cloned());
    for name in names {
        headers.remove(name);
    }
}

/// The header fields of a plugin's reply. What HTTP does not allow is left out, with a warning.
pub(super) fn reply_headers(fields: &[v1::HttpHeader]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields {
        let Ok(name) = field.key.parse::<HeaderName>() else {
            tracing::warn!(key = field.key, "a plugin's reply has a header with an invalid name");
            continue;
        };
        for value in &field.values {
            let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else {
                tracing::warn!(%name, "a plugin's reply has a header with an invalid value");
                continue;
            };
            if headers.try_append(&name, value).is_err() {
                tracing::warn!(%name, "a plugin's reply has too many headers");
                return headers;
            }
        }
    }
    remove_hop_by_hop(&mut headers);
    headers
}

/// The plugin's `Content-Length`, which stays in the headers only if it is one valid number.
pub(super) fn content_length(headers: &mut HeaderMap) -> Option<u64> {
    let values: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
    let length = match values[..] {
        [] => return None,
        [value] => value
            .to_str()
            .ok()
            .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|text| text.parse().ok()),
        _ => None,
    };
    if length.is_none() {
        tracing::warn!(?values, "a plugin's reply has an invalid Content-Length");
        headers.remove(CONTENT_LENGTH);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(key: &str, values: &[&str]) -> v1::HttpHeader {
        v1::HttpHeader {
            key: key.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }
    }

    #[test]
    fn h1_headers_keep_all_values_in_their_order() {
        assert_eq!(http_headers(&HeaderMap::new()), []);
        let mut headers = HeaderMap::new();
        headers.append("x-one", HeaderValue::from_static("1"));
        assert_eq!(http_headers(&headers), [field("X-One", &["1"])]);
        headers.append("ACCEPT", HeaderValue::from_static("b"));
        headers.append("accept", HeaderValue::from_static("a"));
        headers.append("host", HeaderValue::from_static("example.com"));
        assert_eq!(http_headers(&headers), [field("X-One", &["1"]), field("Accept", &["b", "a"])]);
    }

    #[test]
    fn hop_by_hop_headers_go_and_those_that_connection_names() {
        let mut headers = reply_headers(&[
            field("Connection", &["close, X-Mine", "x-other"]),
            field("x-mine", &["1"]),
            field("X-Other", &["1"]),
            field("Keep-Alive", &["timeout=5"]),
            field("Proxy-Authenticate", &["Basic"]),
            field("TE", &["trailers"]),
            field("Trailer", &["X-T"]),
            field("Transfer-Encoding", &["chunked"]),
            field("Upgrade", &["h2c"]),
            field("X-Stays", &["1"]),
        ]);
        assert_eq!(headers.remove("x-stays").unwrap(), "1");
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn what_http_does_not_allow_is_left_out() {
        let many = vec![field("x", &["v"; 40_000])];
        assert!(reply_headers(&many).len() > 1000);
        let headers = reply_headers(&[
            field("", &["v"]),
            field("a b", &["v"]),
            field("ü", &["v"]),
            field("x-split", &["a\r\nSet-Cookie: b", "fine"]),
            field("x-none", &[]),
        ]);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-split"], "fine");
    }

    #[test]
    fn one_valid_content_length_counts() {
        for (values, expected) in [
            (&["5"][..], Some(5)),
            (&[], None),
            (&["5", "5"], None),
            (&["+5"], None),
            (&["-1"], None),
            (&["five"], None),
            (&["99999999999999999999999"], None),
        ] {
            let mut headers = reply_headers(&[field("content-length", values)]);
            assert_eq!(content_length(&mut headers), expected, "{values:?}");
            assert_eq!(headers.contains_key(CONTENT_LENGTH), expected.is_some(), "{values:?}");
        }
    }
}
