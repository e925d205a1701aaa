//! The driver process: one line in, one line out, and no trust in either.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use super::protocol::{Answer, MAX_LINE_BYTES, cut, understand};

/// After its output has ended, a driver has this long to end.
const LEAVE: Duration = Duration::from_secs(2);
/// So many lines that are no answer are read in one case, and no more.
const MAX_GARBAGE: usize = 1000;
/// How much of its standard error is kept, in bytes, and how many lines are quoted when it dies.
const STDERR_BYTES: usize = 2048;
const QUOTED: usize = 3;

/// What a driver did instead of answering, or beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverFault {
    /// It wrote a line that is no answer to the case: the line, and what is wrong with it.
    Garbage(String, String),
    /// It wrote a line longer than this many bytes.
    TooLong(usize),
    /// It ended: how, and the end of its standard error.
    Died(String, String),
    /// It did not answer within this time.
    Hung(Duration),
}

impl std::fmt::Display for DriverFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Garbage(line, why) => {
                write!(f, "the driver wrote a line that is no answer ({why}): {}", cut(line))
            }
            Self::TooLong(bytes) => write!(f, "the driver wrote a line of more than {bytes} bytes"),
            Self::Died(how, said) if said.is_empty() => write!(f, "the driver ended: {how}"),
            Self::Died(how, said) => write!(f, "the driver ended: {how}; it said: {said}"),
            Self::Hung(limit) => write!(f, "the driver did not answer within {limit:?}"),
        }
    }
}

/// What came of asking.
#[derive(Debug)]
pub(super) enum Heard {
    /// An answer to this case. Lines that are none may have come before it.
    Answer(Answer, Option<DriverFault>),
    /// None, and the driver is of no more use.
    Nothing(DriverFault),
}

/// A line, or why there are no more.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// A running driver. Dropped, it is killed with everything in its process group.
pub(super) struct Driver {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<Line>,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    quoted: Option<tokio::task::JoinHandle<()>>,
    group: Option<rustix::process::Pid>,
}

impl Driver {
    /// Starts the command with these variables besides the kit's own, in a process group of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        command: &[OsString],
        variables: &[(&str, &OsStr)],
    ) -> std::io::Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(std::io::Error::other("no command"));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        let (sender, lines) = mpsc::channel(16);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read_lines(stdout, sender));
        }
        let stderr = Arc::default();
        let quoted =
            child.stderr.take().map(|from| tokio::spawn(keep_end(from, Arc::clone(&stderr))));
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, lines, stderr, quoted, group })
    }

    /// Asks, and waits for the answer to `case`.
    pub(super) async fn ask(
        &mut self,
        case: u64,
        line: &[u8],
        limit: Duration,
        stale: &mut Vec<u64>,
    ) -> Heard {
        match tokio::time::timeout(limit, self.exchange(case, line, stale)).await {
            Ok(heard) => heard,
            Err(_) => Heard::Nothing(DriverFault::Hung(limit)),
        }
    }

    async fn exchange(&mut self, case: u64, line: &[u8], stale: &mut Vec<u64>) -> Heard {
        // A driver that does not read has ended, or will be found to hang. One that answers without
        // having read all is heard all the same.
        if let Some(stdin) = &mut self.stdin
            && (stdin.write_all(line).await.is_err() || stdin.flush().await.is_err())
        {
            self.stdin = None;
        }
        let mut garbage: Option<DriverFault> = None;
        let mut count = 0;
        loop {
            let line = match self.lines.recv().await {
                Some(Line::Whole(line)) => line,
                Some(Line::TooLong) => return Heard::Nothing(DriverFault::TooLong(MAX_LINE_BYTES)),
                None => {
                    let (how, said) = self.end().await;
                    return Heard::Nothing(garbage.unwrap_or(DriverFault::Died(how, said)));
                }
            };
            let why = match understand(&line) {
                Ok(answer) if answer.case == case => return Heard::Answer(answer, garbage),
                Ok(answer) if answer.case < case => {
                    stale.push(answer.case);
                    continue;
                }
                Ok(answer) => format!("case {} has not been asked", answer.case),
                Err(why) => why,
            };
            let text = String::from_utf8_lossy(&line).into_owned();
            garbage.get_or_insert(DriverFault::Garbage(text, why));
            count += 1;
            if let (true, Some(garbage)) = (count > MAX_GARBAGE, &garbage) {
                return Heard::Nothing(garbage.clone());
            }
        }
    }

    /// How the process ended, and what it said last.
    async fn end(&mut self) -> (String, String) {
        // Its output has ended, so it has ended or is about to.
        let how = match tokio::time::timeout(LEAVE, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it closed its standard output and stayed".to_owned(),
        };
        if let Some(quoted) = self.quoted.take() {
            let _ = tokio::time::timeout(LEAVE, quoted).await;
        }
        let mut said = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(said.make_contiguous()).into_owned();
        // The end of a traceback is what tells.
        let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        (how, lines[lines.len().saturating_sub(QUOTED)..].join("\n"))
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // No group is left to kill when all of it has ended.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.start_kill();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn read_lines(stdout: ChildStdout, lines: mpsc::Sender<Line>) {
    let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
    loop {
        let mut line = Vec::new();
        match read_line(&mut stdout, &mut line, MAX_LINE_BYTES).await {
            Ok(true) if line.trim_ascii().is_empty() => {}
            Ok(true) => {
                if lines.send(Line::Whole(line)).await.is_err() {
                    return;
                }
            }
            Ok(false) => {
                let _ = lines.send(Line::TooLong).await;
                return;
            }
            Err(_) => return,
        }
    }
}

