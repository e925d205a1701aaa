//! What others see of a user, and the events that tell of a change.

use std::collections::BTreeMap;

use plugin_proto::v1;
use serde_json::{Value, json};

use super::super::config::Config;
use super::super::ctx::{Ctx, to_all, to_user};
use super::user_rules::is_guest;

/// Without secrets.
pub(super) fn light(mut user: v1::User) -> v1::User {
    user.password.clear();
    user.mfa_secret.clear();
    user.last_login = 0;
    user
}

/// As an administrator sees others.
pub(super) fn for_admins(user: v1::User) -> v1::User {
    v1::User {
        last_password_update: 0,
        email_verified: false,
        allow_marketing: false,
        ..light(user)
    }
}

/// As everybody else does.
pub(super) fn for_all(config: &Config, user: v1::User) -> v1::User {
    let mut user = v1::User {
        auth_data: None,
        auth_service: String::new(),
        notify_props: BTreeMap::new(),
        failed_attempts: 0,
        ..for_admins(user)
    };
    if !config.flag("PrivacySettings", "ShowEmailAddress") {
        user.email.clear();
    }
    if !config.flag("PrivacySettings", "ShowFullName") {
        user.first_name.clear();
        user.last_name.clear();
    }
    user
}

/// Tells administrators, everybody else and the user of a change.
pub(super) fn publish_updated(ctx: &Ctx, user: &v1::User) {
    let others = || v1::WebsocketBroadcast { omit_users: vec![user.id.clone()], ..to_all() };
    let publish =
        |user: &v1::User, to| ctx.publish("user_updated", json!({ "user": as_json(user) }), to);
    publish(&for_admins(user.clone()), others());
    publish(&for_all(&ctx.config(), user.clone()), others());
    publish(&light(user.clone()), to_user(&user.id));
}

/// Tells everybody of a change that is no secret, the user included.
pub(super) fn publish_updated_to_all(ctx: &Ctx, user: &v1::User) {
    let shown = for_all(&ctx.config(), user.clone());
    ctx.publish("user_updated", json!({ "user": as_json(&shown) }), to_all());
}

/// The JSON of a user for clients, without secrets.
pub(super) fn as_json(it: &v1::User) -> Value {
    let mut user = json!({
        "id": it.id,
        "create_at": it.create_at,
        "update_at": it.update_at,
        "delete_at": it.delete_at,
        "username": it.username,
        "auth_data": it.auth_data.as_deref().unwrap_or_default(),
        "auth_service": it.auth_service,
        "email": it.email,
        "nickname": it.nickname,
        "first_name": it.first_name,
        "last_name": it.last_name,
        "position": it.position,
        "roles": it.roles,
        "props": it.props,
        "notify_props": it.notify_props,
        "last_picture_update": it.last_picture_update,
        "locale": it.locale,
        "timezone": it.timezone,
        "is_guest": is_guest(it),
        "disable_welcome_email": it.disable_welcome_email,
    });
    if it.is_bot {
        user["is_bot"] = true.into();
        user["bot_description"] = it.bot_description.clone().into();
        user["bot_last_icon_update"] = it.bot_last_icon_update.into();
    }
    if let Some(remote_id) = &it.remote_id {
        user["remote_id"] = remote_id.clone().into();
    }
    user
}
