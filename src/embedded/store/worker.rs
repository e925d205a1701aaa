//! The threads that own the connections.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::{Fault, StoreError};

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// One thread that writes, and as many that read as there are readers.
#[derive(Debug)]
pub(super) struct Workers {
    /// Where jobs go, to write and to read; `None` after the close.
    jobs: Mutex<Option<(Sender<Job>, Sender<Job>)>>,
    /// Whoever has a receiver's other end runs: closed when the last thread has ended.
    ended: watch::Receiver<()>,
}

impl Workers {
    pub(super) fn start(
        name: &str,
        writer: Connection,
        readers: Vec<Connection>,
        lock: Option<File>,
    ) -> Result<Self, StoreError> {
        let (running, ended) = watch::channel(());
        // The file is locked until the last connection is closed, and unlocked before that is told:
        // the fields of a tuple are dropped in their order.
        let running = Arc::new((lock, running));
        let (write, writes) = unbounded();
        let (read, reads) = unbounded();
        spawn(name, "writer", writer, writes, &running)?;
        for reader in readers {
            spawn(name, "reader", reader, reads.clone(), &running)?;
        }
        Ok(Self { jobs: Mutex::new(Some((write, read))), ended })
    }

    pub(super) async fn read<T, F>(&self, job: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let to = self.jobs().as_ref().map(|(_, read)| read.clone());
        run(to, job).await
    }

    pub(super) async fn write<T, F>(&self, job: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let to = self.jobs().as_ref().map(|(write, _)| write.clone());
        run(to, job).await
    }

    /// No job from now on; ends when those before it are done and the connections are closed.
    pub(super) async fn close(&self) {
        *self.jobs() = None;
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, Option<(Sender<Job>, Sender<Job>)>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn<K: Send + Sync + 'static>(
    name: &str,
    role: &str,
    connection: Connection,
    jobs: Receiver<Job>,
    running: &Arc<K>,
) -> Result<(), StoreError> {
    let running = Arc::clone(running);
    let thread = thread::Builder::new().name(format!("embedded-{role}"));
    let spawned = thread.spawn(move || {
        for job in &jobs {
            job(&connection);
        }
        drop(connection);
        drop(running);
    });
    spawned.map(drop).map_err(|error| StoreError::Io {
        file: name.to_owned(),
        problem: format!("no thread for it can be started: {error}"),
    })
}

/// Hands a job over and waits for its answer. A panic in it is one of the caller.
async fn run<T, F>(to: Option<Sender<Job>>, job: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        // A transaction that is dropped by a panic is rolled back, so the connection stays whole.
        let outcome = catch_unwind(AssertUnwindSafe(|| job(connection)));
        // Whoever asked may be gone.
        let _ = answer.send(outcome);
    });
    let handed_over = to.is_some_and(|to| to.send(job).is_ok());
    if !handed_over {
        return Err(Fault::Closed);
    }
    match answered.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => Err(Fault::Closed),
    }
}
