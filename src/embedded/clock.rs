//! What time it is for the server.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives milliseconds since 1970, as Mattermost counts its times. Clones share one clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "times of posts and of expiry are dates")]
        Self(Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }))
    }

    /// A clock whose first reading is `start` and which is one millisecond later at every reading:
    /// the same calls get the same times, and no two of them the same one.
    pub fn ticking(start: i64) -> Self {
        let now = AtomicI64::new(start);
        Self(Arc::new(move || now.fetch_add(1, Ordering::SeqCst)))
    }

    /// A clock that stands at the number of milliseconds in `now` until somebody stores another.
    pub fn set_by(now: Arc<AtomicI64>) -> Self {
        Self(Arc::new(move || now.load(Ordering::SeqCst)))
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Reading it would move a ticking one.
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}
