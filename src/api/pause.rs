//! How long an accept loop pauses after a failure.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

/// The first pause; each failure in a row doubles it.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(320);

/// The failures in a row of an accept loop, for example while file descriptors are short.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    failures: u32,
}

impl Pause {
    /// Counts a failure: how long to pause now. The first of a row is logged.
    pub(crate) fn after(&mut self, server: &str, error: &io::Error) -> Duration {
        if is_of_peer(error) {
            return Duration::ZERO;
        }
        if self.failures == 0 {
            let remedy = crate::remedy::remedy(error, "");
            tracing::warn!(%error, remedy, "the {server} cannot accept connections; it tries again");
        }
        let pause = FIRST.saturating_mul(1 << self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        pause.min(LONGEST)
    }

    /// Ends a row of failures.
    pub(crate) fn over(&mut self, server: &str) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "the {server} accepts connections again");
            self.failures = 0;
        }
    }
}

/// Whether it is this one connection that failed, before it was accepted: the next may be better.
fn is_of_peer(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::CONNABORTED | Errno::CONNRESET | Errno::PROTO | Errno::INTR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_begin_anew() {
        let mut pause = Pause::default();
        let full = io::Error::from(Errno::MFILE);
        let millis: Vec<_> = (0..8).map(|_| pause.after("server", &full).as_millis()).collect();
        assert_eq!(millis, [10, 20, 40, 80, 160, 320, 320, 320]);
        pause.over("server");
        assert_eq!(pause.after("server", &full), FIRST);
        pause.failures = u32::MAX;
        assert_eq!(pause.after("server", &full), LONGEST);
    }

    #[test]
    fn a_peer_that_gave_up_is_not_waited_for() {
        let mut pause = Pause::default();
        assert_eq!(pause.after("server", &Errno::CONNABORTED.into()), Duration::ZERO);
        assert_eq!(pause.failures, 0);
    }
}
