//! Unpacks an archive that nobody has reason to trust.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use rustix::fs::{Mode, RawMode};
use tar::{Archive, Entry, EntryType};
use tokio_util::sync::CancellationToken;

use super::links::Links;
use super::maker::Maker;
use super::member::{Extensions, Names, malformed, to_path};
use super::reader::{Bounded, unreadable};
use super::tree::{Id, Kind, TOP, Tree, inside, wrong};
use super::{UnpackError, UnpackLimits};

/// The names that a manifest may have.
const MANIFESTS: [&str; 3] = ["plugin.yml", "plugin.yaml", "plugin.json"];

/// Unpacks `archive` into the new folder `into` and gives the bundle's folder in it.
///
/// What the archive holds is known by its paths before it is on the disk, and links are made last,
/// when it is known where each of them leads: nothing is ever made through one.
pub(super) fn unpack(
    archive: &[u8],
    into: &Path,
    limits: UnpackLimits,
    cancel: &CancellationToken,
) -> Result<PathBuf, UnpackError> {
    let failed = |source| UnpackError::Write { entry: into.to_owned(), source };
    let mut unpacking = Unpacking {
        tree: Tree::new(limits),
        maker: Maker::new(into).map_err(failed)?,
        soft: Vec::new(),
        hard: Vec::new(),
        buffer: vec![0; 64 * 1024],
        limits,
        cancel,
    };
    let packed = Bounded::new(archive, u64::MAX, cancel);
    unpacking.read(Bounded::new(MultiGzDecoder::new(packed), limits.bytes, cancel))?;
    unpacking.link_hard()?;
    let root = unpacking.root()?;
    unpacking.link_soft(root)?;
    Ok(into.join(unpacking.tree.path(root)))
}

struct Unpacking<'a> {
    tree: Tree,
    maker: Maker,
    /// Symbolic links, which are not made yet.
    soft: Vec<Id>,
    /// Hard links, which are not made yet.
    hard: Vec<Id>,
    buffer: Vec<u8>,
    limits: UnpackLimits,
    cancel: &'a CancellationToken,
}

