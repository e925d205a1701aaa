//! The process of a plugin: starting it, waiting for it, and making sure that nothing of it remains.
//!
//! [`spawn`] starts a [`Command`] as the leader of a process group of its own. From then on the
//! [`Process`] owns everything that comes of it: [`Process::finish`] ends the group and what left
//! the group, and reports how the leader ended; dropping the [`Process`] does the same in the
//! background.
//!
//! # What holds on which system
//!
//! | | Linux | macOS |
//! |---|---|---|
//! | waiting for the leader | a pidfd, no polling (kernels before 5.3: as on macOS) | asked every 20 ms |
//! | the supervisor dies, even by SIGKILL | the kernel kills the leader | the plugin goes on |
//! | descendants that left the group (`setsid`) | found by [`LAUNCH_MARKER`] and killed | go on |
//!
//! # Limits
//!
//! - If the supervisor itself is killed, only the leader dies with it (on Linux), not the leader's
//!   children: nobody is left to kill those. The next process of the same user that launches a
//!   plugin kills them before its first launch, if they kept their environment (on Linux).
//! - A descendant escapes if it left the group *and* overwrote or dropped its environment, changed
//!   its user, or made itself unreadable (`PR_SET_DUMPABLE`).
//! - The signal mask is inherited from the thread that asked for the first plugin ever.

#[cfg(target_os = "linux")]
mod environ;
mod error;
mod exit;
#[cfg(target_os = "linux")]
mod eyes;
mod group;
mod marker;
#[cfg(target_os = "linux")]
mod parent_death;
#[cfg(target_os = "linux")]
mod processes;
mod program;
mod spawner;
#[cfg(target_os = "linux")]
mod stat;
mod sweep;
mod sweeper;
// They look into `/proc`.
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::process::{ChildStderr, ChildStdout};

pub use self::error::SpawnError;
pub use self::exit::{ExitReport, ExitStatus, Unseen};
use self::group::OwnedGroup;
pub(super) use self::marker::marker;
use self::sweeper::Progress;
use self::watch::Watch;

/// The environment variable that every process of a launch inherits, set to the launch's marker.
const LAUNCH_MARKER: &str = "MATTERMOST_PLUGIN_LAUNCH";

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

/// What to start, where, and with which environment.
///
/// The environment is the supervisor's own with the changes made here on top: what is set here
/// always wins over what is inherited.
#[derive(Clone)]
pub(super) struct Command {
    program: PathBuf,
    args: Vec<OsString>,
    dir: PathBuf,
    env: BTreeMap<OsString, Option<OsString>>,
    marker: String,
}

impl Command {
    /// Starts `program` in `dir`. A relative `program` that has a `/` is taken from `dir`; one
    /// without is looked up on the child's `PATH`.
    ///
    /// `marker` must be non-empty and unique among all launches on the machine: whatever runs with
    /// [`LAUNCH_MARKER`] set to it is killed when the process is finished.
    pub(super) fn new(
        program: impl Into<PathBuf>,
        dir: impl Into<PathBuf>,
        marker: impl Into<String>,
    ) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            dir: dir.into(),
            env: BTreeMap::new(),
            marker: marker.into(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub(super) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable, whatever the inherited value; the last call for a name wins.
    #[must_use]
    pub(super) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), Some(value.into()));
        self
    }

    /// Removes an environment variable, inherited or set before.
    #[must_use]
    pub(super) fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// The text that cannot be passed to the system, if there is one.
    fn malformed(&self) -> Option<&'static str> {
        use std::os::unix::ffi::OsStrExt as _;
        let nul = |text: &OsStr| text.as_bytes().contains(&0);
        let bad_name = |name: &OsStr| name.is_empty() || name.as_bytes().contains(&b'=');
        if nul(self.program.as_os_str()) {
            Some("the program's path has a NUL byte")
        } else if self.args.iter().any(|arg| nul(arg)) {
            Some("an argument has a NUL byte")
        } else if nul(self.dir.as_os_str()) {
            Some("the working directory's path has a NUL byte")
        } else if self.env.keys().any(|name| nul(name) || bad_name(name)) {
            Some("the name of an environment variable is empty or has a NUL byte or a `=`")
        } else if self.env.values().flatten().any(|value| nul(value)) {
            Some("the value of an environment variable has a NUL byte")
        } else if self.marker.is_empty() || self.marker.contains('\0') {
            Some("the launch marker is empty or has a NUL byte")
        } else {
            None
        }
    }
}

/// Shows names of environment variables but not their values, which may be secret.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |set: bool| {
            let of = self.env.iter().filter(move |(_, value)| value.is_some() == set);
            of.map(|(name, _)| name).collect::<Vec<_>>()
        };
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("dir", &self.dir)
            .field("env_set", &names(true))
            .field("env_removed", &names(false))
            .field("marker", &self.marker)
            .finish()
    }
}

/// Starts a process with pipes for stdout and stderr and nothing on stdin.
///
/// Needs a tokio runtime with I/O and time enabled. If the future is dropped before it is done,
/// whatever was started is killed.
///
/// # Errors
///
/// See [`SpawnError`]. A program that is still open for writing somewhere is tried again for a
/// third of a second.
pub(super) async fn spawn(
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
    let pipe = |source| error::explain(command, source);
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
pub(super) struct Process {
    watch: Watch,
    group: OwnedGroup,
}

impl Process {
    /// The process id of the leader, and of its group.
    pub(super) fn pid(&self) -> u32 {
        self.group.pid().as_raw_pid().unsigned_abs()
    }

    /// Resolves once the leader is dead. It is not reaped.
    ///
    /// Can be called any number of times, also at the same time, and dropped at any point.
    pub(super) async fn exited(&self) {
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
    pub(super) fn terminate(&self) -> io::Result<()> {
        self.group.signal(Signal::TERM)
    }

    /// Sends SIGKILL to the whole group.
    ///
    /// # Errors
    ///
    /// When the system refuses to deliver the signal. A group that is gone is no error.
    pub(super) fn kill_group(&self) -> io::Result<()> {
        self.group.signal(Signal::KILL)
    }

    /// Kills what is left of the plugin, waits until all of it is dead, and reaps the leader.
    ///
    /// A leader that had exited before keeps its own status. After `deadline` it returns in any
    /// case, with [`ExitReport::timed_out`] set; a background thread then goes on trying.
    pub(super) async fn finish(self, deadline: Duration) -> ExitReport {
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
