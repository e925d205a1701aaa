//! What an environment is to be.

use std::path::PathBuf;
use std::sync::Arc;

use super::plugin_http::{AskHttp, OverStream};
use super::room::Room;
use super::{Environment, EnvironmentError, PluginInfo, UnpackLimits};
use crate::api::{ApiServer, ApiServerBuilder, PluginApi};
use crate::environment::KeeperOptions;
use crate::supervisor::{LogSink, SupervisorBuilder, tracing_sink};

/// Makes the API of one launch of a plugin.
pub(super) type ApiOf = Arc<dyn Fn(&PluginInfo) -> Arc<dyn PluginApi> + Send + Sync>;
/// Serves the API of one launch.
pub(super) type ServerOf =
    Arc<dyn Fn(&PluginInfo, Arc<dyn PluginApi>) -> ApiServerBuilder + Send + Sync>;
/// Changes the launch of a plugin.
pub(super) type LaunchOf =
    Arc<dyn Fn(&PluginInfo, SupervisorBuilder) -> SupervisorBuilder + Send + Sync>;

/// Describes an [`Environment`].
#[derive(Clone)]
pub struct EnvironmentBuilder {
    pub(super) api: Option<ApiOf>,
    pub(super) server: ServerOf,
    pub(super) launch: LaunchOf,
    pub(super) keeper: KeeperOptions,
    pub(super) log: LogSink,
    pub(super) server_version: Option<String>,
    pub(super) plugins_dir: Option<PathBuf>,
    pub(super) unpack: UnpackLimits,
    pub(super) http: Arc<dyn AskHttp>,
}

impl Default for EnvironmentBuilder {
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
        }
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
        self.api = Some(Arc::new(api));
        self
    }

    /// How that API is served: layers, a recorder, another dialect. It gets the API with the
    /// environment's own answers in front.
    #[must_use]
    pub fn api_server(
        mut self,
        server: impl Fn(&PluginInfo, Arc<dyn PluginApi>) -> ApiServerBuilder + Send + Sync + 'static,
    ) -> Self {
        self.server = Arc::new(server);
        self
    }

    /// How plugins are launched: time limits, further variables, the API on a Unix socket. Called
    /// when a plugin is added; API, events and log are the environment's.
    #[must_use]
    pub fn launch(
        mut self,
        launch: impl Fn(&PluginInfo, SupervisorBuilder) -> SupervisorBuilder + Send + Sync + 'static,
    ) -> Self {
        self.launch = Arc::new(launch);
        self
    }

    /// How each plugin is watched, and when it is started again.
    #[must_use]
    pub fn keeper(mut self, options: KeeperOptions) -> Self {
        self.keeper = options;
        self
    }

    /// Where the output of all plugins goes; to `tracing` by default.
    #[must_use]
    pub fn log(mut self, sink: LogSink) -> Self {
        self.log = sink;
        self
    }

    /// The server's version, `MAJOR.MINOR.PATCH`: plugins whose `min_server_version` is newer are
    /// refused. Without it nothing is compared.
    #[must_use]
    pub fn server_version(mut self, version: impl Into<String>) -> Self {
        self.server_version = Some(version.into());
        self
    }

    /// Where installed plugins are unpacked, one folder an id. It is made if it is missing; by
    /// default a temporary folder, made with the first installation, that ends with the environment.
    #[must_use]
    pub fn plugins_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.plugins_dir = Some(folder.into());
        self
    }

    /// How large an installed plugin may be.
    #[must_use]
    pub fn unpack_limits(mut self, limits: UnpackLimits) -> Self {
        self.unpack = limits;
        self
    }

    /// How one plugin's HTTP request reaches another; by default over its `ServeHTTP`. For tests, and
    /// for servers that want to see these requests.
    #[must_use]
    pub fn plugin_http(mut self, http: Arc<dyn AskHttp>) -> Self {
        self.http = http;
        self
    }

    /// Makes the environment, without any plugin.
    ///
    /// # Errors
    /// [`EnvironmentError::Io`]: the [`plugins_dir`](Self::plugins_dir) is not to be had.
    pub fn build(self) -> Result<Environment, EnvironmentError> {
        Ok(Environment { room: Arc::new(Room::new(self)?) })
    }
}
