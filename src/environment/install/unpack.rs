//! Unpacks an archive that nobody has reason to trust.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use super::{UnpackError, UnpackLimits};

/// The names that a manifest may have.
const MANIFESTS: [&str; 3] = ["plugin.yml", "plugin.yaml", "plugin.json"];

/// Unpacks `archive` into the new folder `into` and gives the bundle's folder in it.
///
/// Links are made when all files are there, so that nothing is written through one, and then looked
/// at as the system resolves them.
pub(super) fn unpack(
    archive: &[u8],
    into: &Path,
    limits: UnpackLimits,
) -> Result<PathBuf, UnpackError> {
    fs::create_dir(into).map_err(|source| UnpackError::Write { entry: into.to_owned(), source })?;
    let reader = Limited { inner: MultiGzDecoder::new(archive), left: limits.bytes };
    let mut archive = Archive::new(reader);
    let mut links = Vec::new();
    let read = |error| unreadable(error, limits);
    for (count, entry) in archive.entries().map_err(read)?.enumerate() {
        if count >= limits.entries {
            return Err(UnpackError::TooManyEntries { limit: limits.entries });
        }
        let mut entry = entry.map_err(read)?;
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        let named = entry.path().map_err(read)?.into_owned();
        let path = inside(&named)?;
        match entry.header().entry_type() {
            EntryType::Directory => make_folder(into, &path)?,
            EntryType::Regular | EntryType::Continuous => {
                write_file(&mut entry, into, &path, limits)?;
            }
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let target = entry.link_name().map_err(read)?.unwrap_or_default().into_owned();
                links.push(Link { path, target, hard: kind == EntryType::Link });
            }
            kind => {
                return Err(UnpackError::Kind { entry: named, kind: format!("{kind:?}") });
            }
        }
    }
    let root = bundle_root(into)?;
    // Hard links first: what they lead to is then a file, and no link.
    links.sort_by_key(|link| !link.hard);
    for link in &links {
        link.make(into)?;
    }
    let real =
        root.canonicalize().map_err(|source| UnpackError::Write { entry: root.clone(), source })?;
    for link in &links {
        let leads_inside =
            into.join(&link.path).canonicalize().is_ok_and(|to| to.starts_with(&real));
        if !leads_inside {
            return Err(link.refused());
        }
    }
    Ok(root)
}

struct Link {
    path: PathBuf,
    target: PathBuf,
    hard: bool,
}

impl Link {
    fn refused(&self) -> UnpackError {
        UnpackError::Link { entry: self.path.clone(), target: self.target.clone() }
    }

    fn make(&self, into: &Path) -> Result<(), UnpackError> {
        let failed = |source| UnpackError::Write { entry: self.path.clone(), source };
        let at = into.join(&self.path);
        make_parent(into, &self.path)?;
        if !self.hard {
            if self.target.is_absolute() {
                return Err(self.refused());
            }
            return symlink(&self.target, at).map_err(failed);
        }
        let target = inside(&self.target).map_err(|_| self.refused())?;
        let target = into.join(target);
        if !fs::symlink_metadata(&target).is_ok_and(|found| found.is_file()) {
            return Err(self.refused());
        }
        fs::hard_link(target, at).map_err(failed)
    }
}

/// The path below the archive's root; an empty one is the root itself.
fn inside(path: &Path) -> Result<PathBuf, UnpackError> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(UnpackError::Outside { entry: path.to_owned() });
            }
        }
    }
    Ok(clean)
}

fn make_folder(into: &Path, path: &Path) -> Result<(), UnpackError> {
    let failed = |source| UnpackError::Write { entry: path.to_owned(), source };
    fs::create_dir_all(into.join(path)).map_err(failed)
}

fn make_parent(into: &Path, path: &Path) -> Result<(), UnpackError> {
    path.parent().map_or(Ok(()), |parent| make_folder(into, parent))
}

fn write_file(
    entry: &mut Entry<'_, impl Read>,
    into: &Path,
    path: &Path,
    limits: UnpackLimits,
) -> Result<(), UnpackError> {
    let failed = |source| UnpackError::Write { entry: path.to_owned(), source };
    make_parent(into, path)?;
    // Who may run it is kept; set-user-id and who else may write are not.
    let mode = 0o600 | (entry.header().mode().unwrap_or(0o644) & 0o755);
    let mut file: File = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(into.join(path))
        .map_err(failed)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // Reading and writing fail for different reasons.
        let read = entry.read(&mut buffer).map_err(|error| unreadable(error, limits))?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
            return Ok(());
        };
        io::Write::write_all(&mut file, piece).map_err(failed)?;
    }
}

/// The folder with the manifest: the root, else the only folder in it. Links do not count.
fn bundle_root(into: &Path) -> Result<PathBuf, UnpackError> {
    let has_manifest = |folder: &Path| MANIFESTS.iter().any(|name| folder.join(name).is_file());
    if has_manifest(into) {
        return Ok(into.to_owned());
    }
    let entries = fs::read_dir(into).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries =
        entries.map_err(|source| UnpackError::Write { entry: into.to_owned(), source })?;
    match entries.as_slice() {
        [only] if has_manifest(&only.path()) => Ok(only.path()),
        _ => Err(UnpackError::NoBundle),
    }
}

fn unreadable(error: io::Error, limits: UnpackLimits) -> UnpackError {
    // The tar crate wraps what its reader says.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.is::<Full>() {
            return UnpackError::TooLarge { limit: limits.bytes };
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    UnpackError::NoArchive(error)
}

/// The limit is reached.
#[derive(Debug, thiserror::Error)]
#[error("the archive is too large")]
struct Full;

/// Fails once more than `left` bytes were read.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            return Err(io::Error::other(Full));
        };
        self.left = left;
        Ok(read)
    }
}
