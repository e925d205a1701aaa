//! What holds in every life of every plugin, whatever happens to it and in whatever order.
//!
//! A life is recorded as a sequence of [`Fact`]s: what the driver began, what it wrote into its
//! [`EventLog`](crate::supervisor::EventLog), what was acquired and released, what callers did. The
//! same [`INVARIANTS`] judge a life of the model, a life of a real plugin under a
//! [`Schedule`](crate::supervisor::Schedule), and the bare log of a life that nobody watched.
//!
//! ```
//! use plugin_conformance::conformance::invariants;
//! use plugin_conformance::supervisor::EventKind;
//!
//! let target = "127.0.0.1:1".to_owned();
//! let log = [EventKind::ApiListening { target }, EventKind::Ended];
//! let violation = invariants::check(&log, true).unwrap_err();
//! // The API server is still there.
//! assert_eq!(violation.rule, "nothing-left-behind");
//! ```

mod fact;
mod history;
mod judge;
mod rules;
mod trace;

pub use fact::{Fact, Mark, Resource};
pub use history::{History, MAX_ACTIONS_TO_END};
pub use judge::{Judge, Violation, check, check_facts};
pub use rules::{INVARIANTS, Invariant};
pub use trace::LifeTrace;
