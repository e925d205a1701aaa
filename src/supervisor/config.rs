//! What a launch needs to know.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::events::EventLog;
use super::log::{LogSink, tracing_sink};
use super::schedule::{Schedule, Scheduled};
use crate::api::{ApiServer, ApiServerBuilder, ApiToken, Listen, PluginApi, TokenError};
use crate::hooks::{BoxHookService, HookLayer, HookLimits};

/// How long each wait may last. Every wait has one: no plugin can hold the supervisor for ever, unless
/// a limit is as good as none ([`Duration::MAX`] is allowed).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of the process to its handshake line; 10 s.
    pub handshake: Duration,
    /// To connect to the plugin's gRPC server; 5 s.
    pub connect: Duration,
    /// For each ping of a health check; 5 s.
    pub health: Duration,
    /// For each hook, `Implemented` and `OnActivate` included; 30 s.
    pub hook: Duration,
    /// For `OnDeactivate`; 10 s.
    pub deactivate: Duration,
    /// For `GRPCController/Shutdown`; 2 s.
    pub controller: Duration,
    /// For a plugin that agreed to leave, before SIGTERM; 2 s.
    pub leave: Duration,
    /// From SIGTERM to SIGKILL; 5 s, the grace that the Python SDK gives its own calls.
    pub grace: Duration,
    /// For the kernel to end a killed process; 5 s.
    pub reap: Duration,
    /// For output that a descendant may still hold open after the process is gone; 500 ms.
    pub output: Duration,
    /// For calls of the API that are under way when the process is gone; 1 s.
    pub api_drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            health: Duration::from_secs(5),
            hook: Duration::from_secs(30),
            deactivate: Duration::from_secs(10),
            controller: Duration::from_secs(2),
            leave: Duration::from_secs(2),
            grace: Duration::from_secs(5),
            reap: Duration::from_secs(5),
            output: Duration::from_millis(500),
            api_drain: Duration::from_secs(1),
        }
    }
}

impl Timeouts {
    /// The longest that a stop can take, whatever the plugin does.
    pub fn longest_stop(&self) -> Duration {
        const API_ABORT: Duration = Duration::from_secs(2);
        let steps = [
            self.deactivate,
            self.controller,
            self.leave,
            self.grace,
            self.reap,
            self.output,
            self.api_drain,
            API_ABORT,
        ];
        steps.into_iter().fold(Duration::ZERO, Duration::saturating_add)
    }
}

/// Makes the API server of one launch; a restart asks for another.
pub(super) type ApiFactory = Arc<dyn Fn() -> ApiServerBuilder + Send + Sync>;

/// Describes a launch. It can be launched again and again: each launch has its own process, API
/// server and port.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # struct Tiny;
/// # impl plugin_conformance::api::PluginApi for Tiny {}
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use plugin_conformance::supervisor::Supervisor;
///
/// let plugin = Supervisor::builder("plugins/com.example.hello").api(Arc::new(Tiny)).launch().await?;
/// assert!(plugin.health_check().await.is_ok());
/// plugin.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SupervisorBuilder {
    pub(crate) bundle: PathBuf,
    pub(super) api: Option<ApiFactory>,
    pub(super) unix: bool,
    pub(super) api_token: bool,
    pub(super) environment: BTreeMap<OsString, OsString>,
    pub(super) timeouts: Timeouts,
    pub(super) events: Option<EventLog>,
    pub(super) log: LogSink,
    pub(super) hook_layers: Vec<HookLayer>,
    pub(super) hook_limits: HookLimits,
    pub(super) schedule: Option<Scheduled>,
}

impl SupervisorBuilder {
    pub(super) fn new(bundle: &Path) -> Self {
        Self {
            bundle: bundle.to_owned(),
            api: None,
            unix: false,
            api_token: false,
            environment: BTreeMap::new(),
            timeouts: Timeouts::default(),
            events: None,
            log: tracing_sink(),
            hook_layers: Vec::new(),
            hook_limits: HookLimits::default(),
            schedule: None,
        }
    }

    /// What answers the plugin's API calls. Without it the plugin runs with no API server, and with
    /// no `MATTERMOST_PLUGIN_API_TARGET` even if our own environment has one.
    #[must_use]
    pub fn api(self, api: Arc<dyn PluginApi>) -> Self {
        self.api_server(move || ApiServer::builder(Arc::clone(&api)))
    }

    /// The same with layers, a recorder, another dialect: called once a launch. Where it listens is
    /// the supervisor's choice: 127.0.0.1, or a private Unix socket after
    /// [`api_on_unix_socket`](Self::api_on_unix_socket).
    #[must_use]
    pub fn api_server(
        mut self,
        server: impl Fn() -> ApiServerBuilder + Send + Sync + 'static,
    ) -> Self {
        self.api = Some(Arc::new(server));
        self
    }

    /// Serves the API on a Unix socket in a folder of mode 0700; the variable then says
    /// `unix:///…`.
    #[must_use]
    pub fn api_on_unix_socket(mut self) -> Self {
        self.unix = true;
        self
    }

    /// Asks every API call for a token that only this launch's plugin has: a random one, new for
    /// each launch, in its environment variable [`TOKEN_VARIABLE`](crate::api::TOKEN_VARIABLE).
    /// Only for plugins that send it as the metadata `authorization: Bearer <token>`; the Python SDK
    /// does not.
    #[must_use]
    pub fn api_token(mut self) -> Self {
        self.api_token = true;
        self
    }

    /// A further variable for the plugin. The supervisor's own variables win over it.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Other time limits.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Writes the events to this log, which can be read while the launch is under way.
    #[must_use]
    pub fn events(mut self, events: &EventLog) -> Self {
        self.events = Some(events.clone());
        self
    }

    /// Where the plugin's output goes; to `tracing` by default.
    #[must_use]
    pub fn log(mut self, sink: LogSink) -> Self {
        self.log = sink;
        self
    }

    /// Wraps the unary hooks, between the typed methods and the wire: the service sees
    /// [`HookCall`](crate::hooks::HookCall)s and gives response bytes or a status. Called once a launch; the
    /// layer added last is the outermost.
    #[must_use]
    pub fn hook_layer(
        mut self,
        layer: impl Fn(BoxHookService) -> BoxHookService + Send + Sync + 'static,
    ) -> Self {
        self.hook_layers.push(Arc::new(layer));
        self
    }

    /// What the plugin's answers and its HTTP may take.
    #[must_use]
    pub fn hook_limits(mut self, limits: HookLimits) -> Self {
        self.hook_limits = limits;
        self
    }

    /// Holds up every life at its moments, as the schedule says: for tests of what could happen in
    /// another order.
    #[must_use]
    pub fn schedule(mut self, schedule: Arc<dyn Schedule>) -> Self {
        self.schedule = Some(Scheduled::new(schedule));
        self
    }

    /// The API server to start, listening where it should.
    pub(super) fn api_builder(&self) -> Option<ApiServerBuilder> {
        let listen = if self.unix { Listen::PrivateUnix } else { Listen::default() };
        self.api.as_ref().map(|server| server().listen(listen))
    }

    /// The token of the launch, if it is to have one.
    pub(super) fn launch_token(&self) -> Result<Option<ApiToken>, TokenError> {
        self.api_token.then(ApiToken::random).transpose()
    }
}
