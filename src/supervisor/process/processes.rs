//! The processes of this machine at one moment, as `/proc` tells them.
//!
//! Whoever asks while they are being read for somebody else waits for the next reading, and shares
//! it with all that wait: a hundred plugins that stop at once read them a few times, not a hundred.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, geteuid, getpid};

use super::command::LAUNCH_MARKER;

/// More than any environment that the kernel accepts with its usual limits.
const LONGEST_ENVIRONMENT: u64 = 16 << 20;
/// More than `/proc/<pid>/stat` has: a name and some fifty numbers.
const LONGEST_STAT: usize = 2048;

static READINGS: Readings = Readings { last: Mutex::new(None) };

/// Readings that are shared.
struct Readings {
    /// The last one, if somebody still uses it, and when it was begun.
    last: Mutex<Option<(Instant, Weak<Processes>)>>,
}

impl Readings {
    /// A reading that was not begun before `asked`.
    fn since(&self, asked: Instant) -> Arc<Processes> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((begun, processes)) = &*last
            && *begun >= asked
            && let Some(processes) = processes.upgrade()
        {
            return processes;
        }
        let begun = Instant::now();
        let processes = Arc::new(Processes::read());
        *last = Some((begun, Arc::downgrade(&processes)));
        processes
    }
}

/// Processes, but for this one.
#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) alive: Vec<Seen>,
    /// Not all of them could be looked at, for want of file descriptors or memory.
    pub(super) blind: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) pid: Pid,
    pub(super) stat: Stat,
    ours: OnceLock<bool>,
    environment: OnceLock<Environment>,
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug)]
pub(super) struct Stat {
    pub(super) dead: bool,
    pub(super) group: i32,
    /// In ticks since boot.
    pub(super) started: u64,
}

/// Whether a process was started with a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    Yes,
    No,
    /// It has no environment just now.
    Unclear,
    /// It could not be looked at, for want of file descriptors or memory.
    Blind,
}

/// What is asked of an environment.
#[derive(Debug)]
enum Environment {
    Markers(Vec<Vec<u8>>),
    Empty,
    /// The process has gone, or is not ours to look at.
    Gone,
    Blind,
}

impl Processes {
    /// A reading that was begun after this call.
    pub(super) fn from_now_on() -> Arc<Self> {
        READINGS.since(Instant::now())
    }

    fn read() -> Self {
        let mut processes = Self::default();
        let entries = match fs::read_dir("/proc") {
            Ok(entries) => entries,
            Err(error) => {
                processes.blind = is_want(&error);
                return processes;
            }
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            let Some(pid) = pid.filter(|pid| *pid != getpid()) else { continue };
            match stat(pid) {
                Ok(Some(stat)) if !stat.dead => processes.alive.push(Seen {
                    pid,
                    stat,
                    ours: OnceLock::new(),
                    environment: OnceLock::new(),
                }),
                Ok(_) => {}
                Err(error) => processes.blind |= is_want(&error),
            }
        }
        processes
    }
}

impl Seen {
    /// Whether it is this user's.
    pub(super) fn is_ours(&self) -> bool {
        *self.ours.get_or_init(|| {
            let entry = fs::metadata(format!("/proc/{}", self.pid.as_raw_pid()));
            entry.is_ok_and(|entry| entry.uid() == geteuid().as_raw())
        })
    }

    /// Whether it was started with the marker.
    pub(super) fn carries(&self, marker: &str) -> Carried {
        match self.environment.get_or_init(|| Environment::of(self.pid)) {
            Environment::Markers(markers) if has(markers, marker) => Carried::Yes,
            Environment::Markers(_) | Environment::Gone => Carried::No,
            Environment::Empty => Carried::Unclear,
            Environment::Blind => Carried::Blind,
        }
    }
}

impl Environment {
    fn of(pid: Pid) -> Self {
        match environment(pid) {
            Ok(environment) if environment.is_empty() => Self::Empty,
            Ok(environment) => Self::Markers(markers(&environment)),
            Err(error) if is_want(&error) => Self::Blind,
            // Processes come and go: what cannot be read is gone, or is not ours to kill.
            Err(_) => Self::Gone,
        }
    }
}

