//! Messages in which every value says where it belongs, so that a lost, swapped or changed one
//! shows.
//!
//! Unlike the samples of the fake interpreters, these are values that an SDK may well look at:
//! positive numbers, times that are times, JSON where JSON is asked for, text that is UTF-8. They
//! differ from case to case, so that an answer kept from the last call shows, too.

use std::collections::HashMap;

use bytes::Bytes;
use plugin_proto::prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};

/// How often a message may stand inside itself.
const MAX_RECURSION: usize = 1;
/// The keys of every map: one plain, one that needs UTF-8.
const KEYS: [&str; 2] = ["key", "schlüssel"];
/// 2020-09-13, in milliseconds: more than 32 bits, less than the 53 of a double.
const MILLIS: i64 = 1_600_000_000_000;
/// The same in seconds.
const SECONDS: i64 = 1_600_000_000;

/// Makes the message that belongs to one case.
///
/// `pattern` says which booleans are true: all of them in pattern 0; in pattern `n` those whose
/// place among the booleans has bit `n - 1` set. Two booleans differ in at least one of the patterns
/// up to [`patterns`].
pub(super) fn message(descriptor: &MessageDescriptor, case: u64, pattern: u32) -> DynamicMessage {
    let mut values = Values { case, pattern, leaves: 0, bools: HashMap::new(), open: Vec::new() };
    values.message(descriptor, descriptor.name(), &[])
}

/// The same without the field `error`: a success.
pub(super) fn success(descriptor: &MessageDescriptor, case: u64, pattern: u32) -> DynamicMessage {
    let mut values = Values { case, pattern, leaves: 0, bools: HashMap::new(), open: Vec::new() };
    values.message(descriptor, descriptor.name(), &["error"])
}

/// In how many patterns a success is asked for: enough to tell all its booleans and enums apart, and
/// at least three, so that an answer that is kept from the last call shows.
pub(super) fn patterns(descriptor: &MessageDescriptor) -> u32 {
    let mut values =
        Values { case: 0, pattern: 0, leaves: 0, bools: HashMap::new(), open: Vec::new() };
    values.message(descriptor, descriptor.name(), &["error"]);
    match (values.leaves, values.bools.len()) {
        (0, _) => 1,
        // Places begin with 1: bit patterns 1 to n.
        (_, bools) => (1 + u32::BITS - (bools as u32).leading_zeros()).max(3),
    }
}

struct Values {
    case: u64,
    pattern: u32,
    /// Values so far.
    leaves: u64,
    /// The booleans and enums, by field, in the order in which they were met; beginning with 1.
    bools: HashMap<String, u32>,
    /// The messages around the one being made.
    open: Vec<String>,
}

