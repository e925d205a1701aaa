//! The world around the machine: what a driver, a plugin and a caller can do, one step at a time.
//!
//! The driver here is a model of `src/supervisor/driver.rs`: it holds what that one holds and keeps
//! its order of deeds, but it is freer. Whatever could be heard may be heard next; the real driver
//! prefers kills and stops to outcomes, and outcomes to exits.

use std::fmt;

use plugin_conformance::conformance::invariants::{Fact, History, Mark, Resource};
use plugin_conformance::supervisor::lifecycle::{Action, Event, Lifecycle};

use super::saboteur::Saboteur;

/// How often each thing may happen in one exploration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bound {
    pub stops: u8,
    pub kills: u8,
    pub restarts: u8,
}

/// The process, as the kernel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Process {
    #[default]
    None,
    Running,
    Exited,
}

/// Whoever launched the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Caller {
    /// Waits for the launch.
    #[default]
    Waiting,
    /// Has the plugin.
    Holding,
    /// Got an error, or dropped what it had.
    Gone,
}

/// A step that the world can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The driver's task begins.
    Begin,
    /// The action under way comes to its outcome, which the driver has not heard.
    Done(Event, &'static str),
    /// The driver hears the outcome.
    HearOutcome,
    HearStop,
    HearKill,
    HearExit,
    Stop,
    Kill,
    Drop,
    CallHook,
    Crash,
    Restart,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Begin => "the driver begins",
            Self::Done(_, words) => words,
            Self::HearOutcome => "the driver hears the outcome",
            Self::HearStop => "the driver hears the stop",
            Self::HearKill => "the driver hears the kill",
            Self::HearExit => "the driver hears the exit",
            Self::Stop => "a caller asks for a stop",
            Self::Kill => "a caller asks for a kill",
            Self::Drop => "the caller drops the launch or the plugin",
            Self::CallHook => "a caller calls a hook",
            Self::Crash => "the process exits",
            Self::Restart => "the plugin is launched again",
        })
    }
}

/// One or more [`Resource`]s.
type Held = u8;

const fn of(resource: Resource) -> Held {
    1 << resource as u8
}

const ALL: [Resource; 4] =
    [Resource::Connection, Resource::Pipes, Resource::Process, Resource::Api];

/// Everything there is at one moment. The past of the life, as far as a rule asks for it, belongs to
/// it: two ways that lead here are one to all that follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    life: Lifecycle,
    begun: bool,
    /// Under way: the driver's action, its outcome if it has one, and what it holds itself.
    action: Option<Action>,
    outcome: Option<Event>,
    carried: Held,
    /// What the driver holds.
    held: Held,
    process: Process,
    exit_heard: bool,
    stop: Ask,
    kill: Ask,
    /// Hooks refuse to be called.
    stopping: bool,
    caller: Caller,
    ended: bool,
    left: Bound,
    with_api: bool,
}

/// A wish of a caller, and whether the driver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Ask {
    asked: bool,
    heard: bool,
}

impl World {
    pub fn new(with_api: bool, left: Bound) -> Self {
        Self {
            life: Lifecycle::new(with_api),
            begun: false,
            action: None,
            outcome: None,
            carried: 0,
            held: 0,
            process: Process::None,
            exit_heard: false,
            stop: Ask::default(),
            kill: Ask::default(),
            stopping: false,
            caller: Caller::Waiting,
            ended: false,
            left,
            with_api,
        }
    }

    /// What can happen next. The order is part of every replay.
    pub fn choices(&self) -> Vec<Choice> {
        let mut choices = self.own_choices();
        if !self.ended {
            let asks = [(self.left.stops, Choice::Stop), (self.left.kills, Choice::Kill)];
            choices.extend(asks.iter().filter(|(left, _)| *left > 0).map(|(_, choice)| *choice));
            if self.caller != Caller::Gone {
                choices.push(Choice::Drop);
            }
            if self.process == Process::Running {
                choices.push(Choice::Crash);
            }
        }
        if self.caller == Caller::Holding && !self.stopping {
            choices.push(Choice::CallHook);
        }
        if self.ended && self.left.restarts > 0 {
            choices.push(Choice::Restart);
        }
        choices
    }

