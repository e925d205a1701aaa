//! Joining and leaving teams, and what follows: default channels, posts, hooks and events.

use plugin_proto::v1;
use serde_json::json;

use super::super::config::Config;
use super::super::ctx::{Ctx, plugin_context, to_channel, to_team, to_user};
use super::super::refusal::{invalid, not_found};
use super::super::store::{Fault, WriteTx};
use super::member_roles::MemberRoles;
use super::system_posts::{self, SystemPost};
use super::user_rules::{is_guest, is_of_domain};
use super::{channel_members, channels, sidebar_categories, team_members, teams, users};
use crate::api::AppError;

const SAVE: &str = "app.team.join_user_to_team.save_member.app_error";

/// What a transaction has made of a request to join.
struct Joined {
    member: v1::TeamMember,
    /// The user, and the default channels that were joined; nothing for one who was in the team.
    new: Option<(v1::User, Vec<v1::Channel>)>,
    /// Who added the user, if it is somebody.
    requestor: Option<v1::User>,
}

pub(in super::super) async fn create_team_member(
    ctx: &Ctx,
    it: v1::CreateTeamMemberRequest,
) -> Result<v1::CreateTeamMemberResponse, AppError> {
    let team_member = join(ctx, it.team_id, it.user_id, String::new()).await?;
    Ok(v1::CreateTeamMemberResponse { team_member: Some(team_member), error: None })
}

/// One after the other until the first error; those before it stay.
pub(in super::super) async fn create_team_members(
    ctx: &Ctx,
    it: v1::CreateTeamMembersRequest,
) -> Result<v1::CreateTeamMembersResponse, AppError> {
    let mut team_members = Vec::with_capacity(it.user_ids.len());
    for user_id in it.user_ids {
        team_members.push(join(ctx, it.team_id.clone(), user_id, it.requestor_id.clone()).await?);
    }
    Ok(v1::CreateTeamMembersResponse { team_members, error: None })
}

/// One after the other; an error is an element of the answer.
pub(in super::super) async fn create_team_members_gracefully(
    ctx: &Ctx,
    it: v1::CreateTeamMembersGracefullyRequest,
) -> Result<v1::CreateTeamMembersGracefullyResponse, AppError> {
    let mut team_members = Vec::with_capacity(it.user_ids.len());
    for user_id in it.user_ids {
        let joined = join(ctx, it.team_id.clone(), user_id.clone(), it.requestor_id.clone()).await;
        let (member, error) = match joined {
            Ok(member) => (Some(member), None),
            Err(error) => (None, Some(error.at("CreateTeamMembersGracefully").into())),
        };
        team_members.push(v1::TeamMemberWithError { user_id, member, error });
    }
    Ok(v1::CreateTeamMembersGracefullyResponse { team_members, error: None })
}

/// Adds a user to a team; in the name of `requestor_id` unless that is empty.
async fn join(
    ctx: &Ctx,
    team_id: String,
    user_id: String,
    requestor_id: String,
) -> Result<v1::TeamMember, AppError> {
    let config = ctx.config();
    let stored = move |tx: &WriteTx<'_>| joined(tx, &config, &team_id, &user_id, &requestor_id);
    let Joined { member, new, requestor } = ctx.write(SAVE, stored).await?;
    let added = || {
        let data = json!({ "team_id": member.team_id, "user_id": member.user_id });
        ctx.publish("added_to_team", data, to_user(&member.user_id));
    };
    if let Some((user, channels)) = new {
        ctx.tell(v1::UserHasJoinedTeamRequest {
            context: None,
            plugin_context: plugin_context(),
            team_member: Some(member.clone()),
            actor: requestor.clone(),
        });
        for channel in channels {
            let in_town_square = channel.name == teams::TOWN_SQUARE;
            let post = match &requestor {
                Some(by) if in_town_square => SystemPost::added_to_team(&channel.id, &user, by),
                Some(by) => SystemPost::added_to_channel(&channel.id, &user, by, false),
                None if in_town_square => SystemPost::joined_team(&channel.id, &user),
                None => SystemPost::joined_channel(&channel.id, &user, false),
            };
            system_posts::publish_or_log(ctx, post).await;
            let data = json!({ "user_id": user.id, "team_id": channel.team_id });
            ctx.publish("user_added", data, to_channel(&channel.id));
        }
        added();
    }
    added();
    Ok(member)
}

