//! The database: SQLite, behind threads of its own.
//!
//! One thread writes, a few read; each has a connection, and jobs are handed to them over channels, so
//! that no async task ever waits on a lock or a disk. The journal is a write-ahead log: a reader sees
//! the last commit before it began, waits for nobody, and nobody waits for it.
//!
//! "In memory" is a file in the temporary folder that has lost its name before it is first used: it
//! goes with the process however that ends, grows beyond memory if it must, and has the same
//! properties as a named one. SQLite's own memory databases have not: connections that share one
//! block each other.
//!
//! A write is answered after its commit. The log is in the kernel's hands by then, so that a kill of
//! the process loses nothing; a power cut may lose the last commits of a named file, never its
//! consistency.

mod error;
mod open;
mod schema;
mod tx;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;

pub use error::StoreError;
pub(crate) use error::{Failing, Fault};
pub(crate) use tx::{Tx, WriteTx};

use super::{Clock, Ids};
use crate::api::AppError;
use open::Opened;
use worker::Workers;

/// What transactions take times and ids from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
}

/// The database of a server.
#[derive(Debug)]
pub(crate) struct Store {
    workers: Workers,
    source: Arc<Source>,
    /// How errors name it.
    name: Arc<str>,
}

impl Store {
    /// Opens the database in `file`, or a new one without a name.
    #[cfg(test)]
    pub(crate) fn open(file: Option<PathBuf>, source: Source) -> Result<Self, StoreError> {
        Self::open_with(file, source, |_| Ok(())).map(|(store, ())| store)
    }

    /// The same, with a look at what is in it.
    pub(crate) fn open_with<T>(
        file: Option<PathBuf>,
        source: Source,
        look: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<(Self, T), StoreError> {
        let source = Arc::new(source);
        let Opened { name, writer, readers, lock } = open::open(file.as_deref(), &source)?;
        let seen = look(&writer).map_err(|error| StoreError::of(&name, &error))?;
        let workers = Workers::start(&name, writer, readers, lock)?;
        Ok((Self { workers, source, name }, seen))
    }

    /// Times and ids.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Runs `f` on a snapshot. What the database says no to fails as `failing`.
    pub(crate) async fn read<T, F>(&self, failing: impl Into<Failing>, f: F) -> Result<T, AppError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let source = Arc::clone(&self.source);
        let answer = self.workers.read(move |connection| {
            let transaction = connection.unchecked_transaction()?;
            f(&Tx::new(&transaction, &source))
        });
        answer.await.map_err(|fault| fault.into_app_error(failing.into(), &self.name))
    }

    /// Runs `f` in a transaction that nobody else writes in. It is committed if `f` succeeds, and
    /// leaves nothing behind if not.
    pub(crate) async fn write<T, F>(&self, failing: impl Into<Failing>, f: F) -> Result<T, AppError>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let source = Arc::clone(&self.source);
        let answer = self.workers.write(move |connection| {
            let behavior = rusqlite::TransactionBehavior::Immediate;
            let transaction = rusqlite::Transaction::new_unchecked(connection, behavior)?;
            let answer = f(&WriteTx::new(&transaction, &source))?;
            transaction.commit()?;
            Ok(answer)
        });
        answer.await.map_err(|fault| fault.into_app_error(failing.into(), &self.name))
    }

    /// Ends when the database is closed: all that was begun is done, and the log is in the file.
    pub(crate) async fn close(&self) {
        self.workers.close().await;
    }
}

#[cfg(test)]
mod tests;
