//! What must hold of a request.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use plugin_proto::compare::difference;
use plugin_proto::prost::Message as _;
use plugin_proto::prost_reflect::{DynamicMessage, ReflectMessage as _};
use plugin_proto::{Method, redact};
use regex::Regex;
use serde_json::Value;

use super::path::{FieldPath, Holds};
use super::request::Request;
use super::{ApiRequest, MockError};
use crate::api::json::{self, Problem};
use crate::api::shown;

/// A condition that a request must meet; see [`field`] and [`any`]. A whole request message is a
/// matcher too: it matches requests that are equal to it.
///
/// ```
/// use plugin_conformance::api::mock::{MockApi, field, rpc};
/// use plugin_proto::v1::KvListRequest;
/// use serde_json::json;
///
/// let api = MockApi::new();
/// api.given(rpc("KVList"))
///     .with(field("page").equals(0))
///     .with(field("per_page").is_set())
///     .respond_with(json!({"keys": ["first"]}))
///     .mount();
/// api.given(rpc("KVList"))
///     .with(KvListRequest { page: 1, per_page: 10 })
///     .respond_with(json!({"keys": ["second"]}))
///     .mount();
/// ```
#[derive(Debug, Clone)]
pub struct Matcher(Condition);

#[derive(Clone)]
enum Condition {
    Field { path: Vec<String>, test: Test },
    Whole { of: &'static Method, request: DynamicMessage },
    Any { what: String, holds: Holding },
}

type Holding = Arc<dyn Fn(&DynamicMessage) -> bool + Send + Sync>;

#[derive(Clone)]
pub(super) enum Test {
    Equals(Value),
    Contains(Value),
    Text(String),
    Regex(String),
    Set,
    Unset,
}

/// Values are not shown: a path alone does not say whether they are secret.
impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { path, test } => write!(f, "{} {test:?}", path.join(".")),
            Self::Whole { request, .. } => write!(f, "{}", shown::of_message(request)),
            Self::Any { what, .. } => write!(f, "{what}"),
        }
    }
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equals(_) => "equals …",
            Self::Contains(_) => "contains …",
            Self::Text(_) => "is the text …",
            Self::Regex(_) => "matches …",
            Self::Set => "is set",
            Self::Unset => "is unset",
        })
    }
}

/// A field of the request, to be followed by what must hold of it.
///
/// The path is dotted: fields of messages by name, items of lists by number, values of maps and of
/// `google.protobuf.Struct` by key. A field that does not exist is found out when the mock is
/// mounted.
///
/// ```
/// use plugin_conformance::api::mock::{MockApi, field, rpc};
/// use serde_json::json;
///
/// let api = MockApi::new();
/// api.given(rpc("CreatePost"))
///     .with(field("post.channel_id").equals("town-square"))
///     .with(field("post.message").matches(r"^\d+ new "))
///     .with(field("post.root_id").is_unset())
///     .respond_with(json!({"post": {"id": "post1"}}))
///     .mount();
/// ```
pub fn field(path: impl Into<String>) -> Field {
    Field(path.into().split('.').map(str::to_owned).collect())
}

/// Anything that can be asked of a request. `what` says it in words, for the messages: "a limit
/// that is even".
///
/// ```
/// use plugin_conformance::api::mock::{MockApi, any, rpc};
/// use serde_json::json;
///
/// let api = MockApi::new();
/// api.given(rpc("GetUser"))
///     .with(any("a user id of 26 characters", |request| {
///         let id = request.get_field_by_name("user_id");
///         id.is_some_and(|id| id.as_str().is_some_and(|id| id.len() == 26))
///     }))
///     .respond_with(json!({"user": {"username": "ada"}}))
///     .mount();
/// ```
pub fn any(
    what: impl Into<String>,
    holds: impl Fn(&DynamicMessage) -> bool + Send + Sync + 'static,
) -> Matcher {
    Matcher(Condition::Any { what: what.into(), holds: Arc::new(holds) })
}

/// A field of a request, made by [`field`]; its methods make matchers.
#[derive(Debug, Clone)]
#[must_use = "say what must hold of the field"]
pub struct Field(pub(super) Vec<String>);

impl Field {
    pub(super) fn test(self, test: Test) -> Matcher {
        Matcher(Condition::Field { path: self.0, test })
    }

