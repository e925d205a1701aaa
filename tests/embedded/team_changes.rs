//! Changes of teams and of who is in them.

use plugin_conformance::embedded::Notice;
use plugin_proto::v1;

use super::people::{
    NOBODY, channel, get_channel, join_channel, join_team, open_channel, team, user,
};
use super::{Api, Told, alone, refused};

const NO_TEAM: &str = "app.team.get.find.app_error";

async fn get_team(api: &Api, id: &str) -> v1::Team {
    api.get_team(v1::GetTeamRequest { team_id: id.into() }).await.unwrap().team.unwrap()
}

#[tokio::test]
async fn an_update_takes_what_a_team_says_of_itself() {
    let (server, api) = alone();
    let core = team(&api, "core").await;
    let update = |team: v1::Team| api.update_team(v1::UpdateTeamRequest { team: Some(team) });
    refused(update(v1::Team { id: NOBODY.into(), ..core.clone() }).await, NO_TEAM, 404);
    let bad = v1::Team { display_name: String::new(), ..core.clone() };
    refused(update(bad).await, "model.team.is_valid.name.app_error", 400);
    let sent = v1::Team {
        id: core.id.clone(),
        name: "other".into(),
        display_name: "Heart".into(),
        description: "d".into(),
        company_name: "c".into(),
        allowed_domains: "example.com".into(),
        allow_open_invite: true,
        group_constrained: Some(true),
        last_team_icon_update: 3,
        ..Default::default()
    };
    let updated = update(sent.clone()).await.unwrap().team.unwrap();
    let kept = v1::Team {
        name: core.name.clone(),
        r#type: core.r#type,
        invite_id: core.invite_id.clone(),
        create_at: core.create_at,
        update_at: updated.update_at,
        ..sent
    };
    assert_eq!((&updated, updated.update_at > core.update_at), (&kept, true));
    assert_eq!(get_team(&api, &core.id).await, updated);

    let delete = |id: &str| api.delete_team(v1::DeleteTeamRequest { team_id: id.into() });
    refused(delete("").await, NO_TEAM, 404);
    delete(&core.id).await.unwrap();
    let first = get_team(&api, &core.id).await.delete_at;
    delete(&core.id).await.unwrap();
    assert!(first > 0 && get_team(&api, &core.id).await.delete_at > first);
    let events = server.outbox().websocket_events();
    let names: Vec<_> = events.iter().map(|it| it.event.as_str()).collect();
    assert_eq!(names, ["update_team", "delete_team", "delete_team"]);
    assert!(!events[0].data["team"].as_str().unwrap().contains(&core.invite_id));
}

#[tokio::test]
async fn teams_are_listed_by_what_they_are_called() {
    let (_server, api) = alone();
    let (ada, zeta) = (user(&api, "ada").await, team(&api, "zeta").await);
    let beta = team(&api, "beta").await;
    join_team(&api, &zeta, &ada).await;
    join_team(&api, &beta, &ada).await;
    let names = |teams: Vec<v1::Team>| teams.into_iter().map(|it| it.name).collect::<Vec<_>>();
    let all = api.get_teams(v1::GetTeamsRequest {}).await.unwrap().teams;
    assert_eq!(names(all), ["beta", "zeta"]);
    let search = |term: &str| api.search_teams(v1::SearchTeamsRequest { term: term.into() });
    assert_eq!(names(search("ET").await.unwrap().teams), ["beta", "zeta"]);
    assert!(search("_").await.unwrap().teams.is_empty());
    assert_eq!(search("").await.unwrap().teams.len(), 2);
    let by_name = |name: &str| api.get_team_by_name(v1::GetTeamByNameRequest { name: name.into() });
    assert_eq!(by_name("zeta").await.unwrap().team, Some(zeta.clone()));
    refused(by_name("ZETA").await, "app.team.get_by_name.missing.app_error", 404);

    api.delete_team(v1::DeleteTeamRequest { team_id: beta.id.clone() }).await.unwrap();
    let request = v1::GetTeamsForUserRequest { user_id: ada.id.clone() };
    assert_eq!(names(api.get_teams_for_user(request).await.unwrap().teams), ["zeta"]);
    let request = v1::GetTeamsUnreadForUserRequest { user_id: ada.id.clone() };
    let unread = api.get_teams_unread_for_user(request).await.unwrap().team_unreads;
    assert_eq!(unread.len(), 2, "deleted teams count");
    let request = v1::DeleteUserRequest { user_id: ada.id };
    api.delete_user(request).await.unwrap();
    let stats = |id: &str| api.get_team_stats(v1::GetTeamStatsRequest { team_id: id.into() });
    let of_zeta = stats(&zeta.id).await.unwrap().team_stats.unwrap();
    assert_eq!((of_zeta.total_member_count, of_zeta.active_member_count), (1, 0));
    let of_none = stats(NOBODY).await.unwrap().team_stats.unwrap();
    assert_eq!((of_none.team_id.as_str(), of_none.total_member_count), (NOBODY, 0));
}

