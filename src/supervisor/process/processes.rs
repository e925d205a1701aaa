//! The processes of this machine at one moment, as `/proc` tells them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{Pid, Signal, geteuid, getpid, kill_process};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use super::environ::is_want;
use super::exit::Unseen;
use super::stat::Stat;

/// Processes, but for this one.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) alive: Vec<Stat>,
    /// Those that nobody has reaped.
    pub(super) dead: Vec<Stat>,
    /// Why not all of them were seen.
    pub(super) unseen: Option<Unseen>,
}

impl Processes {
    pub(super) fn read() -> Self {
        let mut processes = Self::default();
        if let Err(unseen) = is_there() {
            processes.unseen = Some(unseen);
            return processes;
        }
        let entries = match fs::read_dir("/proc") {
            Ok(entries) => entries,
            Err(error) => {
                processes.unseen = Some(why(&error));
                return processes;
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    processes.unseen = Some(why(&error));
                    break;
                }
            };
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let Some(pid) = pid.filter(|pid| *pid != getpid()) else { continue };
            match Stat::of(pid) {
                Ok(Some(stat)) if stat.dead => processes.dead.push(stat),
                Ok(Some(stat)) => processes.alive.push(stat),
                Ok(None) => {}
                Err(error) if is_want(&error) => processes.unseen = Some(why(&error)),
                // It has gone, or (`hidepid`) is another user's.
                Err(_) => {}
            }
        }
        processes
    }
}

/// Whether `/proc` is there, and of our PID namespace: in another one numbers mean other processes.
pub(super) fn is_there() -> Result<(), Unseen> {
    let status = match fs::read_to_string("/proc/self/status") {
        Ok(status) => status,
        Err(error) if is_want(&error) => return Err(why(&error)),
        // Where it belongs to a namespace in which we are not, it has no `self` either.
        Err(_) if fs::exists("/proc/version").unwrap_or(false) => return Err(Unseen::ForeignProc),
        Err(error) => return Err(why(&error)),
    };
    match is_ours(&status, getpid()) {
        true => Ok(()),
        false => Err(Unseen::ForeignProc),
    }
}

/// Whether a process of this number has only that one, from the namespace of `/proc` on downwards.
fn is_ours(status: &str, pid: Pid) -> bool {
    let field = |name| status.lines().find_map(|line: &str| line.strip_prefix(name));
    // Kernels before 4.1 do not have the first.
    let numbers = field("NSpid:").or_else(|| field("Tgid:")).unwrap_or_default();
    let mut numbers = numbers.split_ascii_whitespace();
    numbers.next().and_then(|number| number.parse().ok()) == Some(pid.as_raw_pid())
        && numbers.next().is_none()
}

fn why(error: &io::Error) -> Unseen {
    match is_want(error) {
        true => Unseen::Want,
        false => Unseen::NoProc,
    }
}

/// Whether a process is this user's.
pub(super) fn is_this_users(process: &Stat) -> bool {
    let entry = fs::metadata(format!("/proc/{}", process.pid.as_raw_pid()));
    // Without descriptors it is not known, and to read it will fail.
    entry.map_or_else(|error| is_want(&error), |entry| entry.uid() == geteuid().as_raw())
}

/// Kills a process that was looked at. Its number cannot have come to mean another one: the signal
/// goes through a descriptor, and that it is the same is asked after the descriptor was opened.
///
/// # Errors
/// What the system says. A process that is gone is no error.
pub(super) fn kill(process: &Stat) -> io::Result<bool> {
    let is_same = || {
        Stat::of(process.pid)
            .is_ok_and(|stat| stat.is_some_and(|stat| stat.started == process.started))
    };
    let sent = match pidfd_open(process.pid, PidfdFlags::empty()) {
        Ok(_) if !is_same() => return Ok(false),
        Ok(fd) => pidfd_send_signal(fd, Signal::KILL),
        Err(error) if is_want(&error.into()) => Err(error),
        Err(rustix::io::Errno::SRCH) => return Ok(false),
        // There are none before Linux 5.3, and a container's rules may refuse them. Between this
        // question and the signal there is no time for all numbers to come round.
        Err(_) if !is_same() => return Ok(false),
        Err(_) => kill_process(process.pid, Signal::KILL),
    };
    match sent {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proc_of_another_namespace_is_known_by_our_numbers() {
        let pid = Pid::from_raw(7).unwrap();
        let status = |numbers: &str| format!("Name:\tx\nTgid:\t7\nNSpid:\t{numbers}\n");
        assert!(is_ours(&status("7"), pid));
        // One above ours, in which we have another number, or the same by chance.
        assert!(!is_ours(&status("4711\t7"), pid));
        assert!(!is_ours(&status("7\t7"), pid));
        assert!(!is_ours(&status("8"), pid));
        assert!(is_ours("Name:\tx\nTgid:\t7\n", pid));
        assert!(!is_ours("", pid));
        assert_eq!(is_there(), Ok(()));
    }

    #[test]
    fn a_reading_has_the_living_and_the_dead() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let is_among = |all: &[Stat]| all.iter().any(|process| process.pid == pid);
        let living = Processes::read();
        let stat = living.alive.iter().find(|process| process.pid == pid).unwrap();
        assert!(is_this_users(stat));
        // Somebody else who has had that number is left alone.
        assert!(!kill(&Stat { started: stat.started - 1, ..stat.clone() }).unwrap());
        assert!(kill(stat).unwrap());
        let exited =
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), exited).unwrap();
        let dead = Processes::read();
        child.wait().unwrap();
        assert!(!is_among(&dead.alive) && is_among(&dead.dead));
        assert!(!is_among(&Processes::read().dead));
    }
}
