//! Interpreters that stand before the real ones on `PATH`.
//!
//! A supervisor that takes the system's Python instead of the bundle's would start a program that can
//! do nothing with a scenario's script, and nothing would be seen of all else. So its `PATH` begins
//! with a folder in which `python` and `python3` are fake interpreters, too. For whatever is no
//! scenario's bundle they give way to the real ones.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

/// Names the folder to the fake interpreters.
pub(super) const VARIABLE: &str = "PLUGIN_CONFORMANCE_DECOY";

/// The folder.
#[derive(Debug)]
pub(super) struct Decoys(TempDir);

impl Decoys {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("plugin-conformance-path-").tempdir()?))
    }

    pub(super) fn dir(&self) -> &Path {
        self.0.path()
    }

    /// Puts the interpreters there, and gives the `PATH` that begins with them.
    pub(super) fn path(&self, interpreter: &Path) -> OsString {
        for name in ["python", "python3"] {
            // The second scenario finds them there.
            let _ = symlink(interpreter, self.dir().join(name));
        }
        let mut path = self.dir().as_os_str().to_owned();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        path
    }
}
