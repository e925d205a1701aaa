//! Who is in which team.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;
use serde_json::json;

use super::super::ctx::{Ctx, to_user};
use super::super::limits::is_id;
use super::super::paging::Page;
use super::super::refusal::{internal, invalid, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::member_roles::MemberRoles;
use super::{event_json, teams};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE team_members (
    team_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    delete_at INTEGER NOT NULL,
    explicit_roles TEXT NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (team_id, user_id)
) WITHOUT ROWID;
CREATE INDEX team_members_by_user ON team_members (user_id);
";

const GET_ALL: &str = "app.team.get_members.app_error";

/// The membership, removed or not.
pub(super) fn find(
    tx: &Tx<'_>,
    team_id: &str,
    user_id: &str,
) -> Result<Option<v1::TeamMember>, Fault> {
    tx.message(
        "SELECT message FROM team_members WHERE team_id = ?1 AND user_id = ?2",
        [team_id, user_id],
    )
}

/// The same; 404 if there never was one.
pub(super) fn get(tx: &Tx<'_>, team_id: &str, user_id: &str) -> Result<v1::TeamMember, Fault> {
    find(tx, team_id, user_id)?.ok_or_else(|| {
        let id = "app.team.get_member.missing.app_error";
        not_found(id, "Unable to find the member of the team.").into()
    })
}

/// The user's memberships that are not removed.
pub(super) fn of_user(tx: &Tx<'_>, user_id: &str) -> Result<Vec<v1::TeamMember>, Fault> {
    tx.messages(
        "SELECT message FROM team_members WHERE user_id = ?1 AND delete_at = 0 ORDER BY team_id",
        [user_id],
    )
}

/// How many members are neither removed nor deactivated.
pub(super) fn active_count(tx: &Tx<'_>, team_id: &str) -> Result<i64, Fault> {
    let count = tx.value(
        "SELECT COUNT(*) FROM team_members AS m JOIN users ON users.id = m.user_id
         WHERE m.team_id = ?1 AND m.delete_at = 0 AND users.delete_at = 0",
        [team_id],
    )?;
    Ok(count.unwrap_or(0))
}

/// Stores a membership, or stores it anew; `roles` says what its flags and names are.
pub(super) fn save(
    tx: &WriteTx<'_>,
    member: &mut v1::TeamMember,
    roles: &MemberRoles,
) -> Result<(), Fault> {
    (member.scheme_guest, member.scheme_user, member.scheme_admin) =
        (roles.guest, roles.user, roles.admin);
    member.roles = roles.names("team");
    let rules = [
        ("team_id", is_id(&member.team_id)),
        ("user_id", is_id(&member.user_id)),
        ("roles_limit", roles.explicit.len() <= super::user_rules::MAX_ROLES_BYTES),
    ];
    if let Some((field, _)) = rules.into_iter().find(|(_, kept)| !kept) {
        let id = format!("model.team_member.is_valid.{field}.app_error");
        return Err(invalid(&id, &format!("Invalid member of a team: {field}.")).into());
    }
    tx.execute(
        "INSERT INTO team_members (team_id, user_id, delete_at, explicit_roles, message)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET
             delete_at = excluded.delete_at, explicit_roles = excluded.explicit_roles,
             message = excluded.message",
        params![
            member.team_id,
            member.user_id,
            member.delete_at,
            roles.explicit,
            member.encode_to_vec()
        ],
    )
    .map(drop)
}

/// Stores a membership whose roles stay as they are.
pub(super) fn save_removed(tx: &WriteTx<'_>, member: &v1::TeamMember) -> Result<(), Fault> {
    tx.execute(
        "UPDATE team_members SET delete_at = ?3, message = ?4 WHERE team_id = ?1 AND user_id = ?2",
        params![member.team_id, member.user_id, member.delete_at, member.encode_to_vec()],
    )
    .map(drop)
}

/// By the id of the user, who may be deactivated.
pub(in super::super) async fn get_team_members(
    ctx: &Ctx,
    it: v1::GetTeamMembersRequest,
) -> Result<v1::GetTeamMembersResponse, AppError> {
    let page = Page::of(it.page, it.per_page).ok_or_else(negative)?;
    let team_members = ctx.read(GET_ALL, move |tx| {
        tx.messages(
            "SELECT message FROM team_members WHERE team_id = ?1 AND delete_at = 0
             ORDER BY user_id LIMIT ?2 OFFSET ?3",
            params![it.team_id, page.limit, page.offset],
        )
    });
    Ok(v1::GetTeamMembersResponse { team_members: team_members.await?, error: None })
}

fn negative() -> AppError {
    internal(GET_ALL, "Unable to get the members: a page and its size are 0 or more.")
}

pub(in super::super) async fn get_team_member(
    ctx: &Ctx,
    it: v1::GetTeamMemberRequest,
) -> Result<v1::GetTeamMemberResponse, AppError> {
    let failing = "app.team.get_member.app_error";
    let member = ctx.read(failing, move |tx| get(tx, &it.team_id, &it.user_id)).await?;
    Ok(v1::GetTeamMemberResponse { team_member: Some(member), error: None })
}

/// With those that were removed.
pub(in super::super) async fn get_team_members_for_user(
    ctx: &Ctx,
    it: v1::GetTeamMembersForUserRequest,
) -> Result<v1::GetTeamMembersForUserResponse, AppError> {
    let page = Page::of(it.page, it.per_page).ok_or_else(negative)?;
    let team_members = ctx.read(GET_ALL, move |tx| {
        tx.messages(
            "SELECT message FROM team_members WHERE user_id = ?1
             ORDER BY team_id LIMIT ?2 OFFSET ?3",
            params![it.user_id, page.limit, page.offset],
        )
    });
    Ok(v1::GetTeamMembersForUserResponse { team_members: team_members.await?, error: None })
}

pub(in super::super) async fn update_team_member_roles(
    ctx: &Ctx,
    it: v1::UpdateTeamMemberRolesRequest,
) -> Result<v1::UpdateTeamMemberRolesResponse, AppError> {
    let member = ctx.write("app.team.save_member.save.app_error", move |tx| {
        let mut member = get(tx, &it.team_id, &it.user_id)?;
        teams::get(tx, &it.team_id)?;
        let roles = MemberRoles::parsed("team", &it.new_roles, member.scheme_guest)?;
        save(tx, &mut member, &roles)?;
        Ok(member)
    });
    let member = member.await?;
    let data = json!({ "member": event_json::team_member(&member) });
    ctx.publish("memberrole_updated", data, to_user(&member.user_id));
    Ok(v1::UpdateTeamMemberRolesResponse { team_member: Some(member), error: None })
}

/// By team, the messages and mentions in the channels that the user is in; the order is by team id.
pub(in super::super) async fn get_teams_unread_for_user(
    ctx: &Ctx,
    it: v1::GetTeamsUnreadForUserRequest,
) -> Result<v1::GetTeamsUnreadForUserResponse, AppError> {
    let team_unreads = ctx.read("app.team.get_unread.app_error", move |tx| {
        let rows = tx.rows(
            "SELECT m.message, c.message FROM channel_members AS m
             JOIN channels AS c ON c.id = m.channel_id
             WHERE m.user_id = ?1 AND c.delete_at = 0 AND c.team_id <> '' ORDER BY c.team_id",
            [&it.user_id],
            |row| {
                let message = |at| row.get_ref(at)?.as_blob().map_err(rusqlite::Error::from);
                Ok((v1::ChannelMember::decode(message(0)?)?, v1::Channel::decode(message(1)?)?))
            },
        )?;
        let mut unreads: Vec<v1::TeamUnread> = Vec::new();
        for (member, channel) in rows {
            if unreads.last().is_none_or(|unread| unread.team_id != channel.team_id) {
                unreads.push(v1::TeamUnread { team_id: channel.team_id, ..Default::default() });
            }
            let Some(unread) = unreads.last_mut() else { continue };
            if member.notify_props.get("mark_unread").is_none_or(|it| it != "mention") {
                unread.msg_count += channel.total_msg_count - member.msg_count;
                unread.msg_count_root += channel.total_msg_count_root - member.msg_count_root;
            }
            unread.mention_count += member.mention_count;
            unread.mention_count_root += member.mention_count_root;
        }
        Ok(unreads)
    });
    Ok(v1::GetTeamsUnreadForUserResponse { team_unreads: team_unreads.await?, error: None })
}
