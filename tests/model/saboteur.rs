//! Faults to put into the machine or into the driver's model: each breaks one invariant.

use plugin_conformance::supervisor::lifecycle::{Action, Event, Lifecycle, Phase};

/// One fault.
#[derive(Debug, Clone, Copy)]
pub struct Saboteur {
    /// What it does.
    pub does: &'static str,
    /// The invariant that it breaks, and no other.
    pub breaks: &'static str,
    /// Changes the action that the machine wants after an event, given the machine before it.
    pub machine: fn(&Lifecycle, Event, Option<Action>) -> Option<Action>,
    /// Keeps an event from the machine.
    pub deaf: fn(&Lifecycle, Event) -> bool,
    /// The driver begins an action and goes on with the one before it.
    pub keeps_the_old_action: bool,
    /// The driver does not tell the hooks that the stop has begun.
    pub keeps_hooks_open: bool,
    /// The driver does something after the end.
    pub works_on: bool,
    /// The driver does not tell the caller that the launch has failed.
    pub answers_nobody: bool,
}

/// No fault.
pub const HONEST: Saboteur = Saboteur {
    does: "nothing wrong",
    breaks: "",
    machine: |_, _, action| action,
    deaf: |_, _| false,
    keeps_the_old_action: false,
    keeps_hooks_open: false,
    works_on: false,
    answers_nobody: false,
};

const fn instead(
    does: &'static str,
    breaks: &'static str,
    machine: fn(&Lifecycle, Event, Option<Action>) -> Option<Action>,
) -> Saboteur {
    Saboteur { does, breaks, machine, ..HONEST }
}

/// One for each invariant, and some more.
pub const SABOTEURS: &[Saboteur] = &[
    instead("spawns before the API server listens", "api-before-spawn", |_, _, action| {
        swap(action, Action::StartApi, Action::Spawn)
    }),
    instead("stops the API server instead of reaping", "api-outlives-process", |_, _, action| {
        swap(action, Action::Reap, Action::StopApi)
    }),
    instead("reaps twice", "released-once", |_, event, action| match event {
        Event::Reaped => Some(Action::Reap),
        _ => action,
    }),
    instead("stops the API server twice", "released-once", |_, event, action| match event {
        Event::ApiStopped => Some(Action::StopApi),
        _ => action,
    }),
    instead("forgets the API server", "nothing-left-behind", |_, _, action| {
        swap(action, Action::StopApi, Action::Finish)
    }),
    Saboteur {
        does: "lets callers call hooks while it stops",
        breaks: "no-call-after-stop",
        keeps_hooks_open: true,
        ..HONEST
    },
    Saboteur {
        does: "loses a stop of an active plugin",
        breaks: "stop-ends",
        deaf: |life, event| life.phase() == Phase::Active && event == Event::StopRequested,
        ..HONEST
    },
    Saboteur {
        does: "loses a stop while it spawns",
        breaks: "stop-ends",
        deaf: |life, event| life.phase() == Phase::Spawning && event == Event::StopRequested,
        ..HONEST
    },
    instead("never finishes a stop", "stop-ends", |life, _, action| match life.ending() {
        Some(plugin_conformance::supervisor::lifecycle::Ending::Stopped) => {
            action.filter(|action| *action != Action::Finish)
        }
        _ => action,
    }),
    Saboteur {
        does: "does not notice that an active plugin crashed",
        breaks: "failure-ends",
        deaf: |life, event| life.phase() == Phase::Active && event == Event::Exited,
        ..HONEST
    },
    instead("activates before it asks for health", "launch-in-order", |_, _, action| {
        swap(action, Action::CheckHealth, Action::Activate)
    }),
    instead("sends SIGTERM before it asks the controller", "stop-in-order", |_, _, action| {
        swap(action, Action::AskToLeave, Action::Terminate)
    }),
    Saboteur {
        does: "begins an action while another is under way",
        breaks: "one-action-at-a-time",
        keeps_the_old_action: true,
        ..HONEST
    },
    Saboteur { does: "kills after the end", breaks: "nothing-after-end", works_on: true, ..HONEST },
    Saboteur {
        does: "leaves the caller of a failed launch without an answer",
        breaks: "one-answer",
        answers_nobody: true,
        ..HONEST
    },
];

fn swap(action: Option<Action>, from: Action, to: Action) -> Option<Action> {
    action.map(|action| if action == from { to } else { action })
}
