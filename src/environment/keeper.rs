//! Keeps one plugin running: health checks, restarts, states.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{RestartPolicy, Strikes, Verdict};
use crate::supervisor::{LaunchError, Leash, STOP_ASKED, Supervisor, SupervisorBuilder};
use crate::sync::{Arc, AsyncMutex, Mutex, MutexGuard, oneshot, sleep, spawn, watch, watched};

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
/// Activations, deactivations and restarts of one keeper never interleave. All of them may be
/// dropped at any point: what has begun goes on in the keeper's task, and the next call waits for it.
/// Dropped, the keeper stops the plugin in the background.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    options: KeeperOptions,
    /// Held by whoever starts or stops the plugin. It protects nothing: a caller who goes away leaves
    /// it with the job at whatever point.
    turn: AsyncMutex<()>,
    /// The present job, or the last one. It makes way only when it has ended.
    job: Mutex<Option<Job>>,
    /// Pulled by the last stop: ends the job and any launch under way.
    closing: Leash,
}

/// The task that launches the plugin, keeps it running and stops it. Callers ask it and wait for it;
/// none of them has anything in hands that could be lost with him.
#[derive(Debug, Clone)]
struct Job {
    leash: Leash,
    /// Cancelled when the task has ended. Unlike its handle, it can be waited for again and again.
    ended: CancellationToken,
}

struct Shared {
    builder: SupervisorBuilder,
    state: watch::Sender<PluginState>,
    /// The present life, until nothing is left of it.
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
            turn: AsyncMutex::new(()),
            job: Mutex::new(None),
            closing: Leash::default(),
        }
    }

    /// Starts the plugin, and the job that keeps it running. False if it runs already. Dropped, the
    /// launch is undone in the background; whatever is asked of the keeper next waits for that.
    ///
    /// # Errors
    /// [`LaunchError`]; the state is then [`PluginState::FailedToStart`]. After
    /// [`shut_down`](Self::shut_down) every launch fails with
    /// [`LaunchFailure::Stopped`](crate::supervisor::LaunchFailure::Stopped), and the state stays what it is.
    pub async fn activate(&self) -> Result<bool, LaunchError> {
        let _turn = self.turn.lock().await;
        self.start().await
    }

    /// Stops the plugin and its job, and waits until nothing is left. False if it did not run.
    /// Dropped, the stop goes on in the background.
    pub async fn deactivate(&self) -> bool {
        let _turn = self.turn.lock().await;
        self.stop().await
    }

    /// Stops and starts the plugin. Not counted as a failure. Dropped, the stop goes on in the
    /// background, and a launch is undone.
    ///
    /// # Errors
    /// [`LaunchError`] of the new launch.
    pub async fn restart(&self) -> Result<(), LaunchError> {
        let _turn = self.turn.lock().await;
        self.stop().await;
        self.start().await.map(|_| ())
    }

    /// Kills the plugin at once, whether it runs, is being launched or is being stopped, and waits
    /// until nothing is left. It waits for no other caller. The plugin may be started again.
    pub async fn kill(&self) {
        let life = self.shared.current.borrow().clone();
        let Some(job) = self.job() else { return };
        job.leash.kill();
        job.ended.cancelled().await;
        // It has ended with its job, unless that panicked.
        if let Some(life) = life {
            life.ended().await;
        }
    }

    /// The last stop: as [`deactivate`](Self::deactivate), but a launch under way is cut off instead
    /// of waited for, and none begins afterwards.
    pub async fn shut_down(&self) {
        self.closing.stop();
        self.deactivate().await;
    }

    /// The last stop, at once: as [`kill`](Self::kill), and no launch begins afterwards.
    pub(crate) async fn kill_for_good(&self) {
        self.closing.kill();
        self.deactivate().await;
    }

    fn lock_job(&self) -> MutexGuard<'_, Option<Job>> {
        // Every change is one step.
        self.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn job(&self) -> Option<Job> {
        self.lock_job().clone()
    }

    /// Begins a job, whose launch is waited for. The turn is the caller's.
    async fn start(&self) -> Result<bool, LaunchError> {
        if let Some(job) = self.job() {
            if !job.ended.is_cancelled() && !job.leash.is_pulled() && !self.gave_up() {
                return Ok(false);
            }
            // It is being stopped, or has said its last word but has not returned yet.
            self.wait_for(&job).await;
        }
        let job = Job { leash: self.closing.child(), ended: CancellationToken::new() };
        let leash = job.leash.clone();
        if leash.is_pulled() {
            return self.refused(&leash).await;
        }
        let (tell, told) = oneshot::channel();
        // Who goes away before the plugin runs wants it undone.
        let undo = leash.stop_when_dropped();
        let ended = job.ended.clone().drop_guard();
        let work = keep(Arc::clone(&self.shared), self.options, leash.clone(), tell);
        *self.lock_job() = Some(job);
        spawn(async move {
            let _ended = ended;
            work.await;
        });
        let launched = told.await;
        undo.disarm();
        match launched {
            Ok(launched) => launched.map(|()| true),
            // The job has panicked.
            Err(_) => {
                leash.stop();
                self.refused(&leash).await
            }
        }
    }

    /// A launch that is stopped before it begins. The state stays what it is.
    async fn refused(&self, leash: &Leash) -> Result<bool, LaunchError> {
        self.shared.builder.launch_on(leash).await.map(|_| false)
    }

    /// Ends the job. The turn is the caller's.
    async fn stop(&self) -> bool {
        let was_active = self.is_active();
        let Some(job) = self.job() else { return false };
        // Visible before anything of the stop is. What the job has said last stays.
        self.shared.turn(PluginState::Running, PluginState::Stopping);
        job.leash.stop();
        self.wait_for(&job).await;
        was_active
    }

    /// Waits until a job has ended, and its life with it. The turn is the caller's.
    async fn wait_for(&self, job: &Job) {
        job.ended.cancelled().await;
        let left = self.shared.current.borrow().clone();
        if let Some(life) = left {
            // The job has panicked.
            job.leash.stop();
            self.shared.end(&life, PluginState::NotRunning, STOP_ASKED).await;
        }
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
        let life = self.shared.current.borrow().clone();
        life.filter(|_| self.is_active())
    }

    /// Why the last launch or life failed; cleared by a success.
    pub fn last_error(&self) -> Option<String> {
        self.shared.error.borrow().clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.closing.stop();
    }
}

