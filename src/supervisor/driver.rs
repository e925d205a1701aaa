//! Carries out the actions of a [`Lifecycle`]: the thin layer between the pure machine and tokio.

mod actions;
mod sabotage;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::active::Active;
use super::config::SupervisorBuilder;
use super::ended::Ended;
use super::error::{LaunchError, LaunchFailure};
use super::events::{EventKind, EventLog};
use super::handshake::HandshakeAddress;
use super::leash::Leash;
use super::lifecycle::{Action, Ending, Event, Lifecycle, Phase};
use super::output::TailBuffer;
use super::plan::Plan;
use super::process::{ExitReport, ExitStatus, Process};
use super::pump::Pumps;
use super::schedule::{Fault, Pace};
use crate::api::{ApiServer, ApiToken};
use crate::escape::escape_control;
use crate::hooks::Hooks;

/// After the process exited, what is awaited of it has this long to come or to fail by itself: its
/// end of the pipe and of the connection is closed.
const SETTLE: Duration = Duration::from_millis(250);

/// Why most lives end.
pub(crate) const STOP_ASKED: &str = "a stop was asked for";

/// What the handles of a life share with its driver.
#[derive(Debug)]
pub(super) struct Controls {
    /// Asks for a stop, orderly or at once.
    pub(super) leash: Leash,
    /// From the first moment of the stop on, no hook is called.
    pub(super) stopping: CancellationToken,
    /// The process is gone: what was asked of it has no answer any more.
    pub(super) gone: CancellationToken,
    /// The process has ended by itself.
    pub(super) crashed: CancellationToken,
    /// Why a stop was asked for, if whoever asked has said.
    pub(super) why: OnceLock<String>,
    pub(super) phase: watch::Sender<Phase>,
    /// Set when nothing is left.
    pub(super) ended: watch::Sender<Option<Ended>>,
    pub(super) events: EventLog,
}

/// Everything that a life holds. What the machine says was released is `None`.
pub(super) struct Driver {
    config: SupervisorBuilder,
    plan: Plan,
    controls: Arc<Controls>,
    life: Lifecycle,
    pace: Pace,
    ready: Option<oneshot::Sender<Result<Active, LaunchError>>>,

    api: Option<ApiServer>,
    /// An API server that was started, until the machine hears of it: a stop that comes first must
    /// find it, for dropped it would only go in the background.
    started: Arc<Mutex<Option<ApiServer>>>,
    /// Where an API server will listen that is late on purpose.
    late_target: Option<String>,
    /// What the plugin must say to it.
    api_token: Option<ApiToken>,
    process: Option<Process>,
    pumps: Option<Pumps>,
    address: Option<HandshakeAddress>,
    hooks: Option<Hooks>,
    failure: Option<LaunchFailure>,
    /// What the first panic said.
    panic: Option<String>,
    exit: Option<ExitReport>,
    tail: Arc<Mutex<TailBuffer>>,
    pid: u32,
    /// The process has exited; it may not be reaped yet.
    exited: bool,
    stopping_announced: bool,
    /// What was asked for and heard.
    stop_heard: bool,
    kill_heard: bool,
    /// The action under way; pending for ever if there is none.
    under_way: BoxFuture<'static, Outcome>,
    /// Whoever waits for the end knows of it.
    end_told: bool,
}

/// What the driver can hear.
enum Heard {
    Kill,
    Stop,
    Outcome(Outcome),
    Exit,
}

/// The outcome of an action: a change to what the driver holds, and the machine's event.
type Outcome = (Event, Box<dyn FnOnce(&mut Driver) + Send>);

