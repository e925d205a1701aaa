//! Changes of users, their activity, roles, statuses, sessions and tokens.

use plugin_conformance::embedded::Notice;
use plugin_proto::v1;

use super::people::{NOBODY, get_user, user};
use super::{Told, alone, refused};

const MISSING: &str = "app.user.missing_account.const";

#[tokio::test]
async fn an_update_takes_names_and_neither_roles_nor_password() {
    let (server, api) = alone();
    let (ada, bob) = (user(&api, "ada").await, user(&api, "bob").await);
    server.outbox().take();
    let update =
        |user: &v1::User| api.update_user(v1::UpdateUserRequest { user: Some(user.clone()) });
    let before = get_user(&api, &ada.id).await;
    let sent = v1::User {
        username: "Ada2".into(),
        nickname: "n".into(),
        roles: "system_user".into(),
        password: "other".into(),
        delete_at: 5,
        position: "p".into(),
        ..ada.clone()
    };
    let updated = update(&sent).await.unwrap().user.unwrap();
    assert_eq!((updated.username.as_str(), updated.nickname.as_str()), ("ada2", "n"));
    assert_eq!((updated.roles, updated.delete_at), (ada.roles.clone(), 0));
    let after = get_user(&api, &ada.id).await;
    assert_eq!((after.password, after.position.as_str()), (before.password, "p"));
    let events = server.outbox().websocket_events();
    assert_eq!(events.iter().filter(|it| it.event == "user_updated").count(), 3);

    refused(update(&v1::User { id: NOBODY.into(), ..sent.clone() }).await, MISSING, 404);
    let taken = v1::User { username: bob.username, ..ada.clone() };
    refused(update(&taken).await, "app.user.save.username_exists.app_error", 400);
    let taken = v1::User { email: bob.email, ..ada.clone() };
    refused(update(&taken).await, "app.user.save.email_exists.app_error", 400);
    let bad = v1::User { locale: "no tag".into(), ..ada };
    refused(update(&bad).await, "model.user.is_valid.locale.app_error", 400);
}

#[tokio::test]
async fn a_deactivated_user_is_signed_out_and_told() {
    let (server, api) = alone();
    let ada = user(&api, "ada").await;
    let told = Told::by(&server);
    let session = v1::Session { user_id: ada.id.clone(), ..Default::default() };
    let request = v1::CreateSessionRequest { session: Some(session) };
    let session = api.create_session(request).await.unwrap().session.unwrap();
    let get = |id: &str| api.get_session(v1::GetSessionRequest { session_id: id.into() });
    assert_eq!(get(&session.token).await.unwrap().session.as_ref(), Some(&session));

    api.delete_user(v1::DeleteUserRequest { user_id: ada.id.clone() }).await.unwrap();
    refused(get(&session.id).await, "app.session.get.app_error", 400);
    assert!(get_user(&api, &ada.id).await.delete_at > 0);
    let [Notice::UserHasBeenDeactivated(_)] = &told.take()[..] else { panic!("not told") };
    let request = v1::GetUserStatusRequest { user_id: ada.id.clone() };
    let status = api.get_user_status(request).await.unwrap().status.unwrap();
    assert_eq!((status.status.as_str(), status.manual), ("offline", false));

    let activate = |user_id: &str| {
        let user_id = user_id.into();
        api.update_user_active(v1::UpdateUserActiveRequest { user_id, active: true })
    };
    activate(&ada.id).await.unwrap();
    assert_eq!(get_user(&api, &ada.id).await.delete_at, 0);
    assert_eq!(told.take(), []);
    refused(activate(NOBODY).await, MISSING, 404);
}

#[tokio::test]
async fn roles_exist_and_one_administrates() {
    let (server, api) = alone();
    let (ada, bob) = (user(&api, "ada").await, user(&api, "bob").await);
    server.outbox().take();
    let update = |user_id: &str, new_roles: &str| {
        let (user_id, new_roles) = (user_id.into(), new_roles.into());
        api.update_user_roles(v1::UpdateUserRolesRequest { user_id, new_roles })
    };
    refused(update(NOBODY, "").await, MISSING, 400);
    let unknown = "app.role.check_roles_exist.role_not_found";
    refused(update(&bob.id, "system_user nobody").await, unknown, 400);
    let last = update(&ada.id, "system_user").await;
    refused(last, "app.user.update.lastAdmin.app_error", 400);
    let long = "team_user ".repeat(26);
    refused(update(&bob.id, &long).await, "model.user.is_valid.roles_limit.app_error", 400);
    let user = update(&bob.id, "system_admin").await.unwrap().user.unwrap();
    assert_eq!(user.roles, "system_admin");
    update(&ada.id, "").await.unwrap();
    let events = server.outbox().websocket_events();
    let names: Vec<_> = events.iter().map(|it| it.event.as_str()).collect();
    assert_eq!(names, ["user_role_updated"; 2]);

    let has = |user_id: &str, permission_id: &str| {
        let (user_id, permission_id) = (user_id.into(), permission_id.into());
        api.has_permission_to(v1::HasPermissionToRequest { user_id, permission_id })
    };
    assert!(has(&bob.id, "manage_system").await.unwrap().has_permission);
    assert!(!has(&bob.id, "").await.unwrap().has_permission);
    assert!(!has(&ada.id, "create_team").await.unwrap().has_permission);
    assert!(!has(NOBODY, "create_team").await.unwrap().has_permission);
}

