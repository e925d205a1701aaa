//! The one owner of a process group, who ends it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rustix::process::Pid;

use super::group::Group;
use super::start_time::Start;
use super::sweeper;

/// The longest that dropping an [`OwnedGroup`] waits for what goes on in the background.
const DROP_PATIENCE: Duration = Duration::from_millis(250);

/// The one owner of a [`Group`]: when it goes, so does the group.
#[derive(Debug)]
pub(super) struct OwnedGroup {
    group: Arc<Group>,
    /// The background thread has it.
    abandoned: bool,
}

impl OwnedGroup {
    /// Takes over a child that leads its own group. It was not started before `started`.
    pub(super) fn new(child: &std::process::Child, marker: String, started: Start) -> Self {
        let group = Group::new(Pid::from_child(child), marker, started);
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

    /// Ends all of the group in the background. The other end hangs up when it is done.
    fn dispose(&self) -> Option<Receiver<()>> {
        self.group.kill();
        match sweeper::bury(self.share()) {
            Ok(waiting) => Some(waiting),
            Err(error) => {
                let pid = self.group.pid().as_raw_pid();
                tracing::warn!(
                    pid,
                    %error,
                    "no thread to look for what is left of a plugin: its process group is killed, \
                     descendants that have left it are not, and nobody looks again"
                );
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
