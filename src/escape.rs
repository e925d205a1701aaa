//! Making a plugin's text harmless to terminals and log viewers.

use serde_json::Value;

/// Does this character move the cursor, change colours, break lines or reorder text?
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text with every unsafe character but the tab in Rust's notation: ESC as `\u{1b}`.
pub fn escape_control(text: &str) -> String {
    escape_but(text, &['\t'])
}

/// The same for a text of several lines, whose line feeds stay.
pub fn escape_lines(text: &str) -> String {
    escape_but(text, &['\t', '\n'])
}

fn escape_but(text: &str, kept: &[char]) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if !kept.contains(&character) && is_unsafe(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// The value with all its texts and keys put through [`escape_control`].
pub(crate) fn escaped_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(escape_control(&text)),
        Value::Array(values) => values.into_iter().map(escaped_value).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| (escape_control(&key), escaped_value(value)))
            .collect(),
        other => other,
    }
}

/// Bytes as a text of at most `limit` characters: unsafe characters in Rust's notation, bytes that
/// are not UTF-8 as `\xff`, and `…` at the end of a text that was cut.
pub(crate) fn escaped_bytes(bytes: &[u8], limit: usize) -> String {
    // Every byte makes a quarter of a character or more, so this is all that can be shown.
    let shown = &bytes[..bytes.len().min(limit.saturating_add(1).saturating_mul(4))];
    let mut text = String::new();
    for chunk in shown.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_unsafe(character) {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    match text.char_indices().nth(limit) {
        Some(_) => text.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn escapes_are_kept_out() {
        assert_eq!(escape_control("\tplain ünïcode"), "\tplain ünïcode");
        assert_eq!(escape_control("\x1b[31mred\r\n"), "\\u{1b}[31mred\\r\\n");
        assert_eq!(escape_lines("\tred\r\n\u{1b}\n"), "\tred\\r\n\\u{1b}\n");
        assert_eq!(escape_control("a\u{202e}b\u{9b}"), "a\\u{202e}b\\u{9b}");
    }

    #[test]
    fn values_are_escaped_all_the_way_down() {
        let value = json!({"a\u{1b}": ["\u{7}", {"b": "\n"}], "n": 1});
        let expected = json!({"a\\u{1b}": ["\\u{7}", {"b": "\\n"}], "n": 1});
        assert_eq!(escaped_value(value), expected);
    }

    #[test]
    fn bytes_are_escaped_and_shortened() {
        assert_eq!(escaped_bytes(b"a\xff\x1bb\t", 200), "a\\xff\\u{1b}b\\t");
        assert_eq!(escaped_bytes(&[b'x'; 200], 200), "x".repeat(200));
        let cut = escaped_bytes(&[b'x'; 201], 200);
        assert_eq!(cut, "x".repeat(199) + "…");
        assert_eq!(escaped_bytes("😀".repeat(200).as_bytes(), 200), "😀".repeat(200));
        assert_eq!(escaped_bytes("😀".repeat(999).as_bytes(), 3), "😀😀…");
    }

    proptest! {
        #[test]
        fn any_bytes_become_safe(bytes in any::<Vec<u8>>(), limit in 1_usize..50) {
            let text = escaped_bytes(&bytes, limit);
            prop_assert!(text.chars().count() <= limit);
            prop_assert!(!text.chars().any(is_unsafe));
        }
    }
}