impl Shared {
    /// Launches; when the leash is pulled first, the launch is undone when this returns.
    async fn launch(&self, leash: &Leash) -> Result<Arc<Supervisor>, LaunchError> {
        self.state.send_replace(PluginState::Starting);
        let _unless_decided = NotStarting(&self.state);
        match self.builder.launch_on(leash).await {
            Ok(plugin) => {
                let plugin = Arc::new(plugin);
                self.error.send_replace(None);
                self.current.send_replace(Some(Arc::clone(&plugin)));
                self.state.send_replace(PluginState::Running);
                Ok(plugin)
            }
            Err(error) if leash.is_pulled() => Err(error),
            Err(error) => {
                self.error.send_replace(Some(error.to_string()));
                self.state.send_replace(PluginState::FailedToStart);
                Err(error)
            }
        }
    }

    /// One state follows another, and is told once.
    fn turn(&self, from: PluginState, to: PluginState) {
        turn(&self.state, from, to);
    }

    /// Ends the present life; the state becomes `then` when nothing is left.
    async fn end(&self, plugin: &Supervisor, then: PluginState, why: &str) {
        // Whoever has asked for the stop has said so already.
        self.turn(PluginState::Running, PluginState::Stopping);
        plugin.shutdown_because(why).await;
        self.current.send_replace(None);
        self.state.send_replace(then);
    }
}

fn turn(states: &watch::Sender<PluginState>, from: PluginState, to: PluginState) {
    states.send_if_modified(|state| {
        let turns = *state == from;
        if turns {
            *state = to;
        }
        turns
    });
}

/// The end of a launch that came to nothing, because it was stopped or its future dropped.
struct NotStarting<'a>(&'a watch::Sender<PluginState>);

impl Drop for NotStarting<'_> {
    fn drop(&mut self) {
        turn(self.0, PluginState::Starting, PluginState::NotRunning);
    }
}

/// The job: launches, checks, restarts, gives up. Tells how the first launch went.
async fn keep(
    shared: Arc<Shared>,
    options: KeeperOptions,
    leash: Leash,
    tell: oneshot::Sender<Result<(), LaunchError>>,
) {
    // An error of the telling means that the caller has gone away, and so has pulled the leash.
    let mut plugin = match shared.launch(&leash).await {
        Ok(plugin) => {
            let _ = tell.send(Ok(()));
            plugin
        }
        Err(error) => {
            let _ = tell.send(Err(error));
            return;
        }
    };
    let mut strikes = Strikes::new(options.restart);
    loop {
        let failed = failure(&plugin, options.interval);
        let failed = leash.stopping().run_until_cancelled(failed).await;
        // A stop may be over before this task hears of it: its exit is no failure.
        let Some(failure) = failed.filter(|_| !leash.is_pulled()) else {
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
        match shared.launch(&leash).await {
            Ok(next) => plugin = next,
            // Nothing is left of the launch.
            Err(_) if leash.is_pulled() => return,
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
                if let Some(error) = ended.error {
                    return error;
                }
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
