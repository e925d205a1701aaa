//! The thread that makes sure that nothing is left of a plugin.
//!
//! It is started before the first plugin and never ends, so that there is one even when the system
//! has no more threads to give. It looks for what is left of all plugins that are being ended at
//! that moment with one look through the processes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::eyes::Eyes;
use super::group::Group;
use super::sweep::{Progress, Sweep, Verdict};

/// The longest that a launch waits for the look for what killed supervisors have left.
const ORPHANS_PATIENCE: Duration = Duration::from_secs(2);

/// For how long what is still alive is looked for when nobody waits for it.
const BACKGROUND: Duration = Duration::from_secs(30);

/// Pauses between two questions whether a leader is dead, doubling from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// One plugin to be ended.
struct Job {
    sweep: Sweep,
    purpose: Purpose,
}

enum Purpose {
    /// Tells whether nothing is left.
    Tell(oneshot::Sender<bool>),
    /// Sweeps, and then reaps the leader as soon as it is dead. The other end hangs up.
    Bury { _done: Sender<()>, swept: bool, pause: Duration },
}

static SWEEPER: Mutex<Option<Sender<Job>>> = Mutex::new(None);

/// Whether orphans have been looked for.
static ORPHANS: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Sees to it that there is the thread.
///
/// # Errors
/// When the system has no thread left.
pub(super) fn start() -> io::Result<()> {
    sender().map(|_| ())
}

fn sender() -> io::Result<Sender<Job>> {
    let mut sweeper = SWEEPER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(jobs) = &*sweeper {
        return Ok(jobs.clone());
    }
    let eyes = Eyes::open()?;
    let (jobs, queue) = channel();
    thread::Builder::new().name("plugin-sweeper".to_owned()).spawn(move || serve(&queue, eyes))?;
    *sweeper = Some(jobs.clone());
    Ok(jobs)
}

/// Waits until what killed supervisors have left is killed, but not for long: a launch is not held
/// up by what cannot be looked at.
pub(super) async fn orphans_are_gone() {
    let mut looked = ORPHANS.subscribe();
    let looked = looked.wait_for(|looked| *looked);
    if tokio::time::timeout(ORPHANS_PATIENCE, looked).await.is_err() {
        tracing::warn!(
            "the look for what killed supervisors have left takes its time; plugins are launched \
             meanwhile, and may find their files and ports in use"
        );
        ORPHANS.send_replace(true);
    }
}

/// Kills what carries the group's marker and waits until all of it is dead, members of the group
/// included; `false` if that is not certain by `until`.
pub(super) async fn sweep(group: Arc<Group>, until: Instant, progress: Arc<Progress>) -> bool {
    let (tell, answer) = oneshot::channel();
    let job = Job { sweep: Sweep::new(group, until, progress), purpose: Purpose::Tell(tell) };
    submit(job).is_ok() && answer.await.unwrap_or(false)
}

/// Ends all of a group in the background; the other end hangs up when that is done.
///
/// # Errors
/// When there is no thread for it.
pub(super) fn bury(group: Arc<Group>) -> io::Result<Receiver<()>> {
    let (done, waiting) = channel();
    let sweep = Sweep::new(group, Instant::now() + BACKGROUND, Arc::default());
    submit(Job { sweep, purpose: Purpose::Bury { _done: done, swept: false, pause: PAUSES.0 } })?;
    Ok(waiting)
}

fn submit(job: Job) -> io::Result<()> {
    sender()?.send(job).map_err(|_| io::Error::other("the sweeper's thread has ended"))
}

fn serve(queue: &Receiver<Job>, mut eyes: Eyes) {
    // What panics here is a defect, but one that may not end the thread.
    let _ = catch_unwind(AssertUnwindSafe(|| eyes.orphans()));
    ORPHANS.send_replace(true);
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        let pause = jobs.iter().map(Job::pause).min();
        let next = match pause {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => queue.recv_timeout(pause),
        };
        match next {
            Ok(job) => jobs.push(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        jobs.extend(queue.try_iter());
        let done = catch_unwind(AssertUnwindSafe(|| step(&mut jobs, &mut eyes)));
        if done.is_err() {
            // Whoever waits for one of them is told that it is not known.
            jobs.clear();
        }
    }
}

/// One look for all of them.
fn step(jobs: &mut Vec<Job>, eyes: &mut Eyes) {
    let sweeping = jobs.iter_mut().filter(|job| !job.is_swept()).map(|job| &mut job.sweep);
    let mut sweeping: Vec<_> = sweeping.collect();
    if !sweeping.is_empty() {
        eyes.look(&mut sweeping);
    }
    for job in std::mem::take(jobs) {
        jobs.extend(job.go_on());
    }
}

impl Job {
    fn is_swept(&self) -> bool {
        matches!(self.purpose, Purpose::Bury { swept: true, .. })
    }

    fn pause(&self) -> Duration {
        match self.purpose {
            Purpose::Bury { swept: true, pause, .. } => pause,
            _ => self.sweep.pause(),
        }
    }

    /// What is still to be done, if anything is.
    fn go_on(mut self) -> Option<Self> {
        let verdict = self.sweep.verdict();
        match &mut self.purpose {
            Purpose::Bury { swept: true, pause, .. } => *pause = (*pause * 2).min(PAUSES.1),
            _ if verdict == Verdict::GoesOn => return Some(self),
            Purpose::Bury { swept, .. } => {
                *swept = true;
                if let Some(why) = self.sweep.unseen() {
                    let pid = self.sweep.group().pid().as_raw_pid();
                    tracing::warn!(pid, %why, "descendants of a plugin could not be looked for");
                }
            }
            Purpose::Tell(_) => {}
        }
        match self.purpose {
            Purpose::Tell(tell) => {
                // Nobody listens any more if the deadline is over.
                let _ = tell.send(verdict == Verdict::Clean);
                None
            }
            Purpose::Bury { .. } if self.sweep.group().exit_status().is_none() => Some(self),
            Purpose::Bury { .. } => {
                self.sweep.group().kill();
                self.sweep.group().try_reap();
                None
            }
        }
    }
}
