//! What a process can do to itself and to its output.

use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::script::{Crash, Flood, Grandchild, Stream};

/// Set for processes that are grandchildren, not interpreters.
pub(crate) const ROLE: &str = "FAKE_PYTHON_ROLE";

/// The words of a grandchild's role.
const STAY: &str = "stay";
const IN_NEW_SESSION: &str = "in-new-session";
const FORK_AGAIN: &str = "fork-again";

/// How long a grandchild lives that nobody kills.
const LONGEST_LIFE: Duration = Duration::from_secs(600);

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

/// Starts a grandchild and waits until it has taken its place; gives its process id.
pub(crate) fn start_grandchild(kind: Grandchild) -> io::Result<u32> {
    let (mut ready, tell) = io::pipe()?;
    let sockets = if kind.holds_sockets { inheritable_sockets()? } else { Vec::new() };
    let mut role = vec![STAY];
    role.extend(kind.new_session.then_some(IN_NEW_SESSION));
    role.extend(kind.double_fork.then_some(FORK_AGAIN));
    let output = || if kind.holds_output { Stdio::inherit() } else { Stdio::null() };
    let mut command = same_program()?;
    command.env(ROLE, role.join(" ")).stdin(tell).stdout(output()).stderr(output());
    let mut child = command.spawn()?;
    drop((command, sockets));
    let mut pid = [0; 4];
    ready.read_exact(&mut pid).map_err(|_| io::Error::other("it ended at once"))?;
    if kind.double_fork {
        child.wait()?;
    }
    Ok(u32::from_ne_bytes(pid))
}

fn same_program() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    Ok(command)
}

/// A copy of each socket that this process has open, which programs that it starts inherit.
#[cfg(target_os = "linux")]
fn inheritable_sockets() -> io::Result<Vec<OwnedFd>> {
    use rustix::fs::{FileType, fstat};
    use rustix::io::{FdFlags, fcntl_setfd};
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let itself = pidfd_open(getpid(), PidfdFlags::empty())?;
    let mut sockets = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let copy = match pidfd_getfd(&itself, number, PidfdGetfdFlags::empty()) {
            Ok(copy) => copy,
            // Closed meanwhile.
            Err(rustix::io::Errno::BADF) => continue,
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(fstat(&copy)?.st_mode) == FileType::Socket {
            fcntl_setfd(&copy, FdFlags::empty())?;
            sockets.push(copy);
        }
    }
    Ok(sockets)
}

#[cfg(not(target_os = "linux"))]
fn inheritable_sockets() -> io::Result<Vec<OwnedFd>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "`holds_sockets` needs Linux"))
}

/// The life of a grandchild.
pub(crate) fn live_as_grandchild(role: &str) -> ExitCode {
    let is = |word: &str| role.split(' ').any(|one| one == word);
    if is(FORK_AGAIN) {
        let rest: Vec<_> = role.split(' ').filter(|word| *word != FORK_AGAIN).collect();
        let next = same_program().and_then(|mut next| next.env(ROLE, rest.join(" ")).spawn());
        return if next.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if is(IN_NEW_SESSION) {
        // It can fail only for the leader of a group, which has what it wants.
        let _ = rustix::process::setsid();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    runtime.block_on(async {
        let ignored = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let ignored = ignored.map(signal);
        // The parent reads the other end of this pipe.
        let _ = rustix::io::write(io::stdin().as_fd(), &std::process::id().to_ne_bytes());
        tokio::time::sleep(LONGEST_LIFE).await;
        drop(ignored);
    });
    ExitCode::SUCCESS
}
