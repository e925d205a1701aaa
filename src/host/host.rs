//! The host itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answers::Answering;
use super::plugins::{Plugins, UserSessions};
use super::{HookLine, HostBuilder, Trace, TraceError, TraceLayer};
use crate::api::ApiServer;
use crate::api::mock::Unverified;
use crate::environment::{Environment, EnvironmentError, PluginInfo, PluginState};
use crate::hooks::{FireError, Fired};
use crate::http_front::{HttpFront, HttpFrontError};
use crate::supervisor::{EventKind, EventLog, Level, LogRecord, LogSink, STOP_ASKED, Stream};

/// Replies over HTTP that are under way when the host stops have this long.
const DRAIN: Duration = Duration::from_secs(2);

/// Plugins, an API behind them, and HTTP in front of them. Dropped, it stops in the background;
/// [`stop`](Self::stop) waits for it.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use plugin_conformance::host::Host;
///
/// let host = Host::builder(["plugins/com.example.hello"]).start().await?;
/// for (id, launched) in host.launched() {
///     match launched {
///         Ok(()) => println!("http://{}/plugins/{id}/", host.address()),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// for (id, fired) in host.fire(&"OnConfigurationChange".parse()?).await? {
///     println!("{id}: {fired}");
/// }
/// host.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Host {
    environment: Environment,
    front: HttpFront,
    answering: Answering,
    launched: Vec<(String, Result<(), String>)>,
    trace: Trace,
    followers: Followers,
}

/// The tasks that follow the plugins' events.
#[derive(Debug, Clone, Default)]
struct Followers {
    /// Ends them.
    ended: CancellationToken,
    tasks: TaskTracker,
}

