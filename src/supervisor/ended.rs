//! The end of a life.

use super::lifecycle::Ending;
use super::process::ExitReport;

/// How a life ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub ending: Ending,
    /// How the process ended; `None` if there never was one.
    pub exit: Option<ExitReport>,
    /// The last lines that it wrote to stderr.
    pub stderr: String,
}
