//! The names of the emoji that every server has.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Names by lines; a `*` behind one says that it exists in all colours of skin as well.
static NAMES: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let mut names = HashSet::new();
    for line in include_str!("system_emoji.txt").lines() {
        let name = line.trim_end_matches('*');
        if name != line {
            names.extend(SKINS.iter().map(|skin| format!("{name}_{skin}_skin_tone")));
        }
        names.insert(name.to_owned());
    }
    names
});

const SKINS: [&str; 5] = ["light", "medium_light", "medium", "medium_dark", "dark"];

/// Whether an emoji of this name needs nobody to make it.
pub(super) fn is_one(name: &str) -> bool {
    NAMES.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_there() {
        for name in ["+1", "thumbsup", "smile", "heart", "tada", "wave_dark_skin_tone", "us"] {
            assert!(is_one(name), "{name}");
        }
        for name in ["", "parrot_of_ours", "tada_dark_skin_tone", "+1*"] {
            assert!(!is_one(name), "{name}");
        }
    }
}
