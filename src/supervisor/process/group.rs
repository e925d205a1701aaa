//! The process group of one launch: signals, status, and the end.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, waitid};

use super::exit::ExitStatus;
#[cfg(target_os = "linux")]
use super::processes::Processes;
use super::start_time::Start;
#[cfg(target_os = "linux")]
use super::stat::{self, Stat};

/// How long a group whose leader somebody else has reaped is taken for ours, where that cannot be
/// asked. Its number means no other one before all numbers have come round.
const GONE_PATIENCE: Duration = Duration::from_secs(1);

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
    /// Before the leader was started, in the kernel's ticks since boot: nothing of it is older.
    #[cfg(target_os = "linux")]
    started: u64,
    fate: Mutex<Fate>,
}

/// What has become of the leader.
#[derive(Debug, Default)]
struct Fate {
    /// By us, when nothing else was left.
    reaped: bool,
    gone: Option<Gone>,
}

/// The leader was reaped by somebody else: by the kernel, because this process ignores SIGCHLD, or
/// by a part of this process that waits for any child.
#[derive(Debug, Clone, Copy)]
struct Gone {
    seen: Instant,
    /// The same in the kernel's ticks since boot.
    #[cfg(target_os = "linux")]
    ticks: u64,
}

impl Group {
    /// The group of a child that leads it. It was not started before `started`.
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
    pub(super) fn new(pid: Pid, marker: String, started: Start) -> Self {
        Self {
            pid,
            marker,
            #[cfg(target_os = "linux")]
            started: started.0,
            fate: Mutex::default(),
        }
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
        self.started
    }

    /// Whether a process is a member of this group.
    ///
    /// Even when the leader has been reaped, the group keeps its number as long as it has members.
    /// Whoever has started by then and has the number is one of them.
    #[cfg(target_os = "linux")]
    pub(super) fn owns(&self, process: &Stat) -> bool {
        process.group == self.pid.as_raw_pid()
            && process.started >= self.started
            && self.lock().gone.is_none_or(|gone| process.started <= gone.ticks)
    }

    /// Sends a signal to all of the group; a group that is gone is no error.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let mut fate = self.lock();
        if fate.reaped {
            return Ok(());
        }
        if matches!(self.ask(&mut fate, WaitIdOptions::NOWAIT), Asked::Gone) {
            drop(fate);
            if !self.has_members() {
                return Ok(());
            }
            fate = self.lock();
        }
        match rustix::process::kill_process_group(self.pid, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            // What macOS says of a group of which only the dead leader is left.
            Err(Errno::PERM)
                if matches!(self.ask(&mut fate, WaitIdOptions::NOWAIT), Asked::Dead(_)) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a group without its leader has members, so that its number means no other group.
    #[cfg(target_os = "linux")]
    fn has_members(&self) -> bool {
        let processes = Processes::read();
        processes.alive.iter().any(|process| self.owns(process))
            || (processes.unseen.is_some() && self.is_just_gone())
    }

    /// Whether a group without its leader may have members, so that its number means no other group.
    #[cfg(not(target_os = "linux"))]
    fn has_members(&self) -> bool {
        self.is_just_gone()
    }

    fn is_just_gone(&self) -> bool {
        self.lock().gone.is_some_and(|gone| gone.seen.elapsed() < GONE_PATIENCE)
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
        let mut fate = self.lock();
        if fate.reaped {
            return Some(ExitStatus::Unknown);
        }
        match self.ask(&mut fate, WaitIdOptions::NOWAIT) {
            Asked::Alive => None,
            Asked::Dead(state) => Some(state),
            Asked::Gone => Some(ExitStatus::Unknown),
        }
    }

    /// Reaps the leader if it is dead; whether it is gone.
    pub(super) fn try_reap(&self) -> bool {
        let mut fate = self.lock();
        if !fate.reaped {
            fate.reaped = !matches!(self.ask(&mut fate, WaitIdOptions::empty()), Asked::Alive);
        }
        fate.reaped
    }

    fn ask(&self, fate: &mut Fate, options: WaitIdOptions) -> Asked {
        let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if fate.gone.is_some() {
            return Asked::Gone;
        }
        match waitid(WaitId::Pid(self.pid), options) {
            Ok(None) | Err(Errno::INTR) => Asked::Alive,
            Ok(Some(status)) => Asked::Dead(state(&status)),
            Err(_) => {
                fate.gone = Some(Gone {
                    seen: Instant::now(),
                    #[cfg(target_os = "linux")]
                    ticks: stat::now(),
                });
                Asked::Gone
            }
        }
    }

    pub(super) fn is_reaped(&self) -> bool {
        self.lock().reaped
    }

    fn lock(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
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
