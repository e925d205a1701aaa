//! Channels: how they are stored, created, found and changed.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;
use serde_json::json;

use super::super::config::Config;
use super::super::ctx::{Ctx, plugin_context, to_channel, to_team};
use super::super::limits::without_blocked_characters;
use super::super::refusal::{absent, internal, invalid, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::{channel_rules as rules, event_json, teams};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE channels (
    id TEXT PRIMARY KEY,
    team_id TEXT NOT NULL,
    name TEXT NOT NULL,
    type INTEGER NOT NULL,
    display_name TEXT NOT NULL,
    delete_at INTEGER NOT NULL,
    message BLOB NOT NULL,
    UNIQUE (team_id, name)
);
CREATE INDEX channels_by_display_name
    ON channels (team_id, type, delete_at, display_name COLLATE NOCASE);
";

const CREATE: &str = "app.channel.create_channel.internal_error";
const UPDATE: &str = "app.channel.update_channel.internal_error";
const EXISTS: &str = "store.sql_channel.save_channel.exists.app_error";

/// The channel of this id, archived or not.
pub(super) fn find(tx: &Tx<'_>, id: &str) -> Result<Option<v1::Channel>, Fault> {
    tx.message("SELECT message FROM channels WHERE id = ?1", [id])
}

/// The same; 404 if there is none.
pub(super) fn get(tx: &Tx<'_>, id: &str) -> Result<v1::Channel, Fault> {
    find(tx, id)?.ok_or_else(|| missing().into())
}

/// There is no such channel.
pub(super) fn missing() -> AppError {
    not_found("app.channel.get.existing.app_error", "Unable to find the channel.")
}

/// The channel of this name in the team, or of no team.
pub(super) fn by_name(
    tx: &Tx<'_>,
    team_id: &str,
    name: &str,
    archived: bool,
) -> Result<Option<v1::Channel>, Fault> {
    tx.message(
        "SELECT message FROM channels
         WHERE team_id IN (?1, '') AND name = ?2 AND (?3 OR delete_at = 0)
         ORDER BY team_id DESC",
        params![team_id, name, archived],
    )
}

/// Stores a channel, or stores it anew, without the fields that are no columns in Mattermost.
pub(super) fn save(tx: &WriteTx<'_>, it: &v1::Channel) -> Result<(), Fault> {
    let stored = v1::Channel {
        props: None,
        policy_id: None,
        policy_enforced: false,
        policy_is_active: false,
        ..it.clone()
    };
    tx.execute(
        "INSERT INTO channels (id, team_id, name, type, display_name, delete_at, message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET
             team_id = excluded.team_id, name = excluded.name, type = excluded.type,
             display_name = excluded.display_name, delete_at = excluded.delete_at,
             message = excluded.message",
        params![
            it.id,
            it.team_id,
            it.name,
            it.r#type,
            it.display_name,
            it.delete_at,
            stored.encode_to_vec(),
        ],
    )
    .map(drop)
}

/// Stores a new channel, filled and checked; what the database refuses fails as `create_channel`.
pub(super) fn insert(
    tx: &WriteTx<'_>,
    config: &Config,
    mut it: v1::Channel,
) -> Result<v1::Channel, Fault> {
    let shared = it.shared == Some(true);
    if !it.id.is_empty() && !shared {
        let id = "store.sql_channel.save_channel.existing.app_error";
        return Err(invalid(id, "A new channel cannot have an id.").into());
    }
    if it.id.is_empty() {
        it.id = tx.new_id();
    }
    if it.create_at == 0 {
        it.create_at = tx.now();
    }
    it.update_at = it.create_at;
    it.extra_update_at = 0;
    clean(&mut it);
    rules::check(&it)?;
    let of_team = matches!(it.r#type(), v1::ChannelType::Open | v1::ChannelType::Private);
    if of_team && is_full(tx, config, &it.team_id)? {
        let id = "store.sql_channel.save_channel.limit.app_error";
        return Err(invalid(id, "The team has as many channels as it may have.").into());
    }
    if is_taken(tx, &it)? {
        return Err(invalid(EXISTS, "A channel with that name already exists.").into());
    }
    if !rules::fits_the_database(&it) || find(tx, &it.id)?.is_some() {
        return Err(internal(CREATE, "Unable to save the channel.").into());
    }
    save(tx, &it)?;
    Ok(it)
}

fn clean(it: &mut v1::Channel) {
    it.name = without_blocked_characters(&it.name);
    it.display_name = without_blocked_characters(&it.display_name);
}

fn is_full(tx: &Tx<'_>, config: &Config, team_id: &str) -> Result<bool, Fault> {
    let count: Option<i64> = tx.value(
        "SELECT COUNT(*) FROM channels WHERE team_id = ?1 AND type IN (1, 2) AND delete_at = 0",
        [team_id],
    )?;
    Ok(count.unwrap_or(0) >= config.number("TeamSettings", "MaxChannelsPerTeam"))
}

fn is_taken(tx: &Tx<'_>, it: &v1::Channel) -> Result<bool, Fault> {
    tx.exists(
        "SELECT 1 FROM channels WHERE team_id = ?1 AND name = ?2 AND id <> ?3",
        [&it.team_id, &it.name, &it.id],
    )
}

/// Makes one of a new team's channels.
pub(super) fn create_default(
    tx: &WriteTx<'_>,
    config: &Config,
    team_id: &str,
    name: &str,
    display_name: &str,
) -> Result<(), Fault> {
    let mut channel = v1::Channel {
        team_id: team_id.to_owned(),
        name: name.to_owned(),
        display_name: display_name.to_owned(),
        ..Default::default()
    };
    channel.set_type(v1::ChannelType::Open);
    insert(tx, config, channel).map(drop)
}

pub(in super::super) async fn create_channel(
    ctx: &Ctx,
    it: v1::CreateChannelRequest,
) -> Result<v1::CreateChannelResponse, AppError> {
    let Some(mut channel) = it.channel else { return Err(absent("channel")) };
    channel.display_name = channel.display_name.trim().to_owned();
    if channel.delete_at != 0 {
        let id = "store.sql_channel.save.archived_channel.app_error";
        return Err(invalid(id, "A new channel cannot be archived."));
    }
    if channel.r#type() == v1::ChannelType::Direct {
        let id = "store.sql_channel.save.direct_channel.app_error";
        return Err(invalid(id, "A direct channel is made by GetDirectChannel."));
    }
    let config = ctx.config();
    let channel = ctx.write(CREATE, move |tx| insert(tx, &config, channel)).await?;
    tell_created(ctx, &channel);
    Ok(v1::CreateChannelResponse { channel: Some(channel), error: None })
}

/// Tells the plugins of a new channel.
pub(super) fn tell_created(ctx: &Ctx, channel: &v1::Channel) {
    ctx.tell(v1::ChannelHasBeenCreatedRequest {
        context: None,
        plugin_context: plugin_context(),
        channel: Some(channel.clone()),
    });
}

pub(in super::super) async fn delete_channel(
    ctx: &Ctx,
    it: v1::DeleteChannelRequest,
) -> Result<v1::DeleteChannelResponse, AppError> {
    let deleted = ctx.write("app.channel.delete.app_error", move |tx| {
        let mut channel = get(tx, &it.channel_id)?;
        if channel.delete_at > 0 {
            let id = "api.channel.delete_channel.deleted.app_error";
            return Err(invalid(id, "The channel is archived already.").into());
        }
        if channel.name == teams::TOWN_SQUARE {
            let id = "api.channel.delete_channel.cannot.app_error";
            return Err(invalid(id, "The default channel cannot be archived.").into());
        }
        channel.delete_at = tx.now();
        channel.update_at = channel.delete_at;
        save(tx, &channel)?;
        Ok((channel, super::system_bot::get(tx)?))
    });
    let (channel, bot) = deleted.await?;
    if let Some(bot) = bot {
        let post = super::system_posts::SystemPost::channel_deleted(&channel.id, &bot);
        super::system_posts::publish_or_log(ctx, post).await;
    }
    let to = match channel.r#type() {
        v1::ChannelType::Open => to_team(&channel.team_id),
        _ => to_channel(&channel.id),
    };
    let data = json!({ "channel_id": channel.id, "delete_at": channel.delete_at });
    ctx.publish("channel_deleted", data, to);
    Ok(v1::DeleteChannelResponse::default())
}

