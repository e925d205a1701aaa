//! How severe each line of a plugin's stderr is.

use serde_json::{Map, Value};

use super::Level;
use super::python::{self, Header, Record};
use crate::escape::{escape_control, escaped_value};

/// A line of stderr, ready to be logged. Control characters but the tab are escaped everywhere.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedLine {
    /// How severe the line is.
    pub level: Level,
    /// The line without its level, and without what is in [`fields`](Self::fields).
    pub message: String,
    /// What else a JSON log line holds; `timestamp` and `logger` of a record of Python's logging.
    pub fields: Map<String, Value>,
}

/// Finds the level of each line of a stderr, in order, remembering the lines before.
///
/// As upstream, a JSON log line and a line that begins with `[TRACE]` ... `[ERROR]` have their own
/// level; `panic: ` and `fatal error: ` make the line and all later lines without a level of
/// their own errors; any other line is debug. Different from upstream:
///
/// - `[TRACE]` is trace, not debug;
/// - a record of Python's logging has its own level too;
/// - a Python traceback is an error from its first line to its last, chained ones included;
/// - `Fatal Python error: ` is like `panic: `;
/// - a panic of a Rust thread is an error until the next line that has its own level, because the
///   process may well live on.
///
/// ```
/// use plugin_conformance::supervisor::{Level, StderrParser};
///
/// let mut parser = StderrParser::new();
/// let line = parser.parse("2026-01-02 03:04:05,678 - my.plugin - ERROR - it broke");
/// assert_eq!(line.level, Level::Error);
/// assert_eq!(line.message, "it broke");
/// assert_eq!(line.fields["logger"], "my.plugin");
/// ```
#[derive(Debug, Clone)]
pub struct StderrParser {
    block: Block,
    dying: bool,
    last: Level,
}

/// What lines without a level of their own belong to.
#[derive(Debug, Clone, Copy)]
enum Block {
    None,
    /// A traceback before its exception.
    Frames,
    /// A traceback after its exception: notes, blank lines and the next of the chain may come.
    AfterException,
    RustPanic,
}

impl StderrParser {
    /// A parser at the start of a stderr.
    pub fn new() -> Self {
        Self { block: Block::None, dying: false, last: Level::Debug }
    }

    /// Takes the next line, without its line feed.
    pub fn parse(&mut self, line: &str) -> ParsedLine {
        let parsed = match parse_tagged(line) {
            Some(parsed) => {
                self.block = Block::None;
                parsed
            }
            None => ParsedLine::new(self.untagged_level(line), line),
        };
        self.last = parsed.level;
        parsed
    }

    /// Takes a piece that carries on the line before, which was too long to come at once. It has the
    /// level of that line, whatever it looks like itself.
    pub fn parse_continued(&self, piece: &str) -> ParsedLine {
        ParsedLine::new(self.last, piece)
    }

    fn untagged_level(&mut self, line: &str) -> Level {
        const LAST_WORDS: [&str; 3] = ["panic: ", "fatal error: ", "Fatal Python error: "];
        self.dying |= LAST_WORDS.iter().any(|words| line.starts_with(words));
        self.block = self.block.next(line);
        if self.dying || !matches!(self.block, Block::None) { Level::Error } else { Level::Debug }
    }
}

impl Default for StderrParser {
    fn default() -> Self {
        Self::new()
    }
}

impl Block {
    /// The block that this line belongs to.
    fn next(self, line: &str) -> Self {
        if is_rust_panic(line) {
            return Self::RustPanic;
        }
        match Header::parse(line) {
            Some(Header::Plain) => return Self::Frames,
            // All of a group is indented, as what follows an exception may be.
            Some(Header::Group) => return Self::AfterException,
            None => {}
        }
        let inside = python::is_indented(line) || line.is_empty();
        match self {
            Self::RustPanic => Self::RustPanic,
            Self::Frames if inside => Self::Frames,
            Self::Frames if python::is_exception(line) => Self::AfterException,
            Self::AfterException if inside || python::is_chain_link(line) => Self::AfterException,
            Self::None | Self::Frames | Self::AfterException => Self::None,
        }
    }
}

