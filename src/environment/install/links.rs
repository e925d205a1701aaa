//! Where the symbolic links of an archive lead, by their texts alone.
//!
//! Every step is looked at from the bundle's own folder, which gets another name when it is put in
//! its place: what goes above it is outside, also if it comes back by the folder's name in the
//! archive.

use std::collections::HashMap;

use super::limits::LINKS;
use super::tree::{Id, Kind, Tree, names};

/// Finds out where links lead; of each only once.
pub(super) struct Links<'a> {
    tree: &'a Tree,
    /// The bundle's folder.
    root: Id,
    known: HashMap<Id, Led>,
}

/// Where a link leads.
#[derive(Debug, Clone, Copy)]
struct Led {
    /// A file or a folder.
    to: Id,
    /// How many links are followed, this one included.
    by: u32,
}

impl<'a> Links<'a> {
    pub(super) fn new(tree: &'a Tree, root: Id) -> Self {
        Self { tree, root, known: HashMap::new() }
    }

    /// Whether a link leads to a file or folder of the bundle, and never leaves it on the way.
    pub(super) fn stay_inside(&mut self, link: Id) -> bool {
        self.follow(link, 0).is_some()
    }

    /// `depth` links are being followed already, each of which has this one in its target.
    fn follow(&mut self, link: Id, depth: u32) -> Option<Led> {
        if let Some(led) = self.known.get(&link) {
            return Some(*led);
        }
        // Longer than any system follows, or a circle.
        if depth >= LINKS {
            return None;
        }
        let tree = self.tree;
        let Kind::Soft(target) = tree.kind(link) else { return None };
        if target.is_empty() || target.starts_with(b"/") {
            return None;
        }
        let mut led = Led { to: tree.parent(link), by: 1 };
        for name in names(target) {
            if !matches!(tree.kind(led.to), Kind::Folder(_)) {
                return None;
            }
            if name.is_empty() || name == "." {
                continue;
            }
            if name == ".." {
                if led.to == self.root {
                    return None;
                }
                led.to = tree.parent(led.to);
                continue;
            }
            led.to = tree.child(led.to, name)?;
            if matches!(tree.kind(led.to), Kind::Soft(_)) {
                let further = self.follow(led.to, depth + 1)?;
                led = Led { to: further.to, by: led.by + further.by };
                if led.by > LINKS {
                    return None;
                }
            }
        }
        self.known.insert(link, led);
        Some(led)
    }
}
