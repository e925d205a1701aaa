//! What an environment is made with.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::plugin_http::{AskHttp, OverStream};
use super::{KeeperOptions, PluginInfo, PluginState, UnpackLimits};
use crate::api::{ApiServer, ApiServerBuilder, PluginApi};
use crate::supervisor::{EventLog, LogSink, SupervisorBuilder, tracing_sink};

/// Makes the API of one launch of a plugin.
pub(super) type ApiOf = Arc<dyn Fn(&PluginInfo) -> Arc<dyn PluginApi> + Send + Sync>;
/// Serves the API of one launch.
pub(super) type ServerOf =
    Arc<dyn Fn(&PluginInfo, Arc<dyn PluginApi>) -> ApiServerBuilder + Send + Sync>;
/// Changes the launch of a plugin.
pub(super) type LaunchOf =
    Arc<dyn Fn(&PluginInfo, SupervisorBuilder) -> SupervisorBuilder + Send + Sync>;

/// Hears of each plugin that comes.
pub(super) type ComesTo =
    Arc<dyn Fn(&PluginInfo, &EventLog, watch::Receiver<PluginState>) + Send + Sync>;

/// What an [`EnvironmentBuilder`](super::EnvironmentBuilder) has been given.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) api: Option<ApiOf>,
    pub(super) server: ServerOf,
    pub(super) launch: LaunchOf,
    pub(super) keeper: KeeperOptions,
    pub(super) log: LogSink,
    pub(super) server_version: Option<String>,
    pub(super) plugins_dir: Option<PathBuf>,
    pub(super) unpack: UnpackLimits,
    pub(super) http: Arc<dyn AskHttp>,
    pub(super) comes: ComesTo,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api: None,
            server: Arc::new(|_, api| ApiServer::builder(api)),
            launch: Arc::new(|_, launch| launch),
            keeper: KeeperOptions::default(),
            log: tracing_sink(),
            server_version: None,
            plugins_dir: None,
            unpack: UnpackLimits::default(),
            http: Arc::new(OverStream),
            comes: Arc::new(|_, _, _| {}),
        }
    }
}
