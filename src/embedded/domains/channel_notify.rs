//! How a member wants to hear of a channel's messages.

use std::collections::{BTreeMap, BTreeSet};

use plugin_proto::v1;
use serde_json::json;

use super::super::ctx::Ctx;
use super::super::limits::{is_id, runes};
use super::super::refusal::{internal, invalid};
use super::channel_members as members;
use super::user_rules::MAX_ROLES_BYTES;
use crate::api::AppError;

const MAX_CHARACTERS: usize = 800_000;
const MAX_PATCHED: usize = 200;

const LEVELS: &[&str] = &["default", "all", "mention", "none"];

/// Settings with the values that they may have, and how an error calls them.
const VALUES: [(&str, &[&str], &str); 6] = [
    ("desktop", LEVELS, "notify_level"),
    ("mark_unread", &["all", "mention"], "unread_level"),
    ("push", LEVELS, "push_level"),
    ("email", &["default", "true", "false"], "email_value"),
    ("ignore_channel_mentions", &["default", "on", "off"], "ignore_channel_mentions_value"),
    ("channel_auto_follow_threads", &["on", "off"], "channel_auto_follow_threads_value"),
];

/// The settings that a member can change, one by one.
const CHANGED: [&str; 10] = [
    "mark_unread",
    "desktop",
    "desktop_sound",
    "desktop_notification_sound",
    "desktop_threads",
    "email",
    "push",
    "push_threads",
    "ignore_channel_mentions",
    "channel_auto_follow_threads",
];

/// What a new member has.
pub(super) fn defaults() -> BTreeMap<String, String> {
    let defaults = [
        ("desktop", "default"),
        ("mark_unread", "all"),
        ("push", "default"),
        ("email", "default"),
        ("ignore_channel_mentions", "default"),
        ("channel_auto_follow_threads", "off"),
    ];
    defaults.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

/// The first rule that a member breaks.
pub(super) fn check(member: &v1::ChannelMember, explicit_roles: &str) -> Result<(), AppError> {
    if !is_id(&member.channel_id) {
        return Err(broken("channel_id"));
    }
    if !is_id(&member.user_id) {
        return Err(broken("user_id"));
    }
    check_settings(&member.notify_props, true)?;
    if explicit_roles.len() > MAX_ROLES_BYTES {
        return Err(broken("roles_limit"));
    }
    Ok(())
}

fn broken(field: &str) -> AppError {
    let id = format!("model.channel_member.is_valid.{field}.app_error");
    invalid(&id, &format!("Invalid member of a channel: {field}."))
}

fn check_settings(settings: &BTreeMap<String, String>, whole: bool) -> Result<(), AppError> {
    for (name, values, field) in VALUES {
        let kept = match settings.get(name) {
            Some(value) => values.contains(&value.as_str()),
            None => !(whole && matches!(name, "desktop" | "mark_unread")),
        };
        if !kept {
            return Err(broken(field));
        }
    }
    if is_too_long(settings) {
        return Err(broken("notify_props"));
    }
    Ok(())
}

fn is_too_long(settings: &BTreeMap<String, String>) -> bool {
    runes(&json!(settings).to_string()) > MAX_CHARACTERS
}

/// Values are stored as they are sent.
pub(in super::super) async fn update_channel_member_notifications(
    ctx: &Ctx,
    it: v1::UpdateChannelMemberNotificationsRequest,
) -> Result<v1::UpdateChannelMemberNotificationsResponse, AppError> {
    if is_too_long(&it.notifications) {
        let id = "app.channel.update_member.notify_props_limit_exceeded.app_error";
        return Err(invalid(id, "The notification settings are too long."));
    }
    let member = ctx.write("app.channel.update_member.app_error", move |tx| {
        let mut member = members::get(tx, &it.channel_id, &it.user_id)?;
        let taken = it.notifications.into_iter().filter(|(key, _)| CHANGED.contains(&key.as_str()));
        members::merge(tx, &mut member, taken.collect())?;
        Ok(member)
    });
    let member = member.await?;
    members::publish_updated(ctx, &member);
    Ok(v1::UpdateChannelMemberNotificationsResponse { channel_member: Some(member), error: None })
}

/// All or none: if one of the members does not exist, or is named twice, nothing happens, and that is
/// no error.
pub(in super::super) async fn patch_channel_members_notifications(
    ctx: &Ctx,
    it: v1::PatchChannelMembersNotificationsRequest,
) -> Result<v1::PatchChannelMembersNotificationsResponse, AppError> {
    const PATCH: &str = "app.channel.patch_channel_members_notify_props.app_error";
    if it.members.len() > MAX_PATCHED {
        let id = "app.channel.patch_channel_members_notify_props.too_many";
        return Err(invalid(id, "At most 200 members can be changed at once."));
    }
    if it.members.is_empty() {
        return Ok(v1::PatchChannelMembersNotificationsResponse::default());
    }
    if it.notify_props.is_empty() {
        return Err(internal(PATCH, "There are no notification settings to be changed."));
    }
    check_settings(&it.notify_props, false)?;
    let patched = ctx.write(PATCH, move |tx| {
        let mut seen = BTreeSet::new();
        let mut all = Vec::with_capacity(it.members.len());
        for v1::ChannelMemberIdentifier { channel_id, user_id } in it.members {
            let Some(member) = members::find(tx, &channel_id, &user_id)? else {
                return Ok(Vec::new());
            };
            if !seen.insert((channel_id, user_id)) {
                return Ok(Vec::new());
            }
            all.push(member);
        }
        for member in &mut all {
            members::merge(tx, member, it.notify_props.clone())?;
        }
        Ok(all)
    });
    for member in patched.await? {
        members::publish_updated(ctx, &member);
    }
    Ok(v1::PatchChannelMembersNotificationsResponse::default())
}
