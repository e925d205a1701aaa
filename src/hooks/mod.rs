//! Calls to the plugin: server → plugin.
//!
//! - `client.rs`: the client, with a typed method for each hook; `connection.rs` is what it goes over.
//! - `meaning.rs`: what each hook's answer means, a row per hook.
//! - `outcome.rs`, `error.rs`: what a caller gets.
//! - `call.rs`: hooks as bytes, for layers.
//! - `fire.rs`: hooks by name, for tools.
//! - `limits.rs`: what a plugin may take of memory and descriptors.

mod address;
mod call;
mod client;
mod connection;
mod error;
mod fire;
mod health;
mod limits;
mod meaning;
mod outcome;
mod sending_tasks;
mod serve_http;
mod sound;

pub use address::HandshakeAddress;
pub use call::{BoxHookService, HookCall, HookLayer};
pub use client::Hooks;
pub use error::{HealthError, HookError};
pub use fire::{FireError, Fired, HookVerdict};
pub use limits::HookLimits;
pub use meaning::{DISMISS_POST, Meaning, UploadChange};
pub use outcome::{Cause, Filtered, HookOutcome};
pub use serve_http::{
    CHUNK_BYTES, ReplyBody, ReplyPart, ReplyRules, ServeHttpError, ServeHttpReply, http_headers,
};

pub(crate) use client::HooksConfig;
pub(crate) use connection::connect;
pub(crate) use serve_http::remove_hop_by_hop;
