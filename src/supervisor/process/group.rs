//! The process group of one launch: signals, status, and the end.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, waitid};

use super::exit::ExitStatus;

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
    /// The group of a child that leads it and that nobody else reaps.
    pub(super) fn new(pid: Pid, marker: String, started: Option<u64>) -> Self {
        Self { pid, marker, started, reaped: Mutex::new(false) }
    }

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
    pub(super) fn try_reap(&self) -> bool {
        let mut reaped = self.lock();
        if !*reaped {
            *reaped = !matches!(self.ask(WaitIdOptions::empty()), Asked::Alive);
        }
        *reaped
    }

    /// Blocks until the leader is dead, which may be for ever. Does not reap it.
    pub(super) fn wait(&self) {
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

    pub(super) fn is_reaped(&self) -> bool {
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
