//! A Mattermost server (Team Edition) inside this process, for plugins that want more than canned
//! answers: what one call stores, the next one reads.
//!
//! - [`Embedded`] is the server. [`Embedded::api_of`] gives the [`PluginApi`](crate::api::PluginApi) of
//!   one plugin, [`Embedded::outbox`] what the server has sent to others.
//! - [`HookSink`] is how it reaches the plugins; whoever runs some implements it.
//! - [`Clock`] and [`Ids`] can be fixed, so that answers can be compared with a snapshot.
//!
//! # How a call travels
//!
//! `plugin_side.rs` has the 236 methods; each calls the function of its name in `domains/`, with a
//! `Ctx` (`ctx.rs`), which knows the calling plugin, the database, the configuration, the hooks and the
//! outbox. A handler checks the request, asks the plugins if the server does, runs one transaction
//! (`store/`), and lets its effects follow: events, hooks, mail. No transaction is open while a plugin
//! is waited for.
//!
//! # How to add an RPC
//!
//! 1. In the file of its domain, `pub(in super::super) async fn rpc_name(ctx: &Ctx, it:
//!    v1::RpcNameRequest) -> Result<v1::RpcNameResponse, AppError>`. A new domain is a line in each of
//!    the lists of `domains/mod.rs`.
//! 2. Its name leaves `domains/pending.rs`. As long as a name is in both, or in neither, the crate does
//!    not compile.
//! 3. Tables: the domain's `SCHEMA`. A message is stored whole, as the bytes of its encoding in a column
//!    `message`, beside columns for what is searched, sorted or joined; so no field is lost.
//! 4. Its tests: a module of `tests/embedded/`.
//!
//! What is the same everywhere is written once: `limits.rs` (ids, URLs, lengths), `paging.rs`,
//! `refusal.rs` (AppErrors by their meaning), `ids.rs`, `clock.rs`, `config.rs` (settings, with a fresh
//! installation's values).

#![allow(
    dead_code,
    reason = "words of the domains that are still to come; goes with domains/pending.rs"
)]

mod clock;
mod config;
mod ctx;
mod domains;
mod hook_sink;
mod ids;
mod in_flight;
mod installed;
mod kv;
mod limits;
mod outbox;
mod paging;
mod plugin_commands;
mod plugin_side;
mod refusal;
mod server;
mod store;

pub use clock::Clock;
pub use clock::Clock as KvClock;
pub use hook_sink::{HookSink, Notice, Will};
pub use ids::Ids;
pub use kv::{KvApi, KvOptions, KvStore};
pub use outbox::{Audited, Logged, Mail, Outbox, Push, Sent, WebSocketEvent};
pub use server::{Embedded, EmbeddedBuilder};
pub use store::StoreError;
