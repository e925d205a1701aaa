//! Waiting for the death of a leader without reaping it.

use std::time::Duration;

#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
#[cfg(target_os = "linux")]
use tokio::io::{Interest, unix::AsyncFd};

use super::group::Group;

/// How often a leader is asked for where there is no pidfd.
const POLL: Duration = Duration::from_millis(20);

/// Tells when a leader is dead.
#[derive(Debug)]
pub(super) enum Watch {
    /// The kernel tells: a pidfd is readable from the death of its process on.
    #[cfg(target_os = "linux")]
    Pidfd(AsyncFd<OwnedFd>),
    /// Somebody has to ask.
    Poll,
}

impl Watch {
    #[cfg(target_os = "linux")]
    pub(super) fn new(group: &Group) -> Self {
        use rustix::process::{PidfdFlags, pidfd_open};
        let opened = pidfd_open(group.pid(), PidfdFlags::empty()).map_err(std::io::Error::from);
        // tokio deprecated this for types whose `as_raw_fd` may name another file later, in favour
        // of an unsafe function. An `OwnedFd` always names the one that it keeps open.
        #[allow(deprecated)]
        let register = |fd| AsyncFd::with_interest(fd, Interest::READABLE);
        match opened.and_then(register) {
            Ok(fd) => Self::Pidfd(fd),
            Err(error) => {
                tracing::debug!(%error, "no pidfd, the process is polled for");
                Self::Poll
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new(_: &Group) -> Self {
        Self::Poll
    }

    /// Resolves once the leader is dead.
    pub(super) async fn exited(&self, group: &Group) {
        if group.exit_status().is_some() {
            return;
        }
        #[cfg(target_os = "linux")]
        if let Self::Pidfd(fd) = self
            // The readiness is never cleared: a process dies once. An error means that the runtime
            // which spawned it is gone.
            && fd.readable().await.is_ok()
        {
            return;
        }
        let mut ticks = tokio::time::interval(POLL);
        while group.exit_status().is_none() {
            ticks.tick().await;
        }
    }
}
