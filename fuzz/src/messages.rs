//! Messages of the contract.
//!
//! The first line of the data is the name of a message, such as `GetUserResponse`, or `*` for all
//! of them; any other line chooses one of them as well. The rest are bytes in hexadecimal, so that
//! the corpus can be read; other characters are passed over.

use plugin_proto::prost_reflect::DynamicMessage;
use plugin_proto::{MESSAGES, MessageType, PACKAGE};
use prost::{DecodeError, Message as _};

/// Bytes are no message, or encoding it is the end: decoded and encoded once more, it stays as it
/// is, by the generated types and by reflection.
pub fn check(data: &[u8]) {
    check_with(data, MessageType::reencode);
}

/// As [`check`], of another codec.
pub fn check_with(
    data: &[u8],
    reencode: impl Fn(&MessageType, &[u8]) -> Result<Vec<u8>, DecodeError>,
) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (name, hex) = data.split_at(end);
    let bytes = bytes(hex);
    for message in chosen(name) {
        let name = message.full_name;
        let Ok(once) = reencode(message, &bytes) else { continue };
        let twice = reencode(message, &once);
        assert!(twice.as_ref() == Ok(&once), "{name} changes when it is encoded again: {twice:?}");
        let reflected = DynamicMessage::decode(message.descriptor(), once.as_slice());
        let reflected = match reflected {
            Ok(reflected) => reflected,
            Err(error) => panic!("{name} cannot be decoded by reflection: {error}"),
        };
        let unknown = reflected.unknown_fields().count();
        assert_eq!(unknown, 0, "{name} has unknown fields after it was encoded");
        let through = reencode(message, &reflected.encode_to_vec());
        assert!(through.as_ref() == Ok(&once), "{name} changes by reflection: {through:?}");
    }
}

fn chosen(name: &[u8]) -> &'static [MessageType] {
    if name == b"*" {
        return MESSAGES;
    }
    let name = String::from_utf8_lossy(name);
    let at = MESSAGES
        .binary_search_by(|message| message.full_name.cmp(&format!("{PACKAGE}.{name}")))
        .unwrap_or_else(|_| {
            name.bytes().fold(0, |sum, byte| (sum * 31 + usize::from(byte)) % MESSAGES.len())
        });
    std::slice::from_ref(&MESSAGES[at])
}

fn bytes(hex: &[u8]) -> Vec<u8> {
    let digits = hex.iter().filter_map(|&byte| char::from(byte).to_digit(16));
    let digits: Vec<u8> = digits.filter_map(|digit| digit.try_into().ok()).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