impl Unpacking<'_> {
    /// Makes the archive's files and folders, and notes its links.
    fn read(&mut self, reader: impl Read) -> Result<(), UnpackError> {
        let limits = self.limits;
        let read = |error| unreadable(error, limits);
        let mut archive = Archive::new(reader);
        let mut extensions = Extensions::default();
        let mut count = 0;
        for entry in archive.entries().map_err(read)?.raw(true) {
            let mut entry = entry.map_err(read)?;
            if extensions.take(&mut entry, limits)? {
                continue;
            }
            count += 1;
            if count > limits.entries {
                return Err(UnpackError::TooManyEntries { limit: limits.entries });
            }
            if entry.header().entry_type() == EntryType::XGlobalHeader {
                continue;
            }
            let names = std::mem::take(&mut extensions).names_of(entry.header())?;
            self.add(&mut entry, &names)?;
        }
        extensions.at_the_end()?;
        // The checksum of the whole is behind the last entry.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(read)?;
        Ok(())
    }

    fn add(&mut self, entry: &mut Entry<'_, impl Read>, names: &Names) -> Result<(), UnpackError> {
        let path = inside(&names.path)?;
        let kind = match entry.header().entry_type() {
            // Before there were folders in archives, a slash made one.
            EntryType::Regular if names.path.ends_with(b"/") => EntryType::Directory,
            kind => kind,
        };
        match kind {
            EntryType::Directory => {
                self.tree.add_folder(&path)?;
                self.maker.folder(&path).map(|_| ()).map_err(|source| failed(&path, source))
            }
            EntryType::Regular | EntryType::Continuous => {
                self.tree.add(&path, Kind::File)?;
                self.write(entry, &path)
            }
            EntryType::Symlink | EntryType::Link => {
                if let Some(problem) = wrong(&names.link) {
                    return Err(UnpackError::Path { entry: path, problem });
                }
                let target = names.link.as_slice().into();
                if kind == EntryType::Link {
                    self.hard.push(self.tree.add(&path, Kind::Hard(target))?);
                } else {
                    self.soft.push(self.tree.add(&path, Kind::Soft(target))?);
                }
                Ok(())
            }
            kind => {
                Err(UnpackError::Kind { entry: to_path(&names.path), kind: format!("{kind:?}") })
            }
        }
    }

    fn write(&mut self, entry: &mut Entry<'_, impl Read>, path: &Path) -> Result<(), UnpackError> {
        // Who may run it is kept; set-user-id and who else may write are not.
        let mode = 0o600 | (entry.header().mode().unwrap_or(0o644) & 0o755);
        let mode = Mode::from_raw_mode(mode as RawMode);
        let mut file: File = self.maker.file(path, mode).map_err(|source| failed(path, source))?;
        let mut left = entry.header().entry_size().map_err(UnpackError::NoArchive)?;
        while left > 0 {
            // Reading and writing fail for different reasons.
            let read = entry.read(&mut self.buffer);
            let read = read.map_err(|error| unreadable(error, self.limits))?;
            let Some(piece) = self.buffer.get(..read).filter(|piece| !piece.is_empty()) else {
                return Err(malformed("it ends within a file"));
            };
            file.write_all(piece).map_err(|source| failed(path, source))?;
            left = left.saturating_sub(read as u64);
        }
        Ok(())
    }

    /// Makes the hard links: each leads to a file that is there.
    fn link_hard(&mut self) -> Result<(), UnpackError> {
        for id in std::mem::take(&mut self.hard) {
            self.go_on()?;
            let Kind::Hard(target) = self.tree.kind(id) else { continue };
            let path = self.tree.path(id);
            let refused = || UnpackError::Link { entry: path.clone(), target: to_path(target) };
            let to = inside(target).map_err(|_| refused())?;
            let found = self.tree.find(&to).map(|found| self.tree.kind(found));
            if !matches!(found, Some(Kind::File)) {
                return Err(refused());
            }
            self.maker.hard_link(&path, &to).map_err(|source| failed(&path, source))?;
            self.tree.linked(id);
        }
        Ok(())
    }

    /// Makes the symbolic links, when it is known that none leads out of the bundle in `root`.
    fn link_soft(&mut self, root: Id) -> Result<(), UnpackError> {
        let mut links = Links::new(&self.tree, root);
        for &id in &self.soft {
            let Kind::Soft(target) = self.tree.kind(id) else { continue };
            if !links.stay_inside(id) {
                let (entry, target) = (self.tree.path(id), to_path(target));
                return Err(UnpackError::Link { entry, target });
            }
        }
        for &id in &self.soft {
            self.go_on()?;
            let Kind::Soft(target) = self.tree.kind(id) else { continue };
            let path = self.tree.path(id);
            self.maker.soft_link(&path, target).map_err(|source| failed(&path, source))?;
        }
        Ok(())
    }

    /// The folder with the manifest: the root, else the only folder in it. Links do not count.
    fn root(&self) -> Result<Id, UnpackError> {
        let has_manifest = |folder| {
            let manifest = |name: &&str| self.tree.child(folder, name.as_ref());
            MANIFESTS.iter().filter_map(manifest).any(|id| matches!(self.tree.kind(id), Kind::File))
        };
        if has_manifest(TOP) {
            return Ok(TOP);
        }
        match self.tree.kind(TOP) {
            Kind::Folder(children) if children.len() == 1 => children.values().copied().next(),
            _ => None,
        }
        .filter(|only| has_manifest(*only))
        .ok_or(UnpackError::NoBundle)
    }

    fn go_on(&self) -> Result<(), UnpackError> {
        if self.cancel.is_cancelled() { Err(UnpackError::Cancelled) } else { Ok(()) }
    }
}

fn failed(path: &Path, source: io::Error) -> UnpackError {
    UnpackError::Write { entry: path.to_owned(), source }
}
