//! What is printed. A full disk behind it is reported at the end instead of in the middle, and ends
//! nothing: what was begun is finished, and plugins are stopped in order.
//!
//! Nobody who prints waits for who reads: standard output and standard error have a writer thread
//! each (see [`Printer`]). What is still to be written at the end is waited for, by
//! [`flushed`] and [`finish`].
//!
//! Texts of plugins cannot move the cursor or change colours: what could is written as an escape.

mod printer;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;

use plugin_conformance::escape::escape_lines;

use super::UNUSABLE;
use printer::Printer;

/// How much text may wait for a reader before lines of logs are dropped, in bytes.
const WAITING: usize = 1024 * 1024;
/// What is left to be printed when the user has no patience has this long.
const HASTE: Duration = Duration::from_millis(500);

static OUT: LazyLock<Printer> =
    LazyLock::new(|| Printer::start("stdout", WAITING, |bytes| write(io::stdout().lock(), bytes)));
static ERR: LazyLock<Printer> =
    LazyLock::new(|| Printer::start("stderr", WAITING, |bytes| write(io::stderr().lock(), bytes)));

fn write(mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).and_then(|()| stream.flush())
}

/// A line on standard output.
pub(super) fn say(line: &str) {
    print(&format!("{line}\n"));
}

/// Text on standard output.
pub(super) fn print(text: &str) {
    OUT.print(escape_lines(text));
}

/// A line of a plugin's log on standard output, which is dropped when too much waits to be read.
pub(super) fn log(line: &str) {
    OUT.print_if_room(escape_lines(&format!("{line}\n")));
}

/// A line on standard error. There is no place to tell that it could not be written.
pub(super) fn complain(line: &str) {
    ERR.print(escape_lines(&format!("{line}\n")));
}

/// Waits until standard output takes more, so that who is asked for more text does not pile it up.
pub(super) async fn room() {
    OUT.room().await;
}

/// Waits until all that was said is written. That is up to who reads it.
pub(super) async fn flushed() {
    OUT.flushed().await;
    ERR.flushed().await;
}

/// The same, but not for long.
pub(super) async fn flushed_in_haste() {
    let _ = tokio::time::timeout(HASTE, flushed()).await;
}

/// Gives up what nobody has read; nothing waits for it any more.
pub(super) fn give_up() {
    OUT.give_up();
    ERR.give_up();
}

/// The program's exit status: `status`, unless something that was said is lost.
pub(super) fn finish(status: ExitCode) -> ExitCode {
    OUT.flush();
    let status = match OUT.failure() {
        None => status,
        Some(error) => {
            complain(&format!(
                "error: cannot write to standard output: {error}; make room there, or send it elsewhere"
            ));
            ExitCode::from(UNUSABLE)
        }
    };
    ERR.flush();
    status
}

/// Standard error for events, of which each is one write; they are dropped as lines of logs are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Events;

impl Write for Events {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ERR.print_if_room(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
