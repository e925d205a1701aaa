//! What a plugin writes to stderr.

use plugin_conformance::supervisor::{ParsedLine, StderrParser};
use serde_json::{Map, Value};

use super::text::is_unsafe;

/// The very file that the supervisor reads with, which is not public.
#[path = "../../src/supervisor/output/line_splitter.rs"]
mod line_splitter;

use line_splitter::{LineSplitter, Piece};

/// Lines from this length on, in bytes, come in pieces.
const LONG: usize = 64 * 1024;
/// What may stand before the message of a record besides its fields.
const LEVELS: [&str; 9] =
    ["TRACE", "DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL", ""];

/// A line, or a piece of a long one, and what was made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What was read.
    pub bytes: Vec<u8>,
    /// It carries on the record before.
    pub continued: bool,
    /// What was made of it.
    pub parsed: ParsedLine,
}

/// However a stderr is cut into chunks: the same records, none of its lines lost, no control
/// characters.
pub fn check(data: &[u8]) {
    check_with(data, records);
}

/// As [`check`], of another reader.
pub fn check_with(data: &[u8], read: impl Fn(&[&[u8]]) -> Vec<Record>) {
    let whole = read(&[data]);
    for chunks in [data.chunks(1).collect(), data.chunks(7).collect(), uneven(data)] {
        let chunks: Vec<&[u8]> = chunks;
        assert!(read(&chunks) == whole, "the cut into {} chunks matters", chunks.len());
    }
    nothing_is_lost(data, &whole);
    for Record { bytes, continued, parsed } in &whole {
        let message = &parsed.message;
        let harmless = |text: &str| !text.contains(|it| it != '\t' && is_unsafe(it));
        assert!(harmless(message), "control characters in a message: {message:?}");
        assert!(each_text(&parsed.fields, &harmless), "control characters: {:?}", parsed.fields);
        if !continued {
            whole_message(&String::from_utf8_lossy(bytes), parsed);
        }
    }
}

/// As the supervisor does it.
fn records(chunks: &[&[u8]]) -> Vec<Record> {
    let (mut lines, mut parser) = (LineSplitter::default(), StderrParser::new());
    let mut records = Vec::new();
    let mut sink = |Piece { bytes, continued }: Piece<'_>| {
        let text = String::from_utf8_lossy(bytes);
        let parsed = match continued {
            true => parser.parse_continued(&text),
            false => parser.parse(&text),
        };
        records.push(Record { bytes: bytes.to_vec(), continued, parsed });
    };
    chunks.iter().for_each(|chunk| lines.push(chunk, &mut sink));
    lines.finish(&mut sink);
    records
}

/// Chunks of many lengths, the same ones for the same data.
fn uneven(mut data: &[u8]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    let mut state = data.len() as u64;
    while !data.is_empty() {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        let (chunk, rest) = data.split_at(data.len().min((state >> 8 & 0xff) as usize));
        chunks.push(chunk);
        data = rest;
    }
    chunks
}

/// Every line is there once, in its place.
fn nothing_is_lost(data: &[u8], records: &[Record]) {
    let mut lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    lines.pop_if(|last| last.is_empty());
    let mut records = records.iter().peekable();
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(first) = records.next() else { panic!("a line is lost: {line:?}") };
        assert!(!first.continued, "a line begins in the middle of another");
        let mut read = first.bytes.clone();
        while let Some(piece) = records.next_if(|next| next.continued) {
            read.extend_from_slice(&piece.bytes);
        }
        assert!(read == line, "a line of {} bytes has {}", line.len(), read.len());
        assert!(line.len() > LONG || read.len() == first.bytes.len(), "a short line in pieces");
    }
    assert!(records.next().is_none(), "more records than lines");
}

/// The message is all of the line, except for what is in the fields, and the level.
fn whole_message(line: &str, ParsedLine { message, fields, .. }: &ParsedLine) {
    if fields.is_empty() && *message == escaped(line) {
        return;
    }
    if let Some(all) = object(line) {
        // The message is no field, and a known level is none.
        let gone = all.len() - fields.len();
        assert!((1..=2).contains(&gone), "{gone} fields are lost of the line {line}");
        return;
    }
    let (line, message) = (plain(&escaped(line)), plain(message));
    let Some(before) = line.strip_suffix(&*message) else {
        panic!("the message {message:?} is no end of the line {line}")
    };
    let field = |name| plain(fields.get(name).and_then(Value::as_str).unwrap_or_default());
    let (timestamp, logger) = (field("timestamp"), field("logger"));
    let level = match before.strip_prefix(&*timestamp) {
        // `timestamp - logger - LEVEL - `
        Some(rest) if !timestamp.is_empty() => rest.replacen(&logger, "", 1),
        // `LEVEL:logger:`
        _ => before.strip_suffix(&format!("{logger}:")).unwrap_or(before).to_owned(),
    };
    let level = level.replace(['[', ']', ':', '-'], " ");
    assert!(LEVELS.contains(&level.trim()), "{before:?} is lost of the line {line}");
}

/// White space that is escaped as spaces, for it may stand around a level.
fn plain(escaped: &str) -> String {
    let spaces = ["\\u{b}", "\\u{c}", "\\r", "\\u{85}", "\\u{2028}", "\\u{2029}"];
    spaces.iter().fold(escaped.to_owned(), |text, space| text.replace(space, " "))
}

/// The fields of a JSON log line, by their escaped names.
fn object(line: &str) -> Option<Map<String, Value>> {
    let fields: Map<String, Value> = serde_json::from_str(line).ok()?;
    Some(fields.into_iter().map(|(key, value)| (escaped(&key), value)).collect())
}

fn escaped(text: &str) -> String {
    let escape = |it: char| match it != '\t' && is_unsafe(it) {
        true => it.escape_default().to_string(),
        false => it.to_string(),
    };
    text.chars().map(escape).collect()
}

fn each_text(fields: &Map<String, Value>, holds: &impl Fn(&str) -> bool) -> bool {
    fields.iter().all(|(key, value)| holds(key) && each_value(value, holds))
}

fn each_value(value: &Value, holds: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => holds(text),
        Value::Array(values) => values.iter().all(|value| each_value(value, holds)),
        Value::Object(fields) => each_text(fields, holds),
        _ => true,
    }
}
