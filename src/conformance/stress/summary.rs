//! What a stress run has found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::leaks::Census;
use super::life::Lived;
use crate::supervisor::SeededSchedule;

/// A life that broke a rule.
#[derive(Debug, Clone, Serialize)]
pub struct Broken {
    /// The rule's name.
    pub rule: String,
    /// What happened.
    pub detail: String,
    /// The plugin's number.
    pub plugin: u64,
    /// The cycle's number.
    pub cycle: u64,
    /// What was decided.
    pub plan: String,
    /// The facts of the shortest life found that breaks the same rule.
    pub trace: Vec<String>,
    /// The decisions of that life, if it is another.
    pub shorter: Option<String>,
}

impl Broken {
    /// A life that broke a rule, and the shortest one found that breaks it as well.
    pub(super) fn new(lived: &Lived, rule: &str, detail: String, best: &Lived) -> Self {
        Self {
            rule: rule.to_owned(),
            detail,
            plugin: lived.plan.plugin,
            cycle: lived.plan.cycle,
            plan: lived.plan.to_string(),
            trace: best.facts.iter().map(|fact| format!("{fact:?}")).collect(),
            shorter: (best.plan != lived.plan).then(|| best.plan.to_string()),
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// How many plugins had lives at the same time.
    pub plugins: u64,
    /// How many lives there were.
    pub lives: u64,
    /// How many of each character.
    pub characters: BTreeMap<String, u64>,
    /// How many of each ending.
    pub endings: BTreeMap<String, u64>,
    /// Hooks fired.
    pub hooks: u64,
    /// HTTP requests sent.
    pub requests: u64,
    /// API calls received.
    pub calls: u64,
    /// Lives that broke a rule; the first of them, at most ten, in full.
    pub violations: u64,
    /// Those.
    pub broken: Vec<Broken>,
    /// What there is more of than after the warm-up.
    pub leaks: Vec<String>,
    /// The counts after the warm-up.
    pub before: Census,
    /// The counts at the end.
    pub after: Census,
    /// Of all decisions and of the order of each plugin's life events: the same for the same seed and
    /// number of lives, in hexadecimal.
    pub digest: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Summary {
    /// Counts a life.
    pub(super) fn count(&mut self, lived: &Lived) {
        self.lives += 1;
        *self.characters.entry(lived.plan.role.name.to_owned()).or_default() += 1;
        *self.endings.entry(format!("{:?}", lived.plan.ending)).or_default() += 1;
        self.hooks += lived.hooks;
        self.requests += lived.requests;
        self.calls += lived.calls;
        let seed = u64::from_str_radix(&self.digest, 16).unwrap_or_default();
        let line = format!("{} {:?}", lived.plan, lived.marks());
        let digest = SeededSchedule::new(seed, Duration::ZERO).roll(&line, [0, 0]);
        self.digest = format!("{digest:016x}");
    }

    /// Whether no rule was broken and nothing leaked.
    pub const fn is_success(&self) -> bool {
        self.violations == 0 && self.leaks.is_empty()
    }
}
