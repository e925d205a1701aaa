//! What the program itself says on stderr.

use std::fmt;
use std::io::{self, Write as _};

/// A line on stderr; not being able to say it is no failure.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "fake-python: {text}");
}
