//! Generated messages: the same value for the same message and seed, on both sides of the process
//! boundary.
//!
//! A sample fills every field of its message, and of the messages in it, with a value that says
//! where it stands, so that a dropped, zeroed or swapped field shows. It is written here byte by
//! byte from the descriptor, in the order of the field numbers and with sorted map keys, and not
//! with the generated types: were these to lose a field, they would not lose it on both sides.
//!
//! ```
//! use plugin_proto::sample;
//! use plugin_proto::{prost::Message, v1::GetServerVersionResponse, Method, Service};
//!
//! let method = Method::by_name(Service::PluginAPI, "GetServerVersion").unwrap();
//! let bytes = sample::response(method);
//! let message = GetServerVersionResponse::decode(bytes).unwrap();
//! assert_eq!(message.version, "GetServerVersionResponse.version");
//! ```

use crate::{MessageType, Method, PACKAGE, v1};
use bytes::{Bytes, BytesMut};
use heck::ToSnakeCase as _;
use prost::Message as _;
use prost::encoding::{self, WireType};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// How often a message may stand inside itself: a `User` in a `Post` in a `PostList` is deep
/// enough, a response inside itself is not repeated for ever.
const MAX_RECURSION: usize = 1;

/// The response that `check` and `serve` give to `method`. Its field `error` is unset: the call
/// succeeds.
pub fn response(method: &Method) -> Bytes {
    message(&method.response_descriptor(), Seed(2), &["error"])
}

/// The request that the every-RPC interpreter sends.
pub fn request(method: &Method) -> Bytes {
    message(&method.request_descriptor(), Seed(1), &[])
}

/// The AppError with which the API fails `method` when it fails everything: every field is set,
/// and the HTTP status goes through all those that have a gRPC code of their own, and one that
/// has none.
///
/// ```
/// use plugin_proto::sample;
/// use plugin_proto::{Method, Service};
///
/// let method = Method::by_name(Service::PluginAPI, "GetUser").unwrap();
/// assert_eq!(sample::app_error(method).id, "sample.get_user.app_error");
/// ```
pub fn app_error(method: &Method) -> v1::AppError {
    const STATUS: [i32; 11] = [400, 401, 403, 404, 409, 413, 429, 501, 503, 500, 402];
    // All fields, and params above all, as any sample has them.
    let filled = MessageType::by_name(&format!("{PACKAGE}.AppError"))
        .map(|error| message(&error.descriptor(), Seed(3), &[]))
        .and_then(|bytes| v1::AppError::decode(bytes).ok());
    v1::AppError {
        id: format!("sample.{}.app_error", method.name.to_snake_case()),
        message: format!("{} fails as it was told to.", method.name),
        r#where: method.name.to_owned(),
        status_code: STATUS[method.index % STATUS.len()],
        ..filled.unwrap_or_default()
    }
}

/// The body of a generated HTTP reply from its byte `offset` on: the alphabet in capital letters
/// again and again, from X on, so that lost and swapped pieces show.
///
/// ```
/// use plugin_proto::sample::letters;
///
/// assert_eq!(letters(0, 5), "XYZAB");
/// assert_eq!(letters(27, 2), "YZ");
/// ```
pub fn letters(offset: u64, length: usize) -> Bytes {
    const PERIOD: u64 = 26;
    let first = ((offset % PERIOD) + 23) % PERIOD;
    (b'A'..=b'Z').cycle().skip(first as usize).take(length).collect()
}

/// Another number gives other values in the fields that are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

/// A message with every field set, but for the top-level fields named in `unset`.
pub fn message(descriptor: &MessageDescriptor, seed: Seed, unset: &[&str]) -> Bytes {
    let mut out = BytesMut::new();
    let mut sampler = Sampler { seed, open: Vec::new() };
    sampler.fields(descriptor, descriptor.name(), unset, &mut out);
    out.freeze()
}

struct Sampler {
    seed: Seed,
    /// The messages around the one being written.
    open: Vec<String>,
}

impl Sampler {
    fn fields(
        &mut self,
        message: &MessageDescriptor,
        path: &str,
        unset: &[&str],
        out: &mut BytesMut,
    ) {
        match message.full_name() {
            "google.protobuf.Struct" => return self.structure(path, out),
            "google.protobuf.Value" => return self.value(path, out),
            _ => {}
        }
        self.open.push(message.full_name().to_owned());
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        for field in fields.iter().filter(|field| !unset.contains(&field.name())) {
            self.field(field, &format!("{path}.{}", field.name()), out);
        }
        self.open.pop();
    }

