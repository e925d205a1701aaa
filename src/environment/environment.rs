//! Several plugins under one roof.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use plugin_proto::v1;
use tokio::sync::watch;

use super::dispatch::Dispatcher;
use super::inner::Inner;
use super::{EnvironmentError, PluginInfo, PluginState, install};
use crate::hooks::{HealthError, Hooks};
use crate::supervisor::{EventLog, Supervisor};

/// Several plugins under one roof: a registry of plugins, each with its own [`Keeper`](super::Keeper).
///
/// - Each plugin has a health job of its own: one that hangs delays no other's hooks or checks.
/// - Calls that start, stop or remove one plugin take turns; those of different plugins go on in
///   parallel. They run to their end even if their future is dropped.
/// - An id is found however it is capitalized.
/// - [`hooks`](Self::dispatch) are dispatched in the order in which the plugins were added.
///
/// Every plugin's API is the one that the builder's [`api`](super::EnvironmentBuilder::api) makes for it,
/// with these calls answered by the environment in front of it: `GetPlugins`, `GetPluginStatus`,
/// `GetPluginID`, `GetBundlePath`, `EnablePlugin`, `DisablePlugin`, `RemovePlugin`, `InstallPlugin`
/// and `PluginHTTP`. A plugin may disable, remove or replace itself: the call is answered, and then
/// it is done.
///
/// Clones share one environment. When the last is dropped, all plugins are stopped in the
/// background; [`shutdown`](Self::shutdown) waits for it.
///
/// ```no_run
/// # use std::sync::Arc;
/// # struct Tiny;
/// # impl plugin_conformance::api::PluginApi for Tiny {}
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use plugin_conformance::environment::Environment;
///
/// let plugins = Environment::builder().api(|_plugin| Arc::new(Tiny)).build()?;
/// let hello = plugins.add("plugins/com.example.hello").await?;
/// plugins.activate(hello.id()).await?;
/// for status in plugins.statuses() {
///     println!("{} is in state {}", status.plugin_id, status.state);
/// }
/// plugins.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Environment {
    pub(super) inner: Arc<Inner>,
}

/// An [`Environment`] that this handle does not keep alive: for what the plugins' API calls cause, which
/// would otherwise hold the environment that holds the API.
#[derive(Clone)]
pub struct WeakEnvironment(Weak<Inner>);

impl WeakEnvironment {
    /// The environment; `None` when its last handle has been dropped.
    pub fn upgrade(&self) -> Option<Environment> {
        self.0.upgrade().map(|inner| Environment { inner })
    }
}

impl fmt::Debug for WeakEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakEnvironment").finish_non_exhaustive()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("plugins", &self.ids()).finish_non_exhaustive()
    }
}

impl Environment {
    /// A handle that does not keep the environment alive.
    pub fn downgrade(&self) -> WeakEnvironment {
        WeakEnvironment(Arc::downgrade(&self.inner))
    }

    /// Adds the plugin in this folder. It is not started.
    ///
    /// # Errors
    /// The manifest cannot be read, there is a plugin of this id, the server is too old for it, or
    /// the environment is shutting down.
    pub async fn add(&self, bundle: impl AsRef<Path>) -> Result<PluginInfo, EnvironmentError> {
        let info = self.inner.read(bundle.as_ref()).await?;
        let entry = Arc::new(self.inner.entry(info.clone(), false));
        self.inner.plugins.add(Arc::clone(&entry))?;
        self.inner.has_come(&entry);
        Ok(info)
    }

    /// Unpacks a bundle (`.tar.gz`, the manifest at its root or in its only folder) into the
    /// environment's folder and adds it. With `replace`, a plugin of the same id makes way for it,
    /// and if that ran, the new one is started: should this fail, the installation stands and the
    /// plugin's state says so. A new plugin is not started.
    ///
    /// # Errors
    /// The archive is none, is too large, or has entries that could do harm; its manifest is
    /// invalid; there is a plugin of this id and `replace` is false; the disk refuses.
    pub async fn install(
        &self,
        archive: Bytes,
        replace: bool,
    ) -> Result<PluginInfo, EnvironmentError> {
        let inner = Arc::clone(&self.inner);
        self.inner.run(async move { install::install(&inner, archive, replace).await }).await
    }

    /// Starts a plugin and keeps it running. False if it runs already.
    ///
    /// # Errors
    /// The plugin is unknown, its launch failed (its state is then
    /// [`FailedToStart`](PluginState::FailedToStart)), or the environment is shutting down.
    pub async fn activate(&self, plugin_id: &str) -> Result<bool, EnvironmentError> {
        let (inner, id) = (Arc::clone(&self.inner), plugin_id.to_owned());
        self.inner.run(async move { inner.plugins.activate(&id).await }).await
    }

