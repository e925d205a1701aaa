//! What `src/sync.rs` is to the real thing: the same names, under shuttle's scheduler.

pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub(crate) use shuttle_tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, oneshot, watch};
pub(crate) use shuttle_tokio::task::spawn;

/// No time passes here: what waits for a clock waits for ever.
pub(crate) async fn sleep(_: std::time::Duration) {
    std::future::pending().await
}

pub(crate) fn watched<T>(value: T) -> watch::Sender<T> {
    watch::channel(value).0
}
