//! The folder of a private Unix socket, and those of servers that were killed.
//!
//! A folder is locked for as long as its server lives: one that can be locked is nobody's any more.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Once;

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

/// What all such folders begin with.
const PREFIX: &str = "mm-plugin-api.";

/// The socket's name.
///
/// grpc's C core, and so grpcio, sends the percent-encoded path of a socket as `:authority`. There
/// the h2 library allows `%` only before an `@`, and refuses the call otherwise; so the path must
/// have an `@` and what follows it must be a host name.
const SOCKET: &str = "api@localhost";

/// How often another name is tried, should a neighbour take a folder that is not locked yet for one
/// that has been left.
const ATTEMPTS: usize = 8;

/// A new folder that only this user may enter (mode 0700). It goes, with its socket, when this is
/// dropped.
#[derive(Debug)]
pub(super) struct SocketFolder {
    folder: TempDir,
    /// Given up after the folder is gone.
    _lock: File,
}

impl SocketFolder {
    /// Makes one below `parent`. The first of this process removes what killed processes have left
    /// there.
    pub(super) fn make(parent: &Path) -> io::Result<Self> {
        static LEFT: Once = Once::new();
        LEFT.call_once(|| remove_left(parent));
        for _ in 0..ATTEMPTS {
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(parent)?;
            match lock(folder.path()) {
                Ok(Some(lock)) => return Ok(Self { folder, _lock: lock }),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("something removes the folder again and again"))
    }

    /// Where the socket belongs.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }
}

/// Locks a folder; `None` if somebody else has, or had and removed it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(folder, flags, Mode::empty())?);
    if let Err(error) = file.try_lock() {
        return match error {
            fs::TryLockError::WouldBlock => Ok(None),
            fs::TryLockError::Error(error) => Err(error),
        };
    }
    let is_there = fs::symlink_metadata(folder)?.ino() == file.metadata()?.ino();
    Ok(is_there.then_some(file))
}

/// Removes the folders of servers that are dead, if they have nothing but a socket in them.
fn remove_left(parent: &Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_one || entry.metadata().map_or(true, |metadata| metadata.uid() != user) {
            continue;
        }
        let folder = entry.path();
        let Ok(Some(_lock)) = lock(&folder) else { continue };
        // Missing where the server was killed before it had bound it.
        let _ = fs::remove_file(folder.join(SOCKET));
        match fs::remove_dir(&folder) {
            Ok(()) => {
                let folder = folder.display();
                tracing::info!(%folder, "removed the socket of a server that was killed");
            }
            Err(error) => {
                let folder = folder.display();
                tracing::debug!(%folder, %error, "what a killed server has left stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a process that is killed leaves it.
    fn left(parent: &Path) -> PathBuf {
        let SocketFolder { folder, _lock } = SocketFolder::make(parent).unwrap();
        folder.keep()
    }

    #[test]
    fn what_a_killed_server_has_left_is_removed_and_a_living_ones_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let living = SocketFolder::make(parent.path()).unwrap();
        fs::write(living.socket(), "").unwrap();
        let (empty, whole, more) = (left(parent.path()), left(parent.path()), left(parent.path()));
        fs::write(whole.join(SOCKET), "").unwrap();
        fs::write(more.join("somebody's"), "").unwrap();
        let target = parent.path().join("elsewhere");
        fs::create_dir(&target).unwrap();
        std::os::unix::fs::symlink(&target, parent.path().join(format!("{PREFIX}link"))).unwrap();
        remove_left(parent.path());
        assert!(living.socket().exists());
        assert!(!empty.exists() && !whole.exists());
        assert!(more.join("somebody's").exists());
        assert!(target.exists());
        let folder = living.socket().parent().unwrap().to_owned();
        drop(living);
        assert!(!folder.exists());
    }

    #[test]
    fn a_folder_is_locked_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = SocketFolder::make(parent.path()).unwrap();
        let path = folder.socket().parent().unwrap().to_owned();
        assert!(lock(&path).unwrap().is_none());
        drop(folder);
        assert_eq!(lock(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