    fn field(&mut self, field: &FieldDescriptor, path: &str, out: &mut BytesMut) {
        let kind = field.kind();
        if let Kind::Message(message) = &kind {
            let times = self.open.iter().filter(|name| *name == message.full_name()).count();
            if times > MAX_RECURSION {
                return;
            }
        }
        if field.is_map() {
            let Kind::Message(entry) = &kind else { return };
            let value = entry.map_entry_value_field();
            // One key that needs UTF-8, and one plain; in the order of their bytes.
            for key in ["key", "schlüssel"] {
                let mut bytes = BytesMut::new();
                encoding::string::encode(1, &key.to_owned(), &mut bytes);
                self.single(&value.kind(), 2, &format!("{path}[{key}]"), &mut bytes);
                delimited(field.number(), &bytes, out);
            }
        } else if field.is_list() {
            if field.is_packed() {
                let mut bytes = BytesMut::new();
                for at in 0..2 {
                    self.bare(&kind, &format!("{path}[{at}]"), &mut bytes);
                }
                delimited(field.number(), &bytes, out);
            } else {
                for at in 0..2 {
                    self.single(&kind, field.number(), &format!("{path}[{at}]"), out);
                }
            }
        } else {
            self.single(&kind, field.number(), path, out);
        }
    }

    /// Tag and value.
    fn single(&mut self, kind: &Kind, number: u32, path: &str, out: &mut BytesMut) {
        match kind {
            Kind::Message(message) => {
                let mut bytes = BytesMut::new();
                self.fields(message, path, &[], &mut bytes);
                delimited(number, &bytes, out);
            }
            Kind::String => encoding::string::encode(number, &path.to_owned(), out),
            Kind::Bytes => {
                // Text, then bytes that are no UTF-8.
                let bytes = [path.as_bytes(), &[0x00, 0xff, 0xfe]].concat();
                delimited(number, &bytes, out);
            }
            Kind::Double => {
                encoding::encode_key(number, WireType::SixtyFourBit, out);
                self.bare(kind, path, out);
            }
            Kind::Float => {
                encoding::encode_key(number, WireType::ThirtyTwoBit, out);
                self.bare(kind, path, out);
            }
            _ => {
                encoding::encode_key(number, WireType::Varint, out);
                self.bare(kind, path, out);
            }
        }
    }

    /// The value of a number, without its tag.
    fn bare(&self, kind: &Kind, path: &str, out: &mut BytesMut) {
        let number = self.number(path);
        match kind {
            // Beyond 32 bits, every other one negative.
            Kind::Int64 | Kind::Uint64 => {
                let wide = (number >> 8) as i64;
                encoding::encode_varint((if number & 1 == 0 { wide } else { -wide }) as u64, out);
            }
            Kind::Bool => encoding::encode_varint(1, out),
            Kind::Enum(kind) => {
                let values: Vec<_> = kind.values().filter(|value| value.number() > 0).collect();
                let pick = values.get(number as usize % values.len().max(1));
                encoding::encode_varint(pick.map_or(0, |value| value.number()) as u64, out);
            }
            Kind::Double => out.extend_from_slice(&fraction(number).to_le_bytes()),
            Kind::Float => out.extend_from_slice(&(fraction(number) as f32).to_le_bytes()),
            Kind::Uint32 => encoding::encode_varint((number >> 32).max(1), out),
            // Every other one negative.
            _ => {
                let narrow = (number >> 34) as i32 + 1;
                let narrow = if number & 1 == 0 { narrow } else { -narrow };
                encoding::encode_varint(i64::from(narrow) as u64, out);
            }
        }
    }

    /// A number that belongs to the path.
    fn number(&self, path: &str) -> u64 {
        // FNV-1a, and the last step of splitmix64, so that all bits depend on all of the path.
        let mut hash = 0xcbf2_9ce4_8422_2325 ^ self.seed.0;
        for byte in path.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }

