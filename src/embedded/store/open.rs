//! Opens the database's connections.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{Source, StoreError, schema};

/// How long a connection waits for another process, a tool for instance, that has the file locked.
const BUSY: Duration = Duration::from_secs(5);
/// So many statements stay compiled for each connection.
const STATEMENTS: usize = 256;
/// Pages that a connection keeps in memory, in KiB.
const CACHE_KIB: i64 = 8 * 1024;

pub(super) struct Opened {
    pub(super) name: Arc<str>,
    pub(super) writer: Connection,
    pub(super) readers: Vec<Connection>,
    /// Keeps other servers away from a named file.
    pub(super) lock: Option<File>,
}

/// How many threads read.
fn readers() -> usize {
    thread::available_parallelism().map_or(2, usize::from).clamp(2, 8)
}

pub(super) fn open(file: Option<&Path>, source: &Source) -> Result<Opened, StoreError> {
    match file {
        Some(file) => {
            let name: Arc<str> = file.display().to_string().into();
            let lock = Some(locked(file, &name)?);
            let (writer, readers) = connections(file, &name, source, "NORMAL")?;
            Ok(Opened { name, writer, readers, lock })
        }
        None => {
            let name: Arc<str> = "the database in memory".into();
            let problem = |error: std::io::Error| StoreError::Io {
                file: std::env::temp_dir().display().to_string(),
                problem: format!("no database can be made there: {error}; set TMPDIR"),
            };
            let folder = tempfile::Builder::new().prefix("embedded-").tempdir().map_err(problem)?;
            let file = folder.path().join("mattermost.db");
            let (writer, readers) = connections(&file, &name, source, "OFF")?;
            // All connections have their files open: the names can go, and nothing is left behind
            // even if the process is killed.
            folder.close().map_err(problem)?;
            Ok(Opened { name, writer, readers, lock: None })
        }
    }
}

/// Locks the file for this server alone. SQLite's own locks let several processes take turns, but
/// two servers on one file would tell their plugins different stories.
fn locked(file: &Path, name: &str) -> Result<File, StoreError> {
    let mut path = file.as_os_str().to_owned();
    path.push("-lock");
    let path = PathBuf::from(path);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { file: name.to_owned() }
        }
        std::io::ErrorKind::StorageFull => StoreError::Full { file: name.to_owned() },
        _ => StoreError::Io {
            file: name.to_owned(),
            problem: format!("cannot be opened: {}: {error}", path.display()),
        },
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { file: name.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::Io {
            file: name.to_owned(),
            problem: format!("cannot be locked: {error}"),
        }),
    }
}

fn connections(
    file: &Path,
    name: &str,
    source: &Source,
    synchronous: &str,
) -> Result<(Connection, Vec<Connection>), StoreError> {
    let problem = |error: rusqlite::Error| StoreError::of(name, &error);
    let writer = connection(file, synchronous).map_err(problem)?;
    if writer.is_readonly("main").map_err(problem)? {
        return Err(StoreError::ReadOnly { file: name.to_owned() });
    }
    schema::check(&writer, name)?;
    let journal: String = writer
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(problem)?;
    if journal != "wal" {
        let problem = "its file system has no shared memory; take another folder".to_owned();
        return Err(StoreError::Io { file: name.to_owned(), problem });
    }
    schema::migrate(&writer, name, source)?;
    let reader = |_| {
        let reader = connection(file, synchronous)?;
        reader.pragma_update(None, "query_only", true)?;
        // The first read opens the log: from then on the connection needs no name.
        reader.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(reader)
    };
    let readers = (0..readers()).map(reader).collect::<Result<_, _>>().map_err(problem)?;
    Ok((writer, readers))
}

fn connection(file: &Path, synchronous: &str) -> rusqlite::Result<Connection> {
    // Without SQLITE_OPEN_URI: a file may have any name. Each connection has one thread.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}