fn joined(
    tx: &WriteTx<'_>,
    config: &Config,
    team_id: &str,
    user_id: &str,
    requestor_id: &str,
) -> Result<Joined, Fault> {
    let team = teams::get(tx, team_id)?;
    let user = users::get(tx, user_id)?;
    if !user.is_bot && !may_join(config, &team, &user) {
        let id = "api.team.join_user_to_team.allowed_domains.app_error";
        return Err(invalid(id, "The user's email address is not of an allowed domain.").into());
    }
    let requestor = users::find(tx, requestor_id)?;
    let old = team_members::find(tx, team_id, user_id)?;
    if let Some(member) = old.clone().filter(|member| member.delete_at == 0) {
        return Ok(Joined { member, new: None, requestor });
    }
    if team_members::active_count(tx, team_id)? >= config.number("TeamSettings", "MaxUsersPerTeam")
    {
        let id = match old {
            Some(_) => "app.team.join_user_to_team.max_accounts.app_error",
            None => "app.team.join_user_to_team.save_member.max_accounts.app_error",
        };
        return Err(invalid(id, "The team has as many members as it may have.").into());
    }
    let guest = is_guest(&user);
    let admin = !team.email.is_empty() && team.email == user.email;
    let roles = MemberRoles { guest, user: !guest, admin, explicit: String::new() };
    let mut member = v1::TeamMember {
        team_id: team_id.to_owned(),
        user_id: user_id.to_owned(),
        create_at: tx.now(),
        ..Default::default()
    };
    team_members::save(tx, &mut member, &roles)?;
    let user = v1::User { update_at: tx.now(), ..user };
    users::save(tx, &user)?;
    sidebar_categories::ensure(tx, user_id, team_id)?;
    let mut joined = Vec::new();
    // A requestor who is nobody adds to no channel.
    if !guest && (requestor_id.is_empty() || requestor.is_some()) {
        for (name, _) in teams::default_channels(config) {
            let Some(channel) = channels::by_name(tx, team_id, name, false)? else { continue };
            let is_in = channel_members::find(tx, &channel.id, user_id)?.is_some();
            if channel.r#type() == v1::ChannelType::Open && !is_in {
                channel_members::insert(tx, &channel, &user, admin)?;
                joined.push(channel);
            }
        }
    }
    Ok(Joined { member, new: Some((user, joined)), requestor })
}

/// Whether the user's address is of the domains of the team and of the server.
fn may_join(config: &Config, team: &v1::Team, user: &v1::User) -> bool {
    if is_guest(user) {
        let domains = config.text("GuestAccountsSettings", "RestrictCreationToDomains");
        return is_of_domain(&user.email, domains);
    }
    let domains = config.text("TeamSettings", "RestrictCreationToDomains");
    is_of_domain(&user.email, domains) && is_of_domain(&user.email, &team.allowed_domains)
}

