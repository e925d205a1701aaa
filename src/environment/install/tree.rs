//! What an archive holds, by its paths: in memory, before any link is made.
//!
//! Paths mean what they say here, whatever is on the disk: nothing is below a link, nothing is there
//! twice, and a link leads where its text says.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::limits::{DEPTH, NAME, NAMES, PATH};
use super::member::to_path;
use super::{PathProblem, UnpackError, UnpackLimits};

/// A node of a [`Tree`].
pub(super) type Id = usize;

/// The archive's own root.
pub(super) const TOP: Id = 0;

/// What a path is.
#[derive(Debug)]
pub(super) enum Kind {
    Folder(BTreeMap<Rc<OsStr>, Id>),
    File,
    /// A hard link that is not made yet, to this path from the archive's root.
    Hard(Box<[u8]>),
    /// A symbolic link to this path from its own folder.
    Soft(Box<[u8]>),
}

#[derive(Debug)]
struct Node {
    /// The top's is the top.
    parent: Id,
    name: Rc<OsStr>,
    kind: Kind,
}

/// All paths of an archive.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    limit: usize,
    /// How many bytes of names there may be besides.
    names: usize,
}

impl Tree {
    pub(super) fn new(limits: UnpackLimits) -> Self {
        let top =
            Node { parent: TOP, name: OsString::new().into(), kind: Kind::Folder(BTreeMap::new()) };
        Self { nodes: vec![top], limit: limits.entries, names: NAMES }
    }

    pub(super) fn kind(&self, id: Id) -> &Kind {
        &self.nodes[id].kind
    }

    pub(super) fn parent(&self, id: Id) -> Id {
        self.nodes[id].parent
    }

    /// The path from the archive's root.
    pub(super) fn path(&self, mut id: Id) -> PathBuf {
        let mut names = Vec::new();
        while id != TOP {
            names.push(Path::new(&self.nodes[id].name));
            id = self.nodes[id].parent;
        }
        names.into_iter().rev().collect()
    }

    /// What `name` is in the folder `id`.
    pub(super) fn child(&self, id: Id, name: &OsStr) -> Option<Id> {
        match &self.nodes[id].kind {
            Kind::Folder(children) => children.get(name).copied(),
            _ => None,
        }
    }

    /// What stands at a path, no link followed.
    pub(super) fn find(&self, path: &Path) -> Option<Id> {
        path.iter().try_fold(TOP, |id, name| self.child(id, name))
    }

    /// The hard link `id` is made: it is a file like any other.
    pub(super) fn linked(&mut self, id: Id) {
        self.nodes[id].kind = Kind::File;
    }

    /// Adds a folder, if it is not there yet, and those above it.
    pub(super) fn add_folder(&mut self, path: &Path) -> Result<(), UnpackError> {
        self.folder(path).map(|_| ())
    }

    /// Adds what is no folder, and the folders above it.
    pub(super) fn add(&mut self, path: &Path, kind: Kind) -> Result<Id, UnpackError> {
        let taken = || refused(path, io::ErrorKind::AlreadyExists);
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(taken());
        };
        let parent = self.folder(above)?;
        if self.child(parent, name).is_some() {
            return Err(taken());
        }
        if let Kind::Hard(target) | Kind::Soft(target) = &kind {
            self.spend(path, target.len())?;
        }
        self.push(path, parent, name, kind)
    }

    fn folder(&mut self, path: &Path) -> Result<Id, UnpackError> {
        let mut id = TOP;
        for name in path.iter() {
            id = match self.child(id, name) {
                Some(child) if matches!(self.kind(child), Kind::Folder(_)) => child,
                // Nothing is made in a file, or through a link.
                Some(_) => return Err(refused(path, io::ErrorKind::NotADirectory)),
                None => self.push(path, id, name, Kind::Folder(BTreeMap::new()))?,
            };
        }
        Ok(id)
    }

    fn push(
        &mut self,
        path: &Path,
        parent: Id,
        name: &OsStr,
        kind: Kind,
    ) -> Result<Id, UnpackError> {
        let id = self.nodes.len();
        // The top is none of the archive's.
        if id > self.limit {
            return Err(UnpackError::TooManyEntries { limit: self.limit });
        }
        self.spend(path, name.len())?;
        let name: Rc<OsStr> = name.into();
        if let Kind::Folder(children) = &mut self.nodes[parent].kind {
            children.insert(Rc::clone(&name), id);
        }
        self.nodes.push(Node { parent, name, kind });
        Ok(id)
    }

    fn spend(&mut self, path: &Path, bytes: usize) -> Result<(), UnpackError> {
        let Some(left) = self.names.checked_sub(bytes) else {
            let problem = PathProblem::Sum { limit: NAMES };
            return Err(UnpackError::Path { entry: path.to_owned(), problem });
        };
        self.names = left;
        Ok(())
    }
}

fn refused(path: &Path, kind: io::ErrorKind) -> UnpackError {
    UnpackError::Write { entry: path.to_owned(), source: kind.into() }
}

/// The path below the archive's root; an empty one is the root itself.
pub(super) fn inside(bytes: &[u8]) -> Result<PathBuf, UnpackError> {
    let path = to_path(bytes);
    let problem = |problem| Err(UnpackError::Path { entry: to_path(bytes), problem });
    if let Some(found) = wrong(bytes) {
        return problem(found);
    }
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) if name.len() > NAME => {
                return problem(PathProblem::NameTooLong { limit: NAME });
            }
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(UnpackError::Outside { entry: path });
            }
        }
    }
    if clean.iter().count() > DEPTH {
        return problem(PathProblem::TooDeep { limit: DEPTH });
    }
    Ok(clean)
}

/// What is wrong with a path or a link's target whatever it leads to.
pub(super) fn wrong(bytes: &[u8]) -> Option<PathProblem> {
    if bytes.len() > PATH {
        return Some(PathProblem::TooLong { limit: PATH });
    }
    bytes.contains(&0).then_some(PathProblem::Zero)
}

/// The names in the target of a link; an empty one and `.` ask for a folder where they stand.
pub(super) fn names(target: &[u8]) -> impl Iterator<Item = &OsStr> {
    target.split(|byte| *byte == b'/').map(OsStr::from_bytes)
}
