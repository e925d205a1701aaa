//! Messages as JSON: what mocks are written in, compared in and shown in.
//!
//! It is proto3 JSON with the fields' own names, and with 64-bit integers as numbers.

use std::fmt::Write as _;

use plugin_proto::is_secret;
use plugin_proto::names::suggestion;
use plugin_proto::prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::Value;

/// Values are cut after so many characters where a person reads them.
const SHOWN: usize = 160;

/// The message as JSON, without the fields that are unset.
pub(crate) fn of_message(message: &DynamicMessage) -> Value {
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    // A google.protobuf.Value without a value has no JSON.
    json.unwrap_or_else(|error| Value::String(format!("a message without JSON: {error}")))
}

/// What is wrong with a message's JSON, and where.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) path: Vec<String>,
    pub(crate) text: String,
}

/// The message that this JSON says.
pub(crate) fn to_message(
    descriptor: &MessageDescriptor,
    json: &Value,
) -> Result<DynamicMessage, Problem> {
    let mut path = Vec::new();
    if let Err(text) = message_fits(descriptor, json, &mut path) {
        return Err(Problem { path, text });
    }
    DynamicMessage::deserialize(descriptor.clone(), json)
        .map_err(|error| Problem { path: Vec::new(), text: error.to_string() })
}

/// Looks for the first field that is unknown or of another type. prost-reflect finds it too, but
/// does not say where. After an error `path` is the way to it.
fn message_fits(
    descriptor: &MessageDescriptor,
    json: &Value,
    path: &mut Vec<String>,
) -> Result<(), String> {
    if is_google(descriptor) {
        return Ok(());
    }
    let Value::Object(fields) = json else {
        let name = descriptor.name();
        return Err(format!("expected a map of {name}'s fields, got {}", short(json)));
    };
    for (name, value) in fields {
        path.push(name.clone());
        let field = field_of(descriptor, name)?;
        field_fits(&field, value, path)?;
        path.pop();
    }
    Ok(())
}

fn field_fits(field: &FieldDescriptor, json: &Value, path: &mut Vec<String>) -> Result<(), String> {
    let kind = match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    let Kind::Message(message) = kind else { return value_fits(field, json) };
    let mut inside = |key: String, json: &Value| -> Result<(), String> {
        path.push(key);
        message_fits(&message, json, path)?;
        path.pop();
        Ok(())
    };
    match json {
        Value::Array(items) if field.is_list() => {
            items.iter().enumerate().try_for_each(|(at, item)| inside(at.to_string(), item))?;
        }
        Value::Object(entries) if field.is_map() => {
            entries.iter().try_for_each(|(key, value)| inside(key.clone(), value))?;
        }
        Value::Object(_) if !field.is_list() => message_fits(&message, json, path)?,
        _ => {}
    }
    value_fits(field, json)
}

/// Whether this one field can be read.
fn value_fits(field: &FieldDescriptor, json: &Value) -> Result<(), String> {
    let only = Value::Object([(field.name().to_owned(), json.clone())].into_iter().collect());
    let error = match DynamicMessage::deserialize(field.parent_message().clone(), &only) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let mut text = match is_secret(field) {
        true => "the value does not fit; it is secret and not shown".to_owned(),
        false => error.to_string().trim_end_matches('.').to_owned(),
    };
    let hint = match field.kind() {
        Kind::String if json.is_number() || json.is_boolean() => "; a text like this needs quotes",
        Kind::Bytes => "; bytes are written in base64",
        _ => "",
    };
    text.push_str(hint);
    if let Kind::Enum(kind) = field.kind() {
        let names: Vec<_> = kind.values().map(|value| value.name().to_owned()).collect();
        // Writing to a String cannot fail.
        let _ = write!(text, "; {} is one of {}", kind.name(), names.join(", "));
    }
    Err(text)
}

/// The field of this name, or what is wrong with the name.
pub(crate) fn field_of(
    descriptor: &MessageDescriptor,
    name: &str,
) -> Result<FieldDescriptor, String> {
    let found = descriptor.get_field_by_name(name);
    found.or_else(|| descriptor.get_field_by_json_name(name)).ok_or_else(|| {
        let fields: Vec<_> = descriptor.fields().collect();
        let names: Vec<_> = fields.iter().map(FieldDescriptor::name).collect();
        let known = match names.is_empty() {
            true => "it has none".to_owned(),
            false => format!("fields: {}", names.join(", ")),
        };
        let hint = suggestion(name, names);
        format!("there is no field {name} in {} ({known}){hint}", descriptor.name())
    })
}

/// Whether the message has a JSON form of its own.
pub(crate) fn is_google(descriptor: &MessageDescriptor) -> bool {
    descriptor.package_name() == "google.protobuf"
}

/// Whether two values are the same: 5 and 5.0 are, since a `google.protobuf.Value` knows no
/// integers.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// The value for a person to read, cut if it is long.
pub(crate) fn short(json: &Value) -> String {
    let text = json.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
