//! Who asks, and what of that the plugin may see.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, REFERER};
use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use super::sessions::Sessions;

const USER_ID: HeaderName = HeaderName::from_static("mattermost-user-id");
const PLUGIN_ID: HeaderName = HeaderName::from_static("mattermost-plugin-id");
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
/// The session's cookie.
const SESSION_COOKIE: &str = "MMAUTHTOKEN";
/// The query's parameter with a token.
const ACCESS_TOKEN: &str = "access_token";

/// Where a token was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Header,
    Cookie,
    Query,
}

/// Finds the request's session and makes the headers fit for a plugin: its secrets and what a client
/// may not claim are gone, and `Mattermost-User-Id` says who it is. Gives the session's id.
pub(super) fn identify(
    method: &Method,
    uri: &Uri,
    headers: &mut HeaderMap,
    sessions: &dyn Sessions,
) -> Option<String> {
    remove_claims(headers);
    headers.remove(REFERER);
    let cookie = take_session_cookie(headers);
    let (token, from) = bearer(headers)
        .map(|token| (token, From::Header))
        .or_else(|| cookie.map(|token| (token, From::Cookie)))
        .or_else(|| access_token(uri.query()?).map(|token| (token, From::Query)))?;
    // Another site can make a browser send the cookie, but not these headers.
    if from == From::Cookie && !method.is_safe() && !is_own_page(headers) {
        tracing::debug!("a request with a session's cookie has no sign that it is no forgery");
        return None;
    }
    let user = HeaderValue::try_from(sessions.user_of(&token)?).ok()?;
    headers.remove(AUTHORIZATION);
    headers.insert(USER_ID, user);
    sessions.session_of(&token)
}

