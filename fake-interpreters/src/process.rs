//! What a process can do to itself and to its output.

use std::fmt;
use std::io::{self, Read as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::script::{Crash, Flood, Grandchild, Stream};

/// Set for processes that are grandchildren, not interpreters.
pub(crate) const ROLE: &str = "FAKE_PYTHON_ROLE";

const STAY: &str = "stay";
const STAY_IN_NEW_SESSION: &str = "stay-in-new-session";

/// How long a grandchild lives that nobody kills.
const LONGEST_LIFE: Duration = Duration::from_secs(600);

/// A line on stderr; not being able to say it is no failure.
pub(crate) fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "fake-python: {text}");
}

/// Writes and flushes.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes so many lines that `flood.bytes` bytes are reached.
pub(crate) fn flood(flood: &Flood) -> io::Result<()> {
    let mut out: Box<dyn Write> = match flood.stream {
        Stream::Stdout => Box::new(io::stdout().lock()),
        Stream::Stderr => Box::new(io::stderr().lock()),
    };
    let mut line = vec![b'x'; flood.line_bytes.max(1)];
    if let Some(last) = line.last_mut() {
        *last = b'\n';
    }
    let mut left = flood.bytes;
    while left > 0 {
        // The last line may be a shorter one; it has its newline, too.
        let from = line.len().saturating_sub(left);
        out.write_all(&line[from..])?;
        left -= line.len() - from;
    }
    out.flush()
}

/// Closes stdout for whoever reads it: what is printed from here on is lost.
pub(crate) fn close_stdout() -> io::Result<()> {
    let nowhere = std::fs::File::options().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(nowhere)?)
}

/// Ends this process by a signal, without a core file.
pub(crate) fn crash(how: Crash) -> ! {
    let signal = match how {
        Crash::Sigsegv => Signal::SEGV,
        Crash::Sigkill => Signal::KILL,
        Crash::Sigabrt => Signal::ABORT,
    };
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let itself = rustix::process::getpid();
    // Rust's runtime takes the first SIGSEGV to look for a stack overflow, and lets the next one
    // through.
    for _ in 0..1000 {
        let _ = rustix::process::kill_process(itself, signal);
        std::thread::yield_now();
    }
    std::process::abort()
}

/// Makes a file in the working directory, which is the bundle; false if it is there.
pub(crate) fn lock(name: &str) -> io::Result<bool> {
    match std::fs::File::create_new(name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Starts a grandchild and waits until it has taken its place.
pub(crate) fn start_grandchild(kind: Grandchild) -> io::Result<u32> {
    let (mut ready, tell) = io::pipe()?;
    let output = || if kind.holds_output { Stdio::inherit() } else { Stdio::null() };
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    command.env(ROLE, if kind.new_session { STAY_IN_NEW_SESSION } else { STAY });
    command.stdin(tell).stdout(output()).stderr(output());
    let child = command.spawn()?;
    drop(command);
    if ready.read(&mut [0])? == 0 {
        return Err(io::Error::other("it ended at once"));
    }
    Ok(child.id())
}

/// The life of a grandchild.
pub(crate) fn live_as_grandchild(role: &str) -> ExitCode {
    if role == STAY_IN_NEW_SESSION {
        // It can fail only for the leader of a group, which has what it wants.
        let _ = rustix::process::setsid();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let ignored = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let ignored = ignored.map(signal);
        // The parent reads the other end of this pipe.
        let _ = rustix::io::write(io::stdin().as_fd(), b".");
        tokio::time::sleep(LONGEST_LIFE).await;
        drop(ignored);
    });
    ExitCode::SUCCESS
}