fn is_rust_panic(line: &str) -> bool {
    line.starts_with("thread '") && line.contains(" panicked at")
}

impl ParsedLine {
    fn new(level: Level, message: &str) -> Self {
        Self { level, message: escape_control(message), fields: Map::new() }
    }

    fn field(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let value = escape_control(value);
            self.fields.insert(name.to_owned(), Value::String(value));
        }
        self
    }
}

/// The line, if it has its own level.
fn parse_tagged(line: &str) -> Option<ParsedLine> {
    if let Some(parsed) = parse_json(line) {
        return Some(parsed);
    }
    if let Some((level, message)) = Level::split_tag(line) {
        return Some(ParsedLine::new(level, message));
    }
    let record = Record::parse(line)?;
    let parsed = ParsedLine::new(record.level, record.message)
        .field("timestamp", record.timestamp)
        .field("logger", record.logger);
    Some(parsed)
}

/// A JSON object with a level and a message. A level that we do not know is debug and stays among
/// the fields.
fn parse_json(line: &str) -> Option<ParsedLine> {
    if !line.starts_with('{') {
        return None;
    }
    let mut fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    let text_key = |keys: &[&'static str]| {
        let is_text = |key: &&str| fields.get(*key).is_some_and(Value::is_string);
        keys.iter().copied().find(is_text)
    };
    let level_key = text_key(&["@level", "level"])?;
    let message_key = text_key(&["@message", "message", "msg"])?;
    let level = fields.get(level_key)?.as_str().and_then(Level::from_json);
    if level.is_some() {
        fields.remove(level_key);
    }
    let message = fields.remove(message_key)?;
    let parsed = ParsedLine::new(level.unwrap_or(Level::Debug), message.as_str()?);
    let fields = fields
        .into_iter()
        .map(|(key, value)| (escape_control(&key), escaped_value(value)))
        .collect();
    Some(ParsedLine { fields, ..parsed })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::escape::is_unsafe;

    /// The first letter of each line's level.
    fn levels(text: &str) -> String {
        let mut parser = StderrParser::new();
        text.lines()
            .map(|line| format!("{:?}", parser.parse(line).level))
            .filter_map(|level| level.chars().next())
            .collect()
    }

    fn parse(line: &str) -> ParsedLine {
        StderrParser::new().parse(line)
    }

    #[test]
    fn json_lines_keep_level_message_and_fields() {
        let line = parse(r#"{"@level":"warn","@message":"m","@module":"x","n":[1]}"#);
        assert_eq!((line.level, line.message.as_str()), (Level::Warn, "m"));
        assert_eq!(Value::Object(line.fields), json!({"@module": "x", "n": [1]}));
        let line = parse(r#"{"level":"CRITICAL","msg":"m"}"#);
        assert_eq!((line.level, line.fields.len()), (Level::Error, 0));
        let line = parse(r#"{"level":"loud","message":"m"}"#);
        assert_eq!(line.level, Level::Debug);
        assert_eq!(line.fields["level"], "loud");
    }

    #[test]
    fn other_json_is_an_ordinary_line() {
        for text in [
            r#"{"level":"error"}"#,
            r#"{"level":40,"msg":"m"}"#,
            r#"{"msg":"m"}"#,
            r#"{"level":"error","msg":"m""#,
            "{}",
            "[1]",
        ] {
            let line = parse(text);
            assert_eq!((line.level, line.message.as_str()), (Level::Debug, text));
        }
    }

    #[test]
    fn tags_and_records_have_their_level() {
        assert_eq!(levels("[TRACE] a\n[DEBUG] a\n[INFO] a\n[WARN] a\n[ERROR] a\na"), "TDIWED");
        assert_eq!(
            levels("INFO:root:a\nCRITICAL:x:a\n2026-01-02 03:04:05,678 - x - WARNING - a\nb"),
            "IEWD"
        );
    }

    #[test]
    fn a_traceback_is_an_error_up_to_its_exception() {
        let text = "before\n\
                    Traceback (most recent call last):\n  File \"x.py\", line 1, in f\n    f()\n\
                    ValueError: bad\nafter\n  indented";
        assert_eq!(levels(text), "DEEEEDD");
        let text =
            "Traceback (most recent call last):\n  File \"x.py\"\n[INFO] cut in\nValueError: bad";
        assert_eq!(levels(text), "EEID");
        let text = "Traceback (most recent call last):\n  File \"x.py\"\nnot an exception: x\n  y";
        assert_eq!(levels(text), "EEDD");
    }

    #[test]
    fn chained_tracebacks_stay_errors() {
        for link in [
            "During handling of the above exception, another exception occurred:",
            "The above exception was the direct cause of the following exception:",
        ] {
            let text = format!(
                "Traceback (most recent call last):\n  a\nKeyError: 1\n\n{link}\n\n\
                 Traceback (most recent call last):\n  b\nx.E\n  a note\nafter"
            );
            assert_eq!(levels(&text), "EEEEEEEEEED");
        }
    }

    #[test]
    fn groups_and_syntax_errors_are_tracebacks() {
        let text = "  + Exception Group Traceback (most recent call last):\n  |   File \"x.py\"\n  \
                    | ExceptionGroup: x\n  +-+--- 1 ---\n    | ValueError: 1\n    +---\nafter: x";
        assert_eq!(levels(text), "EEEEEED");
        let text = "  File \"x.py\", line 3\n    def\n       ^\nSyntaxError: invalid\nafter";
        assert_eq!(levels(text), "EEEED");
    }

    #[test]
    fn a_panic_makes_later_untagged_lines_errors() {
        for first in ["panic: x", "fatal error: x", "Fatal Python error: Segmentation fault"] {
            assert_eq!(levels(&format!("a\n{first}\nb\n[INFO] c\nd")), "DEEIE");
        }
        assert_eq!(levels("a panic: x\nb"), "DD");
    }

    #[test]
    fn a_rust_panic_is_an_error_until_a_tagged_line() {
        for first in [
            "thread 'main' panicked at src/x.rs:1:2:",
            "thread '<unnamed>' (12) panicked at src/x.rs:1:2:",
        ] {
            assert_eq!(levels(&format!("{first}\nmessage\nnote: x\nINFO:a:b\nd")), "EEEID");
        }
    }

    #[test]
    fn a_continued_piece_has_the_level_of_its_line() {
        let mut parser = StderrParser::new();
        assert_eq!(parser.parse("[ERROR] a").level, Level::Error);
        assert_eq!(parser.parse_continued("[INFO] b").level, Level::Error);
        assert_eq!(parser.parse_continued("panic: c").message, "panic: c");
        assert_eq!(parser.parse("d").level, Level::Debug);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(parse("\x1b[31mred\x07").message, "\\u{1b}[31mred\\u{7}");
        let line = parse(r#"{"level":"info","msg":"a\nb","\u001b":"\u001b"}"#);
        assert_eq!(line.message, "a\\nb");
        assert_eq!(Value::Object(line.fields), json!({"\\u{1b}": "\\u{1b}"}));
        assert_eq!(parse("goroutine\t1").message, "goroutine\t1");
    }

    fn any_line() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "(Traceback \\(most recent call last\\):|panic: |  |\\[INFO\\] |\\{|ERROR:|E: ).{0,20}",
            "2026-01-02 03:04:05[,.]?[0-9]{0,3}( - | \\[)?(x|ERROR)?.{0,9}",
        ]
    }

    proptest! {
        #[test]
        fn no_lines_panic_and_messages_are_safe(lines in vec(any_line(), 0..10)) {
            let mut parser = StderrParser::new();
            for line in lines {
                let message = parser.parse(&line).message;
                prop_assert!(!message.chars().any(|it| it != '\t' && is_unsafe(it)));
            }
        }
    }
}
