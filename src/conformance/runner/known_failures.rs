//! Checks that are known to fail, with the reason of each.
//!
//! A team takes the gate into its CI before everything is mended: what it lists here fails no run.
//! The list cannot go stale: a line whose checks pass, or that names no check, fails the run.
//!
//! ```
//! use plugin_conformance::conformance::KnownFailures;
//!
//! let text = "rpc.GetUser.answer  # MM-1: props are lost\nhttp.*  # no streaming yet\n";
//! let known = KnownFailures::parse(text, "known.txt".as_ref()).unwrap();
//! assert_eq!(known.find("http.echo").unwrap().reason, "no streaming yet");
//! assert!(known.find("rpc.GetUser.failure").is_none());
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use super::super::catalogue::{self, Check, Fault, Level, Objection, SubjectKind};
use super::super::reports::{Finding, RunReport, Status};
use super::filter::fits;
use crate::escape::escape_control;
use crate::remedy::remedy;

/// The check that a run with a list makes besides.
const LIST: Check = Check {
    id: catalogue::LIST_CHECK,
    subject: SubjectKind::Kit,
    level: Level::Required,
    title: "each known failure is a check that fails",
    harm: "the list hides what has long been mended, or names nothing",
    source: "this kit",
    remedy: "take the line out of the list",
    needs: &[],
};

/// The longest file, in bytes.
const LONGEST_FILE: u64 = 1 << 20;
/// The longest line, in bytes.
const LONGEST_LINE: usize = 1024;
/// As many checks of one line are named.
const NAMED: usize = 3;

/// A list of checks that are known to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFailures {
    path: PathBuf,
    lines: Vec<KnownFailure>,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFailure {
    /// Its number in the file, from 1.
    pub line: usize,
    /// A check's id, or a pattern in which `*` stands for any characters.
    pub pattern: String,
    /// Why it fails: what follows `#`.
    pub reason: String,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KnownFailuresError {
    /// It cannot be read.
    #[error("cannot read the known failures of {}: {source}; {}", path.display(), remedy(source, "name a file that exists and is readable"))]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is too long to have been written by people.
    #[error("{} has {bytes} bytes; a list of known failures has at most {LONGEST_FILE}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A line is none.
    #[error("{}:{line}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it, and what to do.
        fault: LineFault,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Bytes that are no text.
    #[error("it is not UTF-8; save the file as UTF-8")]
    NotUtf8,
    /// Too many bytes.
    #[error("it has {0} bytes, and may have {LONGEST_LINE}; shorten the reason")]
    TooLong(usize),
    /// Characters that would do something to a terminal.
    #[error("it has control characters; write it anew")]
    Control,
    /// Nobody knows why the check fails.
    #[error("it says no reason; write `{0}  # why it fails`")]
    NoReason(String),
    /// Not one name of a check.
    #[error("{0:?} is no check's id; write one id or pattern a line, of letters, digits and .-_*")]
    NoId(String),
    /// It stands there already.
    #[error("{pattern} stands in line {first} already; remove one of them")]
    Twice {
        /// The pattern.
        pattern: String,
        /// Where it stood first.
        first: usize,
    },
}

impl KnownFailures {
    /// Reads a list.
    ///
    /// # Errors
    /// [`KnownFailuresError`] names the file and the line.
    pub fn load(path: &Path) -> Result<Self, KnownFailuresError> {
        let failed = |source| KnownFailuresError::Read { path: path.to_owned(), source };
        let bytes = fs::metadata(path).map_err(failed)?.len();
        if bytes > LONGEST_FILE {
            return Err(KnownFailuresError::TooLong { path: path.to_owned(), bytes });
        }
        Self::parse_bytes(&fs::read(path).map_err(failed)?, path)
    }

    /// A list that was read; `path` is for the errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str, path: &Path) -> Result<Self, KnownFailuresError> {
        Self::parse_bytes(text.as_bytes(), path)
    }

    /// As [`parse`](Self::parse), of what may be no text.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse_bytes(bytes: &[u8], path: &Path) -> Result<Self, KnownFailuresError> {
        let mut lines = Vec::new();
        let mut known = BTreeMap::new();
        for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let fault = |fault| KnownFailuresError::Line { path: path.to_owned(), line, fault };
            let Some((pattern, reason)) = entry(bytes).map_err(fault)? else { continue };
            if let Some(first) = known.insert(pattern.clone(), line) {
                return Err(fault(LineFault::Twice { pattern, first }));
            }
            lines.push(KnownFailure { line, pattern, reason });
        }
        Ok(Self { path: path.to_owned(), lines })
    }

    /// The lines, in their order.
    pub fn lines(&self) -> &[KnownFailure] {
        &self.lines
    }

    /// The line that names this check: its own, or else the first pattern that fits.
    pub fn find(&self, id: &str) -> Option<&KnownFailure> {
        let own = self.lines.iter().find(|known| known.pattern == id);
        own.or_else(|| self.lines.iter().find(|known| known.names(id)))
    }

    /// The report with failures that are known told apart, and one check more: that each line names
    /// checks, all of which fail.
    ///
    /// A list may serve several subjects and runs: a line that names checks of another subject, or
    /// checks that this run did not make or could not observe, is passed over. So is a recommended
    /// check that passes, unless the run is strict.
    #[must_use]
    pub fn judge(&self, mut report: RunReport) -> RunReport {
        let faults: Vec<_> =
            self.lines.iter().filter_map(|line| self.stale(line, &report)).collect();
        for check in &mut report.checks {
            self.mark(check);
        }
        let verdict = match faults.is_empty() {
            true => Ok(String::new()),
            false => Err(Objection::Broken(Fault::new(faults.join("\n")))),
        };
        let mut finding = Finding::new(&LIST, verdict);
        if let Some(check) = report.checks.first() {
            finding.subject = check.subject;
        }
        report.checks.push(finding);
        report.count();
        report
    }

    /// Tells a failure that is known apart.
    pub fn mark(&self, check: &mut Finding) {
        if check.status == Status::Failed
            && let Some(known) = self.find(&check.id)
        {
            check.status = Status::Known;
            let place = format!("{}:{}", self.path.display(), known.line);
            check.detail = format!("known: {} ({place})\n{}", known.reason, check.detail);
        }
    }

    /// Lines all of whose checks passed, in words: for a list that describes somebody else's
    /// software, where that is no fault.
    pub fn suggestions(&self, checks: &[Finding]) -> Vec<String> {
        let suggestion = |known: &KnownFailure| {
            let named = checks.iter().filter(|check| known.names(&check.id));
            let mut statuses = named.map(|check| check.status).peekable();
            statuses.peek()?;
            statuses.all(|status| status == Status::Passed).then(|| {
                let place = format!("{}:{}", self.path.display(), known.line);
                format!("{place}: {} passes here; the line is not needed", known.pattern)
            })
        };
        self.lines.iter().filter_map(suggestion).collect()
    }

    /// What is wrong with a line after a run.
    fn stale(&self, known: &KnownFailure, report: &RunReport) -> Option<String> {
        let place = format!("{}:{}", self.path.display(), known.line);
        let checks = &report.checks;
        if !checks.iter().any(|check| known.names(&check.id)) {
            // Of another subject, or left out of this run.
            if catalogue::all().iter().any(|check| known.names(check.id)) {
                return None;
            }
            let pattern = &known.pattern;
            return Some(format!("{place}: there is no check {pattern}; remove it"));
        }
        let passed = checks.iter().filter(|check| {
            known.names(&check.id)
                && check.status == Status::Passed
                && (report.strict || check.level == Level::Required)
        });
        let passed: Vec<_> = passed.map(|check| check.id.as_str()).collect();
        let (first, rest) = passed.split_at(passed.len().min(NAMED));
        let more =
            if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        (!passed.is_empty())
            .then(|| format!("{place}: {}{more} passed; remove it from the list", first.join(", ")))
    }
}

