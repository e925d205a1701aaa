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
    /// What failed on this side of the boundary, if anything did: code of the supervisor, or a hook
    /// layer, API factory or schedule that was given to it, panicked.
    pub error: Option<String>,
}
