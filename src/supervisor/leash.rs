//! How a launch, and the life that comes of it, can be ended by whoever does not hold the life.

use tokio_util::sync::{CancellationToken, DropGuard};

/// The two ways to end a life, for those who do not hold it: because it is being launched, or because
/// it is another's. What is pulled once stays pulled, and so are all leashes that hang on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leash {
    stop: CancellationToken,
    kill: CancellationToken,
}

impl Leash {
    /// A leash on which only `stop` pulls.
    pub(crate) fn stopped_by(stop: &CancellationToken) -> Self {
        Self { stop: stop.child_token(), kill: CancellationToken::new() }
    }

    /// One that is pulled with this one, and by itself.
    pub(crate) fn child(&self) -> Self {
        Self { stop: self.stop.child_token(), kill: self.kill.child_token() }
    }

    /// Asks for an orderly stop.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Asks for a stop at once, also of what is being stopped already.
    pub(crate) fn kill(&self) {
        self.kill.cancel();
        self.stop.cancel();
    }

    /// Whether a stop of either kind was asked for.
    pub(crate) fn is_pulled(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Cancelled when a stop of either kind is asked for.
    pub(crate) const fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Cancelled when a kill is asked for.
    pub(crate) const fn killing(&self) -> &CancellationToken {
        &self.kill
    }

    /// Asks for an orderly stop when it is dropped.
    pub(crate) fn stop_when_dropped(&self) -> DropGuard {
        self.stop.clone().drop_guard()
    }
}
