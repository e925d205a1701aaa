//! A check that was made, and what it came to.

use serde::Serialize;

use super::super::catalogue::{Check, Fault, Level, Objection, SubjectKind, Verdict};

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The rule holds.
    Passed,
    /// The rule is broken; the detail says how.
    Failed,
    /// The rule is broken, as a list of known failures or a profile says; the detail has the reason.
    Known,
    /// The evidence says nothing about the rule; the detail says why.
    NotObservable,
    /// The run ended before the check was made; the detail says why.
    Skipped,
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's stable name, for example `rpc.GetUser.answer` or `stop.sigterm`.
    pub id: String,
    /// Who was judged.
    pub subject: SubjectKind,
    /// How much the check weighs.
    pub level: Level,
    /// The rule, in one sentence.
    pub title: String,
    /// What it came to.
    pub status: Status,
    /// What was found; empty when there is nothing to say.
    pub detail: String,
    /// The field, variable or value that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// How long the case took on which it was judged, in milliseconds.
    pub millis: u64,
}

impl Finding {
    /// A check with this verdict.
    pub fn new(check: &Check, verdict: Verdict) -> Self {
        let (status, fault) = match verdict {
            Ok(remark) => (Status::Passed, Fault::new(remark)),
            Err(Objection::Broken(fault)) => (Status::Failed, fault),
            Err(Objection::NotObservable(why)) => (Status::NotObservable, Fault::new(why)),
        };
        let Fault { detail, field, expected, actual } = fault;
        Self {
            id: check.id.to_owned(),
            subject: check.subject,
            level: check.level,
            title: check.title.to_owned(),
            status,
            detail,
            field,
            expected,
            actual,
            millis: 0,
        }
    }

    /// A check that was not made.
    pub fn skipped(check: &Check, why: &str) -> Self {
        let mut finding = Self::new(check, Ok(why.to_owned()));
        finding.status = Status::Skipped;
        finding
    }

    /// The same, as nothing to observe.
    pub(in super::super) fn withdraw(&mut self, why: String) {
        self.status = Status::NotObservable;
        self.detail = why;
        (self.field, self.expected, self.actual) = (None, None, None);
    }
}