/// Reads up to the end of a line; `false` when it is longer than `limit`. A last line without its
/// end counts as one.
async fn read_line<R: AsyncBufRead + Unpin>(
    from: &mut R,
    line: &mut Vec<u8>,
    limit: usize,
) -> std::io::Result<bool> {
    loop {
        let buffer = from.fill_buf().await?;
        if buffer.is_empty() {
            return match line.is_empty() {
                true => Err(std::io::ErrorKind::UnexpectedEof.into()),
                false => Ok(true),
            };
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let take = end.unwrap_or(buffer.len());
        if line.len() + take > limit {
            return Ok(false);
        }
        line.extend_from_slice(&buffer[..take]);
        from.consume(end.map_or(take, |end| end + 1));
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Keeps the end of what the driver writes to its standard error.
async fn keep_end(mut stderr: ChildStderr, kept: Arc<Mutex<VecDeque<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..read]);
        tracing::debug!(target: "sdk_driver", "{}", text.trim_end());
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&buffer[..read]);
        let more = kept.len().saturating_sub(STDERR_BYTES);
        kept.drain(..more);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Longer than any of the scripts takes, but for those that never answer.
    const LIMIT: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(200);

    async fn hear(script: &str, limit: Duration) -> (Heard, Vec<u64>) {
        let command = ["sh".into(), "-c".into(), script.into()];
        let mut driver = Driver::start(&command, &[("TARGET", OsStr::new("127.0.0.1:1"))]).unwrap();
        let mut stale = Vec::new();
        let heard = driver.ask(7, b"{\"case\":7}\n", limit, &mut stale).await;
        drop(driver);
        (heard, stale)
    }

    #[tokio::test]
    async fn an_answer_is_heard_and_variables_are_set() {
        let (heard, _) =
            hear(r#"read line; echo "{\"case\":7,\"missing\":\"$TARGET\"}""#, LIMIT).await;
        let Heard::Answer(answer, None) = heard else { panic!("{heard:?}") };
        assert_eq!(answer.said, super::super::protocol::Said::Missing("127.0.0.1:1".into()));
    }

    #[tokio::test]
    async fn garbage_before_an_answer_is_named_and_stale_answers_are_told() {
        let script = r#"read line; echo hello; echo '{"case":3,"response":{}}'; echo '{"case":7,"response":{}}'"#;
        let (heard, stale) = hear(script, LIMIT).await;
        let Heard::Answer(_, Some(DriverFault::Garbage(line, _))) = heard else {
            panic!("{heard:?}")
        };
        assert_eq!((line.as_str(), stale), ("hello", vec![3]));
    }

    #[tokio::test]
    async fn a_death_is_told_with_its_last_words() {
        let (heard, _) = hear("read line; echo broken >&2; exit 3", LIMIT).await;
        let Heard::Nothing(DriverFault::Died(how, said)) = heard else { panic!("{heard:?}") };
        assert!(how.contains('3'), "{how}");
        assert_eq!(said, "broken");
    }

    #[tokio::test]
    async fn a_driver_that_never_answers_hangs() {
        for script in ["sleep 1000", "read line; sleep 1000 & wait"] {
            let (heard, _) = hear(script, SHORT).await;
            assert!(matches!(heard, Heard::Nothing(DriverFault::Hung(_))), "{script}: {heard:?}");
        }
    }

    #[tokio::test]
    async fn endless_lines_and_endless_garbage_have_an_end() {
        let (heard, _) = hear("read line; tr '\\0' x < /dev/zero", LIMIT).await;
        assert!(matches!(heard, Heard::Nothing(DriverFault::TooLong(_))), "{heard:?}");
        let (heard, _) = hear("read line; yes garbage", LIMIT).await;
        assert!(matches!(heard, Heard::Nothing(DriverFault::Garbage(..))), "{heard:?}");
    }
}