impl KnownFailure {
    /// Whether the pattern fits this id.
    pub fn names(&self, id: &str) -> bool {
        fits(&self.pattern, id)
    }
}

/// A line as it can be read again.
impl fmt::Display for KnownFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  # {}", self.pattern, self.reason)
    }
}

/// Pattern and reason; none in an empty line and in one that is all comment.
fn entry(bytes: &[u8]) -> Result<Option<(String, String)>, LineFault> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if bytes.len() > LONGEST_LINE {
        return Err(LineFault::TooLong(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| LineFault::NotUtf8)?;
    if escape_control(text) != text {
        return Err(LineFault::Control);
    }
    let (pattern, reason) = text.split_once('#').unwrap_or((text, ""));
    let (pattern, reason) = (pattern.trim(), reason.trim());
    if pattern.is_empty() {
        return Ok(None);
    }
    let is_id = |it: char| it.is_ascii_alphanumeric() || ".-_*".contains(it);
    if !pattern.chars().all(is_id) {
        return Err(LineFault::NoId(pattern.to_owned()));
    }
    if reason.is_empty() {
        return Err(LineFault::NoReason(pattern.to_owned()));
    }
    Ok(Some((pattern.to_owned(), reason.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::super::catalogue::Verdict;
    use super::*;

    fn list(text: &str) -> KnownFailures {
        KnownFailures::parse(text, Path::new("known.txt")).unwrap()
    }

    fn refused(text: &[u8]) -> String {
        let path = Path::new("known.txt");
        KnownFailures::parse_bytes(text, path).unwrap_err().to_string()
    }

    fn run(checks: &[(&str, Verdict)]) -> RunReport {
        let check = |(id, verdict): &(&str, Verdict)| made(id, verdict.clone());
        RunReport::new(checks.iter().map(check).collect(), &BTreeSet::new())
    }

    fn made(id: &str, verdict: Verdict) -> Finding {
        let mut finding = Finding::new(&LIST, verdict);
        finding.id = id.to_owned();
        finding
    }

    fn fails() -> Verdict {
        Err("it is broken".into())
    }

    #[test]
    fn comments_and_empty_lines_are_none() {
        let known = list("# all of them\n\n \t\r\na.b # why # indeed\r\n  c.*\t#x");
        let lines: Vec<_> = known.lines().iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["a.b  # why # indeed", "c.*  # x"]);
        assert_eq!([known.lines()[0].line, known.lines()[1].line], [4, 5]);
        assert_eq!(list(""), list("# nothing\n").clone());
    }

    #[test]
    fn errors_name_the_line_and_the_remedy() {
        for (text, said) in [
            (&b"a # x\n\nb"[..], "known.txt:3: it says no reason; write `b  # why it fails`"),
            (b"a b # x", "known.txt:1: \"a b\" is no check's id"),
            (b"a\xff # x", "known.txt:1: it is not UTF-8"),
            (b"a # \x1b[31m", "known.txt:1: it has control characters"),
            (b"a # x\nb # y\na # z", "known.txt:3: a stands in line 1 already; remove one of them"),
        ] {
            let error = refused(text);
            assert!(error.starts_with(said), "{error}");
        }
        let long = format!("a # {}", "x".repeat(LONGEST_LINE));
        assert!(refused(long.as_bytes()).contains("has 1028 bytes, and may have 1024"));
        let missing = KnownFailures::load(Path::new("/nowhere/known.txt")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/known.txt"), "{missing}");
    }

    #[test]
    fn a_star_is_any_characters() {
        for (pattern, id, fits) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("a.*", "a.", true),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.c", false),
            ("*", "anything", true),
            ("*b*b", "abb", true),
            ("*b*b", "ab", false),
            ("a*a", "a", false),
        ] {
            let known = list(&format!("{pattern} # x"));
            assert_eq!(known.lines()[0].names(id), fits, "{pattern} {id}");
        }
        // Its own line goes before a pattern, wherever it stands.
        assert_eq!(list("a.* # all\na.b # one").find("a.b").unwrap().reason, "one");
    }

    #[test]
    fn a_known_failure_fails_no_run() {
        let report = run(&[("a.b", fails()), ("a.c", Ok(String::new()))]);
        assert!(!report.is_success());
        let judged = list("a.b # MM-1").judge(report);
        assert!(judged.is_success());
        assert_eq!((judged.summary.checks, judged.summary.known), (3, 1));
        assert_eq!(judged.checks[0].status, Status::Known);
        assert_eq!(judged.checks[0].detail, "known: MM-1 (known.txt:1)\nit is broken");
    }

    #[test]
    fn what_is_not_listed_still_fails() {
        let judged = list("a.b # MM-1").judge(run(&[("a.b", fails()), ("a.c", fails())]));
        assert!(!judged.is_success());
        assert_eq!((judged.summary.failed, judged.summary.known), (1, 1));
    }

    #[test]
    fn a_line_that_is_stale_fails_the_run() {
        let checks: Vec<_> = ["a.1", "a.2", "a.3", "a.4"].map(|id| (id, Ok(String::new()))).into();
        for (text, said) in [
            ("a.1 # x", "known.txt:1: a.1 passed; remove it from the list"),
            ("a.* # x", "known.txt:1: a.1, a.2, a.3 and 1 more passed; remove it from the list"),
            ("b.* # x", "known.txt:1: there is no check b.*; remove it"),
        ] {
            let judged = list(text).judge(run(&checks));
            assert!(!judged.is_success());
            let last = judged.checks.last().unwrap();
            assert_eq!((last.id.as_str(), last.detail.as_str()), (LIST.id, said));
        }
    }

    #[test]
    fn a_check_that_was_not_made_or_not_observed_says_nothing() {
        for status in [Status::Skipped, Status::NotObservable] {
            let mut report = run(&[]);
            report.checks.push(Finding { status, ..made("a.b", Ok(String::new())) });
            assert!(list("a.b # x").judge(report).is_success());
        }
    }

    #[test]
    fn other_subjects_and_recommendations_make_no_line_stale() {
        // Of the plugin, in a run of the kit.
        assert!(list("plugin.stays # x").judge(run(&[])).is_success());
        let advice = || Finding { level: Level::Recommended, ..made("a.b", Ok(String::new())) };
        let mut report = run(&[]);
        report.checks.push(advice());
        assert!(list("a.b # x").judge(report.clone()).is_success());
        report.strict = true;
        assert!(!list("a.b # x").judge(report).is_success());
    }

    #[test]
    fn what_passes_all_the_same_is_a_suggestion() {
        let checks = [made("a.b", Ok(String::new())), made("a.c", fails())];
        assert_eq!(
            list("a.b # x\na.c # y\na.* # z\nd # w").suggestions(&checks),
            ["known.txt:1: a.b passes here; the line is not needed"]
        );
    }
}