    /// The field has this value, in proto3 JSON: a text, a number, a list, `json!({...})`; enums by
    /// name, bytes in base64. A default (0, "", false) is equal to an unset field, unless the field
    /// is `optional`.
    pub fn equals(self, value: impl Into<Value>) -> Matcher {
        self.test(Test::Equals(value.into()))
    }

    /// The text has this in it, or the list has this item. Bytes are read as UTF-8.
    pub fn contains(self, value: impl Into<Value>) -> Matcher {
        self.test(Test::Contains(value.into()))
    }

    /// The text is this. For bytes, which `equals` takes in base64.
    pub fn is_text(self, text: impl Into<String>) -> Matcher {
        self.test(Test::Text(text.into()))
    }

    /// Something in the text matches the regular expression (syntax of the crate `regex`); `^` and
    /// `$` bind it to the ends. Bytes are read as UTF-8.
    pub fn matches(self, regex: impl Into<String>) -> Matcher {
        self.test(Test::Regex(regex.into()))
    }

    /// The field has a value: any, but not the default, unless the field is `optional` or a
    /// message.
    pub fn is_set(self) -> Matcher {
        self.test(Test::Set)
    }

    /// The field has no value, or the default one.
    pub fn is_unset(self) -> Matcher {
        self.test(Test::Unset)
    }
}

/// A matcher that fits its RPC.
pub(super) struct Bound {
    /// `user_id equals "abc"`.
    pub(super) shown: String,
    check: Check,
}

enum Check {
    Field { path: FieldPath, test: BoundTest },
    Whole { expected: DynamicMessage },
    Any { what: String, holds: Holding },
}

enum BoundTest {
    Equals(Option<Value>),
    Contains(Value),
    Text(String),
    Regex(Regex),
    Set,
    Unset,
}

impl Matcher {
    pub(super) fn whole<Q: ApiRequest>(request: &Q) -> Self {
        Self(Condition::Whole { of: Q::method(), request: request.transcode_to_dynamic() })
    }

    /// Checks that the matcher fits the RPC.
    pub(super) fn bind(self, method: &'static Method) -> Result<Bound, MockError> {
        let wrong = |path: Vec<String>, problem: String| MockError::Matcher {
            rpc: method.name,
            path,
            problem,
        };
        match self.0 {
            Condition::Field { path: parts, test } => {
                let path = FieldPath::resolve(&method.request_descriptor(), parts.clone())
                    .map_err(|problem| wrong(parts.clone(), problem))?;
                let test = test
                    .bind(&path)
                    .map_err(|problem| wrong([parts, problem.path].concat(), problem.text))?;
                let shown = format!("{} {}", path.text(), test.shown(&path));
                Ok(Bound { shown, check: Check::Field { path, test } })
            }
            Condition::Whole { of, request } if of.index == method.index => {
                let shown = format!("request equals {}", json::short(&shown::of_message(&request)));
                Ok(Bound { shown, check: Check::Whole { expected: request } })
            }
            Condition::Whole { request, .. } => {
                let other = request.descriptor();
                Err(wrong(Vec::new(), format!("it is never equal to a {}", other.name())))
            }
            Condition::Any { what, holds } => {
                Ok(Bound { shown: what.clone(), check: Check::Any { what, holds } })
            }
        }
    }
}

impl Test {
    fn bind(self, path: &FieldPath) -> Result<BoundTest, Problem> {
        let texts = matches!(path.holds, Holds::Text | Holds::Bytes | Holds::Free);
        let wrong = |text| Err(Problem { path: Vec::new(), text });
        Ok(match self {
            Self::Equals(value) => BoundTest::Equals(path.normal(value)?),
            Self::Contains(value) => match &path.holds {
                Holds::List(_) => BoundTest::Contains(path.normal_item(value)?),
                _ if texts && (value.is_string() || path.holds == Holds::Free) => {
                    BoundTest::Contains(value)
                }
                _ if texts => return wrong(format!("expected a text, got {value}")),
                _ => return wrong("only texts, bytes and lists contain something".to_owned()),
            },
            Self::Text(text) if texts => BoundTest::Text(text),
            Self::Text(_) => return wrong("only texts and bytes are compared as text".to_owned()),
            Self::Regex(regex) if texts => match Regex::new(&regex) {
                Ok(regex) => BoundTest::Regex(regex),
                Err(error) => return wrong(format!("no regular expression: {error}")),
            },
            Self::Regex(_) => {
                return wrong("only texts and bytes match a regular expression".to_owned());
            }
            Self::Set => BoundTest::Set,
            Self::Unset => BoundTest::Unset,
        })
    }
}