#[tokio::test]
async fn several_join_in_the_name_of_another() {
    let (_server, api) = alone();
    let (ada, bob) = (user(&api, "ada").await, user(&api, "bob").await);
    let core = team(&api, "core").await;
    let ids = || vec![ada.id.clone(), NOBODY.into(), bob.id.clone()];
    let (team_id, requestor_id) = (core.id.clone(), String::new());
    let request = v1::CreateTeamMembersRequest { team_id, user_ids: ids(), requestor_id };
    let stopped = api.create_team_members(request).await;
    refused(stopped, "app.user.missing_account.const", 404);
    let page = |per_page: i32| {
        let request = v1::GetTeamMembersRequest { team_id: core.id.clone(), page: 0, per_page };
        api.get_team_members(request)
    };
    assert_eq!(page(9).await.unwrap().team_members.len(), 1, "the first one stays");
    assert!(page(0).await.unwrap().team_members.is_empty());
    refused(page(-1).await, "app.team.get_members.app_error", 500);

    let (team_id, requestor_id) = (core.id.clone(), ada.id.clone());
    let request = v1::CreateTeamMembersGracefullyRequest { team_id, user_ids: ids(), requestor_id };
    let outcomes = api.create_team_members_gracefully(request).await.unwrap().team_members;
    let failed: Vec<_> = outcomes.iter().map(|it| it.error.is_some()).collect();
    assert_eq!(failed, [false, true, false]);
    assert_eq!(outcomes[1].error.as_ref().unwrap().id, "app.user.missing_account.const");
    assert!(outcomes.iter().all(|it| it.member.is_some() != it.error.is_some()));
    let none = v1::CreateTeamMembersRequest { team_id: NOBODY.into(), ..Default::default() };
    assert!(api.create_team_members(none).await.unwrap().team_members.is_empty());
}

