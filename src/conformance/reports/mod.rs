//! What a run comes to: findings, the report of a run, and the table of what is proven of each RPC.

mod coverage;
mod finding;
mod run_report;

pub use coverage::{Coverage, CoverageError, RpcCoverage};
pub use finding::{Finding, Status};
pub use run_report::{Rpcs, RunReport, SCHEMA, Summary, WriteError};
