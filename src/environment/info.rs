//! What the environment knows of a plugin that may not run.

use std::path::PathBuf;

use plugin_proto::v1;

use crate::supervisor::Manifest;

/// A plugin of an environment: where it is, and what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginInfo {
    /// Its folder, absolute.
    pub bundle: PathBuf,
    /// Its manifest, as it was when the plugin was added.
    pub manifest: Manifest,
}

impl PluginInfo {
    /// The plugin's id, in lower case.
    pub fn id(&self) -> &str {
        &self.manifest.id
    }
}

impl From<&PluginInfo> for v1::Manifest {
    fn from(plugin: &PluginInfo) -> Self {
        let manifest = plugin.manifest.clone();
        Self {
            id: manifest.id,
            name: manifest.name,
            description: manifest.description,
            homepage_url: manifest.homepage_url,
            support_url: manifest.support_url,
            release_notes_url: manifest.release_notes_url,
            icon_path: manifest.icon_path,
            version: manifest.version,
            min_server_version: manifest.min_server_version.unwrap_or_default(),
        }
    }
}
