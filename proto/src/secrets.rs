//! Which fields are secret, from `secrets.tsv`, and how they are kept out of sight.

use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use crate::v1;

include!(concat!(env!("OUT_DIR"), "/secrets.rs"));

/// What stands where a secret was.
pub const REDACTED: &str = "(redacted)";

struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Whether a value of this field must not be shown.
pub fn is_secret(field: &FieldDescriptor) -> bool {
    SECRET_FIELDS.binary_search(&field.full_name()).is_ok()
}

/// Puts [`REDACTED`] in the place of every secret in the message, however deep; a secret that is
/// neither text nor bytes becomes empty. What is unset stays unset. Fields that the contract does
/// not know may be anything, so they go.
///
/// ```
/// use plugin_proto::{REDACTED, prost_reflect::ReflectMessage as _, redact, v1::User};
///
/// let user = User { username: "ada".into(), password: "lovelace".into(), ..User::default() };
/// let mut shown = user.transcode_to_dynamic();
/// redact(&mut shown);
/// let shown: User = shown.transcode_to().unwrap();
/// assert_eq!((&*shown.username, &*shown.password), ("ada", REDACTED));
/// assert!(!format!("{user:?}").contains("lovelace"));
/// ```
pub fn redact(message: &mut DynamicMessage) {
    for field in message.descriptor().fields() {
        if !message.has_field(&field) {
            continue;
        }
        if is_secret(&field) {
            message.set_field(&field, instead(&field));
        } else if matches!(field.kind(), Kind::Message(_)) {
            inside(message.get_field_mut(&field));
        }
    }
    message.take_unknown_fields().for_each(drop);
}

fn inside(value: &mut Value) {
    match value {
        Value::Message(message) => redact(message),
        Value::List(items) => items.iter_mut().for_each(inside),
        Value::Map(entries) => entries.values_mut().for_each(inside),
        _ => {}
    }
}

fn instead(field: &FieldDescriptor) -> Value {
    match field.kind() {
        Kind::String if !field.is_list() => Value::String(REDACTED.to_owned()),
        Kind::Bytes if !field.is_list() => Value::Bytes(REDACTED.into()),
        _ => Value::default_value_for_field(field),
    }
}
