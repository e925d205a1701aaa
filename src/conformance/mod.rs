//! The gate: who is judged, by which checks, on which evidence, and what comes of it.
//!
//! - [`catalogue`]: every check of every subject, one table each: id, level, title, harm, source,
//!   remedy;
//! - [`subjects`]: who is judged, and the rules: pure functions from evidence to a verdict;
//! - [`evidence`]: what was seen of a subject, from outside;
//! - [`fixtures`]: what subjects are given: bundles, and an API whose answers are known;
//! - [`runner`]: which checks, how many cases at once, until when, what of it is known;
//! - [`reports`]: findings, the report of a run, coverage;
//! - [`stress`] and [`invariants`]: lives at random, and what holds in each.
//!
//! Arrows point one way: runner → subjects → fixtures, evidence → catalogue; reports know findings.
//!
//! # A new check
//!
//! A row in the subject's table in `catalogue/`, and a rule of the same id in the subject's room. A
//! rule is a function that looks at evidence and says `Ok(remark)`,
//! [`Broken`](catalogue::Objection::Broken) with expected, actual and field, or
//! [`NotObservable`](catalogue::Objection::NotObservable) with the reason. A check that makes no
//! sense where another one is broken names that one in `needs`. It needs a saboteur, too.
//!
//! # A new subject
//!
//! 1. `catalogue/NAME.rs`: the table `CHECKS`, rows made by `Check::new(subject, level, id, title)`
//!    with `.harm(…).source(…).remedy(…)`; taken up in `catalogue::all`. Rows that are generated are
//!    made there once, as in `catalogue/rpcs.rs`.
//! 2. `subjects/NAME/`: a type that implements [`Subject`]. Its cases are what
//!    runs at the same time and is shown while it runs; `run` makes evidence and ends all that it
//!    started when `RunContext::stop` is cancelled; `judge` is pure.
//! 3. `cli/`: a subcommand of `check` that builds the type and hands it to the runner. Options,
//!    progress, the printed report, JSON and exit status are the same for every subject.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use plugin_conformance::conformance::{Gate, Interpreter};
//!
//! let gate = Gate::new(Interpreter::Link(std::env::current_exe()?));
//! let report = gate.check().await?;
//! assert!(report.is_success(), "{:?}", report.summary);
//! assert_eq!(report.rpcs.exercised, 236);
//! # Ok(())
//! # }
//! ```

pub mod catalogue;
pub mod evidence;
pub mod fixtures;
mod gate;
pub mod invariants;
pub mod reports;
pub mod runner;
pub mod stress;
pub mod subjects;

pub use catalogue::{Check, Level, SubjectKind, Verdict};
pub use evidence::{Ask, HookSeen, HttpSeen, Observation};
pub use fixtures::{Bundle, BundleError, DEFAULT_VERSION, GeneratedApi, Interpreter};
pub use gate::Gate;
pub use reports::{
    Coverage, CoverageError, Finding, RpcCoverage, Rpcs, RunReport, SCHEMA, Status, Summary,
    WriteError,
};
pub use runner::{
    Event, EventSink, Filter, FilterError, KnownFailure, KnownFailures, KnownFailuresError,
    LineFault, Runner,
};
pub use subjects::kit::{KitSupervisor, Launcher, Offer, SCENARIOS, Scenario, Story, Wait};
pub use subjects::kit::{Rule, saboteurs};
pub use subjects::{GateError, Subject};
