//! The life of one plugin process as a pure state machine: events in, actions out.
//!
//! The machine knows the order of things and nothing else: no clock, no process, no socket. At any
//! time at most one action is under way; the driver carries it out and reports its outcome as an
//! event. A new action replaces the one under way, whose late outcome is never heard. Besides the
//! outcomes, four events can come at any time: the process exited, a stop was asked for, a kill
//! was asked for, and the driver panicked, with which the action under way is lost.
//!
//! ```
//! use plugin_conformance::supervisor::lifecycle::{Action, Event, Lifecycle};
//!
//! let mut life = Lifecycle::new(true);
//! assert_eq!(life.step(Event::Launch), Some(Action::StartApi));
//! assert_eq!(life.step(Event::ApiListening), Some(Action::Spawn));
//! // The process cannot be spawned: the API server, which is up, is stopped.
//! assert_eq!(life.step(Event::Failed), Some(Action::StopApi));
//! assert_eq!(life.step(Event::ApiStopped), Some(Action::Finish));
//! ```

/// Where a life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing has happened yet.
    Idle,
    /// The API server is being started, before anything else.
    StartingApi,
    /// The process is being spawned.
    Spawning,
    /// The first line of stdout is awaited.
    Handshaking,
    /// The gRPC connection to the plugin is being made.
    Connecting,
    /// The plugin's health is asked for the first time.
    CheckingHealth,
    /// `Implemented` is under way.
    AskingHooks,
    /// `OnActivate` is under way.
    Activating,
    /// The plugin works: any hook may be called.
    Active,
    /// `OnDeactivate` is under way.
    Deactivating,
    /// go-plugin's `GRPCController/Shutdown` is under way.
    AskingToLeave,
    /// The plugin said that it leaves; it has a little time to do so.
    Leaving,
    /// SIGTERM was sent; the grace period runs.
    Terminating,
    /// The group is killed, the process reaped.
    Reaping,
    /// The API server drains, then stops.
    StoppingApi,
    /// Nothing is left.
    Ended,
}

impl Phase {
    /// Whether something that the plugin says is awaited: its handshake, or the answer to a call.
    pub const fn awaits_plugin(self) -> bool {
        matches!(
            self,
            Self::Handshaking
                | Self::CheckingHealth
                | Self::AskingHooks
                | Self::Activating
                | Self::Deactivating
                | Self::AskingToLeave
        )
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The life may begin.
    Launch,
    /// The API server listens.
    ApiListening,
    /// The process was spawned.
    Spawned,
    /// A valid handshake line was read.
    Handshaken,
    /// The plugin's gRPC server was reached.
    Connected,
    /// The plugin is healthy.
    Healthy,
    /// The list of implemented hooks is known.
    HooksKnown {
        /// `OnActivate` is in it.
        activate: bool,
        /// `OnDeactivate` is in it.
        deactivate: bool,
    },
    /// `OnActivate` succeeded.
    Activated,
    /// The launch's action under way failed: the driver knows how.
    Failed,
    /// `OnDeactivate` ended: answered, failed or timed out.
    Deactivated,
    /// The plugin accepted to leave (true), or has no controller, failed or timed out (false).
    LeaveAnswered(bool),
    /// The time for leaving or terminating is over.
    GraceOver,
    /// The process is gone, its group killed, its status known.
    Reaped,
    /// The API server is gone.
    ApiStopped,
    /// The process exited by itself or because it was told to.
    Exited,
    /// Somebody wants the plugin stopped.
    StopRequested,
    /// Somebody wants the plugin stopped at once.
    KillRequested,
    /// The driver panicked: what was under way is lost. Whatever the phase, the life goes on to its
    /// end, and is nearer to it than before.
    Panicked,
}

/// What the driver has to do. It replaces whatever the driver was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Start the API server → [`Event::ApiListening`] or [`Event::Failed`].
    StartApi,
    /// Spawn the process → [`Event::Spawned`] or [`Event::Failed`]. Not interrupted by a stop.
    Spawn,
    /// Read the first line → [`Event::Handshaken`] or [`Event::Failed`].
    ReadHandshake,
    /// Connect → [`Event::Connected`] or [`Event::Failed`].
    Connect,
    /// Check health → [`Event::Healthy`] or [`Event::Failed`].
    CheckHealth,
    /// Call `Implemented` → [`Event::HooksKnown`] or [`Event::Failed`].
    AskHooks,
    /// Call `OnActivate` → [`Event::Activated`] or [`Event::Failed`].
    Activate,
    /// Tell the caller that the plugin is active. No outcome.
    Announce,
    /// Call `OnDeactivate` → [`Event::Deactivated`].
    Deactivate,
    /// Call `GRPCController/Shutdown` → [`Event::LeaveAnswered`].
    AskToLeave,
    /// Give the process time to leave → [`Event::GraceOver`], or [`Event::Exited`] first.
    AwaitLeave,
    /// Send SIGTERM, start the grace period → [`Event::GraceOver`], or [`Event::Exited`] first.
    Terminate,
    /// Kill the group, reap the process → [`Event::Reaped`].
    Reap,
    /// Drain and stop the API server → [`Event::ApiStopped`].
    StopApi,
    /// Tell the caller that nothing is left. No outcome.
    Finish,
}