/// Everything is stored as it is sent. A channel that does not exist is no error: it is sent back.
pub(in super::super) async fn update_channel(
    ctx: &Ctx,
    it: v1::UpdateChannelRequest,
) -> Result<v1::UpdateChannelResponse, AppError> {
    let Some(mut channel) = it.channel else { return Err(absent("channel")) };
    let channel = ctx.write(UPDATE, move |tx| {
        channel.update_at = tx.now();
        clean(&mut channel);
        if channel.delete_at != 0 {
            return Err(invalid("app.channel.update.bad_id", "An archived channel.").into());
        }
        rules::check(&channel)?;
        if find(tx, &channel.id)?.is_none() {
            return Ok(channel);
        }
        if is_taken(tx, &channel)? {
            return Err(invalid(EXISTS, "A channel with that name already exists.").into());
        }
        if !rules::fits_the_database(&channel) {
            return Err(internal(UPDATE, "Unable to update the channel.").into());
        }
        save(tx, &channel)?;
        Ok(channel)
    });
    let channel = channel.await?;
    let data = json!({ "channel": event_json::channel(&channel) });
    ctx.publish("channel_updated", data, to_channel(&channel.id));
    Ok(v1::UpdateChannelResponse { channel: Some(channel), error: None })
}

pub(in super::super) async fn get_channel(
    ctx: &Ctx,
    it: v1::GetChannelRequest,
) -> Result<v1::GetChannelResponse, AppError> {
    let failing = "app.channel.get.find.app_error";
    let channel = ctx.read(failing, move |tx| get(tx, &it.channel_id)).await?;
    Ok(v1::GetChannelResponse { channel: Some(channel), error: None })
}

pub(in super::super) async fn get_channel_by_name(
    ctx: &Ctx,
    it: v1::GetChannelByNameRequest,
) -> Result<v1::GetChannelByNameResponse, AppError> {
    let channel =
        ctx.read(BY_NAME, move |tx| named(tx, &it.team_id, &it.name, it.include_deleted)).await?;
    Ok(v1::GetChannelByNameResponse { channel: Some(channel), error: None })
}

const BY_NAME: &str = "app.channel.get_by_name.existing.app_error";

fn named(tx: &Tx<'_>, team_id: &str, name: &str, archived: bool) -> Result<v1::Channel, Fault> {
    by_name(tx, team_id, name, archived)?.ok_or_else(|| {
        not_found("app.channel.get_by_name.missing.app_error", "The channel does not exist.").into()
    })
}

pub(in super::super) async fn get_channel_by_name_for_team_name(
    ctx: &Ctx,
    it: v1::GetChannelByNameForTeamNameRequest,
) -> Result<v1::GetChannelByNameForTeamNameResponse, AppError> {
    let channel = ctx.read(BY_NAME, move |tx| {
        let team = teams::by_name(tx, &it.team_name)?;
        named(tx, &team.id, &it.channel_name, it.include_deleted)
    });
    Ok(v1::GetChannelByNameForTeamNameResponse { channel: Some(channel.await?), error: None })
}
