//! Plugins on a laptop: several plugins, HTTP in front of them, an API behind them, and a trace of
//! what happens in between.

mod hook_line;
mod trace;
mod watch;

pub use hook_line::{HookLine, HookLineError};
pub use trace::{Category, Trace, TraceError, TraceEvent, TraceLayer, Traced};
pub use watch::{Watch, WatchError};
