//! The last lines of stderr, for error messages.

use std::collections::VecDeque;
use std::fmt;

use crate::escape::escape_control;

/// Keeps the last lines of a stream within a number of lines and bytes; by default 20 lines and
/// 8 KiB. Control characters are escaped. `to_string` gives the lines with line feeds in between.
#[derive(Debug, Clone)]
pub(crate) struct TailBuffer {
    lines: VecDeque<String>,
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
}

impl TailBuffer {
    /// Lines that the default buffer keeps.
    const DEFAULT_LINES: usize = 20;
    /// Bytes that the default buffer keeps.
    const DEFAULT_BYTES: usize = 8 * 1024;

    /// An empty buffer for at most `max_lines` lines and `max_bytes` bytes, line feeds included.
    pub(crate) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, max_lines, max_bytes }
    }

    /// Adds a line, and drops the oldest ones for which there is no more room. Of a line that does
    /// not fit even alone the end is kept.
    pub(crate) fn push(&mut self, line: &str) {
        let line = escape_control(line);
        let line = last_bytes(&line, self.max_bytes.saturating_sub(1));
        self.bytes += line.len() + 1;
        self.lines.push_back(line.to_owned());
        while self.lines.len() > self.max_lines || self.bytes > self.max_bytes {
            let Some(dropped) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= dropped.len() + 1;
        }
    }

    /// The lines, oldest first.
    fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

impl Default for TailBuffer {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LINES, Self::DEFAULT_BYTES)
    }
}

impl fmt::Display for TailBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(line)?;
        }
        Ok(())
    }
}

/// The longest end of the text of at most `limit` bytes.
fn last_bytes(text: &str, limit: usize) -> &str {
    let earliest = text.len().saturating_sub(limit);
    let start = (earliest..=text.len()).find(|&index| text.is_char_boundary(index));
    start.map_or("", |start| &text[start..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_keeps_twenty_lines() {
        let mut tail = TailBuffer::default();
        assert_eq!(tail.to_string(), "");
        for number in 0..25 {
            tail.push(&number.to_string());
        }
        let expected: Vec<_> = (5..25).map(|number| number.to_string()).collect();
        assert_eq!(tail.to_string(), expected.join("\n"));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut tail = TailBuffer::default();
        tail.push("first");
        tail.push(&"ä".repeat(5000));
        let text = tail.to_string();
        assert!(text.len() < TailBuffer::DEFAULT_BYTES);
        assert_eq!(text, "ä".repeat(4095));
    }

    #[test]
    fn control_characters_are_escaped() {
        let mut tail = TailBuffer::default();
        tail.push("\x1b[2J");
        assert_eq!(tail.to_string(), "\\u{1b}[2J");
    }

    proptest! {
        #[test]
        fn the_limits_hold(
            lines in proptest::collection::vec(any::<String>(), 0..20),
            max_lines in 0_usize..5,
            max_bytes in 0_usize..50,
        ) {
            let mut tail = TailBuffer::new(max_lines, max_bytes);
            for line in &lines {
                tail.push(line);
                prop_assert!(tail.lines().count() <= max_lines);
                prop_assert!(tail.to_string().len() <= max_bytes);
            }
        }
    }
}
