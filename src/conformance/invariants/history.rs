//! What of a life's past the invariants need to know.

use super::fact::{Fact, Mark, Resource};
use crate::supervisor::lifecycle::Action;

/// The end of a life has at most this many actions, whatever it interrupts: `Deactivate`,
/// `AskToLeave`, `AwaitLeave`, `Terminate`, `Reap`, `StopApi`, `Finish`.
pub const MAX_ACTIONS_TO_END: u8 = 7;

/// A life's past, in few words: the model visits each of them once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct History {
    /// The plugin is to have an API server.
    pub with_api: bool,
    /// A caller asked for a stop, orderly or at once.
    pub stop_asked: bool,
    /// The driver has begun to end the life.
    pub ending: bool,
    /// The action under way.
    pub under_way: Option<Action>,
    /// The action that was begun last.
    pub last: Option<Action>,
    /// The process has exited.
    pub exited: bool,
    /// How many actions of the end were begun.
    pub to_end: u8,
    /// The launching caller has its answer.
    pub answered: bool,
    /// The launching caller has gone.
    pub caller_gone: bool,
    marks: u16,
    begun: u16,
    held: u8,
}

const fn bit(at: usize) -> u16 {
    1 << at
}

impl History {
    /// The past of a life that has not begun, with an API server or without.
    pub fn new(with_api: bool) -> Self {
        Self { with_api, ..Self::default() }
    }

    /// Whether this entry is in the log.
    pub const fn logged(&self, mark: Mark) -> bool {
        self.marks & bit(mark as usize) != 0
    }

    /// Whether this action was begun.
    pub const fn begun(&self, action: Action) -> bool {
        self.begun & bit(action as usize) != 0
    }

    /// Whether this was acquired and not released.
    pub const fn holds(&self, resource: Resource) -> bool {
        self.held & (1 << resource as u8) != 0
    }

    /// Whether anything was acquired and not released.
    pub const fn holds_any(&self) -> bool {
        self.held != 0
    }

    /// Whether the process is there: spawned and not reaped.
    pub const fn process_lives(&self) -> bool {
        self.holds(Resource::Process) || (self.logged(Mark::Spawned) && !self.logged(Mark::Exited))
    }

    /// Takes a fact into the past.
    pub const fn add(&mut self, fact: Fact) {
        match fact {
            Fact::StopAsked | Fact::KillAsked => self.stop_asked = true,
            Fact::Begins(action) => {
                self.begun |= bit(action as usize);
                self.under_way = Some(action);
                self.last = Some(action);
                self.ending |= ends(action);
                if self.ending && self.to_end < MAX_ACTIONS_TO_END {
                    self.to_end += 1;
                }
            }
            Fact::Over(_) => self.under_way = None,
            Fact::Logged(mark) => {
                self.marks |= bit(mark as usize);
                self.ending |= matches!(mark, Mark::Stopping);
            }
            Fact::Exits => self.exited = true,
            Fact::Acquired(resource) => self.held |= 1 << resource as u8,
            Fact::Released(resource) => self.held &= !(1 << resource as u8),
            Fact::Answered => self.answered = true,
            Fact::CallerGone => self.caller_gone = true,
            Fact::HookCalled | Fact::Quiet => {}
        }
    }
}

/// Whether this action belongs to the end of a life.
const fn ends(action: Action) -> bool {
    matches!(
        action,
        Action::Deactivate
            | Action::AskToLeave
            | Action::AwaitLeave
            | Action::Terminate
            | Action::Reap
            | Action::StopApi
            | Action::Finish
    )
}