impl Driver {
    pub(super) fn new(
        config: SupervisorBuilder,
        plan: Plan,
        controls: Arc<Controls>,
        ready: oneshot::Sender<Result<Active, LaunchError>>,
    ) -> Self {
        let life = Lifecycle::new(config.api.is_some());
        let pace = Pace::of(config.schedule.as_ref(), &plan.plugin_id);
        Self {
            config,
            plan,
            controls,
            life,
            pace,
            ready: Some(ready),
            api: None,
            started: Arc::default(),
            late_target: None,
            api_token: None,
            process: None,
            pumps: None,
            address: None,
            hooks: None,
            failure: None,
            panic: None,
            exit: None,
            tail: Arc::default(),
            pid: 0,
            exited: false,
            stopping_announced: false,
            stop_heard: false,
            kill_heard: false,
            under_way: futures::future::pending().boxed(),
            end_told: false,
        }
    }

    /// Lives the life to its end. A panic, which may be that of a hook layer or an API factory, is an
    /// event as any other.
    pub(super) async fn run(mut self) {
        // The launch may have been dropped before this task began.
        let mut event = match self.controls.leash.is_pulled() {
            true => Event::StopRequested,
            false => Event::Launch,
        };
        loop {
            match AssertUnwindSafe(self.turn(event)).catch_unwind().await {
                Ok(Some(next)) => event = next,
                Ok(None) => return,
                // Its end could not be told. It is when this driver is dropped.
                Err(_) if self.life.phase() == Phase::Ended => return,
                Err(panic) => {
                    self.panicked(&*panic);
                    event = Event::Panicked;
                }
            }
        }
    }

    /// Does what an event asks for, and waits for the next one; none follows the end.
    async fn turn(&mut self, event: Event) -> Option<Event> {
        if let Some(action) = self.life.step(event) {
            self.announce_stopping();
            self.controls.phase.send_replace(self.life.phase());
            if action == Action::Finish {
                self.pace.passes(action);
                self.finish();
                return None;
            }
            // What was under way is dropped before the new action begins.
            self.under_way = futures::future::pending().boxed();
            self.under_way = self.pace.clone().begin(action, || self.begin(action));
        }
        let event = match self.hear().await {
            Heard::Kill => {
                // A kill is a stop as well.
                (self.kill_heard, self.stop_heard) = (true, true);
                Event::KillRequested
            }
            Heard::Stop => {
                self.stop_heard = true;
                Event::StopRequested
            }
            Heard::Outcome((event, change)) => {
                self.under_way = futures::future::pending().boxed();
                change(self);
                event
            }
            Heard::Exit => {
                self.exited = true;
                Event::Exited
            }
        };
        self.pace.heard(event).await;
        if self.pace.has(Fault::StopLost) {
            self.stop_heard |= self.controls.leash.is_pulled();
        }
        Some(event)
    }

    async fn hear(&mut self) -> Heard {
        let leash = &self.controls.leash;
        let process = self.process.as_ref().filter(|_| !self.exited);
        let awaits_plugin = self.life.phase().awaits_plugin();
        let exited = async {
            match process {
                Some(process) => process.exited().await,
                None => futures::future::pending().await,
            }
            if awaits_plugin {
                // What the process said before it exited may not be read yet.
                tokio::time::sleep(SETTLE).await;
            }
        };
        tokio::select! {
            biased;
            // Who has asked for a stop wants nothing new to begin.
            () = leash.killing().cancelled(), if !self.kill_heard => Heard::Kill,
            () = leash.stopping().cancelled(), if !self.stop_heard => Heard::Stop,
            outcome = &mut self.under_way => Heard::Outcome(outcome),
            () = exited => Heard::Exit,
        }
    }

