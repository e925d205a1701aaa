//! How a process ended, in plain words.

use std::fmt;

use thiserror::Error;

/// How the leader of a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It exited by itself with this status.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It did not die in time, or somebody else reaped it.
    Unknown,
}

impl ExitStatus {
    /// Whether it exited by itself with status 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => {
                write!(f, "killed by signal {number}")?;
                match signal_name(number) {
                    Some(name) => write!(f, " ({name})"),
                    None => Ok(()),
                }
            }
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// What was found when a process was finished.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExitReport {
    /// How the leader ended.
    pub status: ExitStatus,
    /// How many descendants had left the process group and were killed one by one. Always 0 on
    /// systems other than Linux, where they cannot be found.
    pub stragglers: usize,
    /// It is not certain that nothing is left. Either something was still alive at the deadline: it
    /// has been sent SIGKILL and dies when the kernel lets it. Or it could not be looked, see
    /// [`unseen`](Self::unseen). A background thread goes on for half a minute.
    pub timed_out: bool,
    /// Why descendants outside the process group could not be looked for, if that is so; whatever is
    /// left of them goes on.
    pub unseen: Option<Unseen>,
}

/// Why it is not known whether something of a plugin is left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Unseen {
    /// The system does not list its processes.
    #[error("there is no /proc; mount it")]
    NoProc,
    /// The list is that of other processes.
    #[error(
        "/proc belongs to another PID namespace; mount the one of this namespace \
         (unshare --mount-proc)"
    )]
    ForeignProc,
    /// Nothing is left to look with.
    #[error(
        "there are no file descriptors or memory left to look with; raise the limit (ulimit -n, \
         LimitNOFILE in a systemd unit)"
    )]
    Want,
    /// No thread can be started to look with.
    #[error(
        "there is no thread to look with; raise the limit (ulimit -u, TasksMax in a systemd unit, \
         pids.max of the container)"
    )]
    NoThread,
    /// A process whose environment is not to be had, because the kernel does not answer.
    #[error("process {pid} does not answer when /proc/{pid}/environ is read")]
    Hung {
        /// Its number.
        pid: i32,
    },
    /// A process that is being given another program, and has no environment until then.
    #[error("process {pid} is starting a program, and not yet to be told from others")]
    Starting {
        /// Its number.
        pid: i32,
    },
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)?;
        match self.stragglers {
            0 => {}
            1 => f.write_str(", 1 process outside its group killed")?,
            many => write!(f, ", {many} processes outside its group killed")?,
        }
        if self.timed_out {
            match &self.unseen {
                None => f.write_str(", not all of it was dead at the deadline")?,
                Some(why) => write!(f, ", descendants could not be looked for: {why}")?,
            }
        }
        Ok(())
    }
}

/// The names that a plugin's end is likely to bear; their numbers differ between systems.
fn signal_name(number: i32) -> Option<&'static str> {
    use rustix::process::Signal;
    let names = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    names.into_iter().find(|(signal, _)| signal.as_raw() == number).map(|(_, name)| name)
}
