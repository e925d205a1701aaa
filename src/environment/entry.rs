//! One plugin of the environment.

use plugin_proto::v1;

use super::PluginInfo;
use crate::environment::Keeper;
use crate::supervisor::{EventLog, Supervisor};
use crate::sync::{Arc, AsyncMutex};

/// One plugin: what is known of it, and what keeps it running.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) info: PluginInfo,
    pub(super) keeper: Keeper,
    /// The events of all its lives.
    pub(super) events: EventLog,
    /// Whether the environment made the folder, and so may delete it.
    pub(super) installed: bool,
    /// Held by whoever activates, deactivates, restarts, replaces or removes the plugin: such calls
    /// take turns. A replaced plugin hands it on to the one in its place.
    pub(super) turn: Arc<AsyncMutex<()>>,
}

impl Entry {
    /// Its present life, if it is active.
    pub(super) fn running(&self) -> Option<Arc<Supervisor>> {
        self.keeper.current().filter(|_| self.keeper.is_active())
    }

    pub(super) fn status(&self) -> v1::PluginStatus {
        let manifest = &self.info.manifest;
        v1::PluginStatus {
            plugin_id: manifest.id.clone(),
            plugin_path: self.info.bundle.display().to_string(),
            state: self.keeper.state() as i32,
            name: manifest.name.clone(),
            description: manifest.description.clone(),
            version: manifest.version.clone(),
        }
    }
}
