//! The lines between the kit and a driver.
//!
//! One JSON object a line: `{"case":7,"rpc":"GetUser","request":{…}}` to the driver, and one of
//! `{"case":7,"response":{…}}`, `{"case":7,"error":{"kind":…,"id":…,"status_code":…,"message":…}}`
//! and `{"case":7,"missing":"why"}` back. Requests and responses are proto3 JSON with the fields'
//! names as in the .proto files. An answer may say which fields the SDK does not offer:
//! `"not_offered":{"request":["user.props"],"response":["user.auth_data"]}`.

use plugin_proto::prost_reflect::{DynamicMessage, SerializeOptions};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line of a driver, in bytes; a response of the largest size allowed, 100 MiB, in
/// base64 is not asked for.
pub(super) const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// What a driver made of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// The SDK's method returned.
    Response(Value),
    /// The SDK's method failed.
    Error(SdkError),
    /// The SDK has no such method.
    Missing(String),
}

/// How the SDK's method failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SdkError {
    /// The name of the exception's class, or whatever stands for it.
    pub kind: String,
    /// The AppError's id.
    pub id: Option<String>,
    /// The AppError's HTTP status.
    pub status_code: Option<i64>,
    /// What the exception says.
    pub message: String,
}

impl std::fmt::Display for SdkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind.as_str() {
            "" => "an error",
            kind => kind,
        };
        match self.message.as_str() {
            "" => f.write_str(kind),
            message => write!(f, "{kind}: {}", cut(message)),
        }
    }
}

/// Fields that the SDK does not offer, as a driver declares them: paths as the .proto files name
/// them, without places in lists and keys of maps. A path stands for all that is below it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotOffered {
    /// In the request.
    pub request: Vec<String>,
    /// In the response.
    pub response: Vec<String>,
}

/// One line of a driver, understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) case: u64,
    pub(super) said: Said,
    /// `None` when the driver does not speak of it.
    pub(super) not_offered: Option<NotOffered>,
}

#[derive(Serialize)]
struct Ask<'a> {
    case: u64,
    rpc: &'a str,
    request: Value,
}

#[derive(Deserialize)]
struct Line {
    case: u64,
    response: Option<Value>,
    error: Option<ErrorLine>,
    missing: Option<Value>,
    not_offered: Option<NotOffered>,
}

/// Drivers write what they have, null for what they have not.
#[derive(Deserialize)]
struct ErrorLine {
    kind: Option<String>,
    id: Option<String>,
    status_code: Option<i64>,
    message: Option<String>,
}

/// The line that asks for a case, with its end.
pub(super) fn ask(case: u64, rpc: &str, request: &DynamicMessage) -> Vec<u8> {
    // With false and 0, so that a driver need not know which fields have them by default.
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    let request =
        request.serialize_with_options(serde_json::value::Serializer, &options).unwrap_or_default();
    let mut line = serde_json::to_vec(&Ask { case, rpc, request }).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Understands a driver's line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn understand(line: &[u8]) -> Result<Answer, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let said = match (line.response, line.error, line.missing) {
        (Some(response @ Value::Object(_)), None, None) => Said::Response(response),
        (Some(other), None, None) => {
            return Err(format!("\"response\" is {}, and no object", cut(&other.to_string())));
        }
        (None, Some(error), None) => Said::Error(SdkError {
            kind: error.kind.unwrap_or_default(),
            id: error.id.filter(|id| !id.is_empty()),
            status_code: error.status_code,
            message: error.message.unwrap_or_default(),
        }),
        (None, None, Some(Value::String(why))) => Said::Missing(why),
        (None, None, Some(_)) => Said::Missing(String::new()),
        (None, None, None) => {
            return Err("none of \"response\", \"error\" and \"missing\" is there".to_owned());
        }
        _ => return Err("more than one of \"response\", \"error\" and \"missing\"".to_owned()),
    };
    Ok(Answer { case: line.case, said, not_offered: line.not_offered })
}

/// Text from outside, cut for a person to read.
pub(super) fn cut(text: &str) -> String {
    const SHOWN: usize = 300;
    let text = text.trim();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use plugin_proto::{Method, Service};
    use proptest::prelude::*;

    use super::super::values;
    use super::*;

    #[test]
    fn a_case_is_one_line_of_proto3_json() {
        let method = Method::by_name(Service::PluginAPI, "UpdateUserActive").unwrap();
        let request = values::message(&method.request_descriptor(), 9, 2);
        let line = ask(9, method.name, &request);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let json: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(json["case"], 9);
        assert_eq!(json["rpc"], "UpdateUserActive");
        assert_eq!(json["request"]["user_id"], "UpdateUserActiveRequest.user_id#9");
        assert!(json["request"]["active"].is_boolean(), "false is written, too: {json}");
    }

    #[test]
    fn answers_are_understood_and_others_are_named() {
        let said = |line: &str| understand(line.as_bytes()).map(|answer| answer.said);
        assert_eq!(said(r#"{"case":1,"response":{}}"#), Ok(Said::Response(serde_json::json!({}))));
        assert_eq!(said(r#"{"case":1,"missing":"x"}"#), Ok(Said::Missing("x".into())));
        let error = said(r#"{"case":1,"error":{"kind":"E","id":null,"status_code":404}}"#);
        let Ok(Said::Error(error)) = error else { panic!("{error:?}") };
        assert_eq!((error.id, error.status_code), (None, Some(404)));
        for (line, hint) in [
            ("hello", "expected value"),
            (r#"{"response":{}}"#, "case"),
            (r#"{"case":1}"#, "none of"),
            (r#"{"case":1,"response":{},"missing":"x"}"#, "more than one"),
            (r#"{"case":1,"response":7}"#, "no object"),
            (r#"{"case":1,"response":{},"not_offered":{"reqest":[]}}"#, "reqest"),
        ] {
            let problem = said(line).unwrap_err();
            assert!(problem.contains(hint), "{line}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = understand(&line);
        }

        #[test]
        fn no_json_panics(text in r#"\{"case":[0-9]{1,25},"(response|error|missing|x)":[\[\]{}0-9"a-z:,]{0,20}\}"#) {
            let _ = understand(text.as_bytes());
        }
    }
}
