//! When a process started, which with its number names it for certain.

use rustix::process::Pid;

/// When a process started, in ticks since boot; `None` for one that is gone.
#[cfg(target_os = "linux")]
pub(super) fn started(pid: Pid) -> Option<u64> {
    super::processes::stat(pid).ok()?.map(|stat| stat.started)
}

/// When a process started; not known here.
#[cfg(not(target_os = "linux"))]
pub(super) fn started(_: Pid) -> Option<u64> {
    None
}
