//! What can be wrong with a manifest.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::remedy::remedy;

/// Why a bundle has no usable manifest. Every text names the file and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// None of the three files exists.
    #[error(
        "no manifest in {dir}: looked for plugin.yml, plugin.yaml and plugin.json; put one of them in the root of the plugin bundle"
    )]
    NotFound {
        /// The bundle directory.
        dir: PathBuf,
    },
    /// The file is there but the operating system does not hand it out.
    #[error(
        "cannot read the manifest {path}: {source}; {}",
        remedy(source, "check its owner and mode")
    )]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A directory, pipe or device has the manifest's name.
    #[error("{path} is not a regular file; put the manifest there")]
    NotAFile {
        /// What has the manifest's name.
        path: PathBuf,
    },
    /// The file is larger than a manifest may be.
    #[error("the manifest {path} is larger than {limit} bytes; move the bulk of it elsewhere")]
    TooLarge {
        /// The manifest.
        path: PathBuf,
        /// Most bytes that are accepted.
        limit: usize,
    },
    /// The file is not UTF-8.
    #[error("the manifest {path} is not UTF-8 from byte {offset} on; save it as UTF-8")]
    NotUtf8 {
        /// The manifest.
        path: PathBuf,
        /// Bytes before the first wrong one.
        offset: usize,
    },
    /// The text is not YAML or JSON, or not in a way that fits a manifest.
    #[error(
        "{path}:{line}:{column}: {reason}; correct the manifest there (a value meant as text may need quotes)"
    )]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// Line, from 1; 0 if unknown.
        line: u64,
        /// Column in characters, from 1; 0 if unknown.
        column: u64,
        /// The parser's words.
        reason: String,
    },
    /// A field holds another kind of value.
    #[error("{path}: {field} must be {expected}, not {found}{}", quote_hint(.expected))]
    WrongType {
        /// The manifest.
        path: PathBuf,
        /// The field in backquotes, for example `` `server.executable` ``, or "the whole document".
        field: String,
        /// What belongs there: "a text" or "a mapping".
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// `id` is missing or empty.
    #[error("{path}: `id` is missing; give the plugin one, for example com.example.hello")]
    MissingId {
        /// The manifest.
        path: PathBuf,
    },
    /// `id` is not a plugin id.
    #[error(
        "{path}: `id` is {id:?}, which is not a plugin id; use 3 to 190 of the characters a-z, 0-9, '-', '_' and '.'"
    )]
    InvalidId {
        /// The manifest.
        path: PathBuf,
        /// The id as written, shortened if it is very long.
        id: String,
    },
}

fn quote_hint(expected: &str) -> &'static str {
    if expected == "a text" { "; put the value in quotes" } else { "" }
}