#[tokio::test]
async fn who_leaves_a_team_leaves_its_channels() {
    let (server, api) = alone();
    let (ada, core) = (user(&api, "ada").await, team(&api, "core").await);
    let leave = |team_id: &str, user_id: &str| {
        let (team_id, user_id, requestor_id) = (team_id.into(), user_id.into(), String::new());
        let request = v1::DeleteTeamMemberRequest { team_id, user_id, requestor_id };
        api.delete_team_member(request)
    };
    let no_team = "app.team.get_by_invite_id.finding.app_error";
    refused(leave(NOBODY, &ada.id).await, no_team, 404);
    refused(leave(&core.id, NOBODY).await, "app.user.missing_account.const", 404);
    let no_member = "api.team.remove_user_from_team.missing.app_error";
    refused(leave(&core.id, &ada.id).await, no_member, 400);
    join_team(&api, &core, &ada).await;
    let dev = channel(&api, &core, "dev").await;
    join_channel(&api, &dev, &ada).await;
    server.outbox().take();
    let told = Told::by(&server);
    leave(&core.id, &ada.id).await.unwrap();
    let notices = told.take();
    let left: Vec<_> = notices
        .iter()
        .filter_map(|it| match it {
            Notice::UserHasLeftTeam(notice) => notice.team_member.clone(),
            _ => None,
        })
        .collect();
    assert_eq!((left.len(), left[0].roles.as_str()), (1, ""));
    let request = v1::GetChannelMembersForUserRequest {
        user_id: ada.id.clone(),
        per_page: 9,
        ..Default::default()
    };
    let members = api.get_channel_members_for_user(request).await.unwrap().channel_members;
    assert_eq!(members, []);
    let get = |team_id: &str| {
        let (team_id, user_id) = (team_id.into(), ada.id.clone());
        api.get_team_member(v1::GetTeamMemberRequest { team_id, user_id })
    };
    let member = get(&core.id).await.unwrap().team_member.unwrap();
    assert!(member.delete_at > 0, "the row stays");
    refused(get(NOBODY).await, "app.team.get_member.missing.app_error", 404);
    let (channel_id, user_id) = (dev.id.clone(), ada.id.clone());
    let again = api.add_channel_member(v1::AddChannelMemberRequest { channel_id, user_id }).await;
    refused(again, "api.channel.add_user.to.channel.failed.deleted.app_error", 400);
    let back = join_team(&api, &core, &ada).await;
    assert_eq!((back.delete_at, back.roles.as_str()), (0, "team_user"));
    let request =
        v1::GetTeamMembersForUserRequest { user_id: ada.id.clone(), page: 0, per_page: 9 };
    assert_eq!(api.get_team_members_for_user(request).await.unwrap().team_members, [back]);
}

#[tokio::test]
async fn roles_of_a_member_decide_what_he_may() {
    let (_server, api) = alone();
    user(&api, "root").await;
    let (ada, core) = (user(&api, "ada").await, team(&api, "core").await);
    let roles = |team_id: &str, new_roles: &str| {
        let (team_id, user_id, new_roles) = (team_id.into(), ada.id.clone(), new_roles.into());
        let request = v1::UpdateTeamMemberRolesRequest { team_id, user_id, new_roles };
        api.update_team_member_roles(request)
    };
    let no_member = "app.team.get_member.missing.app_error";
    refused(roles(&core.id, "team_user").await, no_member, 404);
    join_team(&api, &core, &ada).await;
    let channel_id = |id: &str| format!("api.channel.update_team_member_roles.{id}.app_error");
    refused(roles(&core.id, "nobody").await, "app.role.get_by_name.app_error", 400);
    refused(roles(&core.id, "channel_user").await, &channel_id("scheme_role"), 400);
    let both = "api.team.update_team_member_roles.guest_and_user.app_error";
    refused(roles(&core.id, "team_guest team_user").await, both, 400);
    refused(roles(&core.id, "team_guest").await, &channel_id("changing_guest_role"), 400);
    let may = |permission: &str| {
        let (user_id, team_id) = (ada.id.clone(), core.id.clone());
        let permission_id = permission.into();
        api.has_permission_to_team(v1::HasPermissionToTeamRequest {
            user_id,
            team_id,
            permission_id,
        })
    };
    assert!(!may("manage_team").await.unwrap().has_permission);
    let member = roles(&core.id, "team_admin team_post_all team_user").await.unwrap();
    assert_eq!(member.team_member.unwrap().roles, "team_post_all team_user team_admin");
    assert!(may("manage_team").await.unwrap().has_permission);
    assert!(may("create_team").await.unwrap().has_permission, "from the system roles");

    let dev = channel(&api, &core, "dev").await;
    let may_there = |channel_id: &str| {
        let (user_id, channel_id) = (ada.id.clone(), channel_id.into());
        let permission_id = "read_channel".into();
        let request = v1::HasPermissionToChannelRequest { user_id, channel_id, permission_id };
        api.has_permission_to_channel(request)
    };
    assert!(!may_there(&dev.id).await.unwrap().has_permission);
    join_channel(&api, &dev, &ada).await;
    assert!(may_there(&dev.id).await.unwrap().has_permission);
    assert!(!may_there("").await.unwrap().has_permission);
    let grant = |role: &str| {
        let (role_names, permission_id) = (vec!["x".into(), role.into()], "create_post".into());
        api.roles_grant_permission(v1::RolesGrantPermissionRequest { role_names, permission_id })
    };
    assert!(grant("channel_guest").await.unwrap().has_permission);
    assert!(!grant("system_user").await.unwrap().has_permission);
}

