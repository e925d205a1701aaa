//! Describing an environment.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::inner::Inner;
use super::plugin_http::AskHttp;
use super::settings::Settings;
use super::{
    Environment, EnvironmentError, KeeperOptions, PluginInfo, PluginState, UnpackLimits,
    plugin_calls,
};
use crate::api::{ApiServerBuilder, PluginApi};
use crate::supervisor::{EventLog, LogSink, SupervisorBuilder};

/// Describes an [`Environment`].
#[derive(Clone, Default)]
pub struct EnvironmentBuilder {
    settings: Settings,
}

impl Environment {
    /// Begins to describe an environment.
    pub fn builder() -> EnvironmentBuilder {
        EnvironmentBuilder::default()
    }
}

impl EnvironmentBuilder {
    /// What answers the API calls of a plugin: called for every launch, so that each life has an
    /// instance of its own. The environment answers in front of it what only it can know: the calls
    /// about plugins (see [`Environment`]). Without it, plugins run with no API at all.
    #[must_use]
    pub fn api(
        mut self,
        api: impl Fn(&PluginInfo) -> Arc<dyn PluginApi> + Send + Sync + 'static,
    ) -> Self {
        self.settings.api = Some(Arc::new(api));
        self
    }

    /// How that API is served: layers, a recorder, another dialect. It gets the API with the
    /// environment's own answers in front.
    #[must_use]
    pub fn api_server(
        mut self,
        server: impl Fn(&PluginInfo, Arc<dyn PluginApi>) -> ApiServerBuilder + Send + Sync + 'static,
    ) -> Self {
        self.settings.server = Arc::new(server);
        self
    }

    /// How plugins are launched: time limits, further variables, the API on a Unix socket. Called
    /// when a plugin is added; API, events and log are the environment's.
    #[must_use]
    pub fn launch(
        mut self,
        launch: impl Fn(&PluginInfo, SupervisorBuilder) -> SupervisorBuilder + Send + Sync + 'static,
    ) -> Self {
        self.settings.launch = Arc::new(launch);
        self
    }

    /// How each plugin is watched, and when it is started again.
    #[must_use]
    pub fn keeper(mut self, options: KeeperOptions) -> Self {
        self.settings.keeper = options;
        self
    }

    /// Where the output of all plugins goes; to `tracing` by default.
    #[must_use]
    pub fn log(mut self, sink: LogSink) -> Self {
        self.settings.log = sink;
        self
    }

    /// The server's version, `MAJOR.MINOR.PATCH`: plugins whose `min_server_version` is newer are
    /// refused. Without it nothing is compared.
    #[must_use]
    pub fn server_version(mut self, version: impl Into<String>) -> Self {
        self.settings.server_version = Some(version.into());
        self
    }

    /// Where installed plugins are unpacked, one folder an id. It is made if it is missing; by
    /// default a temporary folder, made with the first installation, that ends with the environment.
    #[must_use]
    pub fn plugins_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.plugins_dir = Some(folder.into());
        self
    }

    /// How large an installed plugin may be.
    #[must_use]
    pub fn unpack_limits(mut self, limits: UnpackLimits) -> Self {
        self.settings.unpack = limits;
        self
    }

    /// How one plugin's HTTP request reaches another; by default over its `ServeHTTP`. For tests, and
    /// for servers that want to see these requests.
    #[must_use]
    pub fn plugin_http(mut self, http: Arc<dyn AskHttp>) -> Self {
        self.settings.http = http;
        self
    }

    /// Hears of each plugin that comes, before it is started: one that is added or installed, and one
    /// in the place of another. It is given the events of all lives of the plugin, and its states,
    /// which end when it is removed or replaced and nothing is left of it.
    #[must_use]
    pub fn on_plugin(
        mut self,
        comes: impl Fn(&PluginInfo, &EventLog, watch::Receiver<PluginState>) + Send + Sync + 'static,
    ) -> Self {
        self.settings.comes = Arc::new(comes);
        self
    }

    /// Makes the environment, without any plugin.
    ///
    /// # Errors
    /// [`EnvironmentError::Io`]: the [`plugins_dir`](Self::plugins_dir) is not to be had.
    pub fn build(self) -> Result<Environment, EnvironmentError> {
        Ok(Environment { inner: Arc::new(Inner::new(self.settings, plugin_calls::over)?) })
    }
}
