//! Keeps one plugin running: health checks, restarts, states.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{RestartPolicy, Strikes, Verdict};
use crate::supervisor::{LaunchError, STOP_ASKED, Supervisor, SupervisorBuilder};
use crate::sync::{Arc, AsyncMutex, JoinHandle, sleep, spawn, watch, watched};

/// The state of a plugin, with the numbers of `PluginStatus.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum PluginState {
    /// Stopped, or never started.
    NotRunning = 0,
    /// Being launched.
    Starting = 1,
    /// Active.
    Running = 2,
    /// The last launch failed.
    FailedToStart = 3,
    /// It failed too often in too short a time and is not started again.
    FailedToStayRunning = 4,
    /// Being stopped.
    Stopping = 5,
}

/// How a [`Keeper`] watches its plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeeperOptions {
    /// From one health check to the next; 30 s. The exit of the process is noticed at once.
    pub interval: Duration,
    /// When a failed plugin is started again.
    pub restart: RestartPolicy,
}

impl Default for KeeperOptions {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), restart: RestartPolicy::default() }
    }
}

/// Keeps one plugin running.
///
/// Each keeper has a task of its own, so that a plugin that hangs delays no other plugin's checks.
/// Activations, deactivations and restarts of one keeper never interleave. Dropped, it stops the
/// plugin in the background.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    options: KeeperOptions,
    job: AsyncMutex<Option<Job>>,
    /// Cancelled by [`shut_down`](Keeper::shut_down): ends the job and any launch under way.
    closing: CancellationToken,
}

#[derive(Debug)]
struct Job {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Shared {
    builder: SupervisorBuilder,
    state: watch::Sender<PluginState>,
    current: watch::Sender<Option<Arc<Supervisor>>>,
    error: watch::Sender<Option<String>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("bundle", &self.builder.bundle)
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// A keeper of the plugin that `builder` launches. Nothing is started yet.
    pub fn new(builder: SupervisorBuilder, options: KeeperOptions) -> Self {
        let shared = Shared {
            builder,
            state: watched(PluginState::NotRunning),
            current: watched(None),
            error: watched(None),
        };
        Self {
            shared: Arc::new(shared),
            options,
            job: AsyncMutex::new(None),
            closing: CancellationToken::new(),
        }
    }

    /// Starts the plugin, and the job that keeps it running. False if it runs already.
    ///
    /// # Errors
    /// [`LaunchError`]; the state is then [`PluginState::FailedToStart`]. After
    /// [`shut_down`](Self::shut_down) every launch fails with
    /// [`LaunchFailure::Stopped`](crate::supervisor::LaunchFailure::Stopped), and the state stays what it is.
    pub async fn activate(&self) -> Result<bool, LaunchError> {
        let mut job = self.job.lock().await;
        if let Some(job) = &mut *job
            && !job.task.is_finished()
        {
            if !self.gave_up() {
                return Ok(false);
            }
            // The job has said its last word, but has not returned yet.
            let _ = (&mut job.task).await;
        }
        let stop = self.closing.child_token();
        if stop.is_cancelled() {
            // Fails at once, and the state stays what it is.
            return self.shared.builder.launch_until(&stop).await.map(|_| false);
        }
        let plugin = self.shared.launch(&stop).await?;
        let keep = keep(Arc::clone(&self.shared), plugin, self.options, stop.clone());
        *job = Some(Job { stop, task: spawn(keep) });
        Ok(true)
    }

    /// Stops the plugin and its job, and waits until nothing is left. False if it did not run.
    pub async fn deactivate(&self) -> bool {
        let mut job = self.job.lock().await;
        let was_active = self.is_active();
        let Some(job) = job.take() else { return false };
        job.stop.cancel();
        // The job stops the plugin; an error means that it panicked, and then the plugin, dropped,
        // stops by itself.
        let _ = job.task.await;
        was_active
    }

    /// Stops and starts the plugin. Not counted as a failure.
    ///
    /// # Errors
    /// [`LaunchError`] of the new launch.
    pub async fn restart(&self) -> Result<(), LaunchError> {
        self.deactivate().await;
        self.activate().await.map(|_| ())
    }

    /// The last stop: as [`deactivate`](Self::deactivate), but a launch under way is cut off instead
    /// of waited for, and none begins afterwards.
    pub async fn shut_down(&self) {
        self.closing.cancel();
        self.deactivate().await;
    }