    /// Keeps what a panic says, drops what was under way, and logs what that will not log any more.
    fn panicked(&mut self, panic: &(dyn Any + Send)) {
        let phase = self.life.phase();
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let reason = escape_control(&text.unwrap_or_else(|| "no message".to_owned()));
        let failure = LaunchFailure::Panicked { phase, reason };
        let error = failure.to_string();
        self.panic.get_or_insert_with(|| error.clone());
        self.failure.get_or_insert(failure);
        // The panic may be that of a subscriber to these.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            tracing::error!(plugin_id = self.plan.plugin_id, error, "the driver panicked");
        }));
        // Dropped, a process is killed and a server stopped.
        self.under_way = futures::future::pending().boxed();
        let lost = match phase {
            Phase::Deactivating => Some(EventKind::Deactivated { error: Some(error) }),
            Phase::Reaping if self.exit.is_none() && self.pid != 0 => {
                let report = ExitReport {
                    status: ExitStatus::Unknown,
                    stragglers: 0,
                    timed_out: true,
                    unseen: None,
                };
                self.exit = Some(report.clone());
                Some(EventKind::Exited { report })
            }
            Phase::StoppingApi => Some(EventKind::ApiStopped { forced: 0 }),
            _ => None,
        };
        if let Some(lost) = lost {
            let _ = catch_unwind(AssertUnwindSafe(|| self.record(lost)));
        }
    }

    fn record(&self, kind: EventKind) {
        self.controls.events.record(kind);
    }

    /// As soon as the end is certain, no hook is called any more.
    fn announce_stopping(&mut self) {
        if let Some(ending) = self.life.ending()
            && !self.stopping_announced
        {
            self.stopping_announced = true;
            if ending == Ending::Crashed {
                self.controls.crashed.cancel();
            }
            if !self.pace.has(Fault::HooksGoOn) {
                self.controls.stopping.cancel();
            }
            let reason = match (ending, &self.failure) {
                (Ending::Stopped, _) => match self.controls.why.get() {
                    Some(why) => why.clone(),
                    None => STOP_ASKED.to_owned(),
                },
                (Ending::Crashed, _) => "the process exited by itself".to_owned(),
                (Ending::ExitedDuring(phase), None) => format!("the process exited while {phase}"),
                (_, Some(failure)) => failure.to_string(),
                (Ending::Panicked, None) => "the supervisor panicked".to_owned(),
                (Ending::LaunchFailed(phase), None) => format!("the launch failed while {phase}"),
            };
            self.record(EventKind::Stopping { reason });
        }
    }

    /// Nothing is left: wakes whoever waits.
    fn finish(&mut self) {
        self.record(EventKind::Ended);
        self.tell_the_end();
    }

    fn tell_the_end(&mut self) {
        self.end_told = true;
        let ending = self.life.ending().unwrap_or(Ending::Stopped);
        let stderr = match self.tail.lock() {
            Ok(tail) => tail.to_string(),
            Err(poisoned) => poisoned.into_inner().to_string(),
        };
        let (exit, error) = (self.exit.clone(), self.panic.clone());
        let ended = Ended { ending, exit, stderr: stderr.clone(), error };
        self.controls.ended.send_replace(Some(ended));
        if let Some(ready) = self.ready.take() {
            let failure = self.failure.take().unwrap_or(match ending {
                Ending::ExitedDuring(phase) => LaunchFailure::ExitedDuring(phase),
                Ending::LaunchFailed(phase) => LaunchFailure::NoPhase(phase),
                Ending::Stopped | Ending::Crashed | Ending::Panicked => LaunchFailure::Stopped,
            });
            let error = LaunchError {
                plugin_id: self.plan.plugin_id.clone(),
                failure,
                exit: self.exit.take(),
                stderr,
            };
            // An error means that nobody waits for the launch any more.
            let _ = ready.send(Err(error));
        }
    }
}

impl Drop for Driver {
    /// A driver whose end was not told was dropped with its runtime, or panicked in the telling.
    /// Nobody waits for it in vain.
    fn drop(&mut self) {
        if self.end_told {
            return;
        }
        self.controls.stopping.cancel();
        self.controls.gone.cancel();
        self.hooks = None;
        // What these hold ends as it is dropped: the process is killed, the server stops.
        self.under_way = futures::future::pending().boxed();
        self.process = None;
        self.api = None;
        drop(self.take_started());
        self.tell_the_end();
    }
}
