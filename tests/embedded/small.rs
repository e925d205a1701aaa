//! The small domains: events, audit, mail, OAuth apps, groups, shared channels, and the rest.

use plugin_conformance::api::AppError;
use plugin_conformance::embedded::{Audited, Mail, Sent};
use plugin_proto::v1;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde_json::json;

use super::{Api, PLUGIN, alone, refused};

fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

fn object(key: &str, value: &str) -> Struct {
    Struct { fields: [(key.to_owned(), text(value))].into() }
}

#[tokio::test]
async fn events_carry_the_plugins_name() {
    let (server, api) = alone();
    let request = v1::PublishWebSocketEventRequest {
        event: "tick".into(),
        payload: Some(object("a", "b")),
        broadcast: Some(v1::WebsocketBroadcast { team_id: "t".into(), ..Default::default() }),
    };
    api.publish_web_socket_event(request).await.unwrap();
    let nothing = v1::PublishWebSocketEventRequest::default();
    api.publish_web_socket_event(nothing).await.unwrap();
    let events = server.outbox().websocket_events();
    assert_eq!(events[0].event, format!("custom_{PLUGIN}_tick"));
    assert_eq!(json!(events[0].data), json!({ "a": "b" }));
    assert_eq!(events[0].broadcast.team_id, "t");
    assert_eq!(events[1].event, format!("custom_{PLUGIN}_"));
    assert_eq!(events[1].broadcast, v1::WebsocketBroadcast::default());
}

#[tokio::test]
async fn audit_records_name_their_plugin() {
    let (server, api) = alone();
    let record = || v1::AuditRecord {
        event: "e".into(),
        meta: Some(object("plugin_id", "somebody else")),
        ..Default::default()
    };
    let request = v1::LogAuditRecRequest { record: Some(record()) };
    api.log_audit_rec(request).await.unwrap();
    for level in ["audit-api", "102", ""] {
        let (record, level) = (Some(record()), level.to_owned());
        api.log_audit_rec_with_level(v1::LogAuditRecWithLevelRequest { record, level })
            .await
            .unwrap();
    }
    api.log_audit_rec(v1::LogAuditRecRequest { record: None }).await.unwrap();
    let entry = |level: &str| {
        let record = v1::AuditRecord { meta: Some(object("plugin_id", PLUGIN)), ..record() };
        Sent::Audit(Audited { plugin_id: PLUGIN.into(), level: level.into(), record })
    };
    let levels = ["audit-cli", "audit-api", "audit-permissions", "audit-cli"];
    assert_eq!(server.outbox().take(), levels.map(entry));
}

async fn mail(api: &Api, to: &str, subject: &str, body: &str) -> Result<(), AppError> {
    let [to, subject, html_body] = [to, subject, body].map(str::to_owned);
    api.send_mail(v1::SendMailRequest { to, subject, html_body }).await.map(drop)
}

#[tokio::test]
async fn mail_needs_all_its_parts() {
    let (server, api) = alone();
    refused(mail(&api, "", "", "").await, "plugin_api.send_mail.missing_to", 400);
    refused(mail(&api, "a", "", "").await, "plugin_api.send_mail.missing_subject", 400);
    refused(mail(&api, "a", "b", "").await, "plugin_api.send_mail.missing_htmlbody", 400);
    assert_eq!(server.outbox().entries(), []);
    mail(&api, "no address", "b", "c").await.unwrap();
    let sent = Mail { to: "no address".into(), subject: "b".into(), html: "c".into() };
    assert_eq!(server.outbox().entries(), [Sent::Mail(sent)]);
}

fn app() -> v1::OAuthApp {
    v1::OAuthApp {
        creator_id: "c".repeat(26),
        name: "n".into(),
        description: "d".into(),
        icon_url: "https://example.com/i.png".into(),
        callback_urls: "https://example.com/a,http://example.com/b".into(),
        homepage: "https://example.com".into(),
        is_trusted: true,
        mattermost_app_id: "m".into(),
        ..Default::default()
    }
}

async fn create(api: &Api, app: v1::OAuthApp) -> Result<v1::OAuthApp, AppError> {
    let answer = api.create_o_auth_app(v1::CreateOAuthAppRequest { app: Some(app) }).await;
    answer.map(|answer| answer.app.unwrap())
}

async fn update(api: &Api, app: v1::OAuthApp) -> Result<v1::OAuthApp, AppError> {
    let answer = api.update_o_auth_app(v1::UpdateOAuthAppRequest { app: Some(app) }).await;
    answer.map(|answer| answer.app.unwrap())
}