/// Why a life came or comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// A stop was asked for.
    Stopped,
    /// A step of the launch failed: the phase says which.
    LaunchFailed(Phase),
    /// The process exited during the launch.
    ExitedDuring(Phase),
    /// The process exited while it was active and nobody had asked.
    Crashed,
    /// The supervisor's driver, or code of its user that it ran, panicked while the plugin was active.
    Panicked,
}

/// The state machine. `step` never panics; an event that has no meaning in a phase changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lifecycle {
    phase: Phase,
    ending: Option<Ending>,
    with_api: bool,
    activate: bool,
    deactivate: bool,
    /// A stop that came while spawning, which cannot be interrupted.
    stop_after_spawn: bool,
}

impl Lifecycle {
    /// A life that has not begun; with an API server or without.
    pub const fn new(with_api: bool) -> Self {
        Self {
            phase: Phase::Idle,
            ending: None,
            with_api,
            activate: false,
            deactivate: false,
            stop_after_spawn: false,
        }
    }

    /// Where the life is.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Why it ends, as soon as it is known that it does.
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Takes an event; says what to do next, if anything new.
    pub fn step(&mut self, event: Event) -> Option<Action> {
        match event {
            Event::StopRequested | Event::KillRequested => self.stop(event),
            Event::Exited => self.exited(),
            Event::Panicked => self.panicked(),
            _ => self.outcome(event),
        }
    }

    /// The outcome of the action under way.
    fn outcome(&mut self, event: Event) -> Option<Action> {
        use Action as A;
        use Event as E;
        use Phase as P;
        let (phase, action) = match (self.phase, event) {
            (P::Idle, E::Launch) if self.with_api => (P::StartingApi, A::StartApi),
            (P::Idle, E::Launch) => (P::Spawning, A::Spawn),
            (P::StartingApi, E::ApiListening) => (P::Spawning, A::Spawn),
            (P::Spawning, E::Spawned) if self.stop_after_spawn => (P::Reaping, A::Reap),
            (P::Spawning, E::Spawned) => (P::Handshaking, A::ReadHandshake),
            (P::Handshaking, E::Handshaken) => (P::Connecting, A::Connect),
            (P::Connecting, E::Connected) => (P::CheckingHealth, A::CheckHealth),
            (P::CheckingHealth, E::Healthy) => (P::AskingHooks, A::AskHooks),
            (P::AskingHooks, E::HooksKnown { activate, deactivate }) => {
                (self.activate, self.deactivate) = (activate, deactivate);
                match activate {
                    true => (P::Activating, A::Activate),
                    false => (P::Active, A::Announce),
                }
            }
            (P::Activating, E::Activated) => (P::Active, A::Announce),

            (failed, E::Failed) => {
                let next = match failed {
                    P::StartingApi => (P::Ended, A::Finish),
                    P::Spawning => self.after_process(),
                    P::Handshaking | P::Connecting | P::CheckingHealth | P::AskingHooks => {
                        (P::Reaping, A::Reap)
                    }
                    // The plugin itself is well: it may leave in order.
                    P::Activating => (P::AskingToLeave, A::AskToLeave),
                    _ => return None,
                };
                self.ending.get_or_insert(Ending::LaunchFailed(failed));
                next
            }

            (P::Deactivating, E::Deactivated) => (P::AskingToLeave, A::AskToLeave),
            (P::AskingToLeave, E::LeaveAnswered(true)) => (P::Leaving, A::AwaitLeave),
            (P::AskingToLeave, E::LeaveAnswered(false)) => (P::Terminating, A::Terminate),
            (P::Leaving, E::GraceOver) => (P::Terminating, A::Terminate),
            (P::Terminating, E::GraceOver) => (P::Reaping, A::Reap),
            (P::Reaping, E::Reaped) => self.after_process(),
            (P::StoppingApi, E::ApiStopped) => (P::Ended, A::Finish),
            _ => return None,
        };
        self.phase = phase;
        Some(action)
    }

