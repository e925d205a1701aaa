//! What `/proc/<pid>/stat` says. To read it never blocks, whatever the process is doing.

use std::fs::File;
use std::io::{self, Read as _};

use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

/// More than the text has: a name and some fifty numbers.
const LONGEST: usize = 2048;

/// A thread of the kernel itself (`PF_KTHREAD`).
const KERNEL: u32 = 0x0020_0000;

/// One process.
#[derive(Debug, Clone)]
pub(super) struct Stat {
    pub(super) pid: Pid,
    pub(super) parent: i32,
    pub(super) group: i32,
    /// In ticks since boot.
    pub(super) started: u64,
    /// All of it has ended, and somebody has to reap it.
    pub(super) dead: bool,
    /// The main thread has ended and others go on: the environment is to be had of those alone.
    pub(super) headless: bool,
    /// Not a program at all.
    pub(super) kernel: bool,
    pub(super) environment: Memory,
}

/// Where a process has its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// Nowhere, just now: it is in the middle of `exec` or of its end, or may not be looked into.
    None,
    /// It was started without one.
    Empty,
    Some,
}

impl Stat {
    /// `None` if the kernel says something that nobody has foreseen.
    pub(super) fn of(pid: Pid) -> io::Result<Option<Self>> {
        Self::read(&format!("/proc/{}/stat", pid.as_raw_pid()), pid)
    }

    /// The one of this process, whatever its number in the namespace of `/proc`.
    pub(super) fn of_self() -> io::Result<Option<Self>> {
        Self::read("/proc/self/stat", rustix::process::getpid())
    }

    fn read(path: &str, pid: Pid) -> io::Result<Option<Self>> {
        let mut file = File::open(path)?;
        // One read: the kernel makes the whole text for each.
        let mut text = [0; LONGEST];
        let length = loop {
            match file.read(&mut text) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        Ok(parse(pid, text.get(..length).unwrap_or_default()))
    }

    /// What tells it from all other processes since the machine was started.
    pub(super) fn name(&self) -> (i32, u64) {
        (self.pid.as_raw_pid(), self.started)
    }
}

fn parse(pid: Pid, stat: &[u8]) -> Option<Stat> {
    // The name of the program is in parentheses and may itself have any byte in it.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    // The first is the third field of the manual, proc_pid_stat(5).
    let mut fields = text.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let flags: u32 = fields.nth(3)?.parse().ok()?;
    let threads: u32 = fields.nth(10)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    let environment = match (fields.nth(27), fields.next()) {
        (Some("0"), Some("0")) => Memory::None,
        (Some(start), Some(end)) if start == end => Memory::Empty,
        _ => Memory::Some,
    };
    let headless = ended && threads > 1;
    Some(Stat {
        pid,
        parent,
        group,
        started,
        dead: ended && !headless,
        headless,
        kernel: flags & KERNEL != 0,
        environment,
    })
}

/// The time, in the ticks in which processes have their start.
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) =
        (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    seconds * ticks + nanos / (1_000_000_000 / ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of the kernel's with these threads, flags and ends of the environment.
    fn line(state: &str, flags: u32, threads: u32, environment: &str) -> String {
        let middle =
            |from: u32, to: u32| (from..=to).map(|at| at.to_string()).collect::<Vec<_>>().join(" ");
        format!(
            "7 (a) Z (b)) {state} 1 4 5 6 7 {flags} {} {threads} {} {} {environment} 52",
            middle(10, 19),
            middle(21, 22),
            middle(23, 49)
        )
    }

    fn parsed(line: &str) -> Stat {
        parse(Pid::INIT, line.as_bytes()).unwrap()
    }

    #[test]
    fn a_name_with_parentheses_is_no_field() {
        let stat = parsed(&line("S", 0, 1, "50 51"));
        assert_eq!((stat.dead, stat.headless, stat.kernel), (false, false, false));
        assert_eq!((stat.parent, stat.group, stat.started), (1, 4, 22));
        assert_eq!(stat.environment, Memory::Some);
        assert!(parse(Pid::INIT, b"7 (a) S 1").is_none());
    }

    #[test]
    fn a_process_whose_main_thread_has_ended_is_not_dead() {
        for (threads, dead) in [(0, true), (1, true), (2, false)] {
            let stat = parsed(&line("Z", 0, threads, "0 0"));
            assert_eq!((stat.dead, stat.headless), (dead, !dead), "{threads}");
        }
    }

    #[test]
    fn no_environment_is_not_an_empty_one() {
        assert_eq!(parsed(&line("R", 0, 1, "0 0")).environment, Memory::None);
        assert_eq!(parsed(&line("R", 0, 1, "9 9")).environment, Memory::Empty);
        assert!(parsed(&line("S", KERNEL | 0x40, 1, "0 0")).kernel);
    }

    #[test]
    fn a_process_starts_at_the_time_of_its_start() {
        let before = now();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let after = now();
        let started = Stat::of(Pid::from_child(&child)).unwrap().unwrap().started;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!((before..=after).contains(&started), "{before} {started} {after}");
    }
}
