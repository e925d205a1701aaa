//! What time it is for expiry.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives milliseconds since 1970, as Mattermost counts expiry. Clones share one clock.
#[derive(Clone)]
pub struct KvClock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl KvClock {
    /// The machine's clock.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "expiry is a date, as it is for Mattermost")]
        Self(Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }))
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

impl Default for KvClock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for KvClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KvClock").field(&self.now()).finish()
    }
}
