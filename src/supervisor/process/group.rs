//! The process group of one launch: signals, status, and the end.

use std::io;
use std::ops::Deref;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, waitid};

use super::exit::ExitStatus;
use super::sweep;

/// The longest that dropping an [`OwnedGroup`] waits for its background thread.
const DROP_PATIENCE: Duration = Duration::from_millis(250);

/// For how long the background thread looks for what is still alive.
const BACKGROUND_SWEEP: Duration = Duration::from_secs(30);

/// A group whose leader is our child.
///
/// Signals and reaping take turns by the lock, so no signal can go to a process id that is no
/// longer the leader's.
#[derive(Debug)]
// Without a sweep nobody asks for the marker and the start.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(super) struct Group {
    pid: Pid,
    marker: String,
    /// When the leader started, in the kernel's ticks since boot: nothing of it is older.
    started: Option<u64>,
    reaped: Mutex<bool>,
}

impl Group {
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    #[cfg(target_os = "linux")]
    pub(super) fn marker(&self) -> &str {
        &self.marker
    }

    #[cfg(target_os = "linux")]
    pub(super) fn started(&self) -> u64 {
        self.started.unwrap_or(0)
    }

    /// Sends a signal to all of the group; a group that is gone is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let reaped = self.lock();
        if *reaped || matches!(self.ask(WaitIdOptions::NOWAIT), Asked::Gone) {
            return Ok(());
        }
        match rustix::process::kill_process_group(self.pid, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            // What macOS says of a group of which only the dead leader is left.
            Err(Errno::PERM) if matches!(self.ask(WaitIdOptions::NOWAIT), Asked::Dead(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// [`Self::signal`] with SIGKILL, for callers that can do nothing about a failure.
    pub(super) fn kill(&self) {
        if let Err(error) = self.signal(Signal::KILL) {
            let pid = self.pid.as_raw_pid();
            tracing::warn!(pid, %error, "the process group could not be killed");
        }
    }

    /// How the leader ended; `None` while it lives. Does not reap it.
    pub(super) fn exit_status(&self) -> Option<ExitStatus> {
        let reaped = self.lock();
        if *reaped {
            return Some(ExitStatus::Unknown);
        }
        match self.ask(WaitIdOptions::NOWAIT) {
            Asked::Alive => None,
            Asked::Dead(state) => Some(state),
            Asked::Gone => Some(ExitStatus::Unknown),
        }
    }

    /// Reaps the leader if it is dead; whether it is gone.
    fn try_reap(&self) -> bool {
        let mut reaped = self.lock();
        if !*reaped {
            *reaped = !matches!(self.ask(WaitIdOptions::empty()), Asked::Alive);
        }
        *reaped
    }

    /// Blocks until the leader is dead, which may be for ever. Does not reap it.
    fn wait(&self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(Errno::INTR) = waitid(WaitId::Pid(self.pid), options) {}
    }

    fn ask(&self, options: WaitIdOptions) -> Asked {
        let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match waitid(WaitId::Pid(self.pid), options) {
            Ok(None) | Err(Errno::INTR) => Asked::Alive,
            Ok(Some(status)) => Asked::Dead(state(&status)),
            // Somebody else reaped it, or the host ignores SIGCHLD and the kernel did.
            Err(_) => Asked::Gone,
        }
    }

    fn is_reaped(&self) -> bool {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.reaped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the kernel says about the leader.
enum Asked {
    Alive,
    Dead(ExitStatus),
    Gone,
}

fn state(status: &WaitIdStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        (None, None) => ExitStatus::Unknown,
    }
}

/// The one owner of a [`Group`]: when it goes, so does the group.
#[derive(Debug)]
pub(super) struct OwnedGroup {
    group: Arc<Group>,
    /// The background thread has it.
    abandoned: bool,
}

impl OwnedGroup {
    /// Takes over a child that leads its own group and that nobody else reaps.
    pub(super) fn new(child: &std::process::Child, marker: String) -> Self {
        let pid = Pid::from_child(child);
        let started = sweep::started(pid);
        let group = Group { pid, marker, started, reaped: Mutex::new(false) };
        Self { group: Arc::new(group), abandoned: false }
    }

    pub(super) fn share(&self) -> Arc<Group> {
        Arc::clone(&self.group)
    }

    /// Reaps the leader, which is dead, when nothing else is left either.
    pub(super) fn reap(self) {
        // It stays unreaped only under a debugger, which is told first; then dropping sees to it.
        self.group.try_reap();
    }

    /// Leaves the rest to the background thread and does not wait for it.
    pub(super) fn abandon(mut self) {
        self.dispose();
        self.abandoned = true;
    }

    /// Ends all of the group on a thread of its own. The other end hangs up when it is done.
    fn dispose(&self) -> Option<Receiver<()>> {
        self.group.kill();
        let group = self.share();
        let (done, waiting) = channel::<()>();
        let thread = thread::Builder::new().name("plugin-reaper".to_owned());
        match thread.spawn(move || {
            end(&group);
            drop(done);
        }) {
            Ok(_) => Some(waiting),
            Err(error) => {
                let pid = self.group.pid.as_raw_pid();
                tracing::warn!(pid, %error, "no thread to wait for a killed process");
                self.group.try_reap();
                None
            }
        }
    }
}

impl Deref for OwnedGroup {
    type Target = Group;

    fn deref(&self) -> &Group {
        &self.group
    }
}

impl Drop for OwnedGroup {
    fn drop(&mut self) {
        if !self.abandoned
            && !self.group.is_reaped()
            && let Some(waiting) = self.dispose()
        {
            // Done or not: the thread goes on by itself.
            let _ = waiting.recv_timeout(DROP_PATIENCE);
        }
    }
}

fn end(group: &Group) {
    sweep::sweep(group, Instant::now() + BACKGROUND_SWEEP, &AtomicUsize::new(0));
    group.wait();
    group.kill();
    group.try_reap();
}
