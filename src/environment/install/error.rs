//! Why an archive was not unpacked.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::remedy::remedy;

/// The most bytes of a path that an error shows.
const SHOWN: usize = 256;

/// Why an archive was not unpacked. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Not gzip, not tar, cut off or damaged.
    #[error("the archive is no .tar.gz that can be read: {0}")]
    NoArchive(#[source] io::Error),
    /// It unpacks to too much.
    #[error("the archive unpacks to more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It has too many entries, or they make too many folders.
    #[error("the archive has more than {limit} entries, the folders counted that they imply")]
    TooManyEntries {
        /// The limit.
        limit: usize,
    },
    /// A header that describes the next entry (GNU long name, PAX) is too large.
    #[error(
        "the archive has an extension header of {bytes} bytes, more than {limit}: pack it without extended attributes"
    )]
    Extension {
        /// Its size as the archive says it.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An entry's path is absolute or has `..` in it.
    #[error(
        "the archive's entry {} leads out of the bundle: paths must be relative and without `..`",
        Shown(entry)
    )]
    Outside {
        /// The entry.
        entry: PathBuf,
    },
    /// An entry has a path that is not taken.
    #[error("the archive's entry {} has a path that cannot be taken: {problem}", Shown(entry))]
    Path {
        /// The entry.
        entry: PathBuf,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// A link leads out of the bundle, or nowhere.
    #[error(
        "the archive's link {} leads out of the bundle or nowhere, to {}: pack the file itself",
        Shown(entry),
        Shown(target)
    )]
    Link {
        /// The link.
        entry: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// Neither file nor folder nor link.
    #[error(
        "the archive's entry {} is a {kind}, which no bundle needs: leave it out",
        Shown(entry)
    )]
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
    /// An entry cannot be written: it is there twice, is below something that is no folder, or the
    /// disk refuses.
    #[error("the archive's entry {} cannot be written: {source}{}", Shown(entry), advice(source))]
    Write {
        /// The entry.
        entry: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The environment is shutting down, or nobody waits for the installation any more.
    #[error("the unpacking of the archive was cancelled")]
    Cancelled,
}

/// What is wrong with the path of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathProblem {
    /// The path is too long, or the target of a link is.
    #[error("it or what it links to is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// One name in it is too long.
    #[error("a name in it is longer than {limit} bytes")]
    NameTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// It is too deep.
    #[error("it is deeper than {limit} folders")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// It or the target of a link holds a zero byte.
    #[error("it or what it links to holds a zero byte")]
    Zero,
    /// All names and targets of links together are too long.
    #[error("all names and targets of links together are longer than {limit} bytes")]
    Sum {
        /// The limit in bytes.
        limit: usize,
    },
}

impl UnpackError {
    /// Whether the disk is at fault and not the archive.
    pub(in super::super) fn is_ours(&self) -> bool {
        use io::ErrorKind::{
            AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, TooManyLinks,
        };
        match self {
            Self::Write { source, .. } => !matches!(
                source.kind(),
                AlreadyExists | NotADirectory | IsADirectory | InvalidFilename | TooManyLinks
            ),
            _ => false,
        }
    }
}

/// What to do if the machine is at fault.
fn advice(source: &io::Error) -> String {
    match remedy(source, "") {
        "" => String::new(),
        advice => format!("; {advice}"),
    }
}

/// A path of somebody's archive, cut, and without what a terminal would obey.
struct Shown<'a>(&'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_os_str().as_bytes();
        let shown = bytes.get(..SHOWN).unwrap_or(bytes);
        write!(f, "{}", String::from_utf8_lossy(shown).escape_debug())?;
        if shown.len() < bytes.len() { f.write_str("…") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_an_error_is_short_and_harmless() {
        let entry = PathBuf::from(format!("\u{1b}[2J\n{}", "x".repeat(100_000)));
        let text = UnpackError::Outside { entry }.to_string();
        assert!(text.len() < 500 && !text.contains(['\u{1b}', '\n']), "{text}");
        assert!(text.contains("…") && text.contains("\\u{1b}[2J"), "{text}");
        let text = UnpackError::Outside { entry: "../ä".into() }.to_string();
        assert!(text.contains("entry ../ä leads"), "{text}");
    }

    #[test]
    fn a_full_disk_is_not_the_archives_fault() {
        let of = |errno: rustix::io::Errno| UnpackError::Write {
            entry: "a".into(),
            source: errno.into(),
        };
        let full = of(rustix::io::Errno::NOSPC);
        assert!(full.is_ours() && full.to_string().contains("make room"), "{full}");
        assert!(!of(rustix::io::Errno::EXIST).is_ours());
        assert!(!of(rustix::io::Errno::MLINK).is_ours());
    }
}
