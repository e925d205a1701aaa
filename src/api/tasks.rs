//! The tasks of a server, each of which can be ended for certain.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Every task of a server, and the two ways to end them: `closing` asks a task to come to an end,
/// `abort` drops it where it stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    /// Cancelled when the tasks are asked to come to an end.
    pub(crate) closing: CancellationToken,
    abort: CancellationToken,
}

impl Tasks {
    /// Spawns a task that ends, at the latest, when the tasks are aborted.
    pub(crate) fn spawn<F: Future + Send + 'static>(&self, future: F) {
        let abort = self.abort.clone();
        self.tracker.spawn(async move {
            abort.run_until_cancelled_owned(future).await;
        });
    }

    /// Asks the tasks to come to an end.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.tracker.close();
    }

    /// Drops the tasks where they stand.
    pub(crate) fn abort(&self) {
        self.close();
        self.abort.cancel();
    }

    /// Waits until [`close`](Self::close) was called and no task is left.
    pub(crate) async fn ended(&self) {
        self.tracker.wait().await;
    }

    /// How many tasks there are: the listener, one a connection, one a call.
    pub(crate) fn count(&self) -> usize {
        self.tracker.len()
    }
}

/// hyper's way to spawn a stream's task.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}
