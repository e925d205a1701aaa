//! Where two messages differ.

use std::collections::BTreeSet;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, MapKey, MessageDescriptor, ReflectMessage as _,
    SerializeOptions, Value,
};

use crate::{is_secret, redact};

/// Values are cut after so many characters.
const SHOWN: usize = 120;

/// Where `actual` differs first from `expected`, both of them encoded `descriptor`s: the path of
/// the field, and both values as JSON. Nothing if they are the same bytes.
///
/// ```
/// use plugin_proto::compare::difference;
/// use plugin_proto::{prost::Message, v1::User, MessageType};
///
/// let user = MessageType::by_name("mattermost.pluginapi.v1.User").unwrap().descriptor();
/// let encode = |name: &str| User { username: name.into(), ..User::default() }.encode_to_vec();
/// assert_eq!(
///     difference(&user, &encode("ann"), &encode("bob")).unwrap(),
///     r#"User.username: expected "ann", got "bob""#
/// );
/// assert_eq!(difference(&user, &encode("ann"), &encode("ann")), None);
/// ```
pub fn difference(
    descriptor: &MessageDescriptor,
    expected: &[u8],
    actual: &[u8],
) -> Option<String> {
    if expected == actual {
        return None;
    }
    let name = descriptor.name();
    let expected = match DynamicMessage::decode(descriptor.clone(), expected) {
        Ok(message) => message,
        Err(error) => return Some(format!("the expected message is no {name}: {error}")),
    };
    let actual = match DynamicMessage::decode(descriptor.clone(), actual) {
        Ok(message) => message,
        Err(error) => return Some(format!("the answer is no {name}: {error}")),
    };
    let found = in_messages(name, &expected, &actual);
    Some(found.unwrap_or_else(|| format!("{name}: the same fields, encoded differently")))
}

/// Where `actual` differs first from `expected` as a message: in whatever order the fields and the
/// entries of maps were encoded. One NaN is as good as another, but -0 is not 0.
///
/// ```
/// use plugin_proto::compare::message_difference;
/// use plugin_proto::{prost_reflect::DynamicMessage, MessageType};
///
/// let user = MessageType::by_name("mattermost.pluginapi.v1.User").unwrap().descriptor();
/// let nobody = DynamicMessage::new(user);
/// assert_eq!(message_difference(&nobody, b""), None);
/// assert!(message_difference(&nobody, b"\xff").unwrap().starts_with("no User: "));
/// ```
pub fn message_difference(expected: &DynamicMessage, actual: &[u8]) -> Option<String> {
    let descriptor = expected.descriptor();
    match DynamicMessage::decode(descriptor.clone(), actual) {
        Ok(actual) => in_messages(descriptor.name(), expected, &actual),
        Err(error) => Some(format!("no {}: {error}", descriptor.name())),
    }
}

fn in_messages(path: &str, expected: &DynamicMessage, actual: &DynamicMessage) -> Option<String> {
    let mut fields: Vec<_> = expected.descriptor().fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    for field in fields {
        let path = format!("{path}.{}", field.name());
        let found = match (expected.has_field(&field), actual.has_field(&field)) {
            (false, false) => None,
            (true, true) => {
                in_values(&path, Some(&expected.get_field(&field)), Some(&actual.get_field(&field)))
            }
            (true, false) => in_values(&path, Some(&expected.get_field(&field)), None),
            (false, true) => in_values(&path, None, Some(&actual.get_field(&field))),
        };
        if found.is_some() && is_secret(&field) {
            return Some(format!("{path}: another secret than was expected"));
        }
        if found.is_some() {
            return found;
        }
    }
    let unknown = |message: &DynamicMessage| -> Vec<u32> {
        message.unknown_fields().map(|field| field.number()).collect()
    };
    let (wanted, got) = (unknown(expected), unknown(actual));
    (wanted != got).then(|| format!("{path}: expected unknown fields {wanted:?}, got {got:?}"))
}

