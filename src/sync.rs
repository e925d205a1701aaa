//! The locks and channels of what several tasks or threads share.
//!
//! `tests/shuttle` compiles the files that take theirs from here a second time, with a module of the
//! same name that has shuttle's. See docs/model.md.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, oneshot, watch};
pub(crate) use tokio::task::spawn;
pub(crate) use tokio::time::sleep;

/// A watch channel that has nobody who looks yet.
pub(crate) fn watched<T>(value: T) -> watch::Sender<T> {
    watch::Sender::new(value)
}
