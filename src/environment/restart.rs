//! When a plugin that failed is started again: the policy, without a clock of its own.

use std::time::{Duration, Instant};

/// Restart until a number of failures falls within a window of time.
///
/// The default is the rule of Mattermost's health check: a plugin that fails for the third time within 60 minutes is not
/// started again. Success does not clear the count, time does.
///
/// ```
/// use std::time::{Duration, Instant};
/// use plugin_conformance::environment::{RestartPolicy, Strikes, Verdict};
///
/// let start = Instant::now();
/// let mut strikes = Strikes::new(RestartPolicy::default());
/// assert_eq!(strikes.failed(start), Verdict::Restart);
/// assert_eq!(strikes.failed(start + Duration::from_secs(60)), Verdict::Restart);
/// assert_eq!(strikes.failed(start + Duration::from_secs(120)), Verdict::GiveUp);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// The failure with this number within the window is the last; at least 1.
    pub strikes: usize,
    /// How far back failures count.
    pub window: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { strikes: 3, window: Duration::from_secs(60 * 60) }
    }
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start the plugin again.
    Restart,
    /// Leave it stopped: it failed to stay running.
    GiveUp,
}

/// The failures of one plugin.
#[derive(Debug, Clone)]
pub struct Strikes {
    policy: RestartPolicy,
    at: Vec<Instant>,
}

impl Strikes {
    /// No failure yet.
    pub const fn new(policy: RestartPolicy) -> Self {
        Self { policy, at: Vec::new() }
    }

    /// Counts a failure at `now`. After [`Verdict::GiveUp`] the count begins anew.
    pub fn failed(&mut self, now: Instant) -> Verdict {
        let window = self.policy.window;
        self.at.retain(|&at| now.saturating_duration_since(at) < window);
        self.at.push(now);
        if self.at.len() < self.policy.strikes.max(1) {
            return Verdict::Restart;
        }
        self.at.clear();
        Verdict::GiveUp
    }

    /// How many failures count at `now`.
    pub fn count(&self, now: Instant) -> usize {
        let counts = |at: &&Instant| now.saturating_duration_since(**at) < self.policy.window;
        self.at.iter().filter(counts).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn third_failure_within_60_minutes_gives_up() {
        let start = Instant::now();
        let mut strikes = Strikes::new(RestartPolicy::default());
        assert_eq!(strikes.failed(start), Verdict::Restart);
        assert_eq!(strikes.failed(start + 30 * MINUTE), Verdict::Restart);
        assert_eq!(strikes.failed(start + 59 * MINUTE), Verdict::GiveUp);
        assert_eq!(strikes.count(start + 59 * MINUTE), 0);
    }

    #[test]
    fn failures_an_hour_apart_restart_for_ever() {
        let start = Instant::now();
        let mut strikes = Strikes::new(RestartPolicy::default());
        for hour in 0..100 {
            assert_eq!(strikes.failed(start + 60 * hour * MINUTE), Verdict::Restart);
        }
    }

    #[test]
    fn the_window_slides() {
        let start = Instant::now();
        let mut strikes = Strikes::new(RestartPolicy::default());
        assert_eq!(strikes.failed(start), Verdict::Restart);
        assert_eq!(strikes.failed(start + 50 * MINUTE), Verdict::Restart);
        assert_eq!(strikes.failed(start + 61 * MINUTE), Verdict::Restart);
        assert_eq!(strikes.failed(start + 62 * MINUTE), Verdict::GiveUp);
    }
}