#[tokio::test]
async fn channels_are_changed_searched_and_archived() {
    let (server, api) = alone();
    let (ada, core) = (user(&api, "ada").await, team(&api, "core").await);
    join_team(&api, &core, &ada).await;
    let dev = channel(&api, &core, "dev").await;
    join_channel(&api, &dev, &ada).await;
    let update = |channel: v1::Channel| {
        api.update_channel(v1::UpdateChannelRequest { channel: Some(channel) })
    };
    let changed = v1::Channel { header: "h".into(), purpose: "Build it".into(), ..dev.clone() };
    let updated = update(changed.clone()).await.unwrap().channel.unwrap();
    assert_eq!(updated, v1::Channel { update_at: updated.update_at, ..changed.clone() });
    assert_eq!(get_channel(&api, &dev.id).await, updated);
    let archived = v1::Channel { delete_at: 1, ..changed.clone() };
    refused(update(archived).await, "app.channel.update.bad_id", 400);
    let taken = v1::Channel { name: "off-topic".into(), ..changed.clone() };
    refused(update(taken).await, "store.sql_channel.save_channel.exists.app_error", 400);
    let bad = v1::Channel { id: "x".into(), ..changed.clone() };
    refused(update(bad).await, "model.channel.is_valid.id.app_error", 400);
    let unknown = v1::Channel { id: NOBODY.into(), ..open_channel(&core, "zz") };
    let unknown = v1::Channel { create_at: 1, ..unknown };
    update(unknown).await.unwrap();
    let missing = api.get_channel(v1::GetChannelRequest { channel_id: NOBODY.into() }).await;
    refused(missing, "app.channel.get.existing.app_error", 404);

    let delete = |id: &str| api.delete_channel(v1::DeleteChannelRequest { channel_id: id.into() });
    refused(delete(NOBODY).await, "app.channel.get.existing.app_error", 404);
    let by_name = |name: &str, include_deleted: bool| {
        let (team_name, channel_name) = ("core".into(), name.into());
        let request =
            v1::GetChannelByNameForTeamNameRequest { team_name, channel_name, include_deleted };
        api.get_channel_by_name_for_team_name(request)
    };
    let square = by_name("town-square", false).await.unwrap().channel.unwrap();
    refused(delete(&square.id).await, "api.channel.delete_channel.cannot.app_error", 400);
    server.outbox().take();
    delete(&dev.id).await.unwrap();
    refused(delete(&dev.id).await, "api.channel.delete_channel.deleted.app_error", 400);
    let events = server.outbox().websocket_events();
    let gone = events.iter().find(|it| it.event == "channel_deleted").unwrap();
    assert_eq!(gone.broadcast.team_id, core.id);
    let missing = "app.channel.get_by_name.missing.app_error";
    refused(by_name("dev", false).await, missing, 404);
    assert!(by_name("dev", true).await.unwrap().channel.unwrap().delete_at > 0);

    let search = |term: &str| {
        let (team_id, term) = (core.id.clone(), term.into());
        api.search_channels(v1::SearchChannelsRequest { team_id, term })
    };
    assert_eq!(search(" ").await.unwrap().channels.len(), 3);
    assert_eq!(search("it BUI").await.unwrap().channels.len(), 1, "beginnings of words");
    assert_eq!(search("%").await.unwrap().channels.len(), 0);
    let stats =
        |id: &str| api.get_channel_stats(v1::GetChannelStatsRequest { channel_id: id.into() });
    let of_dev = stats(&dev.id).await.unwrap().channel_stats.unwrap();
    assert_eq!((of_dev.member_count, of_dev.guest_count), (1, 1));
    assert_eq!(stats(NOBODY).await.unwrap().channel_stats.unwrap().member_count, 0);
    let request = v1::GetChannelsForTeamForUserRequest {
        team_id: core.id.clone(),
        user_id: NOBODY.into(),
        include_deleted: true,
    };
    let none = api.get_channels_for_team_for_user(request).await;
    refused(none, "app.channel.get_channels.not_found.app_error", 404);
}

