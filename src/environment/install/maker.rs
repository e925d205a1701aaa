//! Makes files, folders and links below one folder, and through no link.
//!
//! Each folder is opened from the one above it, which fails if a link stands there.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, mkdirat, openat, symlinkat};
use rustix::io::Errno;

use crate::environment::remove_folder::FOLDER;

/// Makes things below one folder. Paths are relative to it, without `..`.
pub(super) struct Maker {
    root: OwnedFd,
    /// The folder that was opened last: the next file is often in the same.
    last: Option<(PathBuf, OwnedFd)>,
}

impl Maker {
    /// Makes the folder `root` itself.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        DirBuilder::new().create(root)?;
        Ok(Self { root: openat(CWD, root, FOLDER, Mode::empty())?, last: None })
    }

    /// Makes a folder and those above it; they may be there.
    pub(super) fn folder(&mut self, path: &Path) -> io::Result<BorrowedFd<'_>> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            self.last = Some((path.to_owned(), self.open(path)?));
        }
        Ok(self.last.as_ref().map_or(self.root.as_fd(), |(_, folder)| folder.as_fd()))
    }

    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut folder = self.root.try_clone()?;
        for name in path {
            folder = match openat(&folder, name, FOLDER, Mode::empty()) {
                Err(Errno::NOENT) => {
                    mkdirat(&folder, name, Mode::from_raw_mode(0o777))?;
                    openat(&folder, name, FOLDER, Mode::empty())?
                }
                opened => opened?,
            };
        }
        Ok(folder)
    }

    /// Makes a new file for writing.
    pub(super) fn file(&mut self, path: &Path, mode: Mode) -> io::Result<File> {
        let (above, name) = split(path)?;
        let new = OFlags::WRONLY
            .union(OFlags::CREATE)
            .union(OFlags::EXCL)
            .union(OFlags::NOFOLLOW)
            .union(OFlags::CLOEXEC);
        Ok(openat(self.folder(above)?, name, new, mode)?.into())
    }

    /// Makes a symbolic link with this text.
    pub(super) fn soft_link(&mut self, path: &Path, target: &[u8]) -> io::Result<()> {
        let (above, name) = split(path)?;
        Ok(symlinkat(OsStr::from_bytes(target), self.folder(above)?, name)?)
    }

    /// Makes a hard link to a file.
    pub(super) fn hard_link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let ((above, name), (from, file)) = (split(path)?, split(target)?);
        let from = self.open(from)?;
        Ok(linkat(from, file, self.folder(above)?, name, AtFlags::empty())?)
    }
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Whoever puts a link in the way afterwards gains nothing by it.
    #[test]
    fn nothing_is_made_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (out, root) = (dir.path().join("out"), dir.path().join("root"));
        fs::create_dir(&out).unwrap();
        fs::write(out.join("file"), "theirs").unwrap();
        let mut maker = Maker::new(&root).unwrap();
        symlink(&out, root.join("way")).unwrap();
        symlink(out.join("new"), root.join("link")).unwrap();
        for made in [
            maker.folder("way/folder".as_ref()).map(|_| ()),
            maker.folder("way".as_ref()).map(|_| ()),
            maker.file("way/new".as_ref(), Mode::RUSR).map(|_| ()),
            maker.file("link".as_ref(), Mode::RUSR).map(|_| ()),
            maker.soft_link("way/new".as_ref(), b"x"),
            maker.hard_link("mine".as_ref(), "way/file".as_ref()),
            maker.hard_link("way/new".as_ref(), "mine".as_ref()),
        ] {
            assert!(made.is_err());
        }
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        assert!(!root.join("mine").exists());
    }
}
