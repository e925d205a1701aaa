//! Setting and removing the text and emoji beside a user's name.

use plugin_proto::v1;
use serde_json::Value;

use super::super::ctx::Ctx;
use super::super::refusal::invalid;
use super::custom_status::{self, Stored};
use super::{preferences, system_emoji, user_changes};
use crate::api::AppError;

/// So many are remembered, the latest first.
const REMEMBERED: usize = 5;
const CATEGORY: &str = "custom_status";
const RECENT: &str = "recent_custom_statuses";

pub(in super::super) async fn update_user_custom_status(
    ctx: &Ctx,
    it: v1::UpdateUserCustomStatusRequest,
) -> Result<v1::UpdateUserCustomStatusResponse, AppError> {
    let status = it.custom_status.unwrap_or_default();
    if status.emoji.is_empty() && status.text.is_empty() {
        let id = "api.custom_status.set_custom_statuses.update.app_error";
        return Err(invalid(id, "A custom status has an emoji or a text."));
    }
    if !status.emoji.is_empty() && !is_emoji(ctx, status.emoji.clone()).await? {
        let id = "api.custom_status.set_custom_statuses.emoji_not_found";
        return Err(invalid(id, "There is no emoji of this name."));
    }
    let status = Stored::of(&status).filled(ctx.now());
    let stored = status.clone();
    let change = move |mut user: v1::User| {
        custom_status::set(&mut user, Some(&stored));
        Ok(user)
    };
    user_changes::update(ctx, it.user_id.clone(), change).await?;
    if let Err(error) = remember(ctx, it.user_id, status).await {
        tracing::warn!(id = error.id, "a custom status could not be remembered");
    }
    Ok(v1::UpdateUserCustomStatusResponse::default())
}

/// Whether the name is a system emoji's, or that of one that somebody has made.
async fn is_emoji(ctx: &Ctx, name: String) -> Result<bool, AppError> {
    if system_emoji::is_one(&name) {
        return Ok(true);
    }
    if !ctx.config().flag("ServiceSettings", "EnableCustomEmoji") {
        return Ok(false);
    }
    let found = ctx.read("app.emoji.get_by_name.app_error", move |tx| {
        tx.exists("SELECT 1 FROM emoji WHERE name = ?1 AND delete_at = 0", [name])
    });
    found.await
}

async fn remember(ctx: &Ctx, user_id: String, status: Stored) -> Result<(), AppError> {
    let id = user_id.clone();
    let old: Option<String> = ctx
        .read("app.preference.get.app_error", move |tx| {
            tx.value(
                "SELECT value FROM preferences WHERE user_id = ?1 AND category = ?2 AND name = ?3",
                [id.as_str(), CATEGORY, RECENT],
            )
        })
        .await?;
    let old: Vec<Stored> =
        old.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let older = old.into_iter().filter(|it| it.text != status.text);
    let all: Vec<Value> = std::iter::once(status.clone())
        .chain(older)
        .take(REMEMBERED)
        .filter_map(|it| serde_json::to_value(it).ok())
        .collect();
    let preference = v1::Preference {
        user_id: user_id.clone(),
        category: CATEGORY.to_owned(),
        name: RECENT.to_owned(),
        value: Value::Array(all).to_string(),
    };
    let request = v1::UpdatePreferencesForUserRequest { user_id, preferences: vec![preference] };
    preferences::update_preferences_for_user(ctx, request).await.map(drop)
}

/// One that is not set is removed as well.
pub(in super::super) async fn remove_user_custom_status(
    ctx: &Ctx,
    it: v1::RemoveUserCustomStatusRequest,
) -> Result<v1::RemoveUserCustomStatusResponse, AppError> {
    let change = |mut user: v1::User| {
        custom_status::set(&mut user, None);
        Ok(user)
    };
    user_changes::update(ctx, it.user_id, change).await?;
    Ok(v1::RemoveUserCustomStatusResponse::default())
}
