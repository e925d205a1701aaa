//! The gate: checks, who is checked, the run and its report.
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

mod bundle;
mod check;
mod coverage;
mod gate;
mod generated;
mod hooks;
mod http;
pub mod invariants;
mod known_failures;
mod plugin;
mod report;
mod rpcs;
pub mod saboteurs;
mod scenarios;
pub mod stress;
mod subject;
pub mod subjects;

pub use bundle::{Bundle, BundleError, Interpreter};
pub use check::{Check, Status, Verdict};
pub use coverage::{Coverage, CoverageError, RpcCoverage};
pub use gate::{Fault, Gate, GateError, Progress};
pub use generated::{DEFAULT_VERSION, GeneratedApi};
pub use http::{Ask, HttpSeen};
pub use known_failures::{KnownFailure, KnownFailures, KnownFailuresError, LIST_CHECK, LineFault};
pub use report::{Rpcs, RunReport, SCHEMA, Summary, WriteError};
pub use scenarios::{Rule, SCENARIOS, Scenario};
pub use subject::{HookSeen, KitSupervisor, Observation, Offer, Story, Subject, Wait};