#[tokio::test]
async fn statuses_are_set_for_anybody() {
    let (_server, api) = alone();
    let get = || api.get_user_status(v1::GetUserStatusRequest { user_id: NOBODY.into() });
    let set = |status: &str| {
        let (user_id, status) = (NOBODY.into(), status.into());
        api.update_user_status(v1::UpdateUserStatusRequest { user_id, status })
    };
    refused(get().await, "app.status.get.missing.app_error", 404);
    refused(set("ooo").await, "plugin.api.update_user_status.bad_status", 400);
    let online = set("online").await.unwrap().status.unwrap();
    assert!(!online.manual && online.last_activity_at > 0);
    let away = set("away").await.unwrap().status.unwrap();
    assert_eq!((away.manual, away.last_activity_at), (true, online.last_activity_at));
    let request = v1::SetUserStatusTimedDndRequest { user_id: NOBODY.into(), end_time: 125 };
    let dnd = api.set_user_status_timed_dnd(request).await.unwrap().status.unwrap();
    assert_eq!((dnd.status.as_str(), dnd.dnd_end_time), ("dnd", 120));
    assert_eq!(get().await.unwrap().status, Some(dnd.clone()));
    let ids = vec!["x".into(), NOBODY.into()];
    let request = v1::GetUserStatusesByIdsRequest { user_ids: ids };
    let all = api.get_user_statuses_by_ids(request).await.unwrap().statuses;
    assert_eq!((&all[0], all[1].status.as_str(), all.len()), (&dnd, "offline", 2));
}

#[tokio::test]
async fn custom_statuses_are_stored_and_remembered() {
    let (_server, api) = alone();
    let ada = user(&api, "ada").await;
    let set = |user_id: &str, emoji: &str, text: &str| {
        let custom_status =
            v1::CustomStatus { emoji: emoji.into(), text: text.into(), ..Default::default() };
        api.update_user_custom_status(v1::UpdateUserCustomStatusRequest {
            user_id: user_id.into(),
            custom_status: Some(custom_status),
        })
    };
    let api_id = |id: &str| format!("api.custom_status.set_custom_statuses.{id}");
    refused(set(&ada.id, "", "").await, &api_id("update.app_error"), 400);
    refused(set(&ada.id, "no_such_emoji", "x").await, &api_id("emoji_not_found"), 400);
    refused(set(NOBODY, "", "x").await, MISSING, 404);
    set(&ada.id, "calendar", &"ä".repeat(101)).await.unwrap();
    let stored = get_user(&api, &ada.id).await.props["customStatus"].clone();
    let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored["text"].as_str().unwrap().chars().count(), 100);
    assert_eq!(stored["expires_at"], "1970-01-01T00:00:00Z");
    let remove = |user_id: &str| {
        api.remove_user_custom_status(v1::RemoveUserCustomStatusRequest { user_id: user_id.into() })
    };
    remove(&ada.id).await.unwrap();
    assert_eq!(get_user(&api, &ada.id).await.props["customStatus"], "");
    refused(remove(NOBODY).await, MISSING, 404);
}

#[tokio::test]
async fn sessions_and_tokens_come_and_go() {
    let (_server, api) = alone();
    let ada = user(&api, "ada").await;
    let create = |session: v1::Session| {
        api.create_session(v1::CreateSessionRequest { session: Some(session) })
    };
    let with = |user_id: &str| v1::Session { user_id: user_id.into(), ..Default::default() };
    let existing = create(v1::Session { id: NOBODY.into(), ..with(NOBODY) }).await;
    refused(existing, "app.session.save.existing.app_error", 400);
    refused(create(with("short")).await, "app.session.save.app_error", 500);
    let session = create(with(NOBODY)).await.unwrap().session.unwrap();
    let extend = |session_id: &str| {
        let session_id = session_id.into();
        api.extend_session_expiry(v1::ExtendSessionExpiryRequest { session_id, new_expiry: 9 })
    };
    extend(&session.id).await.unwrap();
    refused(extend("").await, "app.session.get_sessions.app_error", 500);
    let request = v1::GetSessionRequest { session_id: session.id.clone() };
    assert_eq!(api.get_session(request).await.unwrap().session.unwrap().expires_at, 9);
    let revoke =
        || api.revoke_session(v1::RevokeSessionRequest { session_id: session.token.clone() });
    revoke().await.unwrap();
    refused(revoke().await, "app.session.get.app_error", 400);

    let token = |user_id: &str, description: String| {
        let token =
            v1::UserAccessToken { user_id: user_id.into(), description, ..Default::default() };
        api.create_user_access_token(v1::CreateUserAccessTokenRequest { token: Some(token) })
    };
    refused(token(NOBODY, String::new()).await, MISSING, 404);
    refused(token(&ada.id, String::new()).await, "app.user_access_token.disabled", 501);
    let bot = v1::Bot { username: "helper".into(), ..Default::default() };
    let request = v1::CreateBotRequest { bot: Some(bot) };
    let bot = api.create_bot(request).await.unwrap().bot.unwrap();
    let long = token(&bot.user_id, "d".repeat(256)).await;
    refused(long, "model.user_access_token.is_valid.description.app_error", 400);
    let made = token(&bot.user_id, "d".into()).await.unwrap().token.unwrap();
    assert!(made.is_active && made.token.len() == 26);
    let revoke = || {
        api.revoke_user_access_token(v1::RevokeUserAccessTokenRequest { token_id: made.id.clone() })
    };
    revoke().await.unwrap();
    refused(revoke().await, "app.user_access_token.get_by_user.app_error", 404);
}
