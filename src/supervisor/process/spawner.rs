//! The thread that forks.
//!
//! On Linux a child dies with the *thread* that forked it, not with the process of that thread. A
//! worker of a runtime may end long before the program does, so all plugins are forked by a thread
//! that never ends.

use std::os::unix::process::CommandExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ChildStderr, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::oneshot;

use super::command::{Command, LAUNCH_MARKER};
use super::error::{SpawnError, explain};
use super::owned_group::OwnedGroup;
use super::{program, sweep};

/// The longest that the system may take to start a program, e.g. from a slow network disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process that was just started. Dropping it kills it.
pub(super) struct Newborn {
    pub(super) group: OwnedGroup,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

struct Request {
    command: Command,
    reply: oneshot::Sender<Result<Newborn, SpawnError>>,
}

/// The thread that now takes requests.
struct Spawner {
    number: u64,
    requests: Sender<Request>,
}

static SPAWNER: Mutex<Option<Spawner>> = Mutex::new(None);

/// Asks the thread to start a process.
pub(super) async fn start(command: &Command) -> Result<Newborn, SpawnError> {
    let (reply, answer) = oneshot::channel();
    let number = submit(Request { command: command.clone(), reply })
        .map_err(|source| explain(command, source))?;
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(explain(command, io::Error::other("the spawner thread gave no answer"))),
        Err(_) => {
            retire(number);
            Err(SpawnError::TimedOut {
                program: command.program.clone(),
                dir: command.dir.clone(),
                after: PATIENCE,
            })
        }
    }
}

/// Hands a request to the thread, which is started if there is none.
fn submit(mut request: Request) -> io::Result<u64> {
    let mut current = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    let mut number = 0;
    if let Some(spawner) = current.take() {
        number = spawner.number;
        match spawner.requests.send(request) {
            Ok(()) => {
                *current = Some(spawner);
                return Ok(number);
            }
            Err(unsent) => request = unsent.0,
        }
    }
    number += 1;
    let (requests, queue) = channel();
    thread::Builder::new().name("plugin-spawner".to_owned()).spawn(move || serve(&queue))?;
    // Cannot fail: the thread takes requests for as long as this sender exists.
    let _ = requests.send(request);
    *current = Some(Spawner { number, requests });
    Ok(number)
}

/// Has the next request start another thread, because this one is stuck in the kernel.
fn retire(number: u64) {
    let mut current = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    if current.as_ref().is_some_and(|spawner| spawner.number == number) {
        *current = None;
    }
}

fn serve(queue: &Receiver<Request>) {
    static ORPHANS: Once = Once::new();
    ORPHANS.call_once(sweep::orphans);
    for Request { command, reply } in queue {
        if reply.is_closed() {
            continue;
        }
        let started = catch_unwind(AssertUnwindSafe(|| fork(&command))).unwrap_or_else(|_| {
            Err(explain(&command, io::Error::other("the spawner thread panicked")))
        });
        // Without a taker the process is dropped here, and that kills it.
        let _ = catch_unwind(AssertUnwindSafe(|| reply.send(started)));
    }
    // Retired. What it has forked dies with it, so it may not end.
    loop {
        thread::park();
    }
}

fn fork(command: &Command) -> Result<Newborn, SpawnError> {
    if let Some(problem) = command.malformed() {
        return Err(SpawnError::Malformed { program: command.program.clone(), problem });
    }
    if let Some(problem) = program::refuse(command) {
        return Err(SpawnError::WrongFormat {
            program: command.program.clone(),
            dir: command.dir.clone(),
            problem,
        });
    }
    let mut os = std::process::Command::new(&command.program);
    os.args(&command.args)
        .current_dir(&command.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for (name, value) in &command.env {
        match value {
            Some(value) => os.env(name, value),
            None => os.env_remove(name),
        };
    }
    os.env(LAUNCH_MARKER, &command.marker);
    #[cfg(target_os = "linux")]
    super::parent_death::kill_with_parent(&mut os);

    let mut child = os.spawn().map_err(|source| explain(command, source))?;
    let group = OwnedGroup::new(&child, command.marker.clone());
    match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok(Newborn { group, stdout, stderr }),
        _ => Err(explain(command, io::Error::other("the pipes are missing"))),
    }
}
