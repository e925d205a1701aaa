//! Who is in which channel.

use std::collections::BTreeMap;

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;
use serde_json::json;

use super::super::ctx::{Ctx, to_user};
use super::super::paging::Page;
use super::super::refusal::{internal, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::member_roles::MemberRoles;
use super::user_rules::is_guest;
use super::{channel_notify, channels, event_json, teams};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE channel_members (
    channel_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    explicit_roles TEXT NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (channel_id, user_id)
) WITHOUT ROWID;
CREATE INDEX channel_members_by_user ON channel_members (user_id);
";

const GET_ALL: &str = "app.channel.get_members.app_error";

/// The membership.
pub(super) fn find(
    tx: &Tx<'_>,
    channel_id: &str,
    user_id: &str,
) -> Result<Option<v1::ChannelMember>, Fault> {
    tx.message(
        "SELECT message FROM channel_members WHERE channel_id = ?1 AND user_id = ?2",
        [channel_id, user_id],
    )
}

/// The same; 404 if there is none.
pub(super) fn get(
    tx: &Tx<'_>,
    channel_id: &str,
    user_id: &str,
) -> Result<v1::ChannelMember, Fault> {
    find(tx, channel_id, user_id)?.ok_or_else(|| {
        let id = "app.channel.get_member.missing.app_error";
        not_found(id, "Unable to find the member of the channel.").into()
    })
}

/// All members of a channel, deactivated users too, by the id of the user.
pub(super) fn of_channel(tx: &Tx<'_>, channel_id: &str) -> Result<Vec<v1::ChannelMember>, Fault> {
    tx.messages(
        "SELECT message FROM channel_members WHERE channel_id = ?1 ORDER BY user_id",
        [channel_id],
    )
}

/// Makes the user a member, whatever the channel is.
pub(super) fn insert(
    tx: &WriteTx<'_>,
    channel: &v1::Channel,
    user: &v1::User,
    admin: bool,
) -> Result<v1::ChannelMember, Fault> {
    let guest = is_guest(user);
    let roles = MemberRoles { guest, user: !guest, admin, explicit: String::new() };
    let mut member = v1::ChannelMember {
        channel_id: channel.id.clone(),
        user_id: user.id.clone(),
        notify_props: channel_notify::defaults(),
        last_update_at: tx.now(),
        ..Default::default()
    };
    set_roles(tx, &mut member, &roles)?;
    Ok(member)
}

/// Stores a membership with other roles.
fn set_roles(
    tx: &WriteTx<'_>,
    member: &mut v1::ChannelMember,
    roles: &MemberRoles,
) -> Result<(), Fault> {
    (member.scheme_guest, member.scheme_user, member.scheme_admin) =
        (roles.guest, roles.user, roles.admin);
    member.roles = roles.names("channel");
    channel_notify::check(member, &roles.explicit)?;
    tx.execute(
        "INSERT INTO channel_members (channel_id, user_id, explicit_roles, message)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET
             explicit_roles = excluded.explicit_roles, message = excluded.message",
        params![member.channel_id, member.user_id, roles.explicit, member.encode_to_vec()],
    )
    .map(drop)
}

/// Stores a membership anew, with the roles that it has.
pub(super) fn save(tx: &WriteTx<'_>, member: &v1::ChannelMember) -> Result<(), Fault> {
    tx.execute(
        "UPDATE channel_members SET message = ?3 WHERE channel_id = ?1 AND user_id = ?2",
        params![member.channel_id, member.user_id, member.encode_to_vec()],
    )
    .map(drop)
}

/// Tells the member of a change.
pub(super) fn publish_updated(ctx: &Ctx, member: &v1::ChannelMember) {
    let data = json!({ "channelMember": event_json::channel_member(member) });
    ctx.publish("channel_member_updated", data, to_user(&member.user_id));
}

pub(in super::super) async fn get_channel_member(
    ctx: &Ctx,
    it: v1::GetChannelMemberRequest,
) -> Result<v1::GetChannelMemberResponse, AppError> {
    let failing = "app.channel.get_member.app_error";
    let member = ctx.read(failing, move |tx| get(tx, &it.channel_id, &it.user_id)).await?;
    Ok(v1::GetChannelMemberResponse { channel_member: Some(member), error: None })
}

/// By the id of the user. A page without a size has all members.
pub(in super::super) async fn get_channel_members(
    ctx: &Ctx,
    it: v1::GetChannelMembersRequest,
) -> Result<v1::GetChannelMembersResponse, AppError> {
    let (page, size) = (i64::from(it.page), i64::from(it.per_page));
    let limit = if size <= 0 { -1 } else { size };
    let offset = (page * size).max(0);
    let members = ctx.read(GET_ALL, move |tx| {
        tx.messages(
            "SELECT message FROM channel_members WHERE channel_id = ?1
             ORDER BY user_id LIMIT ?2 OFFSET ?3",
            params![it.channel_id, limit, offset],
        )
    });
    Ok(v1::GetChannelMembersResponse { channel_members: members.await?, error: None })
}

pub(in super::super) async fn get_channel_members_by_ids(
    ctx: &Ctx,
    it: v1::GetChannelMembersByIdsRequest,
) -> Result<v1::GetChannelMembersByIdsResponse, AppError> {
    let ids = json!(it.user_ids).to_string();
    let members = ctx.read("app.channel.get_members_by_ids.app_error", move |tx| {
        tx.messages(
            "SELECT message FROM channel_members
             WHERE channel_id = ?1 AND user_id IN (SELECT value FROM json_each(?2))
             ORDER BY user_id",
            [it.channel_id, ids],
        )
    });
    Ok(v1::GetChannelMembersByIdsResponse { channel_members: members.await?, error: None })
}

/// In all teams, whatever team is asked for, by the id of the channel.
pub(in super::super) async fn get_channel_members_for_user(
    ctx: &Ctx,
    it: v1::GetChannelMembersForUserRequest,
) -> Result<v1::GetChannelMembersForUserResponse, AppError> {
    let Some(page) = Page::of(it.page, it.per_page) else {
        let message = "Unable to get the members: a page and its size are 0 or more.";
        return Err(internal(GET_ALL, message));
    };
    let members = ctx.read(GET_ALL, move |tx| {
        tx.messages(
            "SELECT message FROM channel_members WHERE user_id = ?1
             ORDER BY channel_id LIMIT ?2 OFFSET ?3",
            params![it.user_id, page.limit, page.offset],
        )
    });
    Ok(v1::GetChannelMembersForUserResponse { channel_members: members.await?, error: None })
}

pub(in super::super) async fn update_channel_member_roles(
    ctx: &Ctx,
    it: v1::UpdateChannelMemberRolesRequest,
) -> Result<v1::UpdateChannelMemberRolesResponse, AppError> {
    let member = ctx.write("app.channel.update_member.app_error", move |tx| {
        let mut member = get(tx, &it.channel_id, &it.user_id)?;
        let channel = channels::get(tx, &it.channel_id)?;
        if channel.team_id.is_empty() {
            return Err(teams::missing().into());
        }
        let roles = MemberRoles::parsed("channel", &it.new_roles, member.scheme_guest)?;
        member.last_update_at = tx.now();
        set_roles(tx, &mut member, &roles)?;
        Ok(member)
    });
    let member = member.await?;
    publish_updated(ctx, &member);
    Ok(v1::UpdateChannelMemberRolesResponse { channel_member: Some(member), error: None })
}

/// Lays settings over those that a member has.
pub(super) fn merge(
    tx: &WriteTx<'_>,
    member: &mut v1::ChannelMember,
    settings: BTreeMap<String, String>,
) -> Result<(), Fault> {
    member.notify_props.extend(settings);
    member.last_update_at = tx.now();
    save(tx, member)
}
