//! Drains the plugin's stdout and stderr for as long as there is something to read.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Map;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::handshake::MAX_LINE;
use super::log::{LogRecord, LogSink, Stream};
use super::output::{Level, LineSplitter, Piece, StderrParser, TailBuffer};
use crate::escape::escape_control;

/// What was read before anything else.
#[derive(Debug)]
pub(super) enum FirstLine {
    /// The line, without its end; also what was read when the output ended without one.
    Line(Vec<u8>),
    /// More than this many bytes and no end of line.
    TooLong { limit: usize },
    /// The output ended before anything was written.
    None,
}

/// The two tasks that read a plugin's output.
#[derive(Debug)]
pub(super) struct Pumps {
    first_line: Option<oneshot::Receiver<FirstLine>>,
    tasks: [JoinHandle<()>; 2],
}

impl Pumps {
    pub(super) fn start(
        stdout: ChildStdout,
        stderr: ChildStderr,
        plugin_id: String,
        log: LogSink,
        tail: Arc<Mutex<TailBuffer>>,
    ) -> Self {
        let (send, receive) = oneshot::channel();
        let out =
            Pump { plugin_id: plugin_id.clone(), log: Arc::clone(&log), stream: Stream::Stdout };
        let err = Pump { plugin_id, log, stream: Stream::Stderr };
        Self {
            first_line: Some(receive),
            tasks: [tokio::spawn(out.stdout(stdout, send)), tokio::spawn(err.stderr(stderr, tail))],
        }
    }

    /// The first line of stdout, when it comes. Can be taken once.
    pub(super) fn first_line(&mut self) -> Option<oneshot::Receiver<FirstLine>> {
        self.first_line.take()
    }

    /// Reads what is left of a process that is gone, for at most `deadline`: a descendant that holds
    /// the pipes open does not hold us.
    pub(super) async fn finish(mut self, deadline: Duration) {
        let [out, err] = &mut self.tasks;
        let both = async {
            // A task that panicked has ended as well.
            let _ = out.await;
            let _ = err.await;
        };
        if tokio::time::timeout(deadline, both).await.is_err() {
            tracing::warn!("a plugin's output is held open after its end; it is let go");
        }
    }
}

impl Drop for Pumps {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Pump {
    plugin_id: String,
    log: LogSink,
    stream: Stream,
}

impl Pump {
    async fn stdout(self, mut stdout: ChildStdout, first: oneshot::Sender<FirstLine>) {
        let mut head = Vec::new();
        let end = loop {
            if let Some(end) = head.iter().position(|&byte| byte == b'\n') {
                break Some(end);
            }
            if head.len() >= MAX_LINE || read(&mut stdout, &mut head).await == 0 {
                break None;
            }
        };
        let mut rest = Vec::new();
        // Errors: the launch was given up and nobody waits for the line.
        let _ = match end {
            Some(end) if end < MAX_LINE => {
                rest = head.split_off(end + 1);
                head.truncate(end);
                first.send(FirstLine::Line(head))
            }
            _ if head.len() >= MAX_LINE => {
                rest = head;
                first.send(FirstLine::TooLong { limit: MAX_LINE })
            }
            _ if head.is_empty() => first.send(FirstLine::None),
            _ => first.send(FirstLine::Line(head)),
        };
        let emit = |piece: Piece<'_>| {
            let text = String::from_utf8_lossy(piece.bytes);
            self.emit(Level::Info, escape_control(&text), Map::new());
        };
        drain(&mut stdout, rest, emit).await;
    }

    async fn stderr(self, mut stderr: ChildStderr, tail: Arc<Mutex<TailBuffer>>) {
        let mut parser = StderrParser::default();
        let emit = |piece: Piece<'_>| {
            let text = String::from_utf8_lossy(piece.bytes);
            if let Ok(mut tail) = tail.lock() {
                tail.push(&text);
            }
            let line = match piece.continued {
                true => parser.parse_continued(&text),
                false => parser.parse(&text),
            };
            self.emit(line.level, line.message, line.fields);
        };
        drain(&mut stderr, Vec::new(), emit).await;
    }

    fn emit(&self, level: Level, message: String, fields: Map<String, serde_json::Value>) {
        let plugin_id = self.plugin_id.clone();
        (self.log)(LogRecord { plugin_id, stream: self.stream, level, message, fields });
    }
}

/// Reads to the end, line by line.
async fn drain<R: AsyncRead + Unpin>(
    input: &mut R,
    head: Vec<u8>,
    mut emit: impl FnMut(Piece<'_>),
) {
    let mut lines = LineSplitter::default();
    let mut buffer = head;
    loop {
        lines.push(&buffer, &mut emit);
        buffer.clear();
        if read(input, &mut buffer).await == 0 {
            break;
        }
    }
    lines.finish(&mut emit);
}

/// Reads some bytes; 0 at the end, and when reading fails, which for a pipe is the end as well.
async fn read<R: AsyncRead + Unpin>(input: &mut R, buffer: &mut Vec<u8>) -> usize {
    buffer.reserve(8 * 1024);
    input.read_buf(buffer).await.unwrap_or(0)
}