pub(in super::super) async fn delete_team_member(
    ctx: &Ctx,
    it: v1::DeleteTeamMemberRequest,
) -> Result<v1::DeleteTeamMemberResponse, AppError> {
    let v1::DeleteTeamMemberRequest { team_id, user_id, requestor_id } = it;
    let by_himself = requestor_id == user_id;
    let messages =
        ctx.config().flag("ServiceSettings", "ExperimentalEnableDefaultChannelLeaveJoinMessages");
    // The channels are left before it turns out that there is no town square.
    let left = ctx.write("app.team.save_member.save.app_error", move |tx| {
        let (user, member) = check_leaving(tx, &team_id, &user_id)?;
        leave_channels(tx, &team_id, &user_id)?;
        let square = channels::by_name(tx, &team_id, teams::TOWN_SQUARE, false)?;
        if square.is_none() && messages {
            return Ok(None);
        }
        let member = leave(tx, member)?;
        users::save(tx, &v1::User { update_at: tx.now(), ..user.clone() })?;
        Ok(Some((user, member, square, users::find(tx, &requestor_id)?)))
    });
    let Some((user, member, square, actor)) = left.await? else {
        let id = "app.channel.get_by_name.missing.app_error";
        return Err(not_found(id, "The channel does not exist."));
    };
    if let (Some(square), true) = (square, messages) {
        let post = match by_himself {
            true => SystemPost::left_team(&square.id, &user),
            false => SystemPost::removed_from_team(&square.id, &user),
        };
        system_posts::publish_or_log(ctx, post).await;
    }
    let told = v1::TeamMember { roles: String::new(), ..member };
    let data = json!({ "user_id": told.user_id, "team_id": told.team_id });
    let others =
        v1::WebsocketBroadcast { omit_users: vec![user.id.clone()], ..to_team(&told.team_id) };
    ctx.publish("leave_team", data.clone(), others);
    ctx.publish("leave_team", data, to_user(&user.id));
    ctx.tell(v1::UserHasLeftTeamRequest {
        context: None,
        plugin_context: plugin_context(),
        team_member: Some(told),
        actor,
    });
    Ok(v1::DeleteTeamMemberResponse::default())
}

fn check_leaving(
    tx: &WriteTx<'_>,
    team_id: &str,
    user_id: &str,
) -> Result<(v1::User, v1::TeamMember), Fault> {
    if teams::find(tx, team_id)?.is_none() {
        let id = "app.team.get_by_invite_id.finding.app_error";
        return Err(not_found(id, "Unable to find the team.").into());
    }
    let user = users::get(tx, user_id)?;
    let Some(member) = team_members::find(tx, team_id, user_id)? else {
        let id = "api.team.remove_user_from_team.missing.app_error";
        return Err(invalid(id, "The user is no member of the team.").into());
    };
    Ok((user, member))
}

/// Out of all channels of the team, archived ones too.
fn leave_channels(tx: &WriteTx<'_>, team_id: &str, user_id: &str) -> Result<(), Fault> {
    tx.execute(
        "DELETE FROM channel_members
         WHERE user_id = ?2 AND channel_id IN (SELECT id FROM channels WHERE team_id = ?1)",
        [team_id, user_id],
    )?;
    Ok(())
}

/// The membership is marked as removed; what the user has set for the team goes.
fn leave(tx: &WriteTx<'_>, member: v1::TeamMember) -> Result<v1::TeamMember, Fault> {
    let member = v1::TeamMember { delete_at: tx.now(), ..member };
    team_members::save_removed(tx, &member)?;
    sidebar_categories::delete_of(tx, &member.user_id, &member.team_id)?;
    tx.execute(
        "DELETE FROM preferences WHERE user_id = ?1 AND category = ?2",
        [&member.user_id, &member.team_id],
    )?;
    Ok(member)
}

/// A guest who is in no channel of the team any more is out of the team.
pub(super) fn leave_if_guest_without_channels(
    tx: &WriteTx<'_>,
    team_id: &str,
    user: &v1::User,
) -> Result<Option<v1::TeamMember>, Fault> {
    let is_in_one = tx.exists(
        "SELECT 1 FROM channel_members AS m JOIN channels AS c ON c.id = m.channel_id
         WHERE m.user_id = ?1 AND c.team_id = ?2",
        [user.id.as_str(), team_id],
    )?;
    if !is_guest(user) || is_in_one {
        return Ok(None);
    }
    let member = team_members::find(tx, team_id, &user.id)?.filter(|it| it.delete_at == 0);
    member.map(|member| leave(tx, member)).transpose()
}
