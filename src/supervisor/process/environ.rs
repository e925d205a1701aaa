//! The environments of processes.
//!
//! To read one takes locks of that process, and a process that is stuck in the kernel, e.g. on a
//! file of a server that has gone, may hold them for ever. So they are read by a thread that does
//! nothing else: when one does not answer, it is left to it and another thread reads on.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::command::LAUNCH_MARKER;
use super::stat::{Memory, Stat};

/// More than any environment that the kernel accepts with its usual limits.
const LONGEST: u64 = 16 << 20;

/// The longest that one environment is waited for. It is read in microseconds.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many threads may be left to what does not answer. Beyond that nothing is read any more.
const MOST_STUCK: usize = 32;

/// What was found of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Environment {
    /// The values of [`LAUNCH_MARKER`] in it: none or one, unless somebody plays tricks.
    Markers(Vec<Vec<u8>>),
    /// There is none just now: it is in the middle of `exec`, or of its end.
    Unclear,
    /// The process has gone, or is not ours to look at.
    Gone,
    /// There are no file descriptors or memory left to read it with.
    Want,
    /// It does not answer.
    Hung,
    /// There is no thread to read it with.
    NoThread,
}

impl Environment {
    fn of(process: &Stat) -> Self {
        match read(process) {
            Ok(environment) if !environment.is_empty() => Self::Markers(markers(&environment)),
            Ok(_) if process.environment == Memory::Empty => Self::Markers(Vec::new()),
            Ok(_) => Self::Unclear,
            Err(error) if is_want(&error) => Self::Want,
            // Processes come and go: what cannot be read is gone, or is not ours to kill.
            Err(_) => Self::Gone,
        }
    }

    /// Whether the process was started with this marker.
    pub(super) fn has(&self, marker: &str) -> bool {
        matches!(self, Self::Markers(all) if all.iter().any(|value| value == marker.as_bytes()))
    }
}

fn read(process: &Stat) -> io::Result<Vec<u8>> {
    let folder = format!("/proc/{}", process.pid.as_raw_pid());
    if !process.headless {
        return read_file(&format!("{folder}/environ"));
    }
    // It belongs to all threads alike, but for one that has ended.
    for thread in fs::read_dir(format!("{folder}/task"))? {
        match read_file(&format!("{}/environ", thread?.path().display())) {
            Ok(environment) if environment.is_empty() => {}
            Err(error) if !is_want(&error) => {}
            read => return read,
        }
    }
    Ok(Vec::new())
}

fn read_file(path: &str) -> io::Result<Vec<u8>> {
    let mut environment = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut environment)?;
    Ok(environment)
}

fn markers(environment: &[u8]) -> Vec<Vec<u8>> {
    let variables = environment.split(|byte| *byte == 0);
    let values = variables
        .filter_map(|variable| variable.strip_prefix(LAUNCH_MARKER.as_bytes())?.strip_prefix(b"="));
    values.map(<[u8]>::to_vec).collect()
}