    /// Whether the job has ended by itself: both states are its last.
    fn gave_up(&self) -> bool {
        matches!(self.state(), PluginState::FailedToStart | PluginState::FailedToStayRunning)
    }

    /// The plugin's state now.
    pub fn state(&self) -> PluginState {
        *self.shared.state.borrow()
    }

    /// The states to come, for waiting.
    pub fn states(&self) -> watch::Receiver<PluginState> {
        self.shared.state.subscribe()
    }

    /// Whether the plugin runs.
    pub fn is_active(&self) -> bool {
        self.state() == PluginState::Running
    }

    /// The plugin's present life, if it runs.
    pub fn current(&self) -> Option<Arc<Supervisor>> {
        self.shared.current.borrow().clone()
    }

    /// Why the last launch or life failed; cleared by a success.
    pub fn last_error(&self) -> Option<String> {
        self.shared.error.borrow().clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Nobody else has the keeper, so nobody holds the lock.
        if let Ok(job) = self.job.try_lock()
            && let Some(job) = &*job
        {
            job.stop.cancel();
        }
    }
}

impl Shared {
    /// Launches; when `stop` is cancelled first, the launch is undone when this returns.
    async fn launch(&self, stop: &CancellationToken) -> Result<Arc<Supervisor>, LaunchError> {
        self.state.send_replace(PluginState::Starting);
        let _unless_decided = NotStarting(&self.state);
        match self.builder.launch_until(stop).await {
            Ok(plugin) => {
                let plugin = Arc::new(plugin);
                self.error.send_replace(None);
                self.current.send_replace(Some(Arc::clone(&plugin)));
                self.state.send_replace(PluginState::Running);
                Ok(plugin)
            }
            Err(error) if stop.is_cancelled() => Err(error),
            Err(error) => {
                self.error.send_replace(Some(error.to_string()));
                self.state.send_replace(PluginState::FailedToStart);
                Err(error)
            }
        }
    }

    /// Ends the present life; the state becomes `then` when nothing is left.
    async fn end(&self, plugin: &Supervisor, then: PluginState, why: &str) {
        self.state.send_replace(PluginState::Stopping);
        self.current.send_replace(None);
        plugin.shutdown_because(why).await;
        self.state.send_replace(then);
    }
}

/// The end of a launch that came to nothing, because it was stopped or its future dropped.
struct NotStarting<'a>(&'a watch::Sender<PluginState>);

impl Drop for NotStarting<'_> {
    fn drop(&mut self) {
        self.0.send_if_modified(|state| {
            let starting = *state == PluginState::Starting;
            if starting {
                *state = PluginState::NotRunning;
            }
            starting
        });
    }
}

/// The job: checks, restarts, gives up.
async fn keep(
    shared: Arc<Shared>,
    mut plugin: Arc<Supervisor>,
    options: KeeperOptions,
    stop: CancellationToken,
) {
    let mut strikes = Strikes::new(options.restart);
    loop {
        let Some(failure) = stop.run_until_cancelled(failure(&plugin, options.interval)).await
        else {
            return shared.end(&plugin, PluginState::NotRunning, STOP_ASKED).await;
        };
        tracing::warn!(plugin_id = plugin.id(), failure, "the plugin failed");
        shared.error.send_replace(Some(failure.clone()));
        match strikes.failed(Instant::now()) {
            Verdict::GiveUp => {
                return shared.end(&plugin, PluginState::FailedToStayRunning, &failure).await;
            }
            Verdict::Restart => shared.end(&plugin, PluginState::NotRunning, &failure).await,
        }
        match shared.launch(&stop).await {
            Ok(next) => plugin = next,
            // Nothing is left of the launch.
            Err(_) if stop.is_cancelled() => return,
            Err(error) => {
                tracing::error!(plugin_id = plugin.id(), %error, "the plugin cannot be restarted");
                return;
            }
        }
    }
}

/// Waits until the plugin fails, and says how.
async fn failure(plugin: &Supervisor, interval: Duration) -> String {
    loop {
        tokio::select! {
            // The exit says more than a check that fails because of it.
            biased;
            ended = plugin.ended() => {
                let exit = ended.exit.map_or("no process".to_owned(), |exit| exit.to_string());
                return format!("the process ended by itself: {exit}");
            }
            () = sleep(interval) => {}
        }
        if let Err(error) = plugin.health_check().await {
            return error.to_string();
        }
    }
}
