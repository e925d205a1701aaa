//! How a process ended, in plain words.

use std::fmt;

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
    /// Something was still alive at the deadline. It has been sent SIGKILL and dies when the kernel
    /// lets it; a background thread waits for that.
    pub timed_out: bool,
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
            f.write_str(", not all of it was dead at the deadline")?;
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