    /// The API server stops only after the process is gone.
    const fn after_process(&self) -> (Phase, Action) {
        match self.with_api {
            true => (Phase::StoppingApi, Action::StopApi),
            false => (Phase::Ended, Action::Finish),
        }
    }

    fn exited(&mut self) -> Option<Action> {
        let ending = match self.phase {
            Phase::Idle
            | Phase::StartingApi
            | Phase::Spawning
            | Phase::Reaping
            | Phase::StoppingApi
            | Phase::Ended => return None,
            Phase::Active => Ending::Crashed,
            phase => Ending::ExitedDuring(phase),
        };
        self.ending.get_or_insert(ending);
        self.phase = Phase::Reaping;
        Some(Action::Reap)
    }

    /// The end goes on with the step that follows the one that is lost.
    fn panicked(&mut self) -> Option<Action> {
        use Action as A;
        use Phase as P;
        let launching = Ending::LaunchFailed(self.phase);
        let (ending, (phase, action)) = match self.phase {
            P::Ended => return None,
            P::Idle => (launching, (P::Ended, A::Finish)),
            // The server may listen, and the process may run, although nobody has heard of it.
            P::StartingApi => (launching, (P::StoppingApi, A::StopApi)),
            P::Spawning | P::Handshaking | P::Connecting | P::CheckingHealth | P::AskingHooks => {
                (launching, (P::Reaping, A::Reap))
            }
            P::Activating => (launching, (P::AskingToLeave, A::AskToLeave)),
            P::Active if self.deactivate => (Ending::Panicked, (P::Deactivating, A::Deactivate)),
            P::Active | P::Deactivating => (Ending::Panicked, (P::AskingToLeave, A::AskToLeave)),
            P::AskingToLeave | P::Leaving => (Ending::Panicked, (P::Terminating, A::Terminate)),
            P::Terminating => (Ending::Panicked, (P::Reaping, A::Reap)),
            P::Reaping => (Ending::Panicked, self.after_process()),
            P::StoppingApi => (Ending::Panicked, (P::Ended, A::Finish)),
        };
        self.ending.get_or_insert(ending);
        self.phase = phase;
        Some(action)
    }

    fn stop(&mut self, event: Event) -> Option<Action> {
        let kill = event == Event::KillRequested;
        let (phase, action) = match self.phase {
            Phase::Ended | Phase::Reaping | Phase::StoppingApi => return None,
            Phase::Idle => (Phase::Ended, Action::Finish),
            // What the driver has of the server is dropped with the action.
            Phase::StartingApi => (Phase::StoppingApi, Action::StopApi),
            Phase::Spawning => {
                self.stop_after_spawn = true;
                self.ending.get_or_insert(Ending::Stopped);
                return None;
            }
            _ if kill => (Phase::Reaping, Action::Reap),
            Phase::Active if self.deactivate => (Phase::Deactivating, Action::Deactivate),
            Phase::Active | Phase::Activating => (Phase::AskingToLeave, Action::AskToLeave),
            Phase::Handshaking | Phase::Connecting | Phase::CheckingHealth | Phase::AskingHooks => {
                (Phase::Terminating, Action::Terminate)
            }
            // Already on the way.
            Phase::Deactivating | Phase::AskingToLeave | Phase::Leaving | Phase::Terminating => {
                return None;
            }
        };
        self.ending.get_or_insert(Ending::Stopped);
        self.phase = phase;
        Some(action)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    const EVENTS: &[Event] = &[
        Event::Launch,
        Event::ApiListening,
        Event::Spawned,
        Event::Handshaken,
        Event::Connected,
        Event::Healthy,
        Event::HooksKnown { activate: true, deactivate: true },
        Event::HooksKnown { activate: false, deactivate: false },
        Event::Activated,
        Event::Failed,
        Event::Deactivated,
        Event::LeaveAnswered(true),
        Event::LeaveAnswered(false),
        Event::GraceOver,
        Event::Reaped,
        Event::ApiStopped,
        Event::Exited,
        Event::StopRequested,
        Event::KillRequested,
        Event::Panicked,
    ];

    /// What the world holds, as the actions leave it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    struct World {
        api: bool,
        process: bool,
        pending: Option<Action>,
        finished: bool,
        announced: bool,
        stop_asked: bool,
    }

