//! The one owner of a process group, who ends it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::group::Group;
use super::start_time::started;
use super::sweep;

/// The longest that dropping an [`OwnedGroup`] waits for its background thread.
const DROP_PATIENCE: Duration = Duration::from_millis(250);

/// For how long the background thread looks for what is still alive.
const BACKGROUND_SWEEP: Duration = Duration::from_secs(30);

/// The one owner of a [`Group`]: when it goes, so does the group.
#[derive(Debug)]
pub(super) struct OwnedGroup {
    group: Arc<Group>,
    /// The background thread has it.
    abandoned: bool,
}

impl OwnedGroup {
    /// Takes over a child that leads its own group and that nobody else reaps.
    pub(super) fn new(child: &std::process::Child, marker: String) -> Self {
        let pid = Pid::from_child(child);
        let group = Group::new(pid, marker, started(pid));
        Self { group: Arc::new(group), abandoned: false }
    }

    pub(super) fn share(&self) -> Arc<Group> {
        Arc::clone(&self.group)
    }

    /// Reaps the leader, which is dead, when nothing else is left either.
    pub(super) fn reap(self) {
        // It stays unreaped only under a debugger, which is told first; then dropping sees to it.
        self.group.try_reap();
    }

    /// Leaves the rest to the background thread and does not wait for it.
    pub(super) fn abandon(mut self) {
        self.dispose();
        self.abandoned = true;
    }

    /// Ends all of the group on a thread of its own. The other end hangs up when it is done.
    fn dispose(&self) -> Option<Receiver<()>> {
        self.group.kill();
        let group = self.share();
        let (done, waiting) = channel::<()>();
        let thread = thread::Builder::new().name("plugin-reaper".to_owned());
        match thread.spawn(move || {
            end(&group);
            drop(done);
        }) {
            Ok(_) => Some(waiting),
            Err(error) => {
                let pid = self.group.pid().as_raw_pid();
                tracing::warn!(pid, %error, "no thread to wait for a killed process");
                self.group.try_reap();
                None
            }
        }
    }
}

impl Deref for OwnedGroup {
    type Target = Group;

    fn deref(&self) -> &Group {
        &self.group
    }
}

impl Drop for OwnedGroup {
    fn drop(&mut self) {
        if !self.abandoned
            && !self.group.is_reaped()
            && let Some(waiting) = self.dispose()
        {
            // Done or not: the thread goes on by itself.
            let _ = waiting.recv_timeout(DROP_PATIENCE);
        }
    }
}

fn end(group: &Group) {
    sweep::sweep(group, Instant::now() + BACKGROUND_SWEEP, &AtomicUsize::new(0));
    group.wait();
    group.kill();
    group.try_reap();
}
