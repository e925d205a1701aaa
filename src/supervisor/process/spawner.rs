//! The threads that fork.
//!
//! On Linux a child dies with the *thread* that forked it, not with the process of that thread. A
//! worker of a runtime may end long before the program does, so all plugins are forked by threads
//! that never end. One is enough as long as the system starts programs at once. When it does not, e.g.
//! because the disk of one of them does not answer, another thread takes what waits behind that.

use std::collections::VecDeque;
use std::os::unix::process::CommandExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ChildStderr, ChildStdout, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use tokio::sync::oneshot;

use super::command::{Command, LAUNCH_MARKER};
use super::error::{SpawnError, explain};
use super::owned_group::OwnedGroup;
#[cfg(target_os = "linux")]
use super::parent_death::Notice;
use super::start_time::Start;
use super::{program, sweeper};

/// The longest that the system may take to start a program, e.g. from a slow network disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest that nothing moves before another thread takes the next request.
const BEHIND: Duration = Duration::from_millis(100);

/// The most threads, all but one of which are stuck.
const MOST_THREADS: usize = 64;

/// A process that was just started. Dropping it kills it.
pub(super) struct Newborn {
    pub(super) group: OwnedGroup,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

struct Request {
    command: Command,
    seat: Arc<Seat>,
    reply: oneshot::Sender<Result<Newborn, SpawnError>>,
}

/// How far a request has come.
#[derive(Default)]
struct Seat {
    taken: OnceLock<Instant>,
    #[cfg(target_os = "linux")]
    notice: OnceLock<Notice>,
}

/// The threads, and what they are to do.
struct Pool {
    queue: VecDeque<Request>,
    threads: usize,
    idle: usize,
    /// When a request was taken, or a thread added, the last time.
    moved: Option<Instant>,
}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { queue: VecDeque::new(), threads: 0, idle: 0, moved: None });
static WORK: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks a thread to start a process.
pub(super) async fn start(command: &Command) -> Result<Newborn, SpawnError> {
    sweeper::start().map_err(|source| explain(command, source))?;
    sweeper::orphans_are_gone().await;
    let (reply, mut answer) = oneshot::channel();
    let seat = Arc::new(Seat::default());
    let unwanted = Unwanted(Some(Arc::clone(&seat)));
    let asked = Instant::now();
    submit(Request { command: command.clone(), seat: Arc::clone(&seat), reply })
        .map_err(|source| explain(command, source))?;
    loop {
        match tokio::time::timeout(BEHIND, &mut answer).await {
            Ok(Ok(result)) => {
                unwanted.answered();
                return result;
            }
            Ok(Err(_)) => {
                unwanted.answered();
                let source = io::Error::other("the spawner thread gave no answer");
                return Err(explain(command, source));
            }
            Err(_) => {}
        }
        let (program, dir, after) = (command.program.clone(), command.dir.clone(), PATIENCE);
        match seat.taken.get() {
            Some(taken) if taken.elapsed() >= PATIENCE => {
                return Err(SpawnError::TimedOut { program, dir, after });
            }
            Some(_) => {}
            None if asked.elapsed() >= PATIENCE => {
                let stuck = pool().threads;
                return Err(SpawnError::Behind { program, dir, after, stuck });
            }
            None => reinforce(),
        }
    }
}

/// A request whose answer nobody waits for any more.
struct Unwanted(Option<Arc<Seat>>);

impl Unwanted {
    fn answered(mut self) {
        self.0 = None;
    }
}

/// Kills a child that does not come to its program. As a copy of this process it has all of its
/// files and sockets open.
impl Drop for Unwanted {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(notice) = self.0.as_ref().and_then(|seat| seat.notice.get()) {
            notice.kill();
        }
    }
}

/// Hands a request to the threads; the first is started if there is none.
fn submit(request: Request) -> io::Result<()> {
    let mut pool = pool();
    if pool.threads == 0 {
        add(&mut pool)?;
    }
    pool.queue.push_back(request);
    WORK.notify_one();
    Ok(())
}

/// Adds a thread if requests wait and nothing moves.
fn reinforce() {
    let mut pool = pool();
    let is_stuck = pool.idle == 0 && pool.moved.is_none_or(|moved| moved.elapsed() >= BEHIND);
    if is_stuck
        && !pool.queue.is_empty()
        && pool.threads < MOST_THREADS
        && let Err(error) = add(&mut pool)
    {
        tracing::warn!(%error, "no thread to start plugins with while another one is stuck");
    }
}

fn add(pool: &mut Pool) -> io::Result<()> {
    thread::Builder::new().name("plugin-spawner".to_owned()).spawn(serve)?;
    pool.threads += 1;
    pool.moved = Some(Instant::now());
    Ok(())
}

/// What a thread does. It may not end: what it has forked dies with it.
fn serve() {
    loop {
        let Request { command, seat, reply } = next();
        if reply.is_closed() {
            continue;
        }
        let started = catch_unwind(AssertUnwindSafe(|| fork(&command, &seat)));
        let started = started.unwrap_or_else(|_| Err(explain(&command, panicked())));
        // Without a taker the process is dropped here, and that kills it.
        let _ = catch_unwind(AssertUnwindSafe(|| reply.send(started)));
    }
}

fn next() -> Request {
    let mut pool = pool();
    pool.idle += 1;
    loop {
        if let Some(request) = pool.queue.pop_front() {
            pool.idle -= 1;
            let now = Instant::now();
            pool.moved = Some(now);
            // Nobody else sets it.
            let _ = request.seat.taken.set(now);
            return request;
        }
        pool = WORK.wait(pool).unwrap_or_else(PoisonError::into_inner);
    }
}

/// The standard library panics when it cannot wait for a child whose `exec` has failed.
fn panicked() -> io::Error {
    io::Error::other(
        "the program cannot be run, and why is not known, because the child was reaped by somebody \
         else: do not ignore SIGCHLD, or look at the program",
    )
}

#[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
fn fork(command: &Command, seat: &Seat) -> Result<Newborn, SpawnError> {
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
    {
        let notice = Notice::new().map_err(|source| explain(command, source))?;
        let notice = seat.notice.get_or_init(|| notice);
        super::parent_death::kill_with_parent(&mut os, notice);
    }

    let before = Start::now();
    let mut child = os.spawn().map_err(|source| explain(command, source))?;
    let group = OwnedGroup::new(&child, command.marker.clone(), before);
    match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => Ok(Newborn { group, stdout, stderr }),
        _ => Err(explain(command, io::Error::other("the pipes are missing"))),
    }
}
