//! Messages as JSON for people to read: what is secret is left out.

use plugin_proto::prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use plugin_proto::{REDACTED, is_secret};
use serde_json::Value;

use super::json;

/// As [`json::of_message`], without the secrets.
pub(crate) fn of_message(message: &DynamicMessage) -> Value {
    use plugin_proto::prost_reflect::ReflectMessage as _;
    let mut json = json::of_message(message);
    redact(&message.descriptor(), &mut json);
    json
}

/// Puts [`REDACTED`] in the place of every secret of a message's JSON.
pub(crate) fn redact(descriptor: &MessageDescriptor, json: &mut Value) {
    let Value::Object(fields) = json else { return };
    if json::is_google(descriptor) {
        return;
    }
    for (name, value) in fields {
        let Ok(field) = json::field_of(descriptor, name) else { continue };
        match is_secret(&field) {
            true => *value = Value::String(REDACTED.to_owned()),
            false => redact_value(&field, value),
        }
    }
}

/// The same for the value of a field that is not secret itself: a message, a list, a map.
pub(crate) fn redact_value(field: &FieldDescriptor, json: &mut Value) {
    let inner = match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    let Kind::Message(message) = inner else { return };
    match json {
        Value::Array(items) if field.is_list() => {
            items.iter_mut().for_each(|item| redact(&message, item));
        }
        Value::Object(entries) if field.is_map() => {
            entries.values_mut().for_each(|entry| redact(&message, entry));
        }
        json => redact(&message, json),
    }
}
