//! Removes folders that plugins and archives have filled.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, chmodat, fchmod, openat, renameat, unlinkat};
use rustix::io::Errno;

/// How a folder is opened, and nothing that a link leads to.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How many entries of a folder are held in memory at a time.
const BATCH: usize = 1024;

/// Removes a folder with all that is in it, and follows no link.
///
/// Folders in folders are moved to the top before they are emptied: however deep they are, this takes
/// three descriptors and no long path.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    let top = open(CWD, &CString::new(path.as_os_str().as_bytes())?)?;
    let mut next = 0;
    while let batch @ [_, ..] = list(&top)?.as_slice() {
        for name in batch {
            if !is_folder_left(&top, name)? {
                continue;
            }
            let folder = open(&top, name.as_c_str())?;
            while let inner @ [_, ..] = list(&folder)?.as_slice() {
                for name in inner {
                    if is_folder_left(&folder, name)? {
                        lift(&folder, name, &top, &mut next)?;
                    }
                }
            }
            unlinkat(&top, name.as_c_str(), AtFlags::REMOVEDIR)?;
        }
    }
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

/// Removes what is no folder. True if it is one.
fn is_folder_left(above: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match unlinkat(above, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        // POSIX says EPERM of a folder, Linux says EISDIR.
        Err(Errno::ISDIR | Errno::PERM) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Opens a folder that is to be emptied, and makes that possible.
fn open(above: impl AsFd, name: &CStr) -> io::Result<OwnedFd> {
    let folder = match openat(&above, name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(&above, name, Mode::RWXU, AtFlags::empty())?;
            openat(&above, name, FOLDER, Mode::empty())?
        }
        opened => opened?,
    };
    // Should it fail, the removal of what is in there says so.
    let _ = fchmod(&folder, Mode::RWXU);
    Ok(folder)
}

/// Moves the folder `name` from `folder` to `top`, where it gets a number for a name.
fn lift(folder: &OwnedFd, name: &CStr, top: &OwnedFd, next: &mut u64) -> io::Result<()> {
    loop {
        *next += 1;
        match renameat(folder, name, top, next.to_string()) {
            Ok(()) => return Ok(()),
            // Something has that name; each number is tried once.
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
            // A folder that is moved gets another `..`, and so must be writable.
            Err(Errno::ACCESS) => {
                chmodat(folder, name, Mode::RWXU, AtFlags::empty())?;
                return Ok(renameat(folder, name, top, format!("{next}-"))?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Some of what is in a folder.
fn list(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
        if names.len() == BATCH {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use rustix::fs::mkdirat;

    use super::*;

    #[test]
    fn all_goes_and_what_links_lead_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("file"), "theirs").unwrap();
        let path = dir.path().join("filled");
        fs::create_dir(&path).unwrap();
        for at in 0..BATCH + 10 {
            fs::write(path.join(format!("file{at}")), "x").unwrap();
        }
        symlink(&theirs, path.join("link")).unwrap();
        // The names that the removal would give.
        fs::create_dir_all(path.join("1/2/3")).unwrap();
        fs::write(path.join("2"), "x").unwrap();
        symlink(&theirs, path.join("1/2/3/link")).unwrap();
        fs::create_dir_all(path.join("closed/inner/inner")).unwrap();
        fs::write(path.join("closed/inner/inner/file"), "x").unwrap();
        for closed in ["closed/inner/inner", "closed/inner", "closed"] {
            fs::set_permissions(path.join(closed), Permissions::from_mode(0o100)).unwrap();
        }
        remove_folder(&path).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(left, std::slice::from_ref(&theirs));
        assert_eq!(fs::read(theirs.join("file")).unwrap(), b"theirs");
    }

    /// Longer than a path may be, and deeper than there are descriptors.
    #[test]
    fn a_folder_is_removed_however_deep_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep");
        fs::create_dir(&path).unwrap();
        let mut folder = openat(CWD, &path, FOLDER, Mode::empty()).unwrap();
        for _ in 0..3000 {
            mkdirat(&folder, "below", Mode::RWXU).unwrap();
            folder = openat(&folder, "below", FOLDER, Mode::empty()).unwrap();
        }
        remove_folder(&path).unwrap();
        assert!(!path.exists());
        assert!(remove_folder(&path).is_err());
    }
}
