//! One check and its verdict.

use serde::Serialize;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The rule holds.
    Passed,
    /// The rule is broken; the detail says how.
    Failed,
    /// The rule is broken, as a list of known failures says; the detail has the reason.
    Known,
    /// The rule could not be looked at; the detail says why.
    Skipped,
}

/// A check that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name, for example `rpc.GetUser.answer` or `stop.sigterm`.
    pub id: String,
    /// The rule, in one sentence.
    pub title: String,
    /// The verdict.
    pub status: Status,
    /// What was found; empty when there is nothing to say.
    pub detail: String,
    /// How long it took, in milliseconds; checks on one launch share the launch's time.
    pub millis: u64,
}

/// What a rule says of what was seen: a remark (often empty), or how it is broken.
pub type Verdict = Result<String, String>;

impl Check {
    /// A check with this verdict.
    pub fn new(id: impl Into<String>, title: impl Into<String>, verdict: Verdict) -> Self {
        let (status, detail) = match verdict {
            Ok(remark) => (Status::Passed, remark),
            Err(fault) => (Status::Failed, fault),
        };
        Self { id: id.into(), title: title.into(), status, detail, millis: 0 }
    }

    /// A check that could not be made.
    pub fn skipped(id: impl Into<String>, title: impl Into<String>, why: &str) -> Self {
        let mut check = Self::new(id, title, Ok(why.to_owned()));
        check.status = Status::Skipped;
        check
    }
}