impl BoundTest {
    fn shown(&self, path: &FieldPath) -> String {
        match self {
            Self::Equals(Some(value)) => format!("equals {}", path.shown(value)),
            Self::Equals(None) => "has its default value".to_owned(),
            Self::Contains(value) => format!("contains {}", path.shown_item(value)),
            Self::Text(text) => format!("is the text {}", path.shown_text(format!("{text:?}"))),
            Self::Regex(regex) => format!("matches {}", path.shown_text(format!("/{regex}/"))),
            Self::Set => "is set".to_owned(),
            Self::Unset => "is unset".to_owned(),
        }
    }

    fn expected(&self, path: &FieldPath) -> String {
        match self {
            Self::Equals(Some(value)) => path.shown(value),
            Self::Equals(None) => "the default value".to_owned(),
            Self::Contains(value) => format!("something that contains {}", path.shown_item(value)),
            Self::Text(text) => format!("the text {}", path.shown_text(format!("{text:?}"))),
            Self::Regex(regex) => {
                format!("a text that matches {}", path.shown_text(format!("/{regex}/")))
            }
            Self::Set => "any value".to_owned(),
            Self::Unset => "nothing".to_owned(),
        }
    }

    fn holds(&self, path: &FieldPath, value: Option<&Value>) -> bool {
        match self {
            Self::Equals(wanted) => match (wanted, value) {
                (Some(wanted), Some(value)) => json::same(wanted, value),
                (wanted, value) => wanted.is_none() && value.is_none(),
            },
            Self::Contains(wanted) => value.is_some_and(|value| match value {
                Value::Array(items) => items.iter().any(|item| json::same(item, wanted)),
                value => match (path.as_text(value), wanted.as_str()) {
                    (Some(text), Some(wanted)) => text.contains(wanted),
                    _ => false,
                },
            }),
            Self::Text(wanted) => text(path, value).is_some_and(|text| text == *wanted),
            Self::Regex(regex) => text(path, value).is_some_and(|text| regex.is_match(&text)),
            Self::Set => value.is_some(),
            Self::Unset => value.is_none(),
        }
    }
}

/// What stands there; an unset text is the empty one.
fn text<'a>(path: &FieldPath, value: Option<&'a Value>) -> Option<Cow<'a, str>> {
    match value {
        Some(value) => path.as_text(value),
        None => Some("".into()),
    }
}

impl Bound {
    /// Whether the request is as wanted; if not, what was expected and what it is.
    pub(super) fn check(&self, request: &Request) -> Result<(), String> {
        match &self.check {
            Check::Field { path, test } => {
                let value = path.find(&request.json);
                if test.holds(path, value) {
                    return Ok(());
                }
                let got = value.map_or_else(|| "nothing".to_owned(), |value| path.shown(value));
                let readable = path.holds == Holds::Bytes && !path.secret;
                let got = match value.filter(|_| readable) {
                    Some(value) => match path.as_text(value) {
                        Some(text) => format!("{got} (the bytes of {text:?})"),
                        None => got,
                    },
                    None => got,
                };
                Err(format!("{}: expected {}, got {got}", path.text(), test.expected(path)))
            }
            Check::Whole { expected } if *expected == request.message => Ok(()),
            Check::Whole { expected } => {
                let (wanted, got) = (expected.encode_to_vec(), request.message.encode_to_vec());
                let descriptor = expected.descriptor();
                if difference(&descriptor, &wanted, &got).is_none() {
                    return Ok(());
                }
                // The same once more for what may be shown.
                let open = |message: &DynamicMessage| {
                    let mut message = message.clone();
                    redact(&mut message);
                    message.encode_to_vec()
                };
                let (wanted, got) = (open(expected), open(&request.message));
                Err(difference(&descriptor, &wanted, &got)
                    .unwrap_or_else(|| "they differ in what is secret or unknown".to_owned()))
            }
            Check::Any { what, holds } => match holds(&request.message) {
                true => Ok(()),
                false => Err(format!("expected {what}, got {}", request.shown_message())),
            },
        }
    }
}