async fn got(api: &Api, app_id: &str) -> Result<v1::OAuthApp, AppError> {
    let answer = api.get_o_auth_app(v1::GetOAuthAppRequest { app_id: app_id.into() }).await;
    answer.map(|answer| answer.app.unwrap())
}

#[tokio::test]
async fn an_oauth_app_lives() {
    let (_server, api) = alone();
    let sent = v1::OAuthApp { client_secret: "mine".into(), create_at: 5, ..app() };
    let made = create(&api, sent).await.unwrap();
    assert_eq!((made.id.len(), made.client_secret.len()), (26, 26));
    assert!(made.create_at > 5 && made.create_at == made.update_at);
    let v1::OAuthApp { id, client_secret, create_at, update_at, .. } = made.clone();
    assert_eq!(made, v1::OAuthApp { id, client_secret, create_at, update_at, ..app() });
    assert_eq!(got(&api, &made.id).await.unwrap(), made);

    let sent = v1::OAuthApp {
        id: made.id.clone(),
        name: "other".into(),
        homepage: "http://other.example".into(),
        callback_urls: "http://other.example".into(),
        creator_id: "ignored".into(),
        ..Default::default()
    };
    let updated = update(&api, sent.clone()).await.unwrap();
    assert!(updated.update_at > made.update_at);
    let v1::OAuthApp { creator_id, create_at, client_secret, .. } = made.clone();
    let update_at = updated.update_at;
    let expected = v1::OAuthApp { creator_id, create_at, client_secret, update_at, ..sent };
    assert_eq!(updated, expected);

    for _ in 0..2 {
        let request = v1::DeleteOAuthAppRequest { app_id: made.id.clone() };
        api.delete_o_auth_app(request).await.unwrap();
        refused(got(&api, &made.id).await, "app.oauth.get_app.find.app_error", 404);
    }
    refused(update(&api, made).await, "app.oauth.get_app.find.app_error", 404);
}

#[tokio::test]
async fn an_oauth_app_is_checked_in_order() {
    let (_server, api) = alone();
    let with_id = v1::OAuthApp { id: "i".repeat(26), ..app() };
    refused(create(&api, with_id).await, "app.oauth.save_app.existing.app_error", 400);
    let cases = [
        (v1::OAuthApp::default(), "creator_id"),
        (v1::OAuthApp { name: String::new(), callback_urls: String::new(), ..app() }, "name"),
        (v1::OAuthApp { name: "n".repeat(65), ..app() }, "name"),
        (
            v1::OAuthApp { callback_urls: String::new(), homepage: String::new(), ..app() },
            "callback",
        ),
        (v1::OAuthApp { callback_urls: "http://a.example,b".into(), ..app() }, "callback"),
        (v1::OAuthApp { homepage: "ftp://a.example".into(), ..app() }, "homepage"),
        (v1::OAuthApp { description: "ä".repeat(513), ..app() }, "description"),
        (v1::OAuthApp { icon_url: "icon".into(), ..app() }, "icon_url"),
        (v1::OAuthApp { mattermost_app_id: "m".repeat(33), ..app() }, "mattermost_app_id"),
    ];
    for (bad, field) in cases {
        let id = format!("model.oauth.is_valid.{field}.app_error");
        refused(create(&api, bad).await, &id, 400);
    }
    let none = api.create_o_auth_app(v1::CreateOAuthAppRequest::default()).await;
    refused(none, "api.context.invalid_body_param.app_error", 400);
    create(&api, v1::OAuthApp { description: "ä".repeat(512), ..app() }).await.unwrap();
}

