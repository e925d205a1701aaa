//! Many plugins: each kept running by a [`Keeper`], all of them in an [`Environment`].

mod api_caller;
mod builder;
pub mod dispatch;
mod entry;
#[expect(clippy::module_inception, reason = "the room is named after what stands in it")]
mod environment;
mod error;
mod info;
mod inner;
mod install;
mod keeper;
mod plugin_calls;
mod plugin_http;
mod plugins_folder;
mod registry;
mod remove_folder;
mod restart;
mod settings;
mod turns;
mod version;

pub use builder::EnvironmentBuilder;
pub use environment::{Environment, WeakEnvironment};
pub use error::EnvironmentError;
pub use info::PluginInfo;
pub use install::{PathProblem, UnpackError, UnpackLimits};
pub use keeper::{Keeper, KeeperOptions, PluginState};
pub use plugin_http::{AskHttp, AskHttpError, HttpReply};
pub use restart::{RestartPolicy, Strikes, Verdict};
