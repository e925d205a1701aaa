//! The plugins that the server knows of. It runs none: whoever does asks for their APIs, and answers
//! the calls about plugins itself where it knows better.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use plugin_proto::v1;
use serde_json::Value;

/// A setting that a manifest declares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    /// `Null` if the manifest has none.
    pub(crate) default: Value,
    pub(crate) secret: bool,
    /// It stands in a section, where it has no say in defaults.
    pub(crate) in_section: bool,
}

/// What `GetPluginStatus` says of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    NotRunning = 0,
    Running = 2,
    /// It was to be started, and there is nothing here to start it.
    FailedToStart = 3,
}

/// A plugin.
#[derive(Debug, Clone)]
pub(crate) struct Plugin {
    pub(crate) manifest: v1::Manifest,
    pub(crate) settings: Vec<Setting>,
    pub(crate) has_web_app: bool,
    pub(crate) state: State,
    /// Somebody has asked for its API.
    pub(crate) is_served: bool,
}

impl Plugin {
    /// The plugin of a manifest's JSON; its id is lower-cased.
    pub(crate) fn of(manifest: &Value) -> Self {
        let text = |name: &str| manifest[name].as_str().unwrap_or_default().to_owned();
        let schema = &manifest["settings_schema"];
        let list = |settings: &Value, in_section| -> Vec<Setting> {
            let settings = settings.as_array().map(Vec::as_slice).unwrap_or_default();
            let setting = |it: &Value| Setting {
                key: it["key"].as_str().unwrap_or_default().to_owned(),
                default: it["default"].clone(),
                secret: it["secret"].as_bool().unwrap_or_default(),
                in_section,
            };
            settings.iter().map(setting).collect()
        };
        let mut settings = list(&schema["settings"], false);
        let sections = schema["sections"].as_array().map(Vec::as_slice).unwrap_or_default();
        settings.extend(sections.iter().flat_map(|section| list(&section["settings"], true)));
        Self {
            manifest: v1::Manifest {
                id: text("id").to_lowercase(),
                name: text("name"),
                description: text("description"),
                homepage_url: text("homepage_url"),
                support_url: text("support_url"),
                release_notes_url: text("release_notes_url"),
                icon_path: text("icon_path"),
                version: text("version"),
                min_server_version: text("min_server_version"),
            },
            settings,
            has_web_app: manifest["webapp"].is_object(),
            state: State::NotRunning,
            is_served: false,
        }
    }
}

/// All of them, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Installed(RwLock<BTreeMap<String, Plugin>>);

impl Installed {
    /// Adds a plugin, or puts its newer manifest in its place.
    pub(crate) fn put(&self, mut plugin: Plugin) {
        let mut all = self.write();
        if let Some(old) = all.get(&plugin.manifest.id) {
            plugin.state = old.state;
            plugin.is_served = old.is_served;
        }
        all.insert(plugin.manifest.id.clone(), plugin);
    }

    /// The plugin runs. One that nobody has described is known by its id.
    pub(crate) fn serve(&self, id: &str) {
        let mut all = self.write();
        let unknown = || {
            let mut plugin = Plugin::of(&serde_json::json!({ "name": id }));
            plugin.manifest.id = id.to_owned();
            plugin
        };
        let plugin = all.entry(id.to_owned()).or_insert_with(unknown);
        plugin.state = State::Running;
        plugin.is_served = true;
    }

    /// One plugin.
    pub(crate) fn get(&self, id: &str) -> Option<Plugin> {
        self.read().get(id).cloned()
    }

    /// All plugins, by their ids.
    pub(crate) fn all(&self) -> Vec<Plugin> {
        self.read().values().cloned().collect()
    }

    /// Changes a plugin; whether there is one.
    pub(crate) fn update(&self, id: &str, f: impl FnOnce(&mut Plugin)) -> bool {
        self.write().get_mut(id).map(f).is_some()
    }

    pub(crate) fn remove(&self, id: &str) -> Option<Plugin> {
        self.write().remove(id)
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Plugin>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Plugin>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
