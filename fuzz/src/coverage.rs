//! A saved table of what is proven of each RPC.

use std::path::Path;

use plugin_conformance::conformance::{Coverage, CoverageError, SCHEMA};

use super::saved::saved;

/// A table is refused with an error that names the file, or is the same after it was written and
/// read again, and has lost nothing against itself.
pub fn check(data: &[u8]) {
    check_with(data, Coverage::read);
}

/// As [`check`], of another reader.
pub fn check_with(data: &[u8], read: impl Fn(&Path) -> Result<Coverage, CoverageError>) {
    let coverage = saved(data, |path| match read(path) {
        Ok(coverage) => Some(coverage),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(&*path.to_string_lossy()), "an error names no file: {text}");
            None
        }
    });
    let Some(coverage) = coverage else { return };
    assert_eq!(coverage.schema, SCHEMA, "a table of another schema was taken");
    let again = saved(coverage.to_json().as_bytes(), &read).expect("what was written can be read");
    assert_eq!(again, coverage, "a table changes when it is written and read");
    let lost = coverage.regressions(&coverage);
    assert!(lost.is_empty(), "a table has lost something against itself: {lost:?}");
    assert!(!coverage.to_text().is_empty() && !coverage.to_markdown().is_empty());
}
