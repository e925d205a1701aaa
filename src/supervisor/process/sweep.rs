//! Finding and killing what left its process group.
//!
//! A descendant that called `setsid` is not reached by signals to the group, and when its parent
//! dies nothing ties it to us any more, except the environment that it inherited: the marker of the
//! launch is in there. A sweep looks through `/proc` for it, kills, and looks again until it finds
//! nothing. It also waits for members of the group to be dead indeed: SIGKILL only sets that off.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use super::group::Group;

/// [`sweep`] on a thread of its own, which does not keep a runtime from shutting down if the kernel
/// does not answer.
pub(super) async fn run(group: Arc<Group>, until: Instant, killed: Arc<AtomicUsize>) -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let (done, answer) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("plugin-sweeper".to_owned());
    let started = thread.spawn(move || {
        // Nobody listens any more if the deadline is over.
        let _ = done.send(sweep(&group, until, &killed));
    });
    if let Err(error) = started {
        tracing::warn!(%error, "no thread to look for descendants of a plugin");
    }
    answer.await.unwrap_or(false)
}

#[cfg(target_os = "linux")]
pub(super) use self::linux::{orphans, sweep};

/// There is no way to find them here.
#[cfg(not(target_os = "linux"))]
pub(super) fn orphans() {}

/// There is no way to find descendants here.
#[cfg(not(target_os = "linux"))]
pub(super) fn sweep(_: &Group, _: Instant, _: &AtomicUsize) -> bool {
    true
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::io::Errno;
    use rustix::process::{
        Pid, PidfdFlags, Signal, geteuid, getpid, pidfd_open, pidfd_send_signal, test_kill_process,
    };

    use super::super::command::LAUNCH_MARKER;
    use super::super::group::Group;
    use super::super::marker::supervisor;
    use super::super::processes::{Carried, Processes, is_marked, marker_of, stat};

    /// Pauses between two looks, doubling from the first to the last.
    const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

    /// How often a process without an environment is looked at again: it may be in the middle of
    /// `exec`, or have been started without one.
    const UNCLEAR_LOOKS: usize = 3;

    /// What a look through all processes found.
    #[derive(Default)]
    struct Found {
        alive: usize,
        unclear: usize,
        /// Something could not be looked at, for want of file descriptors or memory.
        blind: bool,
    }

    /// Kills what carries the group's marker and waits until all of it is dead, members of the group
    /// included; `false` if that was not so by `until`. Adds up those outside the group in `killed`.
    pub(in super::super) fn sweep(group: &Group, until: Instant, killed: &AtomicUsize) -> bool {
        let mut dying = HashSet::new();
        let mut pause = PAUSES.0;
        let mut unclear_looks = 0;
        loop {
            let found = look(group, &mut dying, killed);
            if found.alive == 0 && !found.blind {
                unclear_looks += 1;
                if found.unclear == 0 || unclear_looks >= UNCLEAR_LOOKS {
                    return true;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn look(group: &Group, dying: &mut HashSet<(i32, u64)>, killed: &AtomicUsize) -> Found {
        let mut found = Found::default();
        let processes = Processes::from_now_on();
        found.blind = processes.blind;
        for process in &processes.alive {
            let (pid, started) = (process.pid, process.stat.started);
            if started < group.started() || !process.is_ours() {
                continue;
            }
            if process.stat.group == group.pid().as_raw_pid() {
                found.alive += 1;
                group.kill();
            } else if dying.contains(&(pid.as_raw_pid(), started)) {
                found.alive += 1;
            } else {
                match process.carries(group.marker()) {
                    Carried::Unclear => found.unclear += 1,
                    Carried::Blind => found.blind = true,
                    Carried::No => {}
                    Carried::Yes => {
                        found.alive += 1;
                        if kill(pid, group.marker()) {
                            dying.insert((pid.as_raw_pid(), started));
                            killed.fetch_add(1, Ordering::AcqRel);
                        }
                    }
                }
            }
        }
        found
    }

    /// Kills what supervisors of this user have left behind because they were killed themselves: the
    /// kernel ends their plugins, but not the plugins' descendants, which could hold files and ports
    /// that the next launch needs.
    pub(in super::super) fn orphans() {
        let user = geteuid().as_raw();
        // What carries the marker that we carry ourselves has started us.
        let ours = std::env::var_os(LAUNCH_MARKER);
        let Ok(namespace) = fs::read_link("/proc/self/ns/pid") else { return };
        let mut killed = 0;
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let Some(pid) = pid.filter(|pid| *pid != getpid()) else { continue };
            if entry.metadata().map_or(true, |metadata| metadata.uid() != user) {
                continue;
            }
            let Ok(Some(marker)) = marker_of(pid) else { continue };
            if ours.as_deref().is_some_and(|ours| ours == &*marker) {
                continue;
            }
            // In another namespace the supervisor's number means another process.
            let same = fs::read_link(entry.path().join("ns/pid")).is_ok_and(|of| of == namespace);
            if same
                && supervisor(&marker).is_some_and(|(pid, started)| is_dead(pid, started))
                && kill(pid, &marker)
            {
                killed += 1;
            }
        }
        if killed > 0 {
            tracing::warn!(killed, "descendants of plugins whose supervisor was killed are killed");
        }
    }

    /// Whether the process that had this number, and started then, is gone. In doubt it is not.
    fn is_dead(pid: Pid, started: u64) -> bool {
        match test_kill_process(pid) {
            Err(Errno::SRCH) => true,
            Ok(()) if started > 0 => {
                stat(pid).is_ok_and(|stat| stat.is_some_and(|s| s.dead || s.started != started))
            }
            _ => false,
        }
    }

    /// Kills a process that carries the marker. Its number cannot come to mean another one halfway:
    /// the signal goes through a descriptor which was opened before the environment was read again.
    fn kill(pid: Pid, marker: &str) -> bool {
        let sent = pidfd_open(pid, PidfdFlags::empty()).and_then(|fd| {
            if !is_marked(pid, marker) {
                return Ok(false);
            }
            pidfd_send_signal(fd, Signal::KILL).map(|()| true)
        });
        sent.unwrap_or_else(|error| {
            let pid = pid.as_raw_pid();
            tracing::debug!(pid, %error, "a descendant of a plugin could not be killed");
            false
        })
    }
}