    /// Whether `event` can come of what is under way.
    fn possible(world: &World, event: Event) -> bool {
        use {Action as A, Event as E};
        let outcomes: &[Event] = match world.pending {
            Some(A::StartApi) => &[E::ApiListening, E::Failed],
            Some(A::Spawn) => &[E::Spawned, E::Failed],
            Some(A::ReadHandshake) => &[E::Handshaken, E::Failed],
            Some(A::Connect) => &[E::Connected, E::Failed],
            Some(A::CheckHealth) => &[E::Healthy, E::Failed],
            Some(A::AskHooks) => &[
                E::HooksKnown { activate: true, deactivate: true },
                E::HooksKnown { activate: false, deactivate: false },
                E::Failed,
            ],
            Some(A::Activate) => &[E::Activated, E::Failed],
            Some(A::Deactivate) => &[E::Deactivated],
            Some(A::AskToLeave) => &[E::LeaveAnswered(true), E::LeaveAnswered(false)],
            Some(A::AwaitLeave | A::Terminate) => &[E::GraceOver],
            Some(A::Reap) => &[E::Reaped],
            Some(A::StopApi) => &[E::ApiStopped],
            Some(A::Announce | A::Finish) | None => &[],
        };
        outcomes.contains(&event)
            || matches!(event, E::StopRequested | E::KillRequested | E::Panicked)
            || (event == E::Exited && world.process && world.pending != Some(A::Spawn))
    }

    /// Every order of possible events, from every reachable state: the invariants hold in all.
    #[test]
    fn every_order_of_events_keeps_the_invariants() {
        for with_api in [true, false] {
            let mut seen = HashSet::new();
            let mut steps = HashMap::new();
            let mut open = vec![(Lifecycle::new(with_api), World::default(), Event::Launch)];
            while let Some((mut life, mut world, event)) = open.pop() {
                let before = life.clone();
                match event {
                    Event::ApiListening => world.api = true,
                    Event::Spawned => world.process = true,
                    Event::Reaped => world.process = false,
                    Event::ApiStopped => world.api = false,
                    Event::StopRequested | Event::KillRequested => world.stop_asked = true,
                    // What the lost action held is released with it.
                    Event::Panicked => match world.pending {
                        Some(Action::Reap) => world.process = false,
                        Some(Action::StopApi) => world.api = false,
                        _ => {}
                    },
                    _ => {}
                }
                if let Some(action) = life.step(event) {
                    assert!(!world.finished, "{before:?} acts after its end: {action:?}");
                    match action {
                        Action::Spawn => assert_eq!(world.api, with_api, "API up before spawn"),
                        Action::StopApi => {
                            assert!(!world.process, "API stopped before the process")
                        }
                        Action::Announce => {
                            assert!(!world.announced && !world.stop_asked, "{before:?} {event:?}");
                            world.announced = true;
                        }
                        Action::Finish => {
                            assert!(!world.process && !world.api, "left behind: {world:?}");
                            world.finished = true;
                        }
                        Action::Activate | Action::Deactivate | Action::AskToLeave => {
                            assert!(world.process, "a call without a process: {before:?}");
                        }
                        _ => {}
                    }
                    world.pending = Some(action);
                }
                if world.finished {
                    assert_eq!(life.phase(), Phase::Ended);
                    assert!(life.ending().is_some() || before.phase() == Phase::Idle);
                }
                if seen.insert((life.clone(), world)) {
                    let next = EVENTS.iter().filter(|event| possible(&world, **event));
                    let mut exits = 0;
                    for &event in next {
                        exits += 1;
                        open.push((life.clone(), world, event));
                    }
                    steps.insert((life.clone(), world), exits);
                }
            }
            // Nobody waits for nothing: a state without an action under way is Active or Ended.
            for (life, world) in seen {
                if matches!(world.pending, None | Some(Action::Announce | Action::Finish)) {
                    assert!(matches!(life.phase(), Phase::Active | Phase::Ended), "{life:?}");
                }
            }
        }
    }

