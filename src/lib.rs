//! The conformance kit for the boundary between the Mattermost server and its Python plugins.

#[cfg(windows)]
compile_error!(
    "plugin-conformance runs on Linux and macOS: Mattermost servers with Python plugins do too"
);

pub mod api;
pub mod conformance;
pub mod embedded;
pub mod environment;
mod error_chain;
pub mod escape;
pub mod hooks;
pub mod host;
pub mod http_front;
mod remedy;
pub mod supervisor;
mod sync;
