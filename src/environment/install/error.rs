//! Why an archive was not unpacked.

use std::io;
use std::path::PathBuf;

/// Why an archive was not unpacked. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Not gzip, not tar, or cut off.
    #[error("the archive is no .tar.gz that can be read: {0}")]
    NoArchive(#[source] io::Error),
    /// It unpacks to too much.
    #[error("the archive unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It has too many entries.
    #[error("the archive has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// An entry's path is absolute or has `..` in it.
    #[error("the archive's entry {} leads out of the bundle: paths must be relative and without `..`", entry.display())]
    Outside {
        /// The entry.
        entry: PathBuf,
    },
    /// A link leads out of the bundle, or nowhere.
    #[error("the archive's link {} leads out of the bundle or nowhere, to {}: pack the file itself", entry.display(), target.display())]
    Link {
        /// The link.
        entry: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// Neither file nor folder nor link.
    #[error("the archive's entry {} is a {kind}, which no bundle needs: leave it out", entry.display())]
    Kind {
        /// The entry.
        entry: PathBuf,
        /// What it is.
        kind: String,
    },
    /// The manifest is neither at the root nor in the only folder there.
    #[error(
        "the archive has no plugin.json, plugin.yaml or plugin.yml at its root or in its only folder"
    )]
    NoBundle,
    /// An entry cannot be written: it is there twice, or the disk refuses.
    #[error("the archive's entry {} cannot be written: {source}", entry.display())]
    Write {
        /// The entry.
        entry: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl UnpackError {
    /// Whether the disk is at fault and not the archive.
    pub(in super::super) fn is_ours(&self) -> bool {
        use io::ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory};
        match self {
            Self::Write { source, .. } => !matches!(
                source.kind(),
                AlreadyExists | NotADirectory | IsADirectory | InvalidFilename
            ),
            _ => false,
        }
    }
}
