//! Finding and killing what left its process group.
//!
//! A descendant that called `setsid` is not reached by signals to the group, and when its parent
//! dies nothing ties it to us any more, except the environment that it inherited: the marker of the
//! launch is in there. A sweep looks through `/proc` for it, kills, and looks again until it finds
//! nothing. It also waits for members of the group to be dead indeed: SIGKILL only sets that off.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::exit::Unseen;
use super::group::Group;

/// Pauses between two looks, doubling from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// How long a process that cannot be told from others is looked at again: it is most likely not
/// even ours.
const UNSEEN_PATIENCE: Duration = Duration::from_secs(1);

/// How far a sweep has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    killed: AtomicUsize,
    unseen: Mutex<Option<Unseen>>,
}

impl Progress {
    /// How many processes outside the group were killed.
    pub(super) fn killed(&self) -> usize {
        self.killed.load(Ordering::Acquire)
    }

    /// Why the last look was not a whole one.
    pub(super) fn unseen(&self) -> Option<Unseen> {
        self.unseen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) fn one_more(&self) {
        self.killed.fetch_add(1, Ordering::AcqRel);
    }

    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) fn looked(&self, unseen: Option<Unseen>) {
        *self.unseen.lock().unwrap_or_else(PoisonError::into_inner) = unseen;
    }
}

/// What is to be made of the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is left.
    Clean,
    /// That is not certain, and will not be.
    Unknown,
    /// Something is left, and there is time.
    GoesOn,
}

/// What a look found of one plugin.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) alive: usize,
    /// Dead, and to be reaped by us as soon as its parent is dead as well.
    pub(super) unburied: usize,
    pub(super) unseen: Option<Unseen>,
}

/// The sweep for one plugin.
#[derive(Debug)]
pub(super) struct Sweep {
    group: Arc<Group>,
    until: Instant,
    progress: Arc<Progress>,
    found: Found,
    pause: Duration,
    /// Since when nothing is known to live, though not all could be seen.
    unclear_since: Option<Instant>,
    #[cfg(target_os = "linux")]
    pub(super) dying: std::collections::HashSet<(i32, u64)>,
}

impl Sweep {
    pub(super) fn new(group: Arc<Group>, until: Instant, progress: Arc<Progress>) -> Self {
        Self {
            group,
            until,
            progress,
            found: Found::default(),
            pause: PAUSES.0,
            unclear_since: None,
            #[cfg(target_os = "linux")]
            dying: std::collections::HashSet::new(),
        }
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// Why the last look was not a whole one.
    pub(super) fn unseen(&self) -> Option<&Unseen> {
        self.found.unseen.as_ref()
    }

    #[cfg(target_os = "linux")]
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Takes down what a look found.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) fn looked(&mut self, found: Found) {
        let is_unclear = found.alive == 0 && (found.unseen.is_some() || found.unburied > 0);
        self.unclear_since = is_unclear.then(|| self.unclear_since.unwrap_or_else(Instant::now));
        self.progress.looked(found.unseen.clone());
        self.found = found;
    }

    pub(super) fn verdict(&self) -> Verdict {
        let lasts = self.unclear_since.is_some_and(|since| since.elapsed() >= UNSEEN_PATIENCE);
        match (&self.found.unseen, self.found.alive) {
            (None, 0) if self.found.unburied == 0 || lasts => Verdict::Clean,
            // Looking again does not help.
            (Some(Unseen::NoProc | Unseen::ForeignProc), _) => Verdict::Unknown,
            (Some(Unseen::Hung { .. } | Unseen::Starting { .. }), 0) if lasts => Verdict::Unknown,
            _ if Instant::now() >= self.until => Verdict::Unknown,
            _ => Verdict::GoesOn,
        }
    }

    /// Until the next look.
    pub(super) fn pause(&self) -> Duration {
        self.pause.min(self.until.saturating_duration_since(Instant::now()))
    }

    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(super) fn longer_pause(&mut self) {
        self.pause = (self.pause * 2).min(PAUSES.1);
    }
}