/// Whether it is we who have nothing left to read with.
pub(super) fn is_want(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// What reads one environment; another in tests.
type Read = fn(&Stat) -> Environment;

/// Reads environments, on a thread of its own.
#[derive(Debug)]
pub(super) struct Reader {
    read: Read,
    thread: Option<Sender<Handed>>,
    /// Processes that did not answer, each with a thread that still waits for it.
    stuck: Arc<Mutex<HashSet<(i32, u64)>>>,
}

/// Environments to be read.
#[derive(Debug)]
struct Batch {
    wanted: Vec<Stat>,
    state: Mutex<State>,
    progress: Condvar,
}

/// A batch, and how many threads had been given up by then: one that comes to it late finds more.
type Handed = (Arc<Batch>, usize);

#[derive(Debug)]
struct State {
    answers: Vec<Environment>,
    /// When the reading of the next answer was begun; `None` before a thread has come to it.
    begun: Option<Instant>,
    /// Grows whenever a thread is given up: it has nothing more to do here.
    readers: usize,
}

impl Batch {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn start() -> io::Result<Self> {
        let mut reader = Self { read: Environment::of, thread: None, stuck: Arc::default() };
        reader.thread = Some(reader.another()?);
        Ok(reader)
    }

    fn another(&self) -> io::Result<Sender<Handed>> {
        let (batches, queue) = channel();
        let (read, stuck) = (self.read, Arc::clone(&self.stuck));
        let thread = thread::Builder::new().name("plugin-environs".to_owned());
        thread.spawn(move || serve(&queue, read, &stuck))?;
        Ok(batches)
    }

    /// The environments of these processes, in their order. Takes a little more than [`PATIENCE`]
    /// for each that does not answer, the first time that it does not.
    pub(super) fn read(&mut self, wanted: Vec<Stat>) -> Vec<Environment> {
        let count = wanted.len();
        if count == 0 {
            return Vec::new();
        }
        let answers = Vec::with_capacity(count);
        let state = Mutex::new(State { answers, begun: None, readers: 0 });
        let batch = Arc::new(Batch { wanted, state, progress: Condvar::new() });
        while self.hand_over(&batch) {
            let mut state = batch.lock();
            let handed_over = Instant::now();
            loop {
                if state.answers.len() == count {
                    return std::mem::take(&mut state.answers);
                }
                let spent = state.begun.unwrap_or(handed_over).elapsed();
                let Some(left) = PATIENCE.checked_sub(spent) else { break };
                let waited = batch.progress.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            // The thread is left to it. What it waits for is not asked again meanwhile.
            self.thread = None;
            state.readers += 1;
            if state.begun.take().is_some()
                && let Some(process) = batch.wanted.get(state.answers.len())
            {
                self.stuck().insert(process.name());
                state.answers.push(Environment::Hung);
            }
        }
        let mut answers = std::mem::take(&mut batch.lock().answers);
        answers.resize(count, Environment::NoThread);
        answers
    }

    /// Whether a thread has taken it.
    fn hand_over(&mut self, batch: &Arc<Batch>) -> bool {
        let handed = || (Arc::clone(batch), batch.lock().readers);
        if let Some(thread) = &self.thread
            && thread.send(handed()).is_ok()
        {
            return true;
        }
        if self.stuck().len() > MOST_STUCK {
            return false;
        }
        match self.another() {
            Ok(thread) => {
                // Cannot fail: the thread takes batches for as long as this sender exists.
                let taken = thread.send(handed()).is_ok();
                self.thread = Some(thread);
                taken
            }
            Err(error) => {
                tracing::warn!(%error, "no thread to read the environments of processes with");
                false
            }
        }
    }

    fn stuck(&self) -> MutexGuard<'_, HashSet<(i32, u64)>> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(queue: &Receiver<Handed>, read: Read, stuck: &Mutex<HashSet<(i32, u64)>>) {
    let stuck = || stuck.lock().unwrap_or_else(PoisonError::into_inner);
    for (batch, me) in queue {
        loop {
            let mut state = batch.lock();
            if state.readers != me {
                break;
            }
            let Some(process) = batch.wanted.get(state.answers.len()) else { break };
            if stuck().contains(&process.name()) {
                state.answers.push(Environment::Hung);
                batch.progress.notify_one();
                continue;
            }
            state.begun = Some(Instant::now());
            drop(state);
            let found = read(process);
            let mut state = batch.lock();
            if state.readers != me {
                // Too late for this batch. From now on it can be asked again.
                stuck().remove(&process.name());
                break;
            }
            state.answers.push(found);
            state.begun = None;
            if state.answers.len() == batch.wanted.len() {
                batch.progress.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::Pid;

    use super::*;

    fn process(number: i32) -> Stat {
        Stat {
            pid: Pid::from_raw(number).unwrap(),
            parent: 1,
            group: number,
            started: 0,
            dead: false,
            headless: false,
            kernel: false,
            environment: Memory::Some,
        }
    }

    fn marked(text: &str) -> Environment {
        Environment::Markers(vec![text.as_bytes().to_vec()])
    }

    #[test]
    fn the_marker_is_the_whole_value() {
        let environment =
            markers(b"A=1\0MATTERMOST_PLUGIN_LAUNCH=abc\0XMATTERMOST_PLUGIN_LAUNCH=d");
        let environment = Environment::Markers(environment);
        assert_eq!(environment, marked("abc"));
        assert!(environment.has("abc"));
        assert!(!environment.has("ab") && !environment.has("abcd") && !environment.has("d"));
    }

    /// The second does not answer until it is allowed to, and is asked once. The others are read all the
    /// same, by another thread.
    #[test]
    fn what_hangs_holds_up_nothing_else_and_is_not_asked_twice() {
        static GATE: Mutex<()> = Mutex::new(());
        static ASKED: Mutex<Vec<i32>> = Mutex::new(Vec::new());
        let read: Read = |process| {
            let number = process.pid.as_raw_pid();
            ASKED.lock().unwrap().push(number);
            if number == 2 {
                drop(GATE.lock());
            }
            marked(&number.to_string())
        };
        let closed = GATE.lock().unwrap();
        let mut reader = Reader { read, thread: None, stuck: Arc::default() };
        let wanted = || [1, 2, 3].map(process).to_vec();
        let hung = [marked("1"), Environment::Hung, marked("3")];
        assert_eq!(reader.read(wanted()), hung);
        assert_eq!(reader.read(wanted()), hung);
        // The others may be asked more often: on a busy machine a thread that has not begun is given up.
        let hangs = ASKED.lock().unwrap().iter().filter(|number| **number == 2).count();
        assert_eq!(hangs, 1, "what hangs is not asked again");
        drop(closed);
        let all = [marked("1"), marked("2"), marked("3")];
        let deadline = Instant::now() + Duration::from_secs(20);
        while reader.read(wanted()) != all {
            assert!(Instant::now() < deadline, "it is not asked again");
            thread::yield_now();
        }
    }

    #[test]
    fn this_process_and_one_without_an_environment() {
        let mut reader = Reader::start().unwrap();
        let ours = Stat::of_self().unwrap().unwrap();
        let mut bare = std::process::Command::new("sleep").arg("60").env_clear().spawn().unwrap();
        let theirs = Stat::of(Pid::from_child(&bare)).unwrap().unwrap();
        let found = reader.read(vec![ours, theirs]);
        bare.kill().unwrap();
        bare.wait().unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|found| matches!(found, Environment::Markers(_))), "{found:?}");
    }
}
