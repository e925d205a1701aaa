//! Direct and group messages: channels of no team that are known by their members.

use plugin_proto::v1;
use serde_json::json;
use sha1::{Digest as _, Sha1};

use super::super::config::Config;
use super::super::ctx::{Ctx, to_channel, to_user};
use super::super::refusal::{forbidden, invalid};
use super::super::store::{Fault, Tx, WriteTx};
use super::{channel_members as members, channels, users};
use crate::api::AppError;

const CREATE: &str = "app.channel.create_direct_channel.internal_error";
const MAX_DISPLAY_NAME_BYTES: usize = 64;

/// The name of the channel between two users, or of one with himself.
pub(super) fn direct_name(one: &str, other: &str) -> String {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    format!("{first}__{second}")
}

/// The name of the channel of these users.
fn group_name(mut ids: Vec<&str>) -> String {
    ids.sort_unstable();
    hex::encode(Sha1::digest(ids.concat()))
}

pub(in super::super) async fn get_direct_channel(
    ctx: &Ctx,
    it: v1::GetDirectChannelRequest,
) -> Result<v1::GetDirectChannelResponse, AppError> {
    let channel = direct(ctx, it.user_id_1, it.user_id_2).await?;
    Ok(v1::GetDirectChannelResponse { channel: Some(channel), error: None })
}

/// The channel between two users, which is made if there is none.
pub(super) async fn direct(ctx: &Ctx, one: String, other: String) -> Result<v1::Channel, AppError> {
    let config = ctx.config();
    let (creator, teammate) = (one.clone(), other.clone());
    let made = ctx.write(CREATE, move |tx| direct_in(tx, &config, &one, &other));
    let (channel, new) = made.await?;
    if new {
        channels::tell_created(ctx, &channel);
        let data = json!({ "creator_id": creator, "teammate_id": teammate });
        ctx.publish("direct_added", data, to_channel(&channel.id));
    }
    Ok(channel)
}

/// The channel, and whether it was made now.
fn direct_in(
    tx: &WriteTx<'_>,
    config: &Config,
    one: &str,
    other: &str,
) -> Result<(v1::Channel, bool), Fault> {
    let name = direct_name(one, other);
    if let Some(channel) = channels::by_name(tx, "", &name, true)? {
        return Ok((channel, false));
    }
    let (Some(one), Some(other)) = (users::find(tx, one)?, users::find(tx, other)?) else {
        let id = "api.channel.create_direct_channel.invalid_user.app_error";
        return Err(invalid(id, "One of the users does not exist.").into());
    };
    let restricted = config.text("TeamSettings", "RestrictDirectMessage") == "team";
    if restricted && !one.is_bot && !other.is_bot && !have_common_team(tx, &one.id, &other.id)? {
        let id = "api.channel.create_channel.direct_channel.team_restricted_error";
        return Err(forbidden(id, "The users have no team in common.").into());
    }
    let mut channel =
        v1::Channel { name, creator_id: one.id.clone(), shared: Some(false), ..Default::default() };
    channel.set_type(v1::ChannelType::Direct);
    let channel = channels::insert(tx, config, channel)?;
    members::insert(tx, &channel, &one, false)?;
    if one.id != other.id {
        members::insert(tx, &channel, &other, false)?;
    }
    Ok((channel, true))
}

fn have_common_team(tx: &Tx<'_>, one: &str, other: &str) -> Result<bool, Fault> {
    tx.exists(
        "SELECT 1 FROM team_members AS a JOIN team_members AS b ON b.team_id = a.team_id
         WHERE a.user_id = ?1 AND b.user_id = ?2 AND a.delete_at = 0 AND b.delete_at = 0",
        [one, other],
    )
}

pub(in super::super) async fn get_group_channel(
    ctx: &Ctx,
    it: v1::GetGroupChannelRequest,
) -> Result<v1::GetGroupChannelResponse, AppError> {
    if !(3..=8).contains(&it.user_ids.len()) {
        let id = "api.channel.create_group.bad_size.app_error";
        return Err(invalid(id, "A group message has 3 to 8 users."));
    }
    let config = ctx.config();
    let mut ids = it.user_ids.clone();
    let made = ctx.write(CREATE, move |tx| group_in(tx, &config, it.user_ids));
    let (channel, new) = made.await?;
    if new {
        channels::tell_created(ctx, &channel);
        ids.sort_unstable();
        let list = json!(ids).to_string();
        for id in &ids {
            let to = v1::WebsocketBroadcast { channel_id: channel.id.clone(), ..to_user(id) };
            ctx.publish("group_added", json!({ "teammate_ids": list }), to);
        }
    }
    Ok(v1::GetGroupChannelResponse { channel: Some(channel), error: None })
}

fn group_in(
    tx: &WriteTx<'_>,
    config: &Config,
    ids: Vec<String>,
) -> Result<(v1::Channel, bool), Fault> {
    let mut members = Vec::with_capacity(ids.len());
    for id in &ids {
        let known = members.iter().any(|user: &v1::User| user.id == *id);
        match users::find(tx, id)? {
            Some(user) if !known => members.push(user),
            _ => {
                let id = "api.channel.create_group.bad_user.app_error";
                return Err(invalid(id, "One of the users does not exist or is repeated.").into());
            }
        }
    }
    let name = group_name(ids.iter().map(String::as_str).collect());
    if let Some(channel) = channels::by_name(tx, "", &name, true)? {
        return Ok((channel, false));
    }
    let mut names: Vec<&str> = members.iter().map(|user| user.username.as_str()).collect();
    names.sort_unstable();
    let mut display_name = names.join(", ");
    // Usernames are ASCII.
    display_name.truncate(MAX_DISPLAY_NAME_BYTES);
    let mut channel = v1::Channel { name, display_name, shared: Some(false), ..Default::default() };
    channel.set_type(v1::ChannelType::Group);
    let channel = channels::insert(tx, config, channel)?;
    for user in &members {
        super::channel_members::insert(tx, &channel, user, false)?;
    }
    Ok((channel, true))
}

/// A new bot opens a channel with the person whose bot it is, and says where it can be added.
pub(super) async fn greet_owner(
    ctx: &Ctx,
    bot: &v1::Bot,
    owner: &v1::User,
) -> Result<(), AppError> {
    let channel = direct(ctx, bot.user_id.clone(), owner.id.clone()).await?;
    let post = super::system_posts::SystemPost::bot_added(&channel.id, bot);
    super::system_posts::publish_or_log(ctx, post).await;
    Ok(())
}
