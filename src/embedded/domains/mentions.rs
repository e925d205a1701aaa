//! Who and what a text mentions.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

static CHANNEL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:^|[^\w~])~([a-zA-Z0-9\-_]+)").ok());

static CODE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)```.*?(?:```|$)|`[^`\n]*`").ok());

/// The names of channels that a text mentions, each once.
pub(super) fn channels(text: &str) -> BTreeSet<String> {
    let found = CHANNEL.iter().flat_map(|it| it.captures_iter(text));
    found.filter_map(|it| Some(it.get(1)?.as_str().to_owned())).collect()
}

/// The words of a text that may mention somebody.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// What stands behind an `@`, in lower case.
    pub(super) names: BTreeSet<String>,
    /// All words as they are written.
    pub(super) words: BTreeSet<String>,
}

/// The words outside of code.
pub(super) fn words(text: &str) -> Words {
    let without_code = match &*CODE {
        Some(code) => code.replace_all(text, " "),
        None => text.into(),
    };
    let mut found = Words::default();
    let inside = |it: char| it.is_alphanumeric() || "@.-:_#~+/".contains(it);
    for word in without_code.split(|it| !inside(it)) {
        let word = word.trim_end_matches(['.', '-', ':', '_']);
        if let Some(name) = word.strip_prefix('@') {
            found.names.insert(name.to_lowercase());
        }
        if !word.is_empty() {
            found.words.insert(word.to_owned());
        }
    }
    found
}

impl Words {
    /// Whether everybody in the channel is meant, or everybody who is there.
    pub(super) fn mentions_all(&self) -> bool {
        ["all", "channel", "here"].iter().any(|&it| self.names.contains(it))
    }

    /// Whether a word is there, in any case.
    pub(super) fn has(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        self.words.iter().any(|it| it.to_lowercase() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_behind_an_at() {
        let words = words("Hi @Ada, (@bob.) x@carl `@code` @here!\n```\n@dora\n``` @eve_");
        let names: Vec<_> = words.names.iter().map(String::as_str).collect();
        assert_eq!(names, ["ada", "bob", "eve", "here"]);
        assert!(words.mentions_all() && words.has("hi") && !words.has("code"));
    }

    #[test]
    fn channels_stand_behind_a_tilde() {
        let names = channels("~town-square and (~b) but not x~c, ~~d; ~b again");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["b", "town-square"]);
    }
}
