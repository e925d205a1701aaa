//! A file of mocks.

use std::path::Path;

use plugin_conformance::api::mock::{MockFile, MockFileError, Otherwise};

use super::text::names_a_line_of;

/// A file is refused with an error that names file and line, or any number of APIs can be made
/// of it.
pub fn check(data: &[u8]) {
    check_with(data, MockFile::parse);
}

/// As [`check`], of another parser.
pub fn check_with(data: &[u8], parse: impl Fn(&str, &Path) -> Result<MockFile, MockFileError>) {
    let text = String::from_utf8_lossy(data);
    let path = Path::new("mocks.yaml");
    let file = match parse(&text, path) {
        Ok(file) => file,
        Err(error) => return names_a_line_of(&error.to_string(), "mocks.yaml", &text),
    };
    let stated = text.contains("otherwise") || text.contains('\\');
    assert!(stated || file.otherwise() == Otherwise::Unmatched, "a default that is none");
    let [one, other] = [(); 2].map(|()| file.api("11.2.0").verify_on_drop(false));
    assert!(one.received().is_empty(), "calls before the first");
    let verified = [&one, &other].map(|api| api.verify().map_err(|error| error.to_string()));
    assert_eq!(verified[0], verified[1], "two APIs of one file differ");
    let again = parse(&text, path).expect("what was taken is taken again");
    assert_eq!(format!("{file:?}"), format!("{again:?}"), "the same file, read twice");
}
