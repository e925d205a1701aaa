//! Collects the facts of a real life, in the order in which they happen.

use std::sync::{Arc, Mutex, PoisonError};

use super::fact::{Fact, Mark};
use super::judge::{Violation, check_facts};
use crate::supervisor::EventLog;

/// The facts of one real life. Clones share them.
///
/// The event log is one source of facts, whoever calls [`add`](Self::add) is another: before a fact
/// is added, what was logged before it is taken over, so that the order is that of the events.
#[derive(Debug, Clone)]
pub struct LifeTrace {
    log: EventLog,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    facts: Vec<Fact>,
    /// How many entries of the log are among them.
    logged: usize,
}

impl LifeTrace {
    /// A trace of the life that writes to this log, which must be empty.
    pub fn new(log: &EventLog) -> Self {
        Self { log: log.clone(), shared: Arc::default() }
    }

    /// The log's new entries, then what `facts` makes of the log, at once.
    pub fn add_all<I: IntoIterator<Item = Fact>>(&self, facts: impl FnOnce(&EventLog) -> I) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = self.log.kinds();
        let logged = shared.logged;
        shared.facts.extend(kinds[logged..].iter().map(|kind| Fact::Logged(Mark::from(kind))));
        shared.logged = kinds.len();
        shared.facts.extend(facts(&self.log));
    }

    /// A fact that happens now.
    pub fn add(&self, fact: Fact) {
        self.add_all(|_| [fact]);
    }

    /// The facts so far.
    pub fn facts(&self) -> Vec<Fact> {
        self.add_all(|_| []);
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).facts.clone()
    }

    /// Judges the life.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, with_api: bool) -> Result<(), Violation> {
        check_facts(&self.facts(), with_api)
    }
}
