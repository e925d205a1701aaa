//! What comes of a hook that several plugins were asked.

use crate::hooks::{Cause, HookError};

/// A plugin that was notified.
#[derive(Debug, Clone)]
pub struct Told {
    /// The plugin.
    pub plugin_id: String,
    /// Why it did not take it: a refusal, or no answer.
    pub result: Result<(), HookError>,
}

/// A plugin that was asked for its opinion.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The plugin.
    pub plugin_id: String,
    /// Whether it put something else in the place of what it saw.
    pub changed: bool,
    /// Whether it answered.
    pub cause: Cause,
}

/// What a chain of filters made of the thing that went through it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chained<T> {
    /// What the server goes on with.
    pub decided: Decided<T>,
    /// Who was asked, in order. Nobody was asked after a rejection.
    pub asked: Vec<Asked>,
}

/// What the server goes on with.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided<T> {
    /// Nobody objects; this is what they left.
    Passed(T),
    /// A plugin rejects it.
    Rejected {
        /// Which.
        plugin_id: String,
        /// Why, for the user.
        reason: String,
    },
    /// A plugin rejects it without a word to the user.
    Dismissed {
        /// Which.
        plugin_id: String,
    },
}

/// A plugin that said no, or could not be asked where that counts as no.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{plugin_id}: {error}")]
pub struct Refused {
    /// The plugin.
    pub plugin_id: String,
    /// Its error, or why it gave no answer.
    pub error: HookError,
}

impl<T> Chained<T> {
    /// Those that were asked and gave no answer.
    pub fn failures(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|asked| matches!(asked.cause, Cause::Failed(_)))
    }

    /// What passed; `None` if a plugin objected.
    pub fn passed(self) -> Option<T> {
        match self.decided {
            Decided::Passed(value) => Some(value),
            Decided::Rejected { .. } | Decided::Dismissed { .. } => None,
        }
    }
}
