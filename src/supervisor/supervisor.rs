//! One life of one plugin, as its owner has it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::active::Active;
use super::config::SupervisorBuilder;
use super::driver::{Controls, Driver};
use super::ended::Ended;
use super::error::{LaunchError, LaunchFailure};
use super::events::EventLog;
use super::leash::Leash;
use super::lifecycle::{Ending, Phase};
use super::plan::Plan;
use crate::hooks::{HealthError, Hooks};

/// One life of one plugin: from the API server's start to the last thing left.
///
/// Made by [`Supervisor::builder`]. All methods take `&self` and may be called from several tasks at
/// once. Dropped, the plugin is stopped in order, in the background; [`shutdown`](Self::shutdown)
/// waits for it.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use plugin_conformance::supervisor::Supervisor;
///
/// let plugin = Supervisor::builder("plugins/com.example.hello").launch().await?;
/// for hook in plugin.hooks().implemented_hooks() {
///     println!("{} implements {hook}", plugin.id());
/// }
/// let ended = plugin.shutdown().await;
/// println!("it ended with {:?}", ended.exit);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Supervisor {
    plugin_id: String,
    active: Active,
    controls: Arc<Controls>,
    health: std::time::Duration,
    /// Dropped with the supervisor: asks for the stop.
    _stop: tokio_util::sync::DropGuard,
}

impl Supervisor {
    /// Begins to describe the launch of the plugin in this folder.
    pub fn builder(bundle: impl AsRef<Path>) -> SupervisorBuilder {
        SupervisorBuilder::new(bundle.as_ref())
    }

    async fn launch(config: SupervisorBuilder, leash: Leash) -> Result<Self, LaunchError> {
        let bundle = config.bundle.clone();
        // Reads files, which may take its time.
        let plan = tokio::task::spawn_blocking(move || Plan::of(&bundle));
        let plan = match leash.stopping().run_until_cancelled(plan).await {
            Some(plan) => plan.unwrap_or(Err(LaunchFailure::NoPhase(Phase::Idle))),
            None => Err(LaunchFailure::Stopped),
        };
        let plan = plan.map_err(|failure| LaunchError {
            plugin_id: config.bundle.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            failure,
            exit: None,
            stderr: String::new(),
        })?;

        let controls = Arc::new(Controls {
            leash,
            stopping: CancellationToken::new(),
            gone: CancellationToken::new(),
            crashed: CancellationToken::new(),
            why: OnceLock::new(),
            phase: watch::Sender::new(Phase::Idle),
            ended: watch::Sender::new(None),
            events: config.events.clone().unwrap_or_default(),
        });
        // From here on: if this future is dropped, the driver undoes what there is.
        let stop = controls.leash.stop_when_dropped();
        let (plugin_id, health) = (plan.plugin_id.clone(), config.timeouts.health);
        let (ready, launched) = oneshot::channel();
        tokio::spawn(Driver::new(config, plan, Arc::clone(&controls), ready).run());
        let active = launched.await.unwrap_or_else(|_| {
            Err(LaunchError {
                plugin_id: plugin_id.clone(),
                failure: LaunchFailure::Stopped,
                exit: None,
                stderr: String::new(),
            })
        })?;
        Ok(Self { plugin_id, active, controls, health, _stop: stop })
    }

    /// The plugin's id, from its manifest, in lower case.
    pub fn id(&self) -> &str {
        &self.plugin_id
    }

    /// The plugin's hooks.
    pub fn hooks(&self) -> &Hooks {
        &self.active.hooks
    }

    /// The process id of the interpreter, which is its group's as well.
    pub fn pid(&self) -> u32 {
        self.active.pid
    }

    /// What stands in the plugin's `MATTERMOST_PLUGIN_API_TARGET`; `None` without an API.
    pub fn api_target(&self) -> Option<&str> {
        self.active.target.as_deref()
    }

    /// The TCP address of the API server; `None` without an API or on a Unix socket.
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.active.api_address
    }

    /// Where the life is.
    pub fn phase(&self) -> Phase {
        *self.controls.phase.borrow()
    }

    /// What happened so far, and what will.
    pub fn events(&self) -> &EventLog {
        &self.controls.events
    }

    /// Checks the plugin's health: up to three pings of `grpc.health.v1.Health` for the service
    /// `plugin`, each with a deadline.
    ///
    /// # Errors
    /// [`HealthError`]: it is gone, hangs, fails or says that it does not serve.
    pub async fn health_check(&self) -> Result<(), HealthError> {
        if self.controls.stopping.is_cancelled() {
            return Err(HealthError::NotRunning);
        }
        self.active.hooks.check_health(self.health).await
    }

    /// Stops the plugin in order and waits until nothing is left: `OnDeactivate`, go-plugin's
    /// `Shutdown`, SIGTERM, SIGKILL to the group, and then the API server. Takes at most
    /// [`Timeouts::longest_stop`](super::Timeouts::longest_stop).
    pub async fn shutdown(&self) -> Ended {
        self.controls.leash.stop();
        self.ended().await
    }

    /// The same; the reason stands in the event [`EventKind::Stopping`](super::EventKind::Stopping).
    pub(crate) async fn shutdown_because(&self, why: &str) -> Ended {
        let _ = self.controls.why.set(why.to_owned());
        self.shutdown().await
    }

    /// Kills the plugin at once, without `OnDeactivate` or SIGTERM, and waits until nothing is left.
    pub async fn kill(&self) -> Ended {
        self.controls.leash.kill();
        self.ended().await
    }

    /// Waits until the life has ended, for whatever reason, and nothing is left.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.controls.ended.subscribe();
        let found = ended.wait_for(Option::is_some).await.map(|ended| ended.clone());
        found.ok().flatten().unwrap_or(Ended {
            ending: Ending::Stopped,
            exit: None,
            stderr: String::new(),
            error: None,
        })
    }
}

impl SupervisorBuilder {
    /// Launches the plugin and waits until it is active.
    ///
    /// When it fails, nothing is left behind by the time it returns; when its future is dropped, the
    /// launch is undone in the background.
    ///
    /// # Errors
    /// [`LaunchError`] says which step failed, and how.
    pub async fn launch(&self) -> Result<Supervisor, LaunchError> {
        self.launch_on(&Leash::default()).await
    }

    /// The same; the leash ends the launch, and the life that comes of it. When it is pulled before
    /// the plugin is active, the launch is undone and then fails with
    /// [`LaunchFailure::Stopped`](super::LaunchFailure::Stopped).
    pub(crate) async fn launch_on(&self, leash: &Leash) -> Result<Supervisor, LaunchError> {
        Supervisor::launch(self.clone(), leash.child()).await
    }
}
