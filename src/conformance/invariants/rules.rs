//! The invariants, as data.

use super::fact::{Fact, Mark, Resource};
use super::history::{History, MAX_ACTIONS_TO_END};
use crate::supervisor::lifecycle::Action;

/// One rule of every life.
#[derive(Debug, Clone, Copy)]
pub struct Invariant {
    /// Its name, which does not change.
    pub name: &'static str,
    /// What it says.
    pub says: &'static str,
    /// Whether this fact, after this past, is as it should be.
    pub holds: fn(&History, Fact) -> bool,
}

/// All of them. Each has a saboteur that breaks it and no other.
pub const INVARIANTS: &[Invariant] = &[
    Invariant {
        name: "api-before-spawn",
        says: "the API server listens before the process is spawned",
        holds: api_before_spawn,
    },
    Invariant {
        name: "api-outlives-process",
        says: "the API server is stopped only after the process is reaped",
        holds: api_outlives_process,
    },
    Invariant {
        name: "released-once",
        says: "every resource is acquired once and released once",
        holds: released_once,
    },
    Invariant {
        name: "nothing-left-behind",
        says: "when the life has ended, nothing of it is left",
        holds: nothing_left_behind,
    },
    Invariant {
        name: "no-call-after-stop",
        says: "from the beginning of the stop on no hook is called, and after the process nothing is",
        holds: no_call_after_stop,
    },
    Invariant {
        name: "stop-ends",
        says: "a stop that was asked for comes to its end, in a bounded number of actions",
        holds: stop_ends,
    },
    Invariant {
        name: "failure-ends",
        says: "a life that does nothing is active, with a process that runs, or has ended",
        holds: failure_ends,
    },
    Invariant {
        name: "launch-in-order",
        says: "handshake, connection, health, Implemented, OnActivate: none before the one before it",
        holds: launch_in_order,
    },
    Invariant {
        name: "stop-in-order",
        says: "OnDeactivate, controller, SIGTERM: none before the one before it",
        holds: stop_in_order,
    },
    Invariant {
        name: "one-action-at-a-time",
        says: "an action begins when the one before it is over",
        holds: one_action_at_a_time,
    },
    Invariant {
        name: "nothing-after-end",
        says: "nothing is begun, logged or acquired after the end",
        holds: nothing_after_end,
    },
    Invariant {
        name: "one-answer",
        says: "who launches a plugin gets one answer",
        holds: one_answer,
    },
];

fn api_before_spawn(past: &History, fact: Fact) -> bool {
    match fact {
        Fact::Begins(Action::Spawn) | Fact::Logged(Mark::Spawned) => {
            !past.with_api || past.logged(Mark::ApiListening)
        }
        _ => true,
    }
}

fn api_outlives_process(past: &History, fact: Fact) -> bool {
    match fact {
        Fact::Begins(Action::StopApi)
        | Fact::Logged(Mark::ApiStopped)
        | Fact::Released(Resource::Api) => !past.process_lives(),
        _ => true,
    }
}

fn released_once(past: &History, fact: Fact) -> bool {
    match fact {
        Fact::Acquired(resource) => !past.holds(resource),
        Fact::Released(resource) => past.holds(resource),
        // A life has one of each.
        Fact::Begins(
            action @ (Action::StartApi | Action::Spawn | Action::Reap | Action::StopApi),
        ) => !past.begun(action),
        Fact::Logged(Mark::Exited) => past.logged(Mark::Spawned) && !past.logged(Mark::Exited),
        Fact::Logged(
            mark @ (Mark::ApiListening | Mark::Spawned | Mark::ApiStopped | Mark::Ended),
        ) => !past.logged(mark),
        _ => true,
    }
}

fn nothing_left_behind(past: &History, fact: Fact) -> bool {
    let api_lives = past.logged(Mark::ApiListening) && !past.logged(Mark::ApiStopped);
    match fact {
        Fact::Logged(Mark::Ended) => !past.holds_any() && !past.process_lives() && !api_lives,
        _ => true,
    }
}

fn no_call_after_stop(past: &History, fact: Fact) -> bool {
    match fact {
        Fact::HookCalled
        | Fact::Begins(Action::CheckHealth | Action::AskHooks | Action::Activate) => !past.ending,
        Fact::Begins(Action::Deactivate | Action::AskToLeave) => !past.begun(Action::Reap),
        _ => true,
    }
}

fn stop_ends(past: &History, fact: Fact) -> bool {
    match fact {
        Fact::Begins(_) => past.to_end < MAX_ACTIONS_TO_END,
        Fact::Quiet => !past.stop_asked || past.logged(Mark::Ended),
        _ => true,
    }
}

fn failure_ends(past: &History, fact: Fact) -> bool {
    match fact {
        // Of a life that somebody wants stopped, "stop-ends" speaks.
        Fact::Quiet if !past.stop_asked => {
            past.logged(Mark::Ended) || (past.logged(Mark::Active) && !past.ending && !past.exited)
        }
        _ => true,
    }
}

fn launch_in_order(past: &History, fact: Fact) -> bool {
    let done = match fact {
        Fact::Begins(Action::ReadHandshake) | Fact::Logged(Mark::Handshaken) => Mark::Spawned,
        Fact::Begins(Action::Connect | Action::CheckHealth) | Fact::Logged(Mark::Healthy) => {
            Mark::Handshaken
        }
        Fact::Begins(Action::AskHooks) | Fact::Logged(Mark::HooksKnown) => Mark::Healthy,
        Fact::Begins(Action::Activate | Action::Announce) | Fact::Logged(Mark::Active) => {
            Mark::HooksKnown
        }
        _ => return true,
    };
    // A step of the launch that is logged after the end has begun was not stopped.
    let in_time = !matches!(fact, Fact::Logged(_)) || !past.logged(Mark::Stopping);
    // A life is announced once.
    let once = !past.logged(Mark::Active) || past.last == Some(Action::Announce);
    past.logged(done) && once && in_time
}

fn stop_in_order(past: &History, fact: Fact) -> bool {
    use Action as A;
    let Fact::Begins(action) = fact else { return true };
    match action {
        A::Deactivate => matches!(past.last, Some(A::Announce)),
        A::AskToLeave => matches!(past.last, Some(A::Announce | A::Activate | A::Deactivate)),
        A::AwaitLeave => matches!(past.last, Some(A::AskToLeave)),
        A::Terminate => matches!(
            past.last,
            Some(
                A::ReadHandshake
                    | A::Connect
                    | A::CheckHealth
                    | A::AskHooks
                    | A::AskToLeave
                    | A::AwaitLeave
            )
        ),
        _ => true,
    }
}

fn one_action_at_a_time(past: &History, fact: Fact) -> bool {
    match fact {
        Fact::Begins(_) => past.under_way.is_none(),
        Fact::Over(action) => past.under_way == Some(action),
        _ => true,
    }
}

fn nothing_after_end(past: &History, fact: Fact) -> bool {
    match fact {
        // Of calls, "no-call-after-stop" speaks.
        Fact::Begins(_) | Fact::Acquired(_) => !past.logged(Mark::Ended),
        // Of a second end, "released-once" speaks.
        Fact::Logged(mark) => mark == Mark::Ended || !past.logged(Mark::Ended),
        _ => true,
    }
}

fn one_answer(past: &History, fact: Fact) -> bool {
    match fact {
        Fact::Answered => !past.answered,
        // Of a life that has not ended, others speak.
        Fact::Quiet => {
            past.answered
                || past.caller_gone
                || !(past.logged(Mark::Ended) || past.logged(Mark::Active))
        }
        _ => true,
    }
}
