//! What several models demand of their fields.

/// Whether `id` is one: exactly 26 bytes, each character a letter or a digit of any script.
pub(crate) fn is_id(id: &str) -> bool {
    id.len() == super::ids::ID_LENGTH && id.chars().all(char::is_alphanumeric)
}

/// How many characters (Go's runes) a text has.
pub(crate) fn runes(text: &str) -> usize {
    text.chars().count()
}

/// Whether `url` begins with `http://` or `https://` and has a host.
pub(crate) fn is_http_url(url: &str) -> bool {
    let http = url.starts_with("http://") || url.starts_with("https://");
    http && url
        .parse::<http::Uri>()
        .is_ok_and(|url| url.host().is_some_and(|host| !host.is_empty()))
}

/// `text` without the invisible and direction-changing characters that Mattermost drops from names.
pub(crate) fn without_blocked_characters(text: &str) -> String {
    text.chars().filter(|&it| !is_blocked(it)).collect()
}

fn is_blocked(it: char) -> bool {
    matches!(it,
        '\u{340}'..='\u{341}' | '\u{17a3}' | '\u{17d3}' | '\u{2028}'..='\u{2029}'
        | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_26_letters_or_digits() {
        assert!(is_id("abcdefghijklmnopqrstuvwxyz"));
        assert!(is_id(&"Z".repeat(26)));
        assert!(is_id(&"ä".repeat(13)), "13 letters of two bytes");
        assert!(!is_id(&"a".repeat(25)));
        assert!(!is_id(&"a".repeat(27)));
        assert!(!is_id(&format!("{}-", "a".repeat(25))));
        assert!(!is_id(""));
    }

    #[test]
    fn http_urls_have_a_host() {
        assert!(is_http_url("https://example.com/x?y=1"));
        assert!(is_http_url("http://localhost:8065"));
        for wrong in ["", "ftp://example.com", "https://", "http:///path", "example.com"] {
            assert!(!is_http_url(wrong), "{wrong}");
        }
    }

    #[test]
    fn blocked_characters_go() {
        assert_eq!(without_blocked_characters("a\u{202e}b\u{feff}ä"), "abä");
    }
}
