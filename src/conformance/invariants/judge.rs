//! Hears the facts of a life one by one and names the first that breaks a rule.

use super::fact::{Fact, Mark};
use super::history::History;
use super::rules::INVARIANTS;
use crate::supervisor::EventKind;

/// A rule, and the fact that broke it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule} is broken by fact {at} ({fact:?}): {says}")]
pub struct Violation {
    /// The rule's name.
    pub rule: &'static str,
    /// What the rule says.
    pub says: &'static str,
    /// The fact's number, from 0.
    pub at: usize,
    /// The fact.
    pub fact: Fact,
}

/// Judges one life, as it goes on.
#[derive(Debug, Clone, Copy)]
pub struct Judge {
    history: History,
    heard: usize,
}

impl Judge {
    /// A judge of a life with an API server, or without.
    pub fn new(with_api: bool) -> Self {
        Self { history: History::new(with_api), heard: 0 }
    }

    /// The past so far.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Every rule that this fact breaks.
    pub fn breaches(&self, fact: Fact) -> impl Iterator<Item = Violation> {
        let (history, at) = (self.history, self.heard);
        INVARIANTS
            .iter()
            .filter(move |rule| !(rule.holds)(&history, fact))
            .map(move |rule| Violation { rule: rule.name, says: rule.says, at, fact })
    }

    /// Hears the next fact.
    ///
    /// # Errors
    /// The first rule that it breaks. The fact is part of the past all the same.
    pub fn hear(&mut self, fact: Fact) -> Result<(), Violation> {
        let first = self.breaches(fact).next();
        self.history.add(fact);
        self.heard += 1;
        first.map_or(Ok(()), Err)
    }
}

/// Judges a whole life by its facts; with [`Fact::Quiet`] at its end, if it is over.
///
/// # Errors
/// The first rule that is broken.
pub fn check_facts(facts: &[Fact], with_api: bool) -> Result<(), Violation> {
    let mut judge = Judge::new(with_api);
    facts.iter().try_for_each(|&fact| judge.hear(fact))
}

/// Judges a log by itself, of one life or of several in a row. The last one may be under way.
///
/// # Errors
/// The first rule that is broken; `at` counts the log's entries.
pub fn check(log: &[EventKind], with_api: bool) -> Result<(), Violation> {
    let mut from = 0;
    for life in log.split_inclusive(|kind| *kind == EventKind::Ended) {
        let facts: Vec<_> = life.iter().map(|kind| Fact::Logged(Mark::from(kind))).collect();
        check_facts(&facts, with_api)
            .map_err(|violation| Violation { at: from + violation.at, ..violation })?;
        from += life.len();
    }
    Ok(())
}
