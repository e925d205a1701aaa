//! No orphan: the kernel kills the child when its parent dies. The only unsafe code of the module.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::processes;
use super::stat::Stat;

/// Where a child says its number as long as it has no program yet.
#[derive(Debug)]
pub(super) struct Notice(Arc<OwnedFd>);

impl Notice {
    /// # Errors
    /// When there is no file descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Kills the child, if there is one; it must not have been reaped.
    pub(super) fn kill(&self) {
        let mut number = [0; 8];
        let read = rustix::io::read(&*self.0, &mut number);
        let pid = i32::try_from(u64::from_ne_bytes(number)).ok().and_then(Pid::from_raw);
        let (Ok(_), Some(pid), Ok(())) = (read, pid, processes::is_there()) else { return };
        let child = Stat::of(pid).ok().flatten();
        let ours = child.filter(|child| child.parent == getpid().as_raw_pid());
        if let Some(Err(error)) = ours.map(|child| processes::kill(&child)) {
            tracing::warn!(pid = pid.as_raw_pid(), %error, "a child without a program lives on");
        }
    }
}

/// Makes what `command` starts die with the *thread* that starts it, which must be one that ends
/// only with this process, and say its number.
pub(super) fn kill_with_parent(command: &mut Command, notice: &Notice) {
    let parent = getpid();
    let notice = Arc::clone(&notice.0);
    let hook = move || -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before that call; then nobody would ever send the signal.
        if getppid() != Some(parent) {
            return Err(Errno::SRCH.into());
        }
        let number = u64::from(getpid().as_raw_pid().unsigned_abs());
        rustix::io::write(&*notice, &number.to_ne_bytes())?;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe things are allowed. The hook makes a few
    // raw system calls and compares integers. It takes no lock, allocates nothing (an `io::Error`
    // made of an `Errno` is a plain number), cannot panic, and captures an integer and a descriptor
    // that is open in the child as well.
    unsafe {
        command.pre_exec(hook);
    }
}
