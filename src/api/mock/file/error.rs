//! What can be wrong with a file of mocks.

use std::io;
use std::path::PathBuf;

/// Why there are no mocks to be had from a file.
///
/// ```
/// use plugin_conformance::api::mock::{MockFile, MockFileError};
///
/// let text = "mocks:\n  - given: GetUser\n    with: {user: abc}\n    respond: {}\n";
/// let error = MockFile::parse(text, "mocks.yaml".as_ref()).unwrap_err();
/// assert!(matches!(error, MockFileError::Content { line: 3, .. }));
/// assert_eq!(
///     error.to_string(),
///     "mocks.yaml:3: GetUser: the request's user: there is no field user in GetUserRequest \
///      (fields: user_id)"
/// );
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MockFileError {
    /// The file cannot be read.
    #[error("cannot read the mocks {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}:{line}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// What is wrong, and what is allowed.
        problem: String,
    },
}
