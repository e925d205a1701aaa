//! A started process, and how one is started.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::process::{ChildStderr, ChildStdout};

use super::command::Command;
use super::error::{SpawnError, explain};
use super::exit::{ExitReport, ExitStatus};
use super::owned_group::OwnedGroup;
use super::sweep::Progress;
use super::watch::Watch;
use super::{spawner, sweeper};

/// Pauses before another attempt when the program is still open for writing; 310 ms in all.
const BUSY_PAUSES: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
    Duration::from_millis(160),
];

/// Stands in for "no deadline" where the one given is beyond the clock.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Starts a process with pipes for stdout and stderr and nothing on stdin.
///
/// Needs a tokio runtime with I/O and time enabled. If the future is dropped before it is done,
/// whatever was started is killed.
///
/// # Errors
///
/// See [`SpawnError`]. A program that is still open for writing somewhere is tried again for a
/// third of a second.
pub(in super::super) async fn spawn(
    command: &Command,
) -> Result<(Process, ChildStdout, ChildStderr), SpawnError> {
    let mut pauses = BUSY_PAUSES.into_iter();
    let newborn = loop {
        match (spawner::start(command).await, pauses.next()) {
            (Err(SpawnError::Busy { .. }), Some(pause)) => tokio::time::sleep(pause).await,
            (result, _) => break result?,
        }
    };
    let watch = Watch::new(&newborn.group);
    let process = Process { watch, group: newborn.group };
    let pipe = |source| explain(command, source);
    let stdout = ChildStdout::from_std(newborn.stdout).map_err(pipe)?;
    let stderr = ChildStderr::from_std(newborn.stderr).map_err(pipe)?;
    Ok((process, stdout, stderr))
}

/// A started process, the leader of its own group, and everything it starts in turn.
///
/// The leader is reaped only at the very end, so its process id, which is the group's too, cannot
/// come to mean something else while the group is signalled.
///
/// Dropping it kills the group at once and leaves the rest to a background thread, for which the
/// drop waits a quarter of a second at most.
#[derive(Debug)]
pub(in super::super) struct Process {
    watch: Watch,
    pub(super) group: OwnedGroup,
}

impl Process {
    /// The process id of the leader, and of its group.
    pub(in super::super) fn pid(&self) -> u32 {
        self.group.pid().as_raw_pid().unsigned_abs()
    }

    /// Resolves once the leader is dead. It is not reaped.
    ///
    /// Can be called any number of times, also at the same time, and dropped at any point.
    pub(in super::super) async fn exited(&self) {
        self.watch.exited(&self.group).await;
    }

    /// Sends SIGTERM to the whole group, as a terminal does with Ctrl-C.
    ///
    /// Not to the leader alone: if the leader is a shell or another wrapper that does not pass
    /// signals on, the plugin behind it would never learn that it is to leave and lose its grace.
    ///
    /// # Errors
    ///
    /// When the system refuses to deliver the signal. A group that is gone is no error.
    pub(in super::super) fn terminate(&self) -> io::Result<()> {
        self.group.signal(Signal::TERM)
    }

    /// Sends SIGKILL to the whole group.
    ///
    /// # Errors
    ///
    /// When the system refuses to deliver the signal. A group that is gone is no error.
    pub(in super::super) fn kill_group(&self) -> io::Result<()> {
        self.group.signal(Signal::KILL)
    }

    /// Kills what is left of the plugin, waits until all of it is dead, and reaps the leader.
    ///
    /// A leader that had exited before keeps its own status. After `deadline` it returns in any
    /// case, with [`ExitReport::timed_out`] set; a background thread then goes on trying.
    pub(in super::super) async fn finish(self, deadline: Duration) -> ExitReport {
        let now = Instant::now();
        let until = now.checked_add(deadline).unwrap_or(now + FAR);
        if let Err(error) = self.kill_group() {
            tracing::warn!(pid = self.pid(), %error, "the process group could not be killed");
        }
        let dead = tokio::time::timeout_at(until.into(), self.exited()).await.is_ok();
        let progress = Arc::new(Progress::default());
        let clean = dead && {
            self.group.kill();
            let sweep = sweeper::sweep(self.group.share(), until, Arc::clone(&progress));
            tokio::time::timeout_at(until.into(), sweep).await.unwrap_or(false)
        };
        let status = self.group.exit_status().unwrap_or(ExitStatus::Unknown);
        if clean {
            self.group.reap();
        } else {
            self.group.abandon();
        }
        let unseen = progress.unseen().filter(|_| !clean);
        ExitReport { status, stragglers: progress.killed(), timed_out: !clean, unseen }
    }
}