    /// What happens by itself, if nobody asks for anything and nothing breaks.
    pub fn own_choices(&self) -> Vec<Choice> {
        if !self.begun {
            return vec![Choice::Begin];
        }
        let mut choices = Vec::new();
        if self.ended {
            return choices;
        }
        match (self.action, self.outcome) {
            (Some(_), Some(_)) => choices.push(Choice::HearOutcome),
            (Some(action), None) => {
                choices.extend(
                    outcomes(action).iter().map(|(event, words)| Choice::Done(*event, words)),
                );
            }
            (None, _) => {}
        }
        if self.stop.asked && !self.stop.heard {
            choices.push(Choice::HearStop);
        }
        if self.kill.asked && !self.kill.heard {
            choices.push(Choice::HearKill);
        }
        let watched = self.held & of(Resource::Process) != 0 && !self.exit_heard;
        if watched && self.process == Process::Exited {
            choices.push(Choice::HearExit);
        }
        choices
    }

    /// Takes a step; `facts` is told what happens.
    pub fn take(&mut self, choice: Choice, saboteur: &Saboteur, facts: &mut Vec<Fact>) {
        match choice {
            Choice::Begin => {
                self.begun = true;
                // The launch may have been dropped before the driver began.
                let event = if self.stop.asked { Event::StopRequested } else { Event::Launch };
                self.step(event, saboteur, facts);
            }
            Choice::Done(event, _) => {
                self.outcome = Some(event);
                self.done(event, facts);
            }
            Choice::HearOutcome => {
                if let (Some(action), Some(event)) = (self.action.take(), self.outcome.take()) {
                    facts.push(Fact::Over(action));
                    self.held |= std::mem::take(&mut self.carried);
                    self.log_outcome(action, event, facts);
                    self.step(event, saboteur, facts);
                }
            }
            Choice::HearStop => {
                self.stop.heard = true;
                self.step(Event::StopRequested, saboteur, facts);
            }
            Choice::HearKill => {
                self.kill.heard = true;
                self.step(Event::KillRequested, saboteur, facts);
            }
            Choice::HearExit => {
                self.exit_heard = true;
                self.step(Event::Exited, saboteur, facts);
            }
            Choice::Stop => {
                self.left.stops -= 1;
                self.stop.asked = true;
                facts.push(Fact::StopAsked);
            }
            Choice::Kill => {
                self.left.kills -= 1;
                self.kill.asked = true;
                facts.push(Fact::KillAsked);
            }
            Choice::Drop => {
                self.caller = Caller::Gone;
                self.stop.asked = true;
                facts.extend([Fact::CallerGone, Fact::StopAsked]);
            }
            Choice::CallHook => facts.push(Fact::HookCalled),
            Choice::Crash => {
                self.process = Process::Exited;
                facts.push(Fact::Exits);
            }
            Choice::Restart => {
                let left = Bound { restarts: self.left.restarts - 1, ..self.left };
                *self = Self::new(self.with_api, left);
            }
        }
    }

    /// The past of a life that begins here.
    pub fn no_past(&self) -> History {
        History::new(self.with_api)
    }

    /// The driver hears an event: the machine's next action replaces the one under way.
    fn step(&mut self, event: Event, saboteur: &Saboteur, facts: &mut Vec<Fact>) {
        let before = self.life.clone();
        let wanted = if (saboteur.deaf)(&before, event) { None } else { self.life.step(event) };
        let Some(action) = (saboteur.machine)(&before, event, wanted) else { return };
        if self.life.ending().is_some() && !self.stopping && !saboteur.keeps_hooks_open {
            self.stopping = true;
            facts.push(Fact::Logged(Mark::Stopping));
        }
        if let Some(dropped) = self.action.take()
            && !saboteur.keeps_the_old_action
        {
            self.outcome = None;
            release(std::mem::take(&mut self.carried), facts);
            facts.push(Fact::Over(dropped));
        }
        facts.push(Fact::Begins(action));
        self.action = Some(action);
        self.begin(action, saboteur, facts);
    }

    /// What the driver does at the beginning of an action.
    fn begin(&mut self, action: Action, saboteur: &Saboteur, facts: &mut Vec<Fact>) {
        match action {
            Action::Announce => {
                facts.push(Fact::Logged(Mark::Active));
                match self.caller {
                    Caller::Waiting => {
                        self.caller = Caller::Holding;
                        facts.push(Fact::Answered);
                    }
                    // The driver stops a plugin that nobody can stop any more.
                    _ => self.stop.asked = true,
                }
            }
            Action::Terminate => facts.push(Fact::Logged(Mark::Terminating)),
            Action::Reap => {
                if !self.exit_heard {
                    facts.push(Fact::Logged(Mark::Killing));
                }
                let mine = of(Resource::Process) | of(Resource::Pipes);
                self.carried = self.held & mine;
                release(self.held & of(Resource::Connection), facts);
                self.held &= of(Resource::Api);
            }
            Action::StopApi => {
                self.carried = self.held & of(Resource::Api);
                self.held &= !self.carried;
            }
            Action::Finish => {
                facts.extend([Fact::Over(Action::Finish), Fact::Logged(Mark::Ended)]);
                self.action = None;
                self.ended = true;
                if saboteur.works_on {
                    facts.push(Fact::Logged(Mark::Killing));
                }
                if self.caller == Caller::Waiting {
                    self.caller = Caller::Gone;
                    if !saboteur.answers_nobody {
                        facts.push(Fact::Answered);
                    }
                }
            }
            _ => {}
        }
    }

