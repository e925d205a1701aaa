//! What is printed. A full disk behind it is reported at the end instead of in the middle, and ends
//! nothing: what was begun is finished, and plugins are stopped in order.
//!
//! Texts of plugins cannot move the cursor or change colours: what could is written as an escape.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use plugin_conformance::escape::escape_lines;

use super::UNUSABLE;

/// Why standard output has not all that was said.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// A line on standard output.
pub(super) fn say(line: &str) {
    print(&format!("{line}\n"));
}

/// Text on standard output.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    // Who has closed it does not want to know.
    if let Err(error) = out.write_all(escape_lines(text).as_bytes()).and_then(|()| out.flush())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        FAILURE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// A line on standard error. There is no place to tell that it could not be written.
pub(super) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", escape_lines(line));
}

/// The program's exit status: `status`, unless something that was said is lost.
pub(super) fn finish(status: ExitCode) -> ExitCode {
    match FAILURE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        None => status,
        Some(error) => {
            complain(&format!(
                "error: cannot write to standard output: {error}; make room there, or send it elsewhere"
            ));
            ExitCode::from(UNUSABLE)
        }
    }
}
