//! Lists of users, and the search for them.

use plugin_proto::v1;

use super::people::{NOBODY, channel, join_channel, join_team, team, user};
use super::{alone, refused};

fn names(users: Vec<v1::User>) -> Vec<String> {
    users.into_iter().map(|user| user.username).collect()
}

#[tokio::test]
async fn users_are_listed_by_name_a_page_at_a_time() {
    let (_server, api) = alone();
    let cyd = user(&api, "cyd").await;
    let ada = user(&api, "ada").await;
    user(&api, "bob").await;
    api.delete_user(v1::DeleteUserRequest { user_id: ada.id.clone() }).await.unwrap();
    let get = |request: v1::GetUsersRequest| {
        let api = &api;
        async move { names(api.get_users(request).await.unwrap().users) }
    };
    let all = || v1::GetUsersRequest { per_page: 10, ..Default::default() };
    assert_eq!(get(all()).await, ["ada", "bob", "cyd"]);
    assert_eq!(get(v1::GetUsersRequest { page: 1, per_page: 2, ..all() }).await, ["cyd"]);
    assert!(get(v1::GetUsersRequest { per_page: 0, ..all() }).await.is_empty());
    assert_eq!(get(v1::GetUsersRequest { active: true, ..all() }).await, ["bob", "cyd"]);
    assert_eq!(get(v1::GetUsersRequest { active: true, inactive: true, ..all() }).await, ["ada"]);
    assert_eq!(get(v1::GetUsersRequest { role: "system_ADMIN".into(), ..all() }).await, ["cyd"]);
    let of = |roles: &[&str]| v1::GetUsersRequest {
        roles: roles.iter().map(|role| (*role).into()).collect(),
        ..all()
    };
    assert_eq!(get(of(&["system_user"])).await, ["ada", "bob"]);
    assert_eq!(get(of(&["system_admin", "other"])).await, ["cyd"]);
    assert_eq!(get(of(&["other"])).await.len(), 3);
    let by_change = v1::GetUsersRequest { sort: "update_at_asc".into(), ..all() };
    assert_eq!(get(by_change).await, ["cyd", "bob", "ada"]);
    let negative = api.get_users(v1::GetUsersRequest { page: -1, ..all() }).await;
    refused(negative, "app.user.get_profiles.app_error", 500);

    let user_ids = vec![ada.id.clone(), NOBODY.into(), cyd.id.clone(), ada.id.clone()];
    let request = v1::GetUsersByIdsRequest { user_ids };
    let users = api.get_users_by_ids(request).await.unwrap().users;
    assert_eq!(users.len(), 2);
    assert!(users.iter().all(|user| !user.password.is_empty()), "they are not sanitised");
    let usernames = vec!["cyd".into(), "Bob".into(), "ada".into()];
    let request = v1::GetUsersByUsernamesRequest { usernames };
    assert_eq!(names(api.get_users_by_usernames(request).await.unwrap().users), ["ada", "cyd"]);
}

#[tokio::test]
async fn members_are_listed_and_searched() {
    let (_server, api) = alone();
    let (ada, bob) = (user(&api, "ada").await, user(&api, "bob").await);
    user(&api, "adam").await;
    let core = team(&api, "core").await;
    join_team(&api, &core, &bob).await;
    join_team(&api, &core, &ada).await;
    let dev = channel(&api, &core, "dev").await;
    join_channel(&api, &dev, &ada).await;
    join_channel(&api, &dev, &bob).await;
    let request = v1::GetUsersInTeamRequest { team_id: core.id.clone(), page: 0, per_page: 9 };
    assert_eq!(names(api.get_users_in_team(request).await.unwrap().users), ["ada", "bob"]);
    let request = v1::UpdateUserStatusRequest { user_id: bob.id, status: "online".into() };
    api.update_user_status(request).await.unwrap();
    let in_channel = |sort_by: &str| {
        let (channel_id, sort_by) = (dev.id.clone(), sort_by.into());
        api.get_users_in_channel(v1::GetUsersInChannelRequest {
            channel_id,
            sort_by,
            page: 0,
            per_page: 9,
        })
    };
    assert_eq!(names(in_channel("username").await.unwrap().users), ["ada", "bob"]);
    assert_eq!(names(in_channel("status").await.unwrap().users), ["bob", "ada"]);
    refused(in_channel("").await, "plugin.api.get_users_in_channel", 400);

    let search = |request: v1::SearchUsersRequest| {
        let api = &api;
        async move { names(api.search_users(request).await.unwrap().users) }
    };
    let of =
        |term: &str| v1::SearchUsersRequest { term: term.into(), limit: 9, ..Default::default() };
    assert_eq!(search(of(" @ADA* ")).await, ["ada", "adam"]);
    assert!(search(of("%")).await.is_empty());
    assert!(search(v1::SearchUsersRequest { limit: 0, ..of("ada") }).await.is_empty());
    let in_team = v1::SearchUsersRequest { team_id: core.id.clone(), ..of("ada") };
    assert_eq!(search(in_team).await, ["ada"]);
    let without = v1::SearchUsersRequest { without_team: true, ..of("") };
    assert_eq!(search(without).await, ["adam"]);
    let not_in = v1::SearchUsersRequest { not_in_channel_id: dev.id.clone(), ..of("") };
    assert_eq!(search(not_in).await, ["adam"]);

    let request = v1::GetLdapUserAttributesRequest::default();
    refused(api.get_ldap_user_attributes(request).await, "ent.ldap.disabled.app_error", 501);
}