#[tokio::test]
async fn groups_need_a_licence() {
    let (_server, api) = alone();
    macro_rules! all_refused {
        ($id:literal $status:literal: $($method:ident $request:ident;)*) => {
            $(refused(api.$method(v1::$request::default()).await, $id, $status);)*
        };
    }
    all_refused! { "app.group.license_error" 403:
        upsert_group_member UpsertGroupMemberRequest;
        upsert_group_members UpsertGroupMembersRequest;
        get_group_by_remote_id GetGroupByRemoteIdRequest;
        create_group CreateGroupRequest;
        update_group UpdateGroupRequest;
        delete_group DeleteGroupRequest;
        restore_group RestoreGroupRequest;
        delete_group_member DeleteGroupMemberRequest;
        get_group_syncable GetGroupSyncableRequest;
        get_group_syncables GetGroupSyncablesRequest;
        upsert_group_syncable UpsertGroupSyncableRequest;
        update_group_syncable UpdateGroupSyncableRequest;
        delete_group_syncable DeleteGroupSyncableRequest;
        get_groups GetGroupsRequest;
        create_default_syncable_memberships CreateDefaultSyncableMembershipsRequest;
        delete_group_constrained_memberships DeleteGroupConstrainedMembershipsRequest;
    }
    all_refused! { "app.group.no_rows" 404:
        get_group GetGroupRequest;
        get_group_by_name GetGroupByNameRequest;
    }
    let members =
        |page, per_page| v1::GetGroupMemberUsersRequest { page, per_page, ..Default::default() };
    let answer = api.get_group_member_users(members(0, 10)).await.unwrap();
    assert_eq!(answer.users, []);
    refused(api.get_group_member_users(members(0, -1)).await, "app.select_error", 500);
    let request = v1::GetGroupsBySourceRequest { group_source: "ldap".into() };
    assert_eq!(api.get_groups_by_source(request).await.unwrap().groups, []);
    let request = v1::GetGroupsForUserRequest::default();
    assert_eq!(api.get_groups_for_user(request).await.unwrap().groups, []);
    all_refused! { "api.command_share.service_disabled" 400:
        share_channel ShareChannelRequest;
        update_shared_channel UpdateSharedChannelRequest;
        unshare_channel UnshareChannelRequest;
        sync_shared_channel SyncSharedChannelRequest;
        invite_remote_to_channel InviteRemoteToChannelRequest;
        uninvite_remote_from_channel UninviteRemoteFromChannelRequest;
    }
}

#[tokio::test]
async fn a_plugin_registers_as_a_remote() {
    let (_server, api) = alone();
    let register = |plugin_id: &str, display_name: &str| {
        let opts = v1::RegisterPluginOpts {
            plugin_id: plugin_id.into(),
            display_name: display_name.into(),
            description: String::new(),
        };
        let request = v1::RegisterPluginForSharedChannelsRequest { opts: Some(opts) };
        api.register_plugin_for_shared_channels(request)
    };
    let unregister = |plugin_id: &str| {
        let plugin_id = plugin_id.to_owned();
        let request = v1::UnregisterPluginForSharedChannelsRequest { plugin_id };
        api.unregister_plugin_for_shared_channels(request)
    };
    for name in ["", "two words", &"n".repeat(65)] {
        refused(register(PLUGIN, name).await, "model.cluster.is_valid.name.app_error", 400);
    }
    refused(unregister(PLUGIN).await, "", 500);
    let first = register(PLUGIN, "My-Plugin").await.unwrap().remote_id;
    assert_eq!(first.len(), 26);
    assert_eq!(register("", "checked only once").await.unwrap().remote_id, first);
    assert_ne!(register("com.example.b", "b").await.unwrap().remote_id, first);
    unregister(PLUGIN).await.unwrap();
    unregister(PLUGIN).await.unwrap();
    assert_eq!(register(PLUGIN, "again").await.unwrap().remote_id, first);

    let cursor = v1::UpdateSharedChannelCursorRequest::default();
    let error = api.update_shared_channel_cursor(cursor).await.unwrap_err();
    let start = "internal error: cursor update failed - cannot fetch shared channel remote: ";
    assert!(error.id.is_empty() && error.message.starts_with(start), "{error:?}");
}

#[tokio::test]
async fn calls_without_anybody_else() {
    let (server, api) = alone();
    let limits = api.get_cloud_limits(v1::GetCloudLimitsRequest {}).await.unwrap();
    assert_eq!(limits.limits_json, "{}");
    let request = v1::RegisterCollectionAndTopicRequest::default();
    api.register_collection_and_topic(request).await.unwrap();
    let event = v1::PluginClusterEvent { id: "e".into(), data: "d".into() };
    let request = v1::PublishPluginClusterEventRequest { event: Some(event), opts: None };
    api.publish_plugin_cluster_event(request.clone()).await.unwrap();
    assert_eq!(server.outbox().take(), [Sent::ClusterEvent(request)]);

    let not_enough = "Not enough URL. Form of URL should be /<pluginid>/*";
    let nobody = "No plugin specified. Form of URL should be /<pluginid>/*";
    let cases = [
        ("", 400, not_enough),
        ("/plugin", 400, not_enough),
        ("//path", 400, nobody),
        ("/plugin/path?a=b", 404, "404 page not found\n"),
        ("http://host/plugin/", 404, "404 page not found\n"),
    ];
    for (url, status_code, body) in cases {
        let request = v1::PluginHttpRequest { url: url.into(), ..Default::default() };
        let answer = api.plugin_http(request).await.unwrap();
        let answer = (answer.status_code, String::from_utf8_lossy(&answer.body).into_owned());
        assert_eq!(answer, (status_code, body.to_owned()), "{url}");
    }
}