/// Whether a process carries the marker, read anew.
pub(super) fn is_marked(pid: Pid, marker: &str) -> bool {
    environment(pid).is_ok_and(|environment| has(&markers(&environment), marker))
}

/// The marker with which a process was started.
pub(super) fn marker_of(pid: Pid) -> io::Result<Option<String>> {
    let marker = markers(&environment(pid)?).into_iter().next();
    Ok(marker.and_then(|marker| String::from_utf8(marker).ok()))
}

/// `None` if the kernel says something that nobody has foreseen.
pub(super) fn stat(pid: Pid) -> io::Result<Option<Stat>> {
    let mut file = File::open(format!("/proc/{}/stat", pid.as_raw_pid()))?;
    // One read: the kernel makes the whole text for each.
    let mut text = [0; LONGEST_STAT];
    let length = loop {
        match file.read(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    Ok(parse(text.get(..length).unwrap_or_default()))
}

fn parse(stat: &[u8]) -> Option<Stat> {
    // The name of the program is in parentheses and may itself have any byte in it.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let text = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    Some(Stat {
        dead: matches!(fields.next()?, "Z" | "X" | "x"),
        group: fields.nth(1)?.parse().ok()?,
        started: fields.nth(16)?.parse().ok()?,
    })
}

fn environment(pid: Pid) -> io::Result<Vec<u8>> {
    let mut environment = Vec::new();
    let file = File::open(format!("/proc/{}/environ", pid.as_raw_pid()))?;
    file.take(LONGEST_ENVIRONMENT).read_to_end(&mut environment)?;
    Ok(environment)
}

/// The markers in an environment: one, unless somebody plays tricks.
fn markers(environment: &[u8]) -> Vec<Vec<u8>> {
    let variables = environment.split(|byte| *byte == 0);
    let values = variables
        .filter_map(|variable| variable.strip_prefix(LAUNCH_MARKER.as_bytes())?.strip_prefix(b"="));
    values.map(<[u8]>::to_vec).collect()
}

fn has(markers: &[Vec<u8>], marker: &str) -> bool {
    markers.iter().any(|value| value == marker.as_bytes())
}

/// Whether it is we who have nothing left to read with.
fn is_want(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_field() {
        let numbers = (5..=52).map(|at| at.to_string()).collect::<Vec<_>>().join(" ");
        let stat = parse(format!("7 (a) Z (b)) S 1 4 {numbers}").as_bytes()).unwrap();
        assert_eq!((stat.dead, stat.group, stat.started), (false, 4, 21));
        assert!(parse(b"7 (a) S 1").is_none());
    }

    #[test]
    fn a_reading_is_never_older_than_the_question() {
        let first = Processes::from_now_on();
        let child = std::process::Command::new("sleep").arg("60").spawn();
        let mut child = child.unwrap();
        let second = Processes::from_now_on();
        let is_there = |processes: &Processes| {
            processes.alive.iter().any(|seen| seen.pid == Pid::from_child(&child))
        };
        let seen = (is_there(&first), is_there(&second));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen, (false, true));
        let third = Processes::from_now_on();
        assert!(!third.alive.iter().any(|seen| seen.pid == Pid::from_child(&child)));
    }

    #[test]
    fn who_asks_during_a_reading_shares_the_next() {
        let readings = Readings { last: Mutex::new(None) };
        // Both ask while somebody else's is under way.
        let asked = Instant::now();
        let (one, other) = (readings.since(asked), readings.since(asked));
        assert!(Arc::ptr_eq(&one, &other));
        let later = readings.since(Instant::now());
        assert!(!Arc::ptr_eq(&one, &later));
        assert!(Arc::ptr_eq(&later, &readings.since(asked)));
        // Nothing is kept that nobody uses.
        drop((one, other, later));
        assert!(readings.last.lock().unwrap().as_ref().unwrap().1.upgrade().is_none());
    }
}