/// Removes what only this server says, however it is written: gateways of Python's frameworks take
/// `Mattermost_User_Id` for the same field.
fn remove_claims(headers: &mut HeaderMap) {
    let is_claim = |name: &&HeaderName| {
        let name = name.as_str().replace('_', "-");
        name == USER_ID.as_str() || name == PLUGIN_ID.as_str()
    };
    let claims: Vec<_> = headers.keys().filter(is_claim).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// The query without its token; `None` when nothing is left.
pub(super) fn query_without_token(query: &str) -> Option<String> {
    let kept: Vec<_> = query.split('&').filter(|pair| !is_access_token(pair)).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

fn is_own_page(headers: &HeaderMap) -> bool {
    let has = |name: &HeaderName, test: &dyn Fn(&[u8]) -> bool| {
        headers.get(name).is_some_and(|value| test(value.as_bytes()))
    };
    has(&REQUESTED_WITH, &|value| value == b"XMLHttpRequest")
        || has(&CSRF_TOKEN, &|value| !value.is_empty())
}

/// The token of `Authorization: Bearer …` or `Authorization: Token …`.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let known = ["bearer", "token"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let token = token.trim();
    (known && !token.is_empty()).then(|| token.to_owned())
}

/// Removes the session's cookie and gives its value. The others become one `Cookie` field, which
/// HTTP/2 allows a client to split.
fn take_session_cookie(headers: &mut HeaderMap) -> Option<String> {
    let fields: Vec<_> = headers.get_all(COOKIE).iter().cloned().collect();
    headers.remove(COOKIE);
    let mut token = None;
    let mut kept = Vec::new();
    let pairs = fields.iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    for pair in pairs.map(<[u8]>::trim_ascii) {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (pair[..at].trim_ascii(), &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        if name != SESSION_COOKIE.as_bytes() {
            kept.push(pair);
        } else if token.is_none() {
            let value = std::str::from_utf8(value).ok().map(|value| value.trim_matches('"'));
            token = value.filter(|value| !value.is_empty()).map(str::to_owned);
        }
    }
    let kept = kept.join(&b"; "[..]);
    if !kept.is_empty()
        && let Ok(kept) = HeaderValue::from_bytes(&kept)
    {
        headers.insert(COOKIE, kept);
    }
    token
}

fn is_access_token(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    percent_decode_str(name).eq(ACCESS_TOKEN.bytes())
}

fn access_token(query: &str) -> Option<String> {
    let pair = query.split('&').find(|pair| is_access_token(pair))?;
    let value = pair.split_once('=')?.1.replace('+', " ");
    let token = percent_decode_str(&value).decode_utf8().ok()?.into_owned();
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Sessions for One {
        fn user_of(&self, token: &str) -> Option<String> {
            (token == "good").then(|| "user1".to_owned())
        }

        fn session_of(&self, _: &str) -> Option<String> {
            Some("session1".to_owned())
        }
    }

    fn asked(method: Method, uri: &str, fields: &[(&str, &str)]) -> (Option<String>, HeaderMap) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let session = identify(&method, &uri.parse().unwrap(), &mut headers, &One);
        (session, headers)
    }

    #[test]
    fn a_client_cannot_say_who_it_is() {
        let fields = [
            ("MATTERMOST-user-ID", "admin"),
            ("Mattermost-Plugin-Id", "other"),
            ("Mattermost_User_Id", "admin"),
            ("mattermost_plugin-id", "other"),
            ("Referer", "http://x"),
            ("Authorization", "Bearer bad"),
            ("X-Other", "stays"),
        ];
        let (session, headers) = asked(Method::GET, "/", &fields);
        assert_eq!(session, None);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert_eq!(headers[AUTHORIZATION], "Bearer bad");
    }

    #[test]
    fn each_place_of_a_token_counts() {
        for (uri, fields) in [
            ("/", &[("authorization", "bearer good")][..]),
            ("/", &[("authorization", "TOKEN good")]),
            ("/", &[("cookie", "a=b; MMAUTHTOKEN=good; c=d")]),
            ("/?x=1&access_token=g%6fod", &[]),
            ("/?access%5Ftoken=good", &[]),
            (
                "/?access_token=bad",
                &[("authorization", "Bearer good"), ("cookie", "MMAUTHTOKEN=bad")],
            ),
        ] {
            let (session, headers) = asked(Method::GET, uri, fields);
            assert_eq!(session.as_deref(), Some("session1"), "{uri} {fields:?}");
            assert_eq!(headers[USER_ID], "user1");
            assert!(!headers.contains_key(AUTHORIZATION));
        }
    }

    #[test]
    fn the_sessions_cookie_is_taken_out_of_the_others() {
        let fields =
            [("cookie", "a=b;MMAUTHTOKEN=bad ;c=d"), ("cookie", "MMAUTHTOKEN=x"), ("cookie", "e")];
        let (_, headers) = asked(Method::GET, "/", &fields);
        let cookies: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=b; c=d; e"]);
    }

    #[test]
    fn a_cookie_alone_changes_nothing() {
        let cookie = ("cookie", "MMAUTHTOKEN=good");
        for (extra, expected) in [
            (("x-other", "1"), false),
            (("x-requested-with", "XMLHttpRequest"), true),
            (("x-requested-with", "other"), false),
            (("x-csrf-token", "t"), true),
            (("x-csrf-token", ""), false),
        ] {
            let (session, headers) = asked(Method::POST, "/", &[cookie, extra]);
            assert_eq!(session.is_some(), expected, "{extra:?}");
            assert_eq!(headers.contains_key(USER_ID), expected, "{extra:?}");
        }
        assert!(asked(Method::OPTIONS, "/", &[cookie]).0.is_some());
    }

    #[test]
    fn the_token_leaves_the_query() {
        assert_eq!(query_without_token("access_token=x"), None);
        assert_eq!(
            query_without_token("a=1&access_token=x&b=%20&access%5ftoken"),
            Some("a=1&b=%20".into())
        );
        assert_eq!(query_without_token("my_access_token=x"), Some("my_access_token=x".into()));
    }
}