    /// Once a stop is asked for, the outcomes alone lead to the end, in at most nine steps.
    #[test]
    fn a_stop_comes_to_an_end_from_every_phase() {
        fn longest(life: &Lifecycle, world: World, depth: usize) -> usize {
            if world.finished {
                return depth;
            }
            assert!(depth < 10, "no end in sight: {life:?}");
            let outcomes = EVENTS.iter().filter(|event| {
                possible(&world, **event)
                    && !matches!(
                        event,
                        Event::Exited
                            | Event::StopRequested
                            | Event::KillRequested
                            | Event::Panicked
                    )
            });
            let depths = outcomes.map(|&event| {
                let (mut life, mut world) = (life.clone(), world);
                if let Some(action) = life.step(event) {
                    world.pending = Some(action);
                    world.finished = action == Action::Finish;
                }
                longest(&life, world, depth + 1)
            });
            depths.max().unwrap_or(depth)
        }
        let launch = [
            Event::Launch,
            Event::ApiListening,
            Event::Spawned,
            Event::Handshaken,
            Event::Connected,
            Event::Healthy,
            Event::HooksKnown { activate: true, deactivate: true },
            Event::Activated,
        ];
        for reached in 0..=launch.len() {
            let mut life = Lifecycle::new(true);
            let mut pending = None;
            for &event in &launch[..reached] {
                pending = life.step(event);
            }
            let stopped = life.step(Event::StopRequested);
            let finished = stopped == Some(Action::Finish);
            let world = World { pending: stopped.or(pending), finished, ..World::default() };
            assert!(longest(&life, world, 0) < 10);
        }
    }

    /// However often the driver panics, each time brings the end nearer.
    #[test]
    fn panics_alone_lead_to_the_end_from_every_phase() {
        let launch = [
            Event::Launch,
            Event::ApiListening,
            Event::Spawned,
            Event::Handshaken,
            Event::Connected,
            Event::Healthy,
            Event::HooksKnown { activate: true, deactivate: true },
            Event::Activated,
        ];
        for reached in 0..=launch.len() {
            let mut life = Lifecycle::new(true);
            for &event in &launch[..reached] {
                let _ = life.step(event);
            }
            let mut actions = Vec::new();
            while let Some(action) = life.step(Event::Panicked) {
                actions.push(action);
                assert!(actions.len() < 7, "{actions:?}");
            }
            assert_eq!((life.phase(), actions.last()), (Phase::Ended, Some(&Action::Finish)));
            let wanted = match reached {
                8 => Ending::Panicked,
                _ => Ending::LaunchFailed(
                    [
                        Phase::Idle,
                        Phase::StartingApi,
                        Phase::Spawning,
                        Phase::Handshaking,
                        Phase::Connecting,
                        Phase::CheckingHealth,
                        Phase::AskingHooks,
                        Phase::Activating,
                    ][reached],
                ),
            };
            assert_eq!(life.ending(), Some(wanted));
            // Where there may be a process or a server, it is released.
            assert_eq!(actions.contains(&Action::StopApi), reached > 0, "{actions:?}");
            assert_eq!(actions.contains(&Action::Reap), reached > 1, "{actions:?}");
        }
    }

    #[test]
    fn an_event_out_of_place_changes_nothing() {
        let mut life = Lifecycle::new(true);
        let _ = life.step(Event::Launch);
        let before = life.clone();
        for event in [Event::Reaped, Event::Activated, Event::GraceOver, Event::Exited] {
            assert_eq!(life.step(event), None);
            assert_eq!(life, before);
        }
    }
}
