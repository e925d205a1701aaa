//! Messages made by another implementation decode, re-encode and map to the same JSON.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use plugin_proto::prost_reflect::{DeserializeOptions, DynamicMessage, SerializeOptions};
use plugin_proto::{MESSAGES, MessageType};
use serde_json::Value;

struct Vector {
    line: usize,
    message: &'static MessageType,
    bytes: Vec<u8>,
    json: Value,
}

/// `{"message": full name, "hex": wire bytes, "json": proto3 JSON with .proto field names}`, one a line.
fn vectors() -> impl Iterator<Item = Vector> {
    let lines = include_str!("contract/wire-vectors.jsonl").lines();
    lines.enumerate().map(|(number, text)| {
        let mut vector: Value = serde_json::from_str(text).unwrap();
        let name = vector["message"].as_str().unwrap();
        Vector {
            line: number + 1,
            message: MessageType::by_name(name).unwrap_or_else(|| panic!("unknown message {name}")),
            bytes: hex::decode(vector["hex"].as_str().unwrap()).unwrap(),
            json: vector["json"].take(),
        }
    })
}

#[test]
fn every_message_has_vectors() {
    let named: BTreeSet<_> = vectors().map(|vector| vector.message.full_name).collect();
    let all: BTreeSet<_> = MESSAGES.iter().map(|message| message.full_name).collect();
    assert_eq!(named, all);
}

#[test]
fn generated_types_re_encode_every_vector_to_the_same_message() {
    let decoded = |message: &MessageType, bytes: &[u8]| {
        DynamicMessage::decode(message.descriptor(), bytes).unwrap()
    };
    for Vector { line, message, bytes, .. } in vectors() {
        let name = message.full_name;
        let again = message.reencode(&bytes).unwrap();
        // Not always the same bytes: prost leaves an empty key or value of a map entry out.
        assert_eq!(decoded(message, &again), decoded(message, &bytes), "line {line}: {name}");
        assert_eq!(message.reencode(&again).unwrap(), again, "line {line}: {name}");
    }
}

#[test]
fn every_vector_maps_to_the_same_json_and_back() {
    let options = SerializeOptions::new().use_proto_field_name(true);
    for Vector { line, message, bytes, json } in vectors() {
        let name = message.full_name;
        let decoded = DynamicMessage::decode(message.descriptor(), bytes.as_slice()).unwrap();
        let actual =
            decoded.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
        assert!(same(&actual, &json), "line {line}: {name}\n{actual:#}\nis not\n{json:#}");

        let options = DeserializeOptions::new();
        let back = DynamicMessage::deserialize_with_options(message.descriptor(), &json, &options)
            .unwrap();
        assert_eq!(back, decoded, "line {line}: {name}");
    }
}

/// JSON has one kind of number: 2 and 2.0 are the same.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}
