//! The folder in which a bundle is unpacked.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, openat};

use crate::environment::remove_folder::{FOLDER, remove_folder};

/// A folder for one installation, beside the place of the plugins. Dropped, it is removed with
/// whatever is in it.
#[derive(Debug)]
pub(in super::super) struct Staging {
    path: PathBuf,
    /// Descriptors that the removal needs: it happens also if there are no others left.
    spare: Vec<OwnedFd>,
}

impl Staging {
    /// A new folder in `folder`.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let made = tempfile::Builder::new().prefix(".unpack-").tempdir_in(folder)?;
        let one = openat(CWD, made.path(), FOLDER, Mode::empty())?;
        let spare = vec![one.try_clone()?, one.try_clone()?, one];
        Ok(Self { path: made.keep(), spare })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.spare.clear();
        if let Err(error) = remove_folder(&self.path) {
            let folder = self.path.display();
            tracing::error!(%error, %folder, "what an installation has left is not removed");
        }
    }
}
