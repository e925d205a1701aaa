//! The server: one database, one outbox, and an API for each plugin.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use plugin_proto::Method;

use super::config::Config;
use super::ctx::Ctx;
use super::hook_sink::{HookSink, NoPlugins};
use super::in_flight::InFlight;
use super::installed::{Installed, Plugin};
use super::outbox::Outbox;
use super::plugin_commands::PluginCommands;
use super::plugin_side::PluginSide;
use super::store::{Source, Store, StoreError};
use super::{Clock, Ids, domains};
use crate::api::PluginApi;

/// What `GetServerVersion` says unless told otherwise.
const VERSION: &str = "11.6.0";

/// A Mattermost server (Team Edition) inside this process. Clones share it.
///
/// ```
/// use plugin_conformance::embedded::Embedded;
/// use plugin_proto::v1::{KvGetRequest, KvSetRequest};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let embedded = Embedded::builder().start()?;
/// let api = embedded.api_of("com.example.a");
/// api.kv_set(KvSetRequest { key: "colour".into(), value: "red".into() }).await?;
/// assert_eq!(api.kv_get(KvGetRequest { key: "colour".into() }).await?.value, "red");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Embedded(Arc<Shared>);

/// What all calls share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) outbox: Outbox,
    pub(super) in_flight: InFlight,
    pub(super) version: String,
    pub(super) installed: Installed,
    pub(super) commands: PluginCommands,
    /// Held by whoever replaces the configuration.
    pub(super) saving: tokio::sync::Mutex<()>,
    config: RwLock<Config>,
    hooks: RwLock<Arc<dyn HookSink>>,
}

impl Embedded {
    /// Begins to describe a server: in memory, empty, with the machine's clock and random ids.
    pub fn builder() -> EmbeddedBuilder {
        EmbeddedBuilder { file: None, source: Source::default(), version: VERSION.to_owned() }
    }

    /// What this server answers to one plugin. May be called for a plugin again and again, as after
    /// its restart: whatever the plugin stored is there.
    pub fn api_of(&self, plugin_id: &str) -> Arc<dyn PluginApi> {
        self.0.installed.serve(plugin_id);
        Arc::new(PluginSide(Ctx::new(Arc::clone(&self.0), plugin_id.into())))
    }

    /// Tells the server what a plugin's manifest says (the JSON of `plugin.json`): names, and the
    /// settings with their defaults and secrets. The plugin counts as installed from now on.
    pub fn install(&self, manifest: &serde_json::Value) {
        self.0.installed.put(Plugin::of(manifest));
    }

    /// Whom the server asks and tells from now on when something happens.
    pub fn set_hooks(&self, hooks: Arc<dyn HookSink>) {
        *self.0.hooks.write().unwrap_or_else(PoisonError::into_inner) = hooks;
    }

    /// What the server has sent to others than plugins.
    pub fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// The RPCs that the server implements.
    pub fn rpcs() -> impl Iterator<Item = &'static Method> {
        domains::implemented()
    }

    /// Ends the server: calls that were begun are done, later ones fail, and when it has returned a
    /// data file can be opened by others. Dropping the last clone does the same in the background.
    pub async fn close(&self) {
        self.0.store.close().await;
    }
}

impl Shared {
    pub(super) fn config(&self) -> Config {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(super) fn hooks(&self) -> Arc<dyn HookSink> {
        Arc::clone(&self.hooks.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration and the outbox may hold secrets.
        f.debug_struct("Embedded").field("version", &self.version).finish_non_exhaustive()
    }
}

/// What an [`Embedded`] is to be.
#[derive(Debug, Clone)]
pub struct EmbeddedBuilder {
    file: Option<PathBuf>,
    source: Source,
    version: String,
}

impl EmbeddedBuilder {
    /// Keeps everything in this file, which is made if it is missing. Beside it are `FILE-wal`,
    /// `FILE-shm` (SQLite's log and its index) and `FILE-lock`.
    #[must_use]
    pub fn data(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// What time it is. [`Clock::ticking`] makes times that can be compared with a snapshot.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.source.clock = clock;
        self
    }

    /// Where ids come from. [`Ids::seeded`] makes ids that can be compared with a snapshot.
    #[must_use]
    pub fn ids(mut self, ids: Ids) -> Self {
        self.source.ids = ids;
        self
    }

    /// What `GetServerVersion` says; 11.6.0 if this is not called.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Starts the server. Opens files, which takes some milliseconds.
    ///
    /// # Errors
    /// The database cannot be opened, is in use, or is not one of ours; see [`StoreError`].
    pub fn start(self) -> Result<Embedded, StoreError> {
        let (store, config) = Store::open_with(self.file, self.source, domains::stored_config)?;
        Ok(Embedded(Arc::new(Shared {
            store,
            outbox: Outbox::default(),
            in_flight: InFlight::default(),
            version: self.version,
            installed: Installed::default(),
            commands: PluginCommands::default(),
            saving: tokio::sync::Mutex::default(),
            config: RwLock::new(config),
            hooks: RwLock::new(Arc::new(NoPlugins)),
        })))
    }
}