    /// Stops a plugin and waits until nothing of it is left; a launch under way is waited for. False
    /// if it is unknown or did not run.
    pub async fn deactivate(&self, plugin_id: &str) -> bool {
        let (inner, id) = (Arc::clone(&self.inner), plugin_id.to_owned());
        self.inner.run(async move { inner.plugins.deactivate(&id).await }).await.unwrap_or(false)
    }

    /// Stops a plugin if it runs, and starts it. Not counted as a failure.
    ///
    /// # Errors
    /// As [`activate`](Self::activate).
    pub async fn restart(&self, plugin_id: &str) -> Result<(), EnvironmentError> {
        let (inner, id) = (Arc::clone(&self.inner), plugin_id.to_owned());
        self.inner.run(async move { inner.plugins.restart(&id).await }).await
    }

    /// Stops a plugin and forgets it. Its folder is deleted if the environment
    /// [installed](Self::install) it, and left alone if it was [added](Self::add).
    ///
    /// # Errors
    /// The plugin is unknown, or its folder could not be deleted; it is forgotten all the same.
    pub async fn remove(&self, plugin_id: &str) -> Result<(), EnvironmentError> {
        let (inner, id) = (Arc::clone(&self.inner), plugin_id.to_owned());
        self.inner.run(async move { inner.remove(&id).await }).await
    }

    /// Stops all plugins at the same time and waits until nothing is left; launches under way are
    /// cut off. No plugin is started from now on; the registry can still be read. It takes no longer
    /// than the slowest plugin's [`longest_stop`](crate::supervisor::Timeouts::longest_stop). May be called
    /// again, and from several tasks at once.
    ///
    /// Dropped, the stop goes on in the background, and a later call waits for it.
    pub async fn shutdown(&self) {
        self.inner.shut_down().await;
    }

    /// Kills all plugins at once, those too that are being launched or stopped, and waits until
    /// nothing is left. As after a [`shutdown`](Self::shutdown), which it cuts short if one is under
    /// way, no plugin is started from now on.
    pub async fn kill(&self) {
        self.inner.kill().await;
    }

    /// The ids of all plugins, in the order in which they were added.
    pub fn ids(&self) -> Vec<String> {
        self.inner.plugins.all().iter().map(|entry| entry.info.id().to_owned()).collect()
    }

    /// What is known of a plugin.
    pub fn info(&self, plugin_id: &str) -> Option<PluginInfo> {
        self.inner.plugins.find(plugin_id).ok().map(|entry| entry.info.clone())
    }

    /// Whether a plugin is known and runs.
    pub fn is_active(&self, plugin_id: &str) -> bool {
        self.inner.plugins.find(plugin_id).is_ok_and(|entry| entry.keeper.is_active())
    }

    /// A plugin's status, as `GetPluginStatus` answers it.
    pub fn status(&self, plugin_id: &str) -> Option<v1::PluginStatus> {
        self.inner.plugins.find(plugin_id).ok().map(|entry| entry.status())
    }

    /// The status of every plugin.
    pub fn statuses(&self) -> Vec<v1::PluginStatus> {
        self.inner.plugins.all().iter().map(|entry| entry.status()).collect()
    }

    /// The states of a plugin to come, for waiting.
    pub fn states(&self, plugin_id: &str) -> Option<watch::Receiver<PluginState>> {
        self.inner.plugins.find(plugin_id).ok().map(|entry| entry.keeper.states())
    }

    /// Why a plugin's last launch or life failed; cleared by a success.
    pub fn last_error(&self, plugin_id: &str) -> Option<String> {
        self.inner.plugins.find(plugin_id).ok()?.keeper.last_error()
    }

    /// The events of all lives of a plugin.
    pub fn events(&self, plugin_id: &str) -> Option<EventLog> {
        self.inner.plugins.find(plugin_id).ok().map(|entry| entry.events.clone())
    }

    /// A plugin's present life, if it runs.
    pub fn supervisor(&self, plugin_id: &str) -> Option<Arc<Supervisor>> {
        self.inner.plugins.find(plugin_id).ok()?.running()
    }

    /// A plugin's hooks.
    ///
    /// # Errors
    /// The plugin is unknown or does not run.
    pub fn hooks(&self, plugin_id: &str) -> Result<Hooks, EnvironmentError> {
        let entry = self.inner.plugins.find(plugin_id)?;
        match entry.running() {
            Some(plugin) => Ok(plugin.hooks().clone()),
            None => Err(EnvironmentError::NotRunning { plugin_id: plugin_id.to_owned() }),
        }
    }

    /// Checks a plugin's health.
    ///
    /// # Errors
    /// [`HealthError`]; a plugin that is unknown or does not run is not healthy.
    pub async fn health_check(&self, plugin_id: &str) -> Result<(), HealthError> {
        match self.supervisor(plugin_id) {
            Some(plugin) => plugin.health_check().await,
            None => Err(HealthError::NotRunning),
        }
    }

    /// Calls hooks of several plugins.
    pub fn dispatch(&self) -> Dispatcher {
        Dispatcher { inner: Arc::clone(&self.inner) }
    }
}
