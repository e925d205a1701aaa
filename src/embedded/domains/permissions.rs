//! What users may do, by the roles that they have on the server, in a team and in a channel.

use plugin_proto::v1;

use super::super::ctx::Ctx;
use super::super::store::{Fault, Tx};
use super::role_table::role;
use super::{channel_members, channels, team_members, users};
use crate::api::AppError;

/// Whether one of the roles grants it. Names of no role are skipped.
pub(super) fn roles_grant<'a>(names: impl IntoIterator<Item = &'a str>, permission: &str) -> bool {
    names.into_iter().filter_map(role).any(|role| role.grants(permission))
}

/// By the roles of the user on the server; a deactivated user still has them.
pub(super) fn granted(tx: &Tx<'_>, user_id: &str, permission: &str) -> Result<bool, Fault> {
    let user = users::find(tx, user_id)?;
    Ok(user.is_some_and(|user| roles_grant(user.roles.split_whitespace(), permission)))
}

/// By the roles in the team or on the server. The team need not exist.
pub(super) fn granted_in_team(
    tx: &Tx<'_>,
    user_id: &str,
    team_id: &str,
    permission: &str,
) -> Result<bool, Fault> {
    if user_id.is_empty() || team_id.is_empty() {
        return Ok(false);
    }
    let member = team_members::find(tx, team_id, user_id)?.filter(|member| member.delete_at == 0);
    if member.is_some_and(|member| roles_grant(member.roles.split_whitespace(), permission)) {
        return Ok(true);
    }
    granted(tx, user_id, permission)
}

/// By the roles in the channel, in its team or on the server. The channel need not exist.
pub(super) fn granted_in_channel(
    tx: &Tx<'_>,
    user_id: &str,
    channel_id: &str,
    permission: &str,
) -> Result<bool, Fault> {
    if user_id.is_empty() || channel_id.is_empty() {
        return Ok(false);
    }
    let member = channel_members::find(tx, channel_id, user_id)?;
    if member.is_some_and(|member| roles_grant(member.roles.split_whitespace(), permission)) {
        return Ok(true);
    }
    match channels::find(tx, channel_id)? {
        Some(channel) if !channel.team_id.is_empty() => {
            granted_in_team(tx, user_id, &channel.team_id, permission)
        }
        _ => granted(tx, user_id, permission),
    }
}

pub(in super::super) async fn has_permission_to(
    ctx: &Ctx,
    it: v1::HasPermissionToRequest,
) -> Result<v1::HasPermissionToResponse, AppError> {
    let has = ctx.read(GET, move |tx| granted(tx, &it.user_id, &it.permission_id));
    Ok(v1::HasPermissionToResponse { has_permission: has.await?, error: None })
}

pub(in super::super) async fn has_permission_to_team(
    ctx: &Ctx,
    it: v1::HasPermissionToTeamRequest,
) -> Result<v1::HasPermissionToTeamResponse, AppError> {
    let has =
        ctx.read(GET, move |tx| granted_in_team(tx, &it.user_id, &it.team_id, &it.permission_id));
    Ok(v1::HasPermissionToTeamResponse { has_permission: has.await?, error: None })
}

pub(in super::super) async fn has_permission_to_channel(
    ctx: &Ctx,
    it: v1::HasPermissionToChannelRequest,
) -> Result<v1::HasPermissionToChannelResponse, AppError> {
    let has = ctx.read(GET, move |tx| {
        granted_in_channel(tx, &it.user_id, &it.channel_id, &it.permission_id)
    });
    Ok(v1::HasPermissionToChannelResponse { has_permission: has.await?, error: None })
}

pub(in super::super) async fn roles_grant_permission(
    _: &Ctx,
    it: v1::RolesGrantPermissionRequest,
) -> Result<v1::RolesGrantPermissionResponse, AppError> {
    let names = it.role_names.iter().map(String::as_str);
    let has_permission = roles_grant(names, &it.permission_id);
    Ok(v1::RolesGrantPermissionResponse { has_permission, error: None })
}

const GET: &str = "app.user.get.app_error";
