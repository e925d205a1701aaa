use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Every task of the server, and the two ways to end them: `closing` asks a task to come to an end,
/// `abort` drops it where it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    pub(super) closing: CancellationToken,
    abort: CancellationToken,
}

impl Tasks {
    /// Spawns a task that ends, at the latest, when the tasks are aborted.
    pub(super) fn spawn<F: Future + Send + 'static>(&self, future: F) {
        let abort = self.abort.clone();
        self.tracker.spawn(async move {
            abort.run_until_cancelled_owned(future).await;
        });
    }

    pub(super) fn close(&self) {
        self.closing.cancel();
        self.tracker.close();
    }

    pub(super) fn abort(&self) {
        self.close();
        self.abort.cancel();
    }

    /// Waits until [`close`](Self::close) was called and no task is left.
    pub(super) async fn ended(&self) {
        self.tracker.wait().await;
    }

    pub(super) fn count(&self) -> usize {
        self.tracker.len()
    }
}

/// hyper's way to spawn an HTTP/2 stream's task.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.spawn(future);
    }
}