fn in_values(path: &str, expected: Option<&Value>, actual: Option<&Value>) -> Option<String> {
    match (expected, actual) {
        (Some(Value::Message(expected)), Some(Value::Message(actual))) => {
            in_messages(path, expected, actual)
        }
        (Some(Value::List(expected)), Some(Value::List(actual))) => {
            let length = expected.len().max(actual.len());
            (0..length).find_map(|at| {
                in_values(&format!("{path}[{at}]"), expected.get(at), actual.get(at))
            })
        }
        (Some(Value::Map(expected)), Some(Value::Map(actual))) => {
            let keys: BTreeSet<_> = expected.keys().chain(actual.keys()).map(Key).collect();
            keys.into_iter().find_map(|Key(key)| {
                in_values(&format!("{path}[{}]", key_text(key)), expected.get(key), actual.get(key))
            })
        }
        (Some(Value::F64(expected)), Some(Value::F64(actual)))
            if expected.to_bits() == actual.to_bits() || expected.is_nan() && actual.is_nan() =>
        {
            None
        }
        // Equality takes -0 for 0.
        (Some(Value::F64(expected)), Some(Value::F64(actual))) => {
            Some(format!("{path}: expected {expected:?}, got {actual:?}"))
        }
        _ if expected == actual => None,
        _ => Some(format!("{path}: expected {}, got {}", shown(expected), shown(actual))),
    }
}

/// Map keys in the order of their text.
#[derive(PartialEq)]
struct Key<'a>(&'a MapKey);

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        key_text(self.0).cmp(&key_text(other.0))
    }
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let json = match value {
        Value::Message(message) => {
            let mut message = message.clone();
            redact(&mut message);
            message.serialize_with_options(serde_json::value::Serializer, &options).ok()
        }
        Value::String(text) => Some(text.as_str().into()),
        Value::Bool(value) => Some((*value).into()),
        Value::I32(value) | Value::EnumNumber(value) => Some((*value).into()),
        Value::I64(value) => Some((*value).into()),
        Value::U32(value) => Some((*value).into()),
        Value::U64(value) => Some((*value).into()),
        Value::F32(value) => Some((*value).into()),
        Value::F64(value) => Some((*value).into()),
        _ => None,
    };
    let text = json.map_or_else(|| format!("{value:?}"), |json| json.to_string());
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{MessageType, Method, Service, v1};

    #[test]
    fn the_first_difference_is_named() {
        let method = Method::by_name(Service::PluginAPI, "GetUser").unwrap();
        let descriptor = method.response_descriptor();
        let mut user = v1::GetUserResponse {
            user: Some(v1::User {
                props: [("key".to_owned(), "GetUserResponse".to_owned())].into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let whole = user.encode_to_vec();
        assert_eq!(difference(&descriptor, &whole, &whole), None);
        assert_eq!(
            difference(&descriptor, &whole, &[]).unwrap().split(':').next(),
            Some("GetUserResponse.user")
        );
        assert!(difference(&descriptor, &whole, b"\xff").unwrap().contains("no GetUserResponse"));
        let mut more = whole.clone();
        more.extend([0xf8, 0x06, 1]);
        assert!(difference(&descriptor, &whole, &more).unwrap().contains("unknown fields"));

        user.user.as_mut().unwrap().props.insert("key".into(), "other".into());
        let text = difference(&descriptor, &whole, &user.encode_to_vec()).unwrap();
        assert!(text.starts_with("GetUserResponse.user.props[key]: expected \"Get"), "{text}");
    }

    #[test]
    fn long_values_are_cut() {
        let team = MessageType::by_name("mattermost.pluginapi.v1.Team").unwrap().descriptor();
        let long = v1::Team { display_name: "x".repeat(1000), ..v1::Team::default() };
        let text = difference(&team, &long.encode_to_vec(), &[]).unwrap();
        assert!(text.len() < 250 && text.ends_with("…, got nothing"), "{text}");
    }
}
