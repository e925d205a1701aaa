//! The files' bytes, by their paths in the store.

use rusqlite::params;

use super::super::refusal::internal;
use super::super::store::{Fault, Tx, WriteTx};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE stored_files (
    path TEXT PRIMARY KEY,
    data BLOB NOT NULL
);
";

/// The bytes at a path, if there are any.
pub(super) fn read(tx: &Tx<'_>, path: &str) -> Result<Option<Vec<u8>>, Fault> {
    tx.value("SELECT data FROM stored_files WHERE path = ?1", [path])
}

/// There is nothing to be read at this path.
pub(super) fn unreadable() -> AppError {
    internal("api.file.read_file.app_error", "Encountered an error reading the file.")
}

/// Stores bytes, in place of those that were there.
pub(super) fn write(tx: &WriteTx<'_>, path: &str, data: &[u8]) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO stored_files (path, data) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET data = excluded.data",
        params![path, data],
    )
    .map(drop)
}

/// Adds bytes to those that are there; false if none are.
pub(super) fn append(tx: &WriteTx<'_>, path: &str, data: &[u8]) -> Result<bool, Fault> {
    let changed = tx.execute(
        "UPDATE stored_files SET data = CAST(data || ?2 AS BLOB) WHERE path = ?1",
        params![path, data],
    )?;
    Ok(changed > 0)
}

/// Gives a file another path; false if there is none.
pub(super) fn rename(tx: &WriteTx<'_>, from: &str, to: &str) -> Result<bool, Fault> {
    tx.execute("DELETE FROM stored_files WHERE path = ?1", [to])?;
    Ok(tx.execute("UPDATE stored_files SET path = ?2 WHERE path = ?1", [from, to])? > 0)
}

/// Removes a file, if it is there.
pub(super) fn remove(tx: &WriteTx<'_>, path: &str) -> Result<(), Fault> {
    tx.execute("DELETE FROM stored_files WHERE path = ?1", [path]).map(drop)
}
