//! A stream with a thread that writes to it.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A stream to which nobody waits to print: a thread of its own writes what is queued.
///
/// Lines of logs come as fast as plugins print them, and are dropped while more than a limit waits;
/// the next text that is printed is preceded by how many. All else is queued in any case.
pub(super) struct Printer {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    state: Mutex<State>,
    /// There is something to write.
    more: Condvar,
    /// Something was written, or given up.
    less: Condvar,
    /// The same for tasks.
    less_for_tasks: Notify,
}

#[derive(Default)]
struct State {
    /// To be written.
    waiting: Vec<u8>,
    /// Being written, in bytes.
    under_way: usize,
    /// Lines that were dropped since the last text.
    dropped: u64,
    /// Nobody waits for it any more.
    given_up: bool,
    failure: Option<io::Error>,
}

type Write = Box<dyn FnMut(&[u8]) -> io::Result<()> + Send>;

impl Printer {
    /// Starts the thread.
    pub(super) fn start(
        name: &str,
        limit: usize,
        write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            limit,
            state: Mutex::default(),
            more: Condvar::new(),
            less: Condvar::new(),
            less_for_tasks: Notify::new(),
        });
        let (writer, write): (_, Write) = (Arc::clone(&shared), Box::new(write));
        let thread = std::thread::Builder::new().name(name.to_owned());
        if let Err(error) = thread.spawn(move || writer.run(write)) {
            // There is nobody to write anything: it counts as a stream that takes nothing.
            let mut state = shared.lock();
            state.given_up = true;
            state.failure = Some(error);
        }
        Self { shared }
    }

    /// Prints this.
    pub(super) fn print(&self, text: String) {
        self.shared.push(text, false);
    }

    /// Prints this unless too much waits.
    pub(super) fn print_if_room(&self, text: String) {
        self.shared.push(text, true);
    }

    /// Waits until less than twice the limit waits: logs leave other texts room.
    pub(super) async fn room(&self) {
        self.until(|state| state.bytes() < self.shared.limit.saturating_mul(2)).await;
    }

    /// Waits until everything is written.
    pub(super) async fn flushed(&self) {
        self.shared.tell_dropped();
        self.until(|state| state.bytes() == 0).await;
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut less = pin!(self.shared.less_for_tasks.notified());
            // From here on nothing is missed.
            less.as_mut().enable();
            {
                let state = self.shared.lock();
                if state.given_up || holds(&state) {
                    return;
                }
            }
            less.await;
        }
    }

    /// Blocks until everything is written.
    pub(super) fn flush(&self) {
        self.shared.tell_dropped();
        let mut state = self.shared.lock();
        while !state.given_up && state.bytes() > 0 {
            state = self.shared.less.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops what is to be written; nothing is printed any more, and nobody waits.
    pub(super) fn give_up(&self) {
        let mut state = self.shared.lock();
        state.given_up = true;
        state.waiting = Vec::new();
        drop(state);
        self.shared.tell_less();
    }

    /// Takes why something could not be written: the first reason.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.shared.lock().failure.take()
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.waiting.len() + self.under_way
    }

    fn note_dropped(&mut self) {
        let lines = match std::mem::take(&mut self.dropped) {
            0 => return,
            1 => "1 line of a log was dropped".to_owned(),
            lines => format!("{lines} lines of logs were dropped"),
        };
        let note = format!("({lines} here: nobody read them in time)\n");
        self.waiting.extend_from_slice(note.as_bytes());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, text: String, may_be_dropped: bool) {
        let mut state = self.lock();
        if state.given_up {
            return;
        }
        // A text that is longer than the limit is printed where nothing else waits.
        let full = state.bytes() > 0 && state.bytes() + text.len() > self.limit;
        if may_be_dropped && full {
            state.dropped = state.dropped.saturating_add(1);
            return;
        }
        state.note_dropped();
        state.waiting.extend_from_slice(text.as_bytes());
        drop(state);
        self.more.notify_one();
    }

    /// What was dropped last is told, though nothing else is printed.
    fn tell_dropped(&self) {
        let mut state = self.lock();
        if !state.given_up {
            state.note_dropped();
        }
        drop(state);
        self.more.notify_one();
    }

    fn tell_less(&self) {
        self.less.notify_all();
        self.less_for_tasks.notify_waiters();
    }

    /// The thread: writes what there is, for as long as the program runs.
    fn run(&self, mut write: Write) {
        let mut state = self.lock();
        loop {
            if state.waiting.is_empty() {
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let text = std::mem::take(&mut state.waiting);
            state.under_way = text.len();
            drop(state);
            let written = write(&text);
            state = self.lock();
            state.under_way = 0;
            // Who has closed it does not want to know.
            if let Err(error) = written
                && error.kind() != io::ErrorKind::BrokenPipe
            {
                state.failure.get_or_insert(error);
            }
            self.tell_less();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc;

    use super::*;

    /// A printer to a reader that takes what is written one text at a time.
    fn printer(limit: usize) -> (Printer, mpsc::Receiver<String>) {
        let (sender, read) = mpsc::sync_channel(0);
        let write = move |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            sender.send(text).map_err(|_| io::ErrorKind::BrokenPipe.into())
        };
        (Printer::start("test", limit, write), read)
    }

    /// Until the writer is stuck in a write.
    fn stuck(printer: &Printer) {
        while printer.shared.lock().under_way == 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn only_log_lines_are_dropped_and_the_next_text_says_how_many() {
        let (printer, read) = printer(10);
        printer.print_if_room("a long first line\n".to_owned());
        stuck(&printer);
        for _ in 0..3 {
            printer.print_if_room("log\n".to_owned());
        }
        printer.print("said\n".to_owned());
        printer.print_if_room("log\n".to_owned());
        printer.print("said, too\n".to_owned());
        assert_eq!(read.recv().unwrap(), "a long first line\n");
        let note = "(3 lines of logs were dropped here: nobody read them in time)\nsaid\n\
                    (1 line of a log was dropped here: nobody read them in time)\nsaid, too\n";
        assert_eq!(read.recv().unwrap(), note);
        printer.flush();
        printer.print_if_room("log\n".to_owned());
        assert_eq!(read.recv().unwrap(), "log\n");
    }

    #[test]
    fn the_end_tells_what_was_dropped_and_waits_until_all_is_written() {
        let (printer, read) = printer(4);
        printer.print("first\n".to_owned());
        stuck(&printer);
        printer.print_if_room("log\n".to_owned());
        let reader = std::thread::spawn(move || read.iter().take(2).collect::<Vec<_>>());
        printer.flush();
        let note = "(1 line of a log was dropped here: nobody read them in time)\n";
        assert_eq!(reader.join().unwrap(), ["first\n", note]);
    }

    #[tokio::test]
    async fn nobody_waits_for_what_was_given_up() {
        let (printer, read) = printer(4);
        printer.print("first\n".to_owned());
        stuck(&printer);
        printer.print("never read\n".to_owned());
        let waits = async { tokio::join!(printer.room(), printer.flushed()) };
        let mut waits = Box::pin(waits);
        assert!(futures::poll!(&mut waits).is_pending());
        printer.give_up();
        waits.await;
        printer.flush();
        assert_eq!(read.recv().unwrap(), "first\n");
        drop(read);
        assert!(printer.failure().is_none());
    }

    #[tokio::test]
    async fn there_is_room_again_when_something_was_read() {
        let (printer, read) = printer(3);
        printer.room().await;
        printer.print("first\n".to_owned());
        let mut room = Box::pin(printer.room());
        assert!(futures::poll!(&mut room).is_pending());
        drop(read);
        room.await;
        printer.flushed().await;
    }

    #[test]
    fn the_first_failure_is_kept() {
        let mut failures = 0;
        let printer = Printer::start("test", 4, move |_| {
            failures += 1;
            Err(io::Error::other(failures.to_string()))
        });
        for text in ["a", "b"] {
            printer.print(text.to_owned());
            printer.flush();
        }
        assert_eq!(printer.failure().unwrap().to_string(), "1");
    }
}
