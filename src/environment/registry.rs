//! The plugins of an environment, in the order in which they were added.

use std::sync::PoisonError;

use super::EnvironmentError;
use super::entry::Entry;
use crate::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// All plugins. Its lock is held for a look or a change of the list, never while a plugin is
/// waited for.
#[derive(Debug, Default)]
pub(super) struct Registry(RwLock<Listed>);

#[derive(Debug, Default)]
struct Listed {
    entries: Vec<Arc<Entry>>,
    closed: bool,
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, Listed> {
        // A panic leaves the list whole: every change is one step.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Listed> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.read().entries.clone()
    }

    /// The plugin of this id, however it is capitalized.
    pub(super) fn find(&self, plugin_id: &str) -> Result<Arc<Entry>, EnvironmentError> {
        let wanted = plugin_id.to_lowercase();
        let found = self.read().entries.iter().find(|entry| entry.info.id() == wanted).cloned();
        found.ok_or_else(|| EnvironmentError::Unknown { plugin_id: plugin_id.to_owned() })
    }

    /// Whether this very entry is in the list: not removed, not replaced.
    pub(super) fn holds(&self, entry: &Arc<Entry>) -> bool {
        self.read().entries.iter().any(|listed| Arc::ptr_eq(listed, entry))
    }

    /// Adds a plugin to the end.
    pub(super) fn add(&self, entry: Arc<Entry>) -> Result<(), EnvironmentError> {
        let mut listed = self.write();
        if listed.closed {
            return Err(EnvironmentError::ShuttingDown);
        }
        if let Some(known) = listed.entries.iter().find(|it| it.info.id() == entry.info.id()) {
            return Err(EnvironmentError::Duplicate {
                plugin_id: entry.info.id().to_owned(),
                first: known.info.bundle.clone(),
                second: entry.info.bundle.clone(),
            });
        }
        listed.entries.push(entry);
        Ok(())
    }

    /// Puts `new` in the place of `old`.
    pub(super) fn replace(
        &self,
        old: &Arc<Entry>,
        new: Arc<Entry>,
    ) -> Result<(), EnvironmentError> {
        let mut listed = self.write();
        if listed.closed {
            return Err(EnvironmentError::ShuttingDown);
        }
        match listed.entries.iter_mut().find(|entry| Arc::ptr_eq(entry, old)) {
            Some(place) => *place = new,
            None => listed.entries.push(new),
        }
        Ok(())
    }

    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        self.write().entries.retain(|listed| !Arc::ptr_eq(listed, entry));
    }

    /// No plugin is added any more; gives those that are there.
    pub(super) fn close(&self) -> Vec<Arc<Entry>> {
        let mut listed = self.write();
        listed.closed = true;
        listed.entries.clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.read().closed
    }
}
