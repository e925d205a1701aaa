//! One file per domain: what is checked, what is stored, what follows.

mod audit;
mod bot_changes;
mod bots;
mod bundle;
mod channel_joins;
mod channel_lists;
mod channel_members;
mod channel_notify;
mod channel_rules;
mod channels;
mod commands;
mod configuration;
mod custom_status;
mod custom_status_changes;
mod direct_channels;
mod emoji;
mod ephemeral;
mod event_json;
mod file_kind;
mod file_store;
mod file_uploads;
mod files;
mod groups;
mod images;
mod kv;
mod logging;
mod mail;
mod member_roles;
mod mentions;
mod misc;
mod notified;
mod oauth;
mod passwords;
mod pending;
mod permissions;
mod picture_changes;
mod pictures;
mod plugins;
mod post_create;
mod post_events;
mod post_lists;
mod post_props;
mod post_rules;
mod post_update;
mod posts;
mod preferences;
mod properties;
mod reactions;
mod restricted_dms;
mod role_table;
mod server_facts;
mod sessions;
mod shared_channels;
mod sidebar_categories;
mod sidebar_changes;
mod system_bot;
mod system_emoji;
mod system_posts;
mod team_joins;
mod team_members;
mod teams;
mod threads;
mod uploads;
mod user_changes;
mod user_lists;
mod user_rules;
mod user_status;
mod user_view;
mod users;
mod websocket;

use heck::ToSnakeCase as _;
use plugin_proto::{Method, Service};
use rusqlite::Connection;

use super::store::Source;

/// The handler of each RPC: an async function of the RPC's name in snake case, which takes a
/// [`Ctx`](super::ctx::Ctx) and the request and answers the response or an AppError.
pub(super) mod handlers {
    pub(in super::super) use super::audit::*;
    pub(in super::super) use super::bot_changes::*;
    pub(in super::super) use super::bots::*;
    pub(in super::super) use super::channel_joins::*;
    pub(in super::super) use super::channel_lists::*;
    pub(in super::super) use super::channel_members::*;
    pub(in super::super) use super::channel_notify::*;
    pub(in super::super) use super::channels::*;
    pub(in super::super) use super::commands::*;
    pub(in super::super) use super::configuration::{
        get_config, get_plugin_config, get_unsanitized_config, load_plugin_configuration,
        save_config, save_plugin_config,
    };
    pub(in super::super) use super::custom_status_changes::*;
    pub(in super::super) use super::direct_channels::*;
    pub(in super::super) use super::emoji::*;
    pub(in super::super) use super::ephemeral::*;
    pub(in super::super) use super::file_uploads::*;
    pub(in super::super) use super::files::*;
    pub(in super::super) use super::groups::*;
    pub(in super::super) use super::kv::*;
    pub(in super::super) use super::logging::*;
    pub(in super::super) use super::mail::*;
    pub(in super::super) use super::misc::*;
    pub(in super::super) use super::oauth::*;
    pub(in super::super) use super::pending::*;
    pub(in super::super) use super::permissions::*;
    pub(in super::super) use super::picture_changes::*;
    pub(in super::super) use super::plugins::*;
    pub(in super::super) use super::post_create::*;
    pub(in super::super) use super::post_lists::*;
    pub(in super::super) use super::post_update::*;
    pub(in super::super) use super::posts::*;
    pub(in super::super) use super::preferences::*;
    pub(in super::super) use super::properties::*;
    pub(in super::super) use super::reactions::*;
    pub(in super::super) use super::server_facts::*;
    pub(in super::super) use super::sessions::*;
    pub(in super::super) use super::shared_channels::*;
    pub(in super::super) use super::sidebar_categories::*;
    pub(in super::super) use super::sidebar_changes::*;
    pub(in super::super) use super::team_joins::*;
    pub(in super::super) use super::team_members::*;
    pub(in super::super) use super::teams::*;
    pub(in super::super) use super::threads::*;
    pub(in super::super) use super::uploads::*;
    pub(in super::super) use super::user_changes::*;
    pub(in super::super) use super::user_lists::*;
    pub(in super::super) use super::user_status::*;
    pub(in super::super) use super::users::*;
    pub(in super::super) use super::websocket::*;
}

/// The tables of all domains.
pub(super) const SCHEMAS: &[&str] = &[
    bots::SCHEMA,
    channel_members::SCHEMA,
    channels::SCHEMA,
    commands::SCHEMA,
    configuration::SCHEMA,
    emoji::SCHEMA,
    file_store::SCHEMA,
    files::SCHEMA,
    kv::SCHEMA,
    oauth::SCHEMA,
    pictures::SCHEMA,
    posts::SCHEMA,
    preferences::SCHEMA,
    properties::SCHEMA,
    reactions::SCHEMA,
    server_facts::SCHEMA,
    sessions::SCHEMA,
    shared_channels::SCHEMA,
    sidebar_categories::SCHEMA,
    team_members::SCHEMA,
    teams::SCHEMA,
    user_status::SCHEMA,
    threads::SCHEMA,
    uploads::SCHEMA,
    users::SCHEMA,
];

/// What must be in every database before its first call. Runs at every start.
pub(super) fn first_rows(connection: &Connection, source: &Source) -> rusqlite::Result<()> {
    server_facts::first_rows(connection, source)?;
    configuration::first_rows(connection, source)?;
    properties::first_rows(connection, source)
}

pub(super) use configuration::stored as stored_config;

/// The RPCs that have a handler.
pub(super) fn implemented() -> impl Iterator<Item = &'static Method> {
    let missing =
        |method: &&Method| pending::PENDING.contains(&method.name.to_snake_case().as_str());
    Service::PluginAPI.methods().filter(move |method| !missing(method))
}
