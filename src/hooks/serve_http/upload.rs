//! How an upload is watched, and ended at any time.
//!
//! hyper moves a request's body to the plugin in a task of its own. While the plugin does not read,
//! that task waits for room and looks at nothing else, so the stream could not be cancelled. Hence
//! the connection's tasks run under `SendingTasks`, and a call can drop the task that sends for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::task::Id;
use tokio_util::sync::CancellationToken;
use tonic::CancellationHandle;

use super::error::ServeHttpError;
use crate::hooks::sending_tasks::current_task;

/// What the two directions of one stream know of each other.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// Cancelled when the stream to the plugin is open.
    pub(super) opened: CancellationToken,
    /// Cancelled when the body's source has failed.
    pub(super) failed: CancellationToken,
    failure: OnceLock<String>,
    complete: AtomicBool,
    handle: OnceLock<CancellationHandle>,
    /// The task that opened the stream, which is the connection's.
    opener: OnceLock<Option<Id>>,
    /// Drops the task that sends the body.
    sender: OnceLock<CancellationToken>,
}

impl Upload {
    /// How tonic cancels the stream.
    pub(super) fn cancel_with(&self, handle: CancellationHandle) {
        let _ = self.handle.set(handle);
    }

    /// The stream is open; called in the connection's task.
    pub(super) fn open(&self) {
        let _ = self.opener.set(tokio::task::try_id());
        self.opened.cancel();
    }

    /// Called in the task that sends the body. It must never be taken for the connection's.
    pub(super) fn sends_here(&self) {
        if self.sender.get().is_none()
            && self.opener.get().is_some_and(|opener| *opener != tokio::task::try_id())
            && let Some(token) = current_task()
        {
            let _ = self.sender.set(token);
        }
    }

    /// Everything was handed over.
    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// The body's source has failed: the plugin must not take what it has for all of it.
    pub(super) fn fail(&self, reason: String) {
        let _ = self.failure.set(reason);
        self.cancel();
        self.failed.cancel();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Why it failed.
    pub(super) fn failure(&self) -> ServeHttpError {
        ServeHttpError::Upload { reason: self.failure.get().cloned().unwrap_or_default() }
    }

    fn cancel(&self) {
        if let Some(handle) = self.handle.get() {
            handle.clone().cancel();
        }
        if let Some(sender) = self.sender.get() {
            sender.cancel();
        }
    }
}

/// Cancels the stream when it is dropped; has no effect on one that has ended.
#[derive(Debug)]
pub(super) struct CancelOnDrop(pub(super) Arc<Upload>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
