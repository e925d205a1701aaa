//! What every clone of an environment, and every plugin's API, shares.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::entry::Entry;
use super::plugins_folder::PluginsFolder;
use super::registry::Registry;
use super::remove_folder::remove_folder;
use super::settings::Settings;
use super::{EnvironmentError, Keeper, PluginInfo, version};
use crate::api::{Overlay, PluginApi};
use crate::supervisor::{EventLog, Manifest, Supervisor};

/// Puts the environment's own answers in front of a plugin's API. The environment is held weakly:
/// its plugins' APIs do not keep it alive.
pub(super) type OwnAnswers = fn(Arc<dyn PluginApi>, &PluginInfo, Weak<Inner>) -> Overlay;

/// What every clone of an environment shares.
///
/// Whatever starts or stops a plugin runs in a task of its own: a caller that goes away, as a plugin
/// does that stops itself, leaves no work half done.
pub(super) struct Inner {
    pub(super) settings: Settings,
    own_answers: OwnAnswers,
    pub(super) plugins: Registry,
    /// Where installed plugins are.
    pub(super) folder: Arc<PluginsFolder>,
    /// Cancelled when the shutdown begins: nothing is unpacked any more.
    pub(super) closing: CancellationToken,
    tasks: TaskTracker,
}

impl Inner {
    pub(super) fn new(
        settings: Settings,
        own_answers: OwnAnswers,
    ) -> Result<Self, EnvironmentError> {
        let folder = PluginsFolder::new(settings.plugins_dir.clone())?;
        Ok(Self {
            settings,
            own_answers,
            plugins: Registry::default(),
            folder: Arc::new(folder),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Runs `work` to its end, even if nobody waits for it any more; a shutdown does.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, EnvironmentError>> + Send + 'static,
    ) -> Result<T, EnvironmentError> {
        let lost =
            |error: tokio::task::JoinError| EnvironmentError::Lost { reason: error.to_string() };
        self.tasks.spawn(work).await.map_err(lost)?
    }

    /// The same, and nobody waits. A failure is logged.
    pub(super) fn run_later<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, EnvironmentError>> + Send + 'static,
    ) {
        self.tasks.spawn(async move {
            if let Err(error) = work.await {
                tracing::error!(%error, what, "a plugin asked for this of itself, and it failed");
            }
        });
    }

    /// Reads the manifest in `bundle` and checks it.
    pub(super) async fn read(&self, bundle: &Path) -> Result<PluginInfo, EnvironmentError> {
        let bundle = bundle.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let manifest = Manifest::load(&bundle)?;
            let bundle = bundle.canonicalize().map_err(EnvironmentError::io(bundle.clone()))?;
            Ok::<_, EnvironmentError>(PluginInfo { bundle, manifest })
        });
        let lost =
            |error: tokio::task::JoinError| EnvironmentError::Lost { reason: error.to_string() };
        let info = read.await.map_err(lost)??;
        if let Some(server) = &self.settings.server_version {
            version::check(&info.manifest, server)?;
        }
        Ok(info)
    }

    /// An entry for this plugin, which is not yet in the registry.
    pub(super) fn entry(self: &Arc<Self>, info: PluginInfo, installed: bool) -> Entry {
        let events = EventLog::default();
        let mut launch = (self.settings.launch)(&info, Supervisor::builder(&info.bundle))
            .events(&events)
            .log(Arc::clone(&self.settings.log));
        if let Some(api) = self.settings.api.clone() {
            let (server, own_answers) = (Arc::clone(&self.settings.server), self.own_answers);
            let (info, inner) = (info.clone(), Arc::downgrade(self));
            launch = launch.api_server(move || {
                let own = own_answers(api(&info), &info, Weak::clone(&inner));
                server(&info, Arc::new(own))
            });
        }
        Entry {
            info,
            keeper: Keeper::new(launch, self.settings.keeper),
            events,
            installed,
            turn: Arc::default(),
        }
    }

    /// Tells of a plugin that is in the registry from now on and has not been started.
    pub(super) fn has_come(&self, entry: &Entry) {
        (self.settings.comes)(&entry.info, &entry.events, entry.keeper.states());
    }

    pub(super) async fn remove(&self, plugin_id: &str) -> Result<(), EnvironmentError> {
        let (entry, _turn) = self.plugins.forget(plugin_id).await?;
        if entry.installed {
            self.remove_folder(&entry.info.bundle).await?;
        }
        Ok(())
    }

    /// Deletes a folder that the environment installed, with whatever the plugin has put there.
    pub(super) async fn remove_folder(&self, folder: &Path) -> Result<(), EnvironmentError> {
        let path = folder.to_owned();
        let removed = tokio::task::spawn_blocking(move || remove_folder(&path)).await;
        let removed =
            removed.map_err(|error| EnvironmentError::Lost { reason: error.to_string() })?;
        removed.map_err(EnvironmentError::io(folder))
    }

    /// Stops all plugins at once and waits for every task.
    pub(super) async fn shut_down(&self) {
        self.closing.cancel();
        self.plugins.shut_down().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Kills all plugins at once and waits for every task.
    pub(super) async fn kill(&self) {
        self.plugins.kill().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}