impl Values {
    fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        path: &str,
        unset: &[&str],
    ) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        self.open.push(descriptor.full_name().to_owned());
        for field in descriptor.fields() {
            if unset.contains(&field.name()) {
                continue;
            }
            let path = format!("{path}.{}", field.name());
            if let Some(value) = self.field(&field, &path) {
                message.set_field(&field, value);
            }
        }
        self.open.pop();
        message
    }

    fn field(&mut self, field: &FieldDescriptor, path: &str) -> Option<Value> {
        let kind = field.kind();
        if let Kind::Message(message) = &kind {
            let times = self.open.iter().filter(|name| *name == message.full_name()).count();
            if times > MAX_RECURSION {
                return None;
            }
        }
        Some(if field.is_map() {
            let Kind::Message(entry) = &kind else { return None };
            let value = entry.map_entry_value_field();
            let entries = KEYS.map(|key| {
                let made = self.value(&value, &value.kind(), &format!("{path}[{key}]"));
                (MapKey::String(key.to_owned()), made)
            });
            Value::Map(entries.into())
        } else if field.is_list() {
            let items = (0..2).map(|at| self.value(field, &kind, &format!("{path}[{at}]")));
            Value::List(items.collect())
        } else {
            self.value(field, &kind, path)
        })
    }

    fn value(&mut self, field: &FieldDescriptor, kind: &Kind, path: &str) -> Value {
        self.leaves += 1;
        let (case, place) = (self.case, self.leaves);
        let step = (case % 10_000) * 10_000 + place;
        match kind {
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Struct" => self.structure(message, path),
                "google.protobuf.Value" => {
                    from_json(message, &serde_json::json!(format!("{path}#{case}")))
                }
                _ => Value::Message(self.message(message, path, &[])),
            },
            Kind::String if is_json(field) => Value::String(json_text(path, case)),
            Kind::String => Value::String(format!("{path}#{case}")),
            Kind::Bytes if is_json(field) => Value::Bytes(json_text(path, case).into()),
            // Text, then bytes that are no UTF-8.
            Kind::Bytes => {
                let text = format!("{path}#{case}");
                Value::Bytes(Bytes::from([text.as_bytes(), &[0x00, 0xff, 0xfe]].concat()))
            }
            Kind::Bool => Value::Bool(self.is_true(field)),
            Kind::Enum(kind) => {
                let values: Vec<_> = kind.values().filter(|value| value.number() > 0).collect();
                let pick = (case + u64::from(self.is_true(field))) as usize % values.len().max(1);
                Value::EnumNumber(values.get(pick).map_or(0, |value| value.number()))
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(match in_seconds(field) {
                true => SECONDS + step as i64,
                false => MILLIS + 1000 * step as i64,
            }),
            Kind::Uint64 | Kind::Fixed64 => Value::U64((MILLIS as u64) + 1000 * step),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(1_000_000 + step as u32),
            Kind::Double => Value::F64(step as f64 + 0.25),
            // 24 bits are exact.
            Kind::Float => Value::F32(((step % 1_000_000) as f32) + 0.25),
            _ => Value::I32(1_000_000 + step as i32),
        }
    }

    fn is_true(&mut self, field: &FieldDescriptor) -> bool {
        let next = self.bools.len() as u32 + 1;
        let place = *self.bools.entry(field.full_name().to_owned()).or_insert(next);
        self.pattern == 0 || place >> ((self.pattern - 1) % u32::BITS) & 1 == 1
    }

    /// A Struct with a value of each kind.
    fn structure(&mut self, message: &MessageDescriptor, path: &str) -> Value {
        let text = |key: &str| format!("{path}.{key}#{}", self.case);
        let json = serde_json::json!({
            "bool": true,
            "list": [text("list[0]"), text("list[1]")],
            "null": null,
            "number": (self.case * 1000 + self.leaves) as f64 + 0.25,
            "object": {"inner": text("object.inner")},
            "text": text("text"),
        });
        from_json(message, &json)
    }
}

fn from_json(message: &MessageDescriptor, json: &serde_json::Value) -> Value {
    // A Struct and a Value take any JSON of their shape.
    let made = DynamicMessage::deserialize(message.clone(), json);
    Value::Message(made.unwrap_or_else(|_| DynamicMessage::new(message.clone())))
}

/// Whether the field holds JSON, as its name says: an SDK may well parse it.
pub(super) fn is_json(field: &FieldDescriptor) -> bool {
    field.name().ends_with("_json")
}

fn json_text(path: &str, case: u64) -> String {
    serde_json::json!({ "value": format!("{path}#{case}") }).to_string()
}

/// Times are milliseconds but for these.
fn in_seconds(field: &FieldDescriptor) -> bool {
    matches!(field.name(), "dnd_end_time" | "end_time") || field.name().ends_with("_seconds")
}

