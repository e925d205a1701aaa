//! Joining and leaving channels, and what follows: posts, hooks and events.

use plugin_proto::v1;
use serde_json::json;

use super::super::ctx::{Ctx, plugin_context, to_channel, to_team, to_user};
use super::super::refusal::{forbidden, internal, invalid};
use super::super::store::{Fault, WriteTx};
use super::system_posts::{self, SystemPost};
use super::user_rules::is_guest;
use super::{channel_members as members, channels, sidebar_categories, team_joins, team_members};
use super::{teams, users};
use crate::api::AppError;

pub(in super::super) async fn add_channel_member(
    ctx: &Ctx,
    it: v1::AddChannelMemberRequest,
) -> Result<v1::AddChannelMemberResponse, AppError> {
    let channel_member = join(ctx, it.channel_id, it.user_id, String::new()).await?;
    Ok(v1::AddChannelMemberResponse { channel_member: Some(channel_member), error: None })
}

pub(in super::super) async fn add_user_to_channel(
    ctx: &Ctx,
    it: v1::AddUserToChannelRequest,
) -> Result<v1::AddUserToChannelResponse, AppError> {
    let channel_member = join(ctx, it.channel_id, it.user_id, it.as_user_id).await?;
    Ok(v1::AddUserToChannelResponse { channel_member: Some(channel_member), error: None })
}

/// Adds a user to a channel; in the name of `as_user_id` unless that is empty.
async fn join(
    ctx: &Ctx,
    channel_id: String,
    user_id: String,
    as_user_id: String,
) -> Result<v1::ChannelMember, AppError> {
    let joined = ctx.write("api.channel.add_user.to.channel.failed.app_error", move |tx| {
        let channel = channels::get(tx, &channel_id)?;
        if let Some(member) = members::find(tx, &channel_id, &user_id)? {
            return Ok((member, None));
        }
        let (user, actor) = check_joining(tx, &channel, &user_id, &as_user_id)?;
        let member = members::insert(tx, &channel, &user, false)?;
        Ok((member, Some((user, actor))))
    });
    let (member, new) = joined.await?;
    let Some((user, actor)) = new else { return Ok(member) };
    let (channel, guest) = (&member.channel_id, is_guest(&user));
    ctx.tell(v1::UserHasJoinedChannelRequest {
        context: None,
        plugin_context: plugin_context(),
        channel_member: Some(member.clone()),
        actor: actor.clone(),
    });
    let posted = match actor.filter(|actor| actor.id != user.id) {
        Some(by) => {
            let post = SystemPost::added_to_channel(channel, &user, &by, guest);
            system_posts::publish_or_log(ctx, post).await;
            Ok(())
        }
        None => {
            let post = SystemPost::joined_channel(channel, &user, guest);
            system_posts::publish(ctx, post).await
        }
    };
    let data = json!({ "user_id": user.id });
    let omit_users = vec![user.id.clone()];
    let others = v1::WebsocketBroadcast { omit_users, ..to_channel(channel) };
    ctx.publish("user_added", data.clone(), others);
    ctx.publish(
        "user_added",
        data,
        v1::WebsocketBroadcast { channel_id: channel.clone(), ..to_user(&user.id) },
    );
    if let Err(error) = posted {
        let id = "api.channel.post_user_add_remove_message_and_forget.error";
        return Err(internal(id, "Failed to post the join message.").detail(error.id));
    }
    Ok(member)
}

fn check_joining(
    tx: &WriteTx<'_>,
    channel: &v1::Channel,
    user_id: &str,
    as_user_id: &str,
) -> Result<(v1::User, Option<v1::User>), Fault> {
    let user = users::get(tx, user_id)?;
    if user.delete_at > 0 {
        let id = "app.channel.add_member.deleted_user.app_error";
        return Err(forbidden(id, "The user is deactivated.").into());
    }
    let actor = match as_user_id {
        "" => None,
        id => Some(users::get(tx, id)?),
    };
    if team_members::get(tx, &channel.team_id, user_id)?.delete_at > 0 {
        let id = "api.channel.add_user.to.channel.failed.deleted.app_error";
        return Err(invalid(id, "The user has been removed from the team.").into());
    }
    if !matches!(channel.r#type(), v1::ChannelType::Open | v1::ChannelType::Private) {
        let id = "api.channel.add_user_to_channel.type.app_error";
        return Err(invalid(id, "Nobody can be added to a channel of this type.").into());
    }
    Ok((user, actor))
}

/// A leave, not a removal: the user is the one who acts.
pub(in super::super) async fn delete_channel_member(
    ctx: &Ctx,
    it: v1::DeleteChannelMemberRequest,
) -> Result<v1::DeleteChannelMemberResponse, AppError> {
    let left = ctx.write("app.channel.remove_member.app_error", move |tx| {
        let channel = channels::get(tx, &it.channel_id)?;
        let user = users::get(tx, &it.user_id)?;
        if matches!(channel.r#type(), v1::ChannelType::Direct | v1::ChannelType::Group) {
            let id = "api.channel.leave.direct.app_error";
            return Err(invalid(id, "Nobody can leave a direct or a group message.").into());
        }
        if channel.name == teams::TOWN_SQUARE && !is_guest(&user) {
            let id = "api.channel.remove.default.app_error";
            return Err(invalid(id, "Nobody can leave the default channel.").into());
        }
        let member = members::get(tx, &channel.id, &user.id)?;
        tx.execute(
            "DELETE FROM channel_members WHERE channel_id = ?1 AND user_id = ?2",
            [&channel.id, &user.id],
        )?;
        sidebar_categories::forget(tx, &user.id, &channel.id)?;
        let out = team_joins::leave_if_guest_without_channels(tx, &channel.team_id, &user)?;
        Ok((user, member, out))
    });
    let (user, member, left_team) = left.await?;
    let channel_id = &member.channel_id;
    system_posts::publish_or_log(ctx, SystemPost::left_channel(channel_id, &user)).await;
    let data = json!({ "user_id": user.id, "remover_id": user.id });
    ctx.publish("user_removed", data, to_channel(channel_id));
    let data = json!({ "channel_id": channel_id, "remover_id": user.id });
    ctx.publish("user_removed", data, to_user(&user.id));
    ctx.tell(v1::UserHasLeftChannelRequest {
        context: None,
        plugin_context: plugin_context(),
        channel_member: Some(member),
        actor: Some(user.clone()),
    });
    if let Some(member) = left_team {
        let data = json!({ "user_id": member.user_id, "team_id": member.team_id });
        ctx.publish("leave_team", data.clone(), to_team(&member.team_id));
        ctx.publish("leave_team", data, to_user(&member.user_id));
        ctx.tell(v1::UserHasLeftTeamRequest {
            context: None,
            plugin_context: plugin_context(),
            team_member: Some(v1::TeamMember { roles: String::new(), ..member }),
            actor: Some(user),
        });
    }
    Ok(v1::DeleteChannelMemberResponse::default())
}
