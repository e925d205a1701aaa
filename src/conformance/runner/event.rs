//! What a run reports while it goes on.

use std::sync::Arc;
use std::time::Duration;

use super::super::catalogue::SubjectKind;
use super::super::reports::Finding;

/// Something that happened in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// The run begins.
    Started {
        /// Who is judged.
        subject: SubjectKind,
        /// How many cases there are.
        cases: usize,
        /// How many checks will be made.
        checks: usize,
    },
    /// A case begins.
    CaseStarted {
        /// Its name.
        name: &'a str,
    },
    /// A case is over; its checks follow.
    CaseFinished {
        /// Its name.
        name: &'a str,
        /// How long it took.
        elapsed: Duration,
    },
    /// A check was made.
    Judged(&'a Finding),
}

/// Hears of every event, one after the other.
pub type EventSink = Arc<dyn Fn(&Event<'_>) + Send + Sync>;
