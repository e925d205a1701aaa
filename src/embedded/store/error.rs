//! What can go wrong with the database, in words.

use rusqlite::ErrorCode;
use thiserror::Error;

use super::super::refusal::refused;
use crate::api::AppError;

/// Why the database cannot be opened or used. Each names the file and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room is left on the disk.
    #[error("{file}: the disk is full; make room, nothing that was answered is lost")]
    Full {
        /// The database.
        file: String,
    },
    /// The file or its folder cannot be written.
    #[error("{file}: cannot be written; make the file and its folder writable")]
    ReadOnly {
        /// The database.
        file: String,
    },
    /// Somebody else has it open.
    #[error(
        "{file}: is in use; stop the server or the tool that has it open, or take another file"
    )]
    Locked {
        /// The database.
        file: String,
    },
    /// The file's content is damaged.
    #[error("{file}: is damaged ({problem}); restore a copy, or take another file")]
    Corrupt {
        /// The database.
        file: String,
        /// What SQLite says.
        problem: String,
    },
    /// The file is something else.
    #[error("{file}: is no database of an embedded Mattermost; take another file")]
    Foreign {
        /// The file.
        file: String,
    },
    /// A later version of this program wrote the file.
    #[error(
        "{file}: has version {found} of the schema, this program knows versions up to {known}; \
         use a newer plugin-conformance, or take another file"
    )]
    Newer {
        /// The database.
        file: String,
        /// The file's version.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// The operating system says no.
    #[error("{file}: {problem}")]
    Io {
        /// The database.
        file: String,
        /// What it says.
        problem: String,
    },
}

impl StoreError {
    /// What an error of SQLite means for this file.
    pub(super) fn of(file: &str, error: &rusqlite::Error) -> Self {
        let file = file.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { file },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { file },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { file },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { file, problem: error.to_string() },
            Some(ErrorCode::NotADatabase) => Self::Foreign { file },
            _ => Self::Io { file, problem: error.to_string() },
        }
    }
}

/// What a transaction fails with.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server says no.
    App(Box<AppError>),
    /// The database does.
    Sql(rusqlite::Error),
    /// A stored message cannot be read.
    Stored(prost::DecodeError),
    /// The server has been closed.
    Closed,
}

impl From<AppError> for Fault {
    fn from(error: AppError) -> Self {
        Self::App(Box::new(error))
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<prost::DecodeError> for Fault {
    fn from(error: prost::DecodeError) -> Self {
        Self::Stored(error)
    }
}

/// How a failure of the database is told: the id and the status that Mattermost has for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failing {
    id: &'static str,
    status_code: i32,
}

impl From<&'static str> for Failing {
    /// With status 500.
    fn from(id: &'static str) -> Self {
        Self { id, status_code: 500 }
    }
}

impl From<(&'static str, i32)> for Failing {
    fn from((id, status_code): (&'static str, i32)) -> Self {
        Self { id, status_code }
    }
}

impl Fault {
    pub(super) fn into_app_error(self, failing: Failing, file: &str) -> AppError {
        let problem = match self {
            Self::App(error) => return *error,
            Self::Sql(error) => StoreError::of(file, &error).to_string(),
            Self::Stored(error) => {
                format!("{file}: a stored message cannot be read ({error}); the file is damaged")
            }
            Self::Closed => format!("{file}: the server has been closed"),
        };
        tracing::error!(id = failing.id, problem, "the embedded server's database failed");
        refused(failing.id, failing.status_code, "").detail(problem)
    }
}
