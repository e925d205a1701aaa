//! A file of mocks, read and checked.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::MockFileError;
use super::reader::Reader;
use crate::api::GeneratedApi;
use crate::api::mock::MockApi;
use crate::api::mock::mounted::Spec;

/// The mocks of a file, from which any number of APIs can be made, each with calls of its own.
///
/// ```
/// use plugin_conformance::api::mock::{MockFile, Otherwise};
///
/// let text = "
/// otherwise: generated
/// mocks:
///   - given: GetUser
///     respond: {user: {id: abc, username: ada}}
/// ";
/// let file = MockFile::parse(text, "mocks.yaml".as_ref())?;
/// assert_eq!(file.otherwise(), Otherwise::Generated);
/// let api = file.api("11.2.0");
/// # Ok::<_, plugin_conformance::api::mock::MockFileError>(())
/// ```
#[derive(Clone)]
pub struct MockFile {
    pub(super) otherwise: Otherwise,
    pub(super) mocks: Vec<Arc<Spec>>,
}

/// What becomes of a call that no mock matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Otherwise {
    /// It fails with the AppError `plugin_api.mock.unmatched`.
    #[default]
    Unmatched,
    /// It gets the answer of [`GeneratedApi`].
    Generated,
}

impl MockFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, or something in it is wrong; the error names the line.
    pub fn load(path: &Path) -> Result<Self, MockFileError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(source) => Err(MockFileError::Read { path: path.to_owned(), source }),
        }
    }

    /// Checks the text of a file; `path` is for the errors.
    ///
    /// # Errors
    /// When something in it is wrong; the error names the line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, MockFileError> {
        Reader { path }.file(text)
    }

    /// What becomes of a call that no mock matches.
    pub fn otherwise(&self) -> Otherwise {
        self.otherwise
    }

    /// Whether a mock in the file answers calls of this RPC.
    pub fn answers(&self, rpc: &str) -> bool {
        self.mocks.iter().any(|mock| mock.method.name == rpc)
    }

    /// An API with these mocks, which have had no calls yet. `version` is what `GetServerVersion`
    /// answers where answers are generated.
    pub fn api(&self, version: &str) -> MockApi {
        let api = MockApi::new();
        self.mocks.iter().for_each(|mock| api.mount(Arc::clone(mock)));
        if self.otherwise == Otherwise::Generated {
            api.otherwise(GeneratedApi::answering(version));
        }
        api
    }
}

impl fmt::Debug for MockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (otherwise, mocks) = (self.otherwise, self.mocks.len());
        f.debug_struct("MockFile").field("otherwise", &otherwise).field("mocks", &mocks).finish()
    }
}
