//! Scripts ready to use: plugins that behave well, and plugins that misbehave in one known way.

use plugin_proto::names::suggestion;

/// A script with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Character {
    /// Its name, for example `hang-in-on-activate`.
    pub name: &'static str,
    /// What it does, in one sentence: the first line of the script.
    pub summary: &'static str,
    /// The script itself, to be written to `plugin.py`.
    pub script: &'static str,
}

/// There is no character of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no character {name:?}{}", suggestion(name, CHARACTERS.iter().map(|character| character.name)))]
pub struct UnknownCharacter {
    name: String,
}

impl Character {
    /// The character of this name.
    ///
    /// # Errors
    /// When there is none; the error suggests the nearest name.
    pub fn by_name(name: &str) -> Result<&'static Self, UnknownCharacter> {
        let found = CHARACTERS.iter().find(|character| character.name == name);
        found.ok_or_else(|| UnknownCharacter { name: name.to_owned() })
    }
}

macro_rules! characters {
    ($($name:literal)*) => {
        /// All characters: first the good ones, then the bad ones in the order of a plugin's life.
        pub static CHARACTERS: &[Character] = &[$(Character {
            name: $name,
            summary: summary(include_str!(concat!("../characters/", $name, ".yaml"))),
            script: include_str!(concat!("../characters/", $name, ".yaml")),
        }),*];
    };
}

/// The text of the comment on the first line.
const fn summary(script: &'static str) -> &'static str {
    let bytes = script.as_bytes();
    let mut end = 0;
    while bytes[end] != b'\n' {
        end += 1;
    }
    script.split_at(end).0.split_at("# ".len()).1
}

characters! {
    "well-behaved"
    "every-rpc"
    "every-rpc-errors"
    "every-hook"
    "every-hook-errors"
    "http-app"
    "needs-api"
    "no-api"
    "unix-hooks"
    "controller-exits"
    "calls-while-stopping"
    "long-handshake-field"
    "silent"
    "garbage-handshake"
    "short-handshake"
    "netrpc-handshake"
    "wrong-core-version"
    "wrong-app-version"
    "tls-handshake"
    "huge-first-line"
    "banner-before-handshake"
    "crash-before-handshake"
    "crash-during-handshake"
    "crash-after-handshake"
    "hang-in-implemented"
    "crash-in-on-activate"
    "error-in-on-activate"
    "hang-in-on-activate"
    "crash-later"
    "blocks-thread"
    "blocks-health"
    "not-serving"
    "no-health"
    "floods-output"
    "leaks-open-call"
    "crash-in-hook"
    "hang-in-hook"
    "blocks-thread-later"
    "http-misbehaves"
    "hang-in-on-deactivate"
    "ignores-sigterm"
    "controller-blocked"
    "grandchild-holds-stdout"
    "grandchild-new-session"
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::script::Script;

    #[test]
    fn every_character_is_a_script_and_says_what_it_is() {
        let mut names = HashSet::new();
        for character in CHARACTERS {
            let Character { name, summary, script } = character;
            assert!(names.insert(name), "{name} stands twice");
            assert!(script.starts_with("# "), "{name} does not begin with a comment");
            assert!(summary.len() > 20 && summary.ends_with('.'), "{name}: {summary}");
            assert!(
                !summary.trim_end_matches('.').contains(". "),
                "{name}: more than one sentence"
            );
            if let Err(error) = Script::parse(script, name.as_ref()) {
                panic!("{error}");
            }
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/characters")).unwrap();
        assert_eq!(files.count(), CHARACTERS.len(), "a script is not listed");
    }

    #[test]
    fn unknown_names_are_told() {
        assert_eq!(Character::by_name("silent").unwrap().name, "silent");
        assert_eq!(
            Character::by_name("wel-behaved").unwrap_err().to_string(),
            "there is no character \"wel-behaved\"; did you mean well-behaved?"
        );
    }
}