/// The message with fields that nobody knows yet: in itself, and in every message in it.
pub(super) fn with_unknown_fields(message: &DynamicMessage) -> DynamicMessage {
    use plugin_proto::prost::Message as _;

    /// Number 18999 and 18998, below those that protobuf keeps for itself: a varint and a text.
    const UNKNOWN: &[u8] =
        &[0xb8, 0xa3, 0x09, 0x2a, 0xb2, 0xa3, 0x09, 0x06, b'f', b'u', b't', b'u', b'r', b'e'];
    let descriptor = message.descriptor();
    let mut newer = message.clone();
    for field in descriptor.fields().filter(|field| message.has_field(field)) {
        let mut value = message.get_field(&field).into_owned();
        unknown_below(&mut value);
        newer.set_field(&field, value);
    }
    let bytes = [newer.encode_to_vec().as_slice(), UNKNOWN].concat();
    // Known fields decode as they were; unknown ones are kept as they are.
    DynamicMessage::decode(descriptor, bytes.as_slice()).unwrap_or(newer)
}

fn unknown_below(value: &mut Value) {
    match value {
        Value::Message(message) if message.descriptor().package_name() != "google.protobuf" => {
            *message = with_unknown_fields(message);
        }
        Value::List(items) => items.iter_mut().for_each(unknown_below),
        Value::Map(entries) => entries.values_mut().for_each(unknown_below),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use plugin_proto::prost::Message as _;
    use plugin_proto::{Method, Service};

    use super::*;

    /// Every text and number of a message.
    fn leaves(json: &serde_json::Value, into: &mut Vec<String>) {
        match json {
            serde_json::Value::Object(fields) => {
                fields.values().for_each(|value| leaves(value, into));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|value| leaves(value, into)),
            serde_json::Value::Null | serde_json::Value::Bool(_) => {}
            leaf => into.push(leaf.to_string()),
        }
    }

    #[test]
    fn every_field_is_set_and_no_value_comes_twice() {
        for method in Service::PluginAPI.methods() {
            for descriptor in [method.request_descriptor(), method.response_descriptor()] {
                let made = message(&descriptor, 7, 0);
                for field in descriptor.fields() {
                    assert!(made.has_field(&field), "{}", field.full_name());
                }
                let mut seen = Vec::new();
                leaves(&crate::api::json::of_message(&made), &mut seen);
                let seen: Vec<_> = seen.iter().filter(|leaf| !leaf.contains("_TYPE_")).collect();
                let distinct: HashSet<_> = seen.iter().collect();
                assert_eq!(seen.len(), distinct.len(), "{}", method.name);
            }
        }
    }

    #[test]
    fn cases_differ_and_patterns_tell_booleans_apart() {
        let method = Method::by_name(Service::PluginAPI, "GetUser").unwrap();
        let descriptor = method.response_descriptor();
        assert_ne!(success(&descriptor, 1, 0), success(&descriptor, 2, 0));
        let count = patterns(&descriptor);
        assert!((3..=6).contains(&count), "{count}");
        let made: Vec<_> = (0..count).map(|pattern| success(&descriptor, 1, pattern)).collect();
        let user = descriptor.get_field_by_name("user").unwrap();
        let Kind::Message(kind) = user.kind() else { panic!("a message") };
        let signature = |field: &FieldDescriptor| -> Vec<bool> {
            made.iter()
                .map(|made| {
                    let user = made.get_field(&user).into_owned();
                    user.as_message().unwrap().get_field(field).as_bool().unwrap()
                })
                .collect()
        };
        let bools: Vec<_> = kind.fields().filter(|field| field.kind() == Kind::Bool).collect();
        let signatures: HashSet<_> = bools.iter().map(signature).collect();
        assert_eq!(signatures.len(), bools.len());
    }

    #[test]
    fn unknown_fields_stand_at_every_level_and_change_nothing_known() {
        let method = Method::by_name(Service::PluginAPI, "GetPost").unwrap();
        let plain = success(&method.response_descriptor(), 3, 0);
        let newer = with_unknown_fields(&plain);
        assert_eq!(newer.unknown_fields().count(), 2);
        let post = newer.get_field_by_name("post").unwrap().into_owned();
        assert_eq!(post.as_message().unwrap().unknown_fields().count(), 2);
        assert_eq!(crate::api::json::of_message(&newer), crate::api::json::of_message(&plain));
        assert!(newer.encode_to_vec().len() > plain.encode_to_vec().len());
    }
}
