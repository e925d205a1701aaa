//! Plugins on a laptop: several plugins, HTTP in front of them, an API behind them, and a trace of
//! what happens in between.

mod answers;
mod builder;
mod effects;
mod hook_line;
#[expect(clippy::module_inception, reason = "the room is named after what stands in it")]
mod host;
mod plugins;
mod trace;
mod watch;

pub use answers::Answers;
pub use builder::HostBuilder;
pub use hook_line::{HookLine, HookLineError};
pub use host::{FireLineError, Host, HostError, PluginSummary, StopError};
pub use trace::{Category, Trace, TraceError, TraceEvent, TraceLayer, Traced};
pub use watch::{Watch, WatchError};