    /// An action has its outcome: what came of it is held by the action until the driver hears.
    fn done(&mut self, event: Event, facts: &mut Vec<Fact>) {
        let made = match event {
            Event::ApiListening => of(Resource::Api),
            Event::Spawned => {
                self.process = Process::Running;
                of(Resource::Process) | of(Resource::Pipes)
            }
            Event::Connected => of(Resource::Connection),
            Event::Reaped => {
                self.process = Process::None;
                // What Exited says is logged when it is heard.
                release(std::mem::take(&mut self.carried), facts);
                return;
            }
            Event::ApiStopped => {
                release(std::mem::take(&mut self.carried), facts);
                return;
            }
            _ => return,
        };
        facts.extend(parts(made).map(Fact::Acquired));
        self.carried |= made;
    }

    fn log_outcome(&self, action: Action, event: Event, facts: &mut Vec<Fact>) {
        let mark = match event {
            Event::ApiListening => Mark::ApiListening,
            Event::Spawned => Mark::Spawned,
            Event::Handshaken => Mark::Handshaken,
            Event::Healthy => Mark::Healthy,
            Event::HooksKnown { .. } => Mark::HooksKnown,
            Event::Deactivated => Mark::Deactivated,
            Event::LeaveAnswered(_) => Mark::AskedToLeave,
            Event::Reaped if action == Action::Reap => Mark::Exited,
            Event::ApiStopped => Mark::ApiStopped,
            _ => return,
        };
        facts.push(Fact::Logged(mark));
    }
}

fn parts(held: Held) -> impl Iterator<Item = Resource> {
    ALL.into_iter().filter(move |resource| held & of(*resource) != 0)
}

fn release(held: Held, facts: &mut Vec<Fact>) {
    facts.extend(parts(held).map(Fact::Released));
}

/// What can come of an action, in words.
fn outcomes(action: Action) -> &'static [(Event, &'static str)] {
    use Event as E;
    match action {
        Action::StartApi => {
            &[(E::ApiListening, "the API server listens"), (E::Failed, "the API server fails")]
        }
        Action::Spawn => &[(E::Spawned, "the process is spawned"), (E::Failed, "the spawn fails")],
        Action::ReadHandshake => &[
            (E::Handshaken, "a good handshake line is read"),
            (E::Failed, "a bad handshake line is read"),
            (E::Failed, "no handshake line comes in time"),
        ],
        Action::Connect => {
            &[(E::Connected, "the plugin is connected"), (E::Failed, "the connection fails")]
        }
        Action::CheckHealth => &[
            (E::Healthy, "the plugin is healthy"),
            (E::Failed, "the plugin is not healthy"),
            (E::Failed, "the health check gets no answer in time"),
        ],
        Action::AskHooks => &[
            (
                E::HooksKnown { activate: true, deactivate: true },
                "Implemented names OnActivate and OnDeactivate",
            ),
            (E::HooksKnown { activate: true, deactivate: false }, "Implemented names OnActivate"),
            (E::HooksKnown { activate: false, deactivate: true }, "Implemented names OnDeactivate"),
            (E::HooksKnown { activate: false, deactivate: false }, "Implemented names neither"),
            (E::Failed, "Implemented fails"),
        ],
        Action::Activate => &[
            (E::Activated, "OnActivate succeeds"),
            (E::Failed, "OnActivate gives an error"),
            (E::Failed, "OnActivate gets no answer in time"),
        ],
        Action::Deactivate => &[
            (E::Deactivated, "OnDeactivate ends"),
            (E::Deactivated, "OnDeactivate gets no answer in time"),
        ],
        Action::AskToLeave => &[
            (E::LeaveAnswered(true), "the controller agrees to leave"),
            (E::LeaveAnswered(false), "there is no controller"),
        ],
        Action::AwaitLeave => &[(E::GraceOver, "the time for leaving is over")],
        Action::Terminate => &[(E::GraceOver, "the time after SIGTERM is over")],
        Action::Reap => &[(E::Reaped, "the process is reaped")],
        Action::StopApi => &[(E::ApiStopped, "the API server stops")],
        Action::Announce | Action::Finish => &[],
    }
}
