//! No orphan: the kernel kills the child when its parent dies. The only unsafe code of the module.

#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// Makes what `command` starts die with the *thread* that starts it, which must be one that ends
/// only with this process.
pub(super) fn kill_with_parent(command: &mut Command) {
    let parent = getpid();
    let hook = move || -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before that call; then nobody would ever send the signal.
        if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: between fork and exec only async-signal-safe things are allowed. The hook makes two
    // raw system calls and compares integers. It takes no lock, allocates nothing (an `io::Error`
    // made of an `Errno` is a plain number), cannot panic, and captures one integer by value.
    unsafe {
        command.pre_exec(hook);
    }
}
