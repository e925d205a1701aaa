//! The tasks of a plugin's connection, each of which can be dropped from inside its call.

use std::future::Future;

use tokio_util::sync::CancellationToken;

tokio::task_local! {
    /// Drops the task that it is read in.
    static DROP_TASK: CancellationToken;
}

/// Spawns the tasks of a plugin's connection, so that each can be dropped from inside its call.
///
/// For [`Endpoint::executor`](tonic::transport::Endpoint::executor).
#[derive(Debug, Clone, Copy)]
pub(super) struct SendingTasks;

impl<F> hyper::rt::Executor<F> for SendingTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let token = CancellationToken::new();
        let task = token.clone().run_until_cancelled_owned(future);
        tokio::spawn(DROP_TASK.scope(token, task));
    }
}

/// What drops the present task, if it is one of a plugin's connection.
pub(super) fn current_task() -> Option<CancellationToken> {
    DROP_TASK.try_with(Clone::clone).ok()
}