    /// A Struct with one value of each kind.
    fn structure(&self, path: &str, out: &mut BytesMut) {
        type Fill = fn(&Sampler, &str, &mut BytesMut);
        let values: [(&str, Fill); 6] = [
            ("bool", |_, _, out| encoding::bool::encode(4, &true, out)),
            ("list", |sampler, path, out| {
                let mut list = BytesMut::new();
                for at in 0..2 {
                    let mut value = BytesMut::new();
                    sampler.value(&format!("{path}[{at}]"), &mut value);
                    delimited(1, &value, &mut list);
                }
                delimited(6, &list, out);
            }),
            ("null", |_, _, out| encoding::int32::encode(1, &0, out)),
            ("number", |sampler, path, out| {
                encoding::double::encode(2, &fraction(sampler.number(path)), out);
            }),
            ("object", |sampler, path, out| {
                let (mut value, mut entry, mut object) = Default::default();
                sampler.value(&format!("{path}.inner"), &mut value);
                encoding::string::encode(1, &"inner".to_owned(), &mut entry);
                delimited(2, &value, &mut entry);
                delimited(1, &entry, &mut object);
                delimited(5, &object, out);
            }),
            ("text", |sampler, path, out| sampler.value(path, out)),
        ];
        for (key, fill) in values {
            let (mut value, mut entry) = (BytesMut::new(), BytesMut::new());
            fill(self, &format!("{path}.{key}"), &mut value);
            encoding::string::encode(1, &key.to_owned(), &mut entry);
            delimited(2, &value, &mut entry);
            delimited(1, &entry, out);
        }
    }

    /// A Value: its path as text.
    fn value(&self, path: &str, out: &mut BytesMut) {
        encoding::string::encode(3, &path.to_owned(), out);
    }
}

/// A positive number with a fraction that a 32-bit float holds as well.
fn fraction(number: u64) -> f64 {
    f64::from((number >> 44) as u32) + 0.25
}

fn delimited(number: u32, bytes: &[u8], out: &mut BytesMut) {
    encoding::encode_key(number, WireType::LengthDelimited, out);
    encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::{MESSAGES, Service};
    use prost_reflect::{DynamicMessage, Value};

    use super::*;

    #[test]
    fn every_message_is_filled_and_survives_its_generated_type() {
        assert_eq!(MESSAGES.len(), 648);
        for kind in MESSAGES {
            let descriptor = kind.descriptor();
            let bytes = message(&descriptor, Seed(1), &[]);
            assert_eq!(kind.reencode(&bytes).unwrap(), bytes, "{}", kind.full_name);
            let dynamic = DynamicMessage::decode(descriptor.clone(), bytes).unwrap();
            for field in descriptor.fields() {
                let value = dynamic.get_field(&field);
                assert!(dynamic.has_field(&field), "{} is absent", field.full_name());
                // A message in a message may be one without fields.
                if !matches!(*value, Value::Message(_)) {
                    assert!(!value.is_default(&field.kind()), "{} is default", field.full_name());
                }
            }
        }
    }

    #[test]
    fn a_response_has_no_error_and_fields_can_be_left_out() {
        for method in Service::PluginAPI.methods() {
            let descriptor = method.response_descriptor();
            let dynamic = DynamicMessage::decode(descriptor.clone(), response(method)).unwrap();
            for field in descriptor.fields() {
                assert_eq!(
                    dynamic.has_field(&field),
                    field.name() != "error",
                    "{}",
                    field.full_name()
                );
            }
        }
    }

    #[test]
    fn paths_and_seeds_give_other_values_and_the_same_ones_again() {
        let user = MessageType::by_name(&format!("{PACKAGE}.User")).unwrap().descriptor();
        assert_eq!(message(&user, Seed(1), &[]), message(&user, Seed(1), &[]));
        assert_ne!(message(&user, Seed(1), &[]), message(&user, Seed(2), &[]));
        let decoded = v1::User::decode(message(&user, Seed(1), &[])).unwrap();
        let numbers = [decoded.create_at, decoded.update_at, decoded.delete_at];
        assert_eq!(HashSet::from(numbers).len(), 3);
        assert_eq!(decoded.username, "User.username");
    }

    #[test]
    fn app_errors_are_filled_and_cycle_through_the_statuses() {
        let mut ids = HashSet::new();
        let mut statuses = HashSet::new();
        for method in Service::PluginAPI.methods() {
            let error = app_error(method);
            assert!(!error.detailed_error.is_empty() && !error.request_id.is_empty());
            assert!(!error.params.unwrap().fields.is_empty());
            ids.insert(error.id);
            statuses.insert(error.status_code);
        }
        assert_eq!((ids.len(), statuses.len()), (236, 11));
    }
}
