//! `report.json` of a fake interpreter.

use std::path::Path;

use fake_interpreters::Report;
use fake_interpreters::report::{ReportError, SCHEMA};

use super::saved::saved;

/// A report is refused with an error that names the file, or is the same after it was written and
/// read again.
pub fn check(data: &[u8]) {
    check_with(data, Report::read);
}

/// As [`check`], of another reader.
pub fn check_with(data: &[u8], read: impl Fn(&Path) -> Result<Report, ReportError>) {
    let report = saved(data, |path| match read(path) {
        Ok(report) => Some(report),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(&*path.to_string_lossy()), "an error names no file: {text}");
            None
        }
    });
    let Some(report) = report else { return };
    assert_eq!(report.schema, SCHEMA, "a report of another schema was taken");
    let wrong = report.mismatches().count();
    assert!(wrong <= report.calls.len(), "more mismatches than calls");
    let written = serde_json::to_vec(&report).expect("a report can be written");
    let again = saved(&written, &read).expect("a report that was written can be read");
    assert_eq!(again, report, "a report changes when it is written and read");
}