/// A host cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A bundle cannot be taken in.
    #[error(transparent)]
    Plugin(#[from] EnvironmentError),
    /// HTTP cannot be served.
    #[error(transparent)]
    Listen(#[from] HttpFrontError),
}

/// A host has stopped, and not all is well.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The plugins made other calls than the mocks expect.
    #[error(transparent)]
    Mocks(#[from] Unverified),
    /// The trace is not whole.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// Why a hook was fired at nobody.
#[derive(Debug, thiserror::Error)]
pub enum FireLineError {
    /// There is no such hook, or no such request.
    #[error(transparent)]
    Fire(#[from] FireError),
    /// The named plugin is unknown, or does not run.
    #[error(transparent)]
    Plugin(#[from] EnvironmentError),
    /// No plugin runs.
    #[error("no plugin runs")]
    Nobody,
}

/// How a plugin is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSummary {
    /// Its id.
    pub id: String,
    /// Its state in a word or two.
    pub state: &'static str,
    /// Why its last launch or life failed; empty if it did not.
    pub error: String,
}

impl Host {
    /// Begins to describe a host of the plugins in these folders.
    pub fn builder(bundles: impl IntoIterator<Item = impl AsRef<Path>>) -> HostBuilder {
        HostBuilder::new(bundles.into_iter().map(|dir| dir.as_ref().to_owned()).collect())
    }

    pub(super) async fn start(builder: HostBuilder) -> Result<Self, HostError> {
        let answering = Answering::new(&builder.answers, &builder.server_version);
        let followers = Followers::default();
        let environment = environment(&builder, &answering, &followers)?;
        answering.reach(&environment);
        for dir in HostBuilder::bundle_paths(builder.bundles.iter().map(PathBuf::as_path)) {
            environment.add(&dir).await?;
        }
        // Before the plugins: an address that is taken is reported at once.
        let front = HttpFront::builder(Arc::new(Plugins(environment.clone())))
            .sessions(Arc::new(UserSessions(builder.sessions)))
            .listen(builder.listen)
            .observe(builder.trace.http())
            .start()
            .await?;
        let mut host = Self {
            environment,
            front,
            answering,
            launched: Vec::new(),
            trace: builder.trace,
            followers,
        };
        let launches = host.environment.ids().into_iter().map(|id| async {
            let launched = host.environment.activate(&id).await;
            (id, launched.map(|_| ()).map_err(|error| error.to_string()))
        });
        host.launched = join_all(launches).await;
        host.tell(&builder.log);
        Ok(host)
    }

    /// Puts into the log what becomes of a plugin after its first launch: it fails, it runs again,
    /// it is given up.
    fn tell(&self, log: &LogSink) {
        for id in self.environment.ids() {
            let Some(events) = self.environment.events(&id) else { continue };
            let Some(mut states) = self.environment.states(&id) else { continue };
            // Of the first launch everybody has heard.
            let (mut reader, known) = (events.reader(), events.events().len());
            states.mark_unchanged();
            let ended = self.followers.ended.clone();
            let mut teller = Teller { id, log: Arc::clone(log), fails: None, failed: false };
            self.followers.tasks.spawn(async move {
                for _ in 0..known {
                    let _ = reader.next().await;
                }
                loop {
                    tokio::select! {
                        event = reader.next() => teller.hear(&event.kind),
                        Ok(()) = states.changed() => teller.see(*states.borrow_and_update()),
                        () = ended.cancelled() => return,
                    }
                }
            });
        }
    }

    /// How the first launch of each plugin went, in the order of the folders; an error is a text for
    /// the plugin's author.
    pub fn launched(&self) -> impl Iterator<Item = (&str, Result<(), &str>)> {
        self.launched
            .iter()
            .map(|(id, launched)| (id.as_str(), launched.as_ref().copied().map_err(String::as_str)))
    }

    /// Where HTTP is served.
    pub fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// The plugins themselves.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The plugins' folders.
    pub fn bundles(&self) -> Vec<PathBuf> {
        let ids = self.environment.ids();
        ids.iter().filter_map(|id| Some(self.environment.info(id)?.bundle)).collect()
    }

    /// The plugin in this folder.
    pub fn id_of(&self, bundle: &Path) -> Option<String> {
        let mut ids = self.environment.ids().into_iter();
        ids.find(|id| self.environment.info(id).is_some_and(|info| info.bundle == bundle))
    }

    /// Which plugin implements which hooks; only those that run.
    pub fn hooks(&self) -> Vec<(String, Vec<String>)> {
        let hooks = |id: String| {
            let hooks = self.environment.hooks(&id).ok()?;
            Some((id, hooks.implemented_hooks().map(str::to_owned).collect()))
        };
        self.environment.ids().into_iter().filter_map(hooks).collect()
    }

    /// How the plugins are.
    pub fn statuses(&self) -> Vec<PluginSummary> {
        let summary = |id: String| PluginSummary {
            state: match self.environment.states(&id).map(|states| *states.borrow()) {
                Some(PluginState::Starting) => "starting",
                Some(PluginState::Running) => "running",
                Some(PluginState::FailedToStart) => "failed to start",
                Some(PluginState::FailedToStayRunning) => "failed to stay running",
                Some(PluginState::Stopping) => "stopping",
                Some(PluginState::NotRunning) | None => "not running",
            },
            error: self.environment.last_error(&id).unwrap_or_default(),
            id,
        };
        self.environment.ids().into_iter().map(summary).collect()
    }

    /// Stops a plugin if it runs, and starts it with what its folder holds now.
    ///
    /// # Errors
    /// As [`Environment::restart`].
    pub async fn restart(&self, plugin_id: &str) -> Result<(), EnvironmentError> {
        self.environment.restart(plugin_id).await
    }

    /// Fires a hook at the plugin that the line names, else at every one that runs and implements it,
    /// or at all that run if none does. In the order of the folders, one after the other.
    ///
    /// # Errors
    /// [`FireLineError`]: there is nothing to fire, or nobody to fire it at.
    pub async fn fire(&self, line: &HookLine) -> Result<Vec<(String, Fired)>, FireLineError> {
        let mut asked = Vec::new();
        match &line.plugin {
            Some(id) => asked.push((id.clone(), self.environment.hooks(id)?)),
            None => {
                for id in self.environment.ids() {
                    if let Ok(hooks) = self.environment.hooks(&id) {
                        asked.push((id, hooks));
                    }
                }
                if asked.iter().any(|(_, hooks)| hooks.implements(&line.hook)) {
                    asked.retain(|(_, hooks)| hooks.implements(&line.hook));
                }
            }
        }
        if asked.is_empty() {
            return Err(FireLineError::Nobody);
        }
        let mut fired = Vec::new();
        for (id, hooks) in asked {
            fired.push((id, hooks.fire_json(&line.hook, &line.request).await?));
        }
        Ok(fired)
    }

    /// Stops in order: HTTP, then the plugins, each before its API. Nothing is left afterwards.
    ///
    /// # Errors
    /// [`StopError`]: everything has stopped, but the mocks or the trace have something to say.
    pub async fn stop(&self) -> Result<(), StopError> {
        self.front.stop(DRAIN).await;
        self.environment.shutdown().await;
        self.finish().await
    }

    /// Kills the plugins at once, those too that are being launched or stopped, and waits until
    /// nothing is left.
    pub async fn kill(&self) {
        tokio::join!(self.environment.kill(), self.front.stop(Duration::ZERO));
        if let Err(error) = self.finish().await {
            tracing::warn!(%error, "the host was killed");
        }
    }

    async fn finish(&self) -> Result<(), StopError> {
        self.followers.ended.cancel();
        self.followers.tasks.close();
        self.followers.tasks.wait().await;
        self.trace.finish()?;
        Ok(self.answering.verify()?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The tasks that follow the plugins keep them alive.
        self.followers.ended.cancel();
    }
}

impl Followers {
    /// Writes the events of a plugin to the trace until the plugin is removed or replaced.
    fn follow(
        &self,
        trace: &Trace,
        plugin: &PluginInfo,
        events: &EventLog,
        mut states: watch::Receiver<PluginState>,
    ) {
        let (id, events) = (plugin.id().to_owned(), events.clone());
        let (trace, ended) = (trace.clone(), self.ended.clone());
        self.tasks.spawn(async move {
            let mut reader = events.reader();
            loop {
                tokio::select! {
                    event = reader.next() => trace.life(&id, &event),
                    () = gone(&mut states) => break,
                    () = ended.cancelled() => break,
                }
            }
            // What happened up to the end is all there.
            while let Some(event) = reader.next().now_or_never() {
                trace.life(&id, &event);
            }
        });
    }
}

/// Waits until there are no states to come.
async fn gone(states: &mut watch::Receiver<PluginState>) {
    while states.changed().await.is_ok() {}
}

/// Tells of one plugin.
struct Teller {
    id: String,
    log: LogSink,
    /// Why its present life comes to an end by itself.
    fails: Option<String>,
    /// Its last life has failed.
    failed: bool,
}

impl Teller {
    fn hear(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Stopping { reason } if reason != STOP_ASKED => {
                self.fails = Some(reason.clone());
            }
            EventKind::Exited { report } => {
                if let Some(reason) = self.fails.take() {
                    self.fail(&format!("{reason}; its process ended: {report}"));
                }
            }
            EventKind::Ended => {
                if let Some(reason) = self.fails.take() {
                    self.fail(&reason);
                }
            }
            EventKind::Active if std::mem::take(&mut self.failed) => {
                self.say(Level::Info, "it runs again".to_owned());
            }
            _ => {}
        }
    }

    fn fail(&mut self, reason: &str) {
        self.failed = true;
        self.say(Level::Error, format!("it failed: {reason}"));
    }

    /// Both of these states are the last until somebody starts the plugin.
    fn see(&mut self, state: PluginState) {
        if matches!(state, PluginState::FailedToStayRunning | PluginState::FailedToStart) {
            let message = "it is not started again by itself; `restart` and changes do";
            self.say(Level::Error, message.to_owned());
        }
    }

    fn say(&self, level: Level, message: String) {
        let (plugin_id, fields) = (self.id.clone(), serde_json::Map::new());
        (self.log)(LogRecord { plugin_id, stream: Stream::Server, level, message, fields });
    }
}

/// The plugins' environment, with this host's answers and trace.
fn environment(
    builder: &HostBuilder,
    answering: &Answering,
    followers: &Followers,
) -> Result<Environment, EnvironmentError> {
    let answering = answering.clone();
    let (trace, unix, timeouts) = (builder.trace.clone(), builder.unix, builder.timeouts);
    let mut environment = Environment::builder()
        .api(move |plugin| answering.to_plugin(plugin.id()))
        .launch(move |plugin, launch| {
            let mut launch = launch.timeouts(timeouts);
            if unix {
                launch = launch.api_on_unix_socket();
            }
            if trace.is_on() {
                let layer = TraceLayer::new(&trace, plugin.id());
                launch = launch.hook_layer(move |inner| layer.around_hooks(inner));
            }
            launch
        })
        .keeper(builder.keeper)
        .log(Arc::clone(&builder.log))
        .server_version(&builder.server_version);
    if builder.trace.is_on() {
        let (trace, followers) = (builder.trace.clone(), followers.clone());
        environment = environment.on_plugin(move |plugin, events, states| {
            followers.follow(&trace, plugin, events, states);
        });
        let trace = builder.trace.clone();
        environment = environment.api_server(move |plugin, api| {
            ApiServer::builder(api).call_layer(TraceLayer::new(&trace, plugin.id()))
        });
    }
    environment.build()
}
