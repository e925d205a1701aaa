//! A list of known failures.

use std::path::Path;

use plugin_conformance::conformance::{KnownFailures, KnownFailuresError};

use super::text::{is_unsafe, names_a_line_of};

const FILE: &str = "known.txt";

/// An error names a line of the file; what is read again from its own lines is the same; every line
/// of the text that says something is there, and is found by what it names.
pub fn check(data: &[u8]) {
    check_with(data, KnownFailures::parse_bytes);
}

/// As [`check`], of another reader.
pub fn check_with(
    data: &[u8],
    read: impl Fn(&[u8], &Path) -> Result<KnownFailures, KnownFailuresError>,
) {
    let known = match read(data, FILE.as_ref()) {
        Ok(known) => known,
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains(is_unsafe), "control characters in an error: {error:?}");
            names_a_line_of(&error, FILE, &String::from_utf8_lossy(data));
            return;
        }
    };
    let text = str::from_utf8(data).expect("a list that was taken is text");
    let said = |line: &&str| !line.trim_start().starts_with('#') && !line.trim().is_empty();
    assert!(known.lines().len() == text.lines().filter(said).count(), "a line is lost");
    let mut printed = String::new();
    for line in known.lines() {
        assert!(!line.reason.is_empty() && !line.reason.contains(|it| it != '\t' && is_unsafe(it)));
        let there = text.lines().nth(line.line - 1).unwrap_or_default();
        assert!(
            there.contains(&line.pattern),
            "{:?} does not stand in line {}",
            line.pattern,
            line.line
        );
        // A star stands for a star, too.
        let found = known.find(&line.pattern);
        assert!(found == Some(line), "{:?} is not found", line.pattern);
        printed.push_str(&format!("{line}\n"));
    }
    let again = read(printed.as_bytes(), FILE.as_ref()).expect("what was printed can be read");
    let same = |one: &KnownFailures| -> Vec<_> {
        one.lines().iter().map(|line| (line.pattern.clone(), line.reason.clone())).collect()
    };
    assert!(same(&again) == same(&known), "printed and read again it is another list");
}
