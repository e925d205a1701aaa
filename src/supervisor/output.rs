//! What a plugin writes on stdout and stderr.
//!
//! [`LineSplitter`] cuts a stream into lines with bounded memory, [`StderrParser`] finds out how
//! severe a line of stderr is, and [`TailBuffer`] keeps the last lines for error messages.
//!
//! Upstream, one line of 64 KiB on stdout ends the reading for good, so that the plugin blocks on a
//! later print; and every record of Python's logging arrives as debug. Neither is so here.

mod level;
mod line_splitter;
mod python;
mod stderr_parser;
mod tail_buffer;

pub use level::Level;
pub(crate) use line_splitter::{LineSplitter, Piece};
pub use stderr_parser::{ParsedLine, StderrParser};
pub(crate) use tail_buffer::TailBuffer;