#[tokio::test]
async fn another_can_add_to_a_channel() {
    let (_server, api) = alone();
    let (ada, bob) = (user(&api, "ada").await, user(&api, "bob").await);
    let core = team(&api, "core").await;
    join_team(&api, &core, &ada).await;
    let dev = channel(&api, &core, "dev").await;
    let add = |as_user_id: &str| {
        let (channel_id, user_id) = (dev.id.clone(), ada.id.clone());
        let as_user_id = as_user_id.into();
        api.add_user_to_channel(v1::AddUserToChannelRequest { channel_id, user_id, as_user_id })
    };
    refused(add(NOBODY).await, "app.user.missing_account.const", 404);
    let member = add(&bob.id).await.unwrap().channel_member.unwrap();
    let (channel_id, user_ids) = (dev.id.clone(), vec![bob.id.clone(), ada.id.clone()]);
    let request = v1::GetChannelMembersByIdsRequest { channel_id, user_ids };
    let members = api.get_channel_members_by_ids(request).await.unwrap().channel_members;
    assert_eq!(members, std::slice::from_ref(&member));
    let request = v1::GetChannelMembersRequest { channel_id: dev.id.clone(), page: 0, per_page: 0 };
    assert_eq!(api.get_channel_members(request).await.unwrap().channel_members, [member]);

    let auth = |user_id: &str, data: &str| {
        let user_auth =
            Some(v1::UserAuth { auth_data: Some(data.into()), auth_service: "saml".into() });
        api.update_user_auth(v1::UpdateUserAuthRequest { user_id: user_id.into(), user_auth })
    };
    auth(&ada.id, "ada").await.unwrap();
    auth(NOBODY, "ada").await.unwrap();
    let taken = "app.user.update_auth_data.email_exists.app_error";
    refused(auth(&bob.id, "ada").await, taken, 400);
    let long = "d".repeat(129);
    refused(auth(&bob.id, &long).await, "app.user.update_auth_data.app_error", 500);
    assert_eq!(super::people::get_user(&api, &ada.id).await.password, "");
}

#[tokio::test]
async fn administrators_hear_of_bots_whose_owner_is_gone() {
    let (server, api) = alone();
    let (root, bob) = (user(&api, "root").await, user(&api, "bob").await);
    let bot = v1::Bot { username: "bobs".into(), owner_id: bob.id.clone(), ..Default::default() };
    api.create_bot(v1::CreateBotRequest { bot: Some(bot) }).await.unwrap();
    let told = Told::by(&server);
    api.delete_user(v1::DeleteUserRequest { user_id: bob.id }).await.unwrap();
    let notices = told.take();
    let posts: Vec<_> = notices
        .iter()
        .filter_map(|it| match it {
            Notice::MessageHasBeenPosted(notice) => notice.post.clone(),
            _ => None,
        })
        .collect();
    let [post] = &posts[..] else { panic!("{posts:?}") };
    assert_eq!((post.user_id.as_str(), post.r#type.as_str()), (root.id.as_str(), "system_generic"));
    assert!(post.message.contains("bobs"), "{}", post.message);
    let gone = notices.iter().filter(|it| matches!(it, Notice::UserHasBeenDeactivated(_)));
    assert_eq!(gone.count(), 2, "the owner and the bot");
}
