//! What Python writes on stderr: records of its logging, and tracebacks.

use super::Level;

/// A record of Python's logging, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) level: Level,
    pub(super) timestamp: Option<&'a str>,
    pub(super) logger: Option<&'a str>,
    pub(super) message: &'a str,
}

impl<'a> Record<'a> {
    /// The record that the line holds, in one of these formats:
    ///
    /// ```text
    /// 2026-01-02 03:04:05,678 - name - ERROR - text
    /// 2026-01-02 03:04:05,678 - ERROR - text
    /// 2026-01-02 03:04:05,678 [ERROR] text
    /// 2026-01-02 03:04:05,678 ERROR text
    /// ERROR:name:text
    /// ```
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        Self::parse_basic(line).or_else(|| Self::parse_dated(line))
    }

    /// The format of `logging.basicConfig`.
    fn parse_basic(line: &'a str) -> Option<Self> {
        let (level, rest) = line.split_once(':')?;
        let (logger, message) = rest.split_once(':')?;
        if logger.is_empty() || logger.contains(char::is_whitespace) {
            return None;
        }
        Some(Self {
            level: Level::from_python(level)?,
            timestamp: None,
            logger: Some(logger),
            message,
        })
    }

    fn parse_dated(line: &'a str) -> Option<Self> {
        let (timestamp, rest) = split_timestamp(line)?;
        let record =
            |level, logger, message| Self { level, timestamp: Some(timestamp), logger, message };
        let Some(fields) = rest.strip_prefix(" - ") else {
            let (level, message) = rest.strip_prefix(' ')?.split_once(' ')?;
            let level = Level::from_python(level.trim_matches(['[', ']']))?;
            return Some(record(level, None, message.trim_start()));
        };
        let (first, rest) = fields.split_once(" - ")?;
        if let Some(level) = Level::from_python(first.trim()) {
            return Some(record(level, None, rest));
        }
        let (second, message) = rest.split_once(" - ")?;
        let level = Level::from_python(second.trim())?;
        Some(record(level, Some(first), message))
    }
}

/// `2026-01-02 03:04:05`, with or without a fraction, and what follows.
fn split_timestamp(line: &str) -> Option<(&str, &str)> {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00";
    let bytes = line.as_bytes();
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b' ' => matches!(byte, b' ' | b'T'),
        _ => byte == shape,
    };
    if bytes.len() < SHAPE.len() || !bytes.iter().zip(SHAPE).all(fits) {
        return None;
    }
    let rest = &bytes[SHAPE.len()..];
    let fraction = match rest.first() {
        Some(b',' | b'.') => 1 + rest[1..].iter().take_while(|it| it.is_ascii_digit()).count(),
        _ => 0,
    };
    line.split_at_checked(SHAPE.len() + fraction)
}

/// How a line begins a traceback.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Frames follow, and then the exception at the start of a line.
    Plain,
    /// An exception group, all of which is indented.
    Group,
}

impl Header {
    /// The header that the line is. A syntax error in the script itself has no header but begins
    /// with a frame.
    pub(super) fn parse(line: &str) -> Option<Self> {
        const HEADER: &str = "Traceback (most recent call last):";
        let line = line.trim_end();
        if line == HEADER {
            Some(Self::Plain)
        } else if is_indented(line) && line.ends_with(HEADER) {
            Some(Self::Group)
        } else if line.starts_with("  File \"") && line.contains("\", line ") {
            Some(Self::Plain)
        } else {
            None
        }
    }
}

pub(super) fn is_indented(line: &str) -> bool {
    line.starts_with([' ', '\t'])
}

/// Is this the line that closes a traceback, such as `package.Error: text` or `KeyboardInterrupt`?
pub(super) fn is_exception(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default().trim_end();
    let in_name = |it: char| it.is_alphanumeric() || "_.<>".contains(it);
    name.starts_with(|it: char| it.is_alphabetic() || it == '_') && name.chars().all(in_name)
}

/// Does this sentence announce another traceback of the same chain?
pub(super) fn is_chain_link(line: &str) -> bool {
    line.starts_with("During handling of the above exception")
        || line.starts_with("The above exception was the direct cause")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn parts(line: &str) -> (Level, Option<&str>, &str) {
        let record = Record::parse(line).unwrap();
        (record.level, record.logger, record.message)
    }

    #[test]
    fn dated_records() {
        let line = "2026-01-02 03:04:05,678 - a.b - ERROR - x - y";
        assert_eq!(parts(line), (Level::Error, Some("a.b"), "x - y"));
        let timestamp = Record::parse(line).unwrap().timestamp;
        assert_eq!(timestamp, Some("2026-01-02 03:04:05,678"));
        let line = "2026-01-02T03:04:05.1 - WARNING - x";
        assert_eq!(parts(line), (Level::Warn, None, "x"));
        let line = "2026-01-02 03:04:05 [INFO] a: x";
        assert_eq!(parts(line), (Level::Info, None, "a: x"));
        let line = "2026-01-02 03:04:05,678 DEBUG    x";
        assert_eq!(parts(line), (Level::Debug, None, "x"));
        let line = "2026-01-02 03:04:05,678 - root - CRITICAL - ";
        assert_eq!(parts(line), (Level::Error, Some("root"), ""));
    }

    #[test]
    fn basic_records() {
        assert_eq!(parts("CRITICAL:root:a:b"), (Level::Error, Some("root"), "a:b"));
        assert_eq!(parts("WARNING:x.y:"), (Level::Warn, Some("x.y"), ""));
    }

    #[test]
    fn other_lines_are_no_records() {
        for line in [
            "",
            "ERROR: no name: x",
            "error:root:x",
            "2026-01-02 03:04:05",
            "2026-01-02 03:04:05,",
            "2026-01-02 03:04:05,678 - a - b - c",
            "2026-01-02 03:04:05ü - a - ERROR - c",
            "2026-1-2 03:04:05 ERROR x",
        ] {
            assert_eq!(Record::parse(line), None, "{line}");
        }
    }

    #[test]
    fn exceptions_are_told_from_other_lines() {
        for line in ["KeyError: 'x'", "a.b.<locals>.E", "SystemExit: 1", "Größe: x"] {
            assert!(is_exception(line), "{line}");
        }
        for line in ["", "two words: x", "1: x", ": x", "[x]"] {
            assert!(!is_exception(line), "{line}");
        }
    }
}
