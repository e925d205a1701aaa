//! The way to a field of a request.

use std::borrow::Cow;
use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plugin_proto::prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use plugin_proto::{REDACTED, is_secret};
use serde_json::{Map, Value};

use crate::api::json::{self, Problem};
use crate::api::shown;

/// A path that has been checked against the request's descriptor.
#[derive(Debug, Clone)]
pub(super) struct FieldPath {
    /// With the fields' own names, whatever names were given.
    parts: Vec<String>,
    leaf: Leaf,
    pub(super) holds: Holds,
    /// Whether it leads to a secret, or into one.
    pub(super) secret: bool,
}

/// What the last part names.
#[derive(Debug, Clone)]
enum Leaf {
    /// A field of a message.
    Field(FieldDescriptor),
    /// An item of this list, or a value of this map.
    Item(FieldDescriptor),
    /// Something inside a `google.protobuf.Struct`.
    Free,
}

/// What stands at the end of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Holds {
    Text,
    Bytes,
    /// A number, a truth value, an enum.
    Scalar,
    List(FieldDescriptor),
    Map(FieldDescriptor),
    Message(MessageDescriptor),
    /// Anything that JSON can say.
    Free,
}

impl Holds {
    fn of_field(field: &FieldDescriptor) -> Self {
        match field {
            _ if field.is_map() => Self::Map(field.clone()),
            _ if field.is_list() => Self::List(field.clone()),
            _ => Self::of_kind(field.kind()),
        }
    }

    fn of_kind(kind: Kind) -> Self {
        match kind {
            Kind::String => Self::Text,
            Kind::Bytes => Self::Bytes,
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Struct"
                | "google.protobuf.Value"
                | "google.protobuf.ListValue" => Self::Free,
                _ => Self::Message(message),
            },
            _ => Self::Scalar,
        }
    }

    fn of_item(field: &FieldDescriptor) -> Self {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                Self::of_kind(entry.map_entry_value_field().kind())
            }
            kind => Self::of_kind(kind),
        }
    }
}

impl FieldPath {
    /// Checks each part.
    pub(super) fn resolve(
        request: &MessageDescriptor,
        mut parts: Vec<String>,
    ) -> Result<Self, String> {
        let mut holds = Holds::Message(request.clone());
        let mut leaf = Leaf::Free;
        let mut secret = false;
        for at in 0..parts.len() {
            let (before, rest) = parts.split_at_mut(at);
            let Some(part) = rest.first_mut() else { break };
            let before = || before.join(".");
            (leaf, holds) = match holds {
                Holds::Message(message) => {
                    let field = json::field_of(&message, part)?;
                    field.name().clone_into(part);
                    secret |= is_secret(&field);
                    let holds = Holds::of_field(&field);
                    (Leaf::Field(field), holds)
                }
                Holds::List(field) => {
                    if part.parse::<usize>().is_err() {
                        return Err(format!(
                            "{} is a list: {part} is no place in it (0 is the first)",
                            before()
                        ));
                    }
                    let holds = Holds::of_item(&field);
                    (Leaf::Item(field), holds)
                }
                Holds::Map(field) => {
                    let holds = Holds::of_item(&field);
                    (Leaf::Item(field), holds)
                }
                Holds::Free => (Leaf::Free, Holds::Free),
                Holds::Text | Holds::Bytes | Holds::Scalar => {
                    return Err(format!("{} has no fields, so no {part}", before()));
                }
            };
        }
        Ok(Self { parts, leaf, holds, secret })
    }

    pub(super) fn text(&self) -> String {
        self.parts.join(".")
    }

    /// A value of the field for a person to read.
    pub(super) fn shown(&self, value: &Value) -> String {
        if self.secret {
            return REDACTED.to_owned();
        }
        let mut value = value.clone();
        match &self.holds {
            Holds::Message(message) => shown::redact(message, &mut value),
            Holds::List(field) | Holds::Map(field) => shown::redact_value(field, &mut value),
            Holds::Text | Holds::Bytes | Holds::Scalar | Holds::Free => {}
        }
        json::short(&value)
    }

    /// The same for an item of the list.
    pub(super) fn shown_item(&self, item: &Value) -> String {
        if self.secret {
            return REDACTED.to_owned();
        }
        let mut item = item.clone();
        if let Holds::List(field) = &self.holds
            && let Kind::Message(message) = field.kind()
        {
            shown::redact(&message, &mut item);
        }
        json::short(&item)
    }

    /// The same for a text that is not JSON.
    pub(super) fn shown_text(&self, text: impl Display) -> String {
        if self.secret { REDACTED.to_owned() } else { text.to_string() }
    }

    /// What the request has there; nothing if it is unset.
    pub(super) fn find<'a>(&self, request: &'a Value) -> Option<&'a Value> {
        self.parts.iter().try_fold(request, |json, part| match json {
            Value::Object(fields) => fields.get(part),
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The value as a request would have it: enums by name, bytes in padded base64, nothing for a
    /// default.
    pub(super) fn normal(&self, value: Value) -> Result<Option<Value>, Problem> {
        let key = self.parts.last().map_or("", String::as_str);
        match &self.leaf {
            Leaf::Field(field) => through(field, value, 1),
            Leaf::Item(field) => item(field, key, value).map(Some),
            Leaf::Free => Ok(Some(value)),
        }
    }

    /// As [`normal`](Self::normal), for an item of the list at the end of the path.
    pub(super) fn normal_item(&self, value: Value) -> Result<Value, Problem> {
        match &self.holds {
            Holds::List(field) => item(field, "", value),
            _ => Ok(value),
        }
    }

    /// The text that stands there, bytes being read as UTF-8.
    pub(super) fn as_text<'a>(&self, value: &'a Value) -> Option<Cow<'a, str>> {
        let text = value.as_str()?;
        match self.holds {
            Holds::Bytes => {
                let bytes = STANDARD.decode(text).ok()?;
                Some(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))
            }
            _ => Some(Cow::Borrowed(text)),
        }
    }
}

/// The value after a passage through the message that has the field. A problem's path loses its
/// first `known` parts.
fn through(field: &FieldDescriptor, value: Value, known: usize) -> Result<Option<Value>, Problem> {
    let only = Value::Object(Map::from_iter([(field.name().to_owned(), value)]));
    let message = json::to_message(field.parent_message(), &only).map_err(|mut problem| {
        problem.path.drain(..known.min(problem.path.len()));
        problem
    })?;
    Ok(match json::of_message(&message) {
        Value::Object(mut fields) => fields.remove(field.name()),
        _ => None,
    })
}

/// The same for an item of a list or a value of a map.
fn item(field: &FieldDescriptor, key: &str, value: Value) -> Result<Value, Problem> {
    let around = match field.is_map() {
        true => Value::Object(Map::from_iter([(key.to_owned(), value)])),
        false => Value::Array(vec![value]),
    };
    let found = match through(field, around, 2)? {
        Some(Value::Object(entries)) => entries.into_iter().next().map(|(_, value)| value),
        Some(Value::Array(items)) => items.into_iter().next(),
        _ => None,
    };
    Ok(found.unwrap_or(Value::Null))
}
