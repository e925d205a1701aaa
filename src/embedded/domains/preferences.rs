//! Preferences of users.
//!
//! `favorite_channel` preferences are mirrored in the favourites category of the sidebar, which
//! `sidebar_categories.rs` keeps.

use std::collections::BTreeMap;

use plugin_proto::v1;
use rusqlite::params;
use serde_json::{Value, json};

use super::super::ctx::{Ctx, plugin_context, to_user};
use super::super::limits::{is_id, runes};
use super::super::refusal::{forbidden, invalid, refused};
use super::super::store::{Fault, WriteTx};
use super::sidebar_categories;
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE preferences (
    user_id TEXT NOT NULL,
    category TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (user_id, category, name)
) WITHOUT ROWID;
";

/// The category that the sidebar mirrors.
const FAVOURITE: &str = "favorite_channel";
const MAX_CATEGORY_BYTES: usize = 32;
const MAX_NAME_BYTES: usize = 32;
const MAX_VALUE_CHARACTERS: usize = 20_000;
/// Keys of a theme whose values are no colours.
const NO_COLOURS: [&str; 3] = ["image", "type", "codeTheme"];

/// Any failure is "no such preference", with status 400 and not 404.
pub(in super::super) async fn get_preference_for_user(
    ctx: &Ctx,
    it: v1::GetPreferenceForUserRequest,
) -> Result<v1::GetPreferenceForUserResponse, AppError> {
    const GET: &str = "app.preference.get.app_error";
    let v1::GetPreferenceForUserRequest { user_id, category, name } = it;
    let found = ctx.read((GET, 400), move |tx| {
        let value = tx.value(
            "SELECT value FROM preferences WHERE user_id = ?1 AND category = ?2 AND name = ?3",
            params![user_id, category, name],
        )?;
        Ok(value.map(|value| v1::Preference { user_id, category, name, value }))
    });
    let Some(preference) = found.await? else {
        return Err(invalid(GET, "We couldn't find the preference."));
    };
    Ok(v1::GetPreferenceForUserResponse { preference: Some(preference), error: None })
}

pub(in super::super) async fn get_preferences_for_user(
    ctx: &Ctx,
    it: v1::GetPreferencesForUserRequest,
) -> Result<v1::GetPreferencesForUserResponse, AppError> {
    let preferences = ctx.read(("app.preference.get_all.app_error", 400), move |tx| {
        tx.rows(
            "SELECT category, name, value FROM preferences WHERE user_id = ?1
             ORDER BY category, name",
            [&it.user_id],
            |row| {
                let (category, name, value) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(v1::Preference { user_id: it.user_id.clone(), category, name, value })
            },
        )
    });
    Ok(v1::GetPreferencesForUserResponse { preferences: preferences.await?, error: None })
}

/// Plugins and clients are told the list as it was sent, not as it was stored.
pub(in super::super) async fn update_preferences_for_user(
    ctx: &Ctx,
    it: v1::UpdatePreferencesForUserRequest,
) -> Result<v1::UpdatePreferencesForUserResponse, AppError> {
    let v1::UpdatePreferencesForUserRequest { user_id, preferences } = it;
    if preferences.iter().any(|preference| preference.user_id != user_id) {
        let id = "api.preference.update_preferences.set.app_error";
        return Err(forbidden(id, "Unable to set the preferences of another user."));
    }
    let rows = preferences.clone();
    let saved = ctx.write(("app.preference.save.app_error", 400), move |tx| {
        let favourites: Vec<_> =
            rows.iter().filter(|it| it.category == FAVOURITE).cloned().collect();
        save(tx, rows)?;
        for it in favourites {
            sidebar_categories::set_favourite(tx, &it.user_id, &it.name, it.value != "false")?;
        }
        Ok(())
    });
    saved.await?;
    let favourites = preferences.iter().filter(|it| it.category == FAVOURITE);
    if favourites.clone().any(|it| it.value != "false" && !is_id(&it.name)) {
        let id = "api.preference.update_preferences.update_sidebar.app_error";
        return Err(refused(id, 500, "Unable to update the sidebar with the favourites."));
    }
    ctx.publish("sidebar_category_updated", json!({}), to_user(&user_id));
    let data = json!({ "preferences": as_json(&preferences) });
    ctx.publish("preferences_changed", data, to_user(&user_id));
    ctx.tell(v1::PreferencesHaveChangedRequest {
        context: None,
        plugin_context: plugin_context(),
        preferences,
    });
    Ok(v1::UpdatePreferencesForUserResponse::default())
}

pub(in super::super) async fn delete_preferences_for_user(
    ctx: &Ctx,
    it: v1::DeletePreferencesForUserRequest,
) -> Result<v1::DeletePreferencesForUserResponse, AppError> {
    let v1::DeletePreferencesForUserRequest { user_id, preferences } = it;
    if preferences.iter().any(|preference| preference.user_id != user_id) {
        let id = "api.preference.delete_preferences.delete.app_error";
        return Err(forbidden(id, "Unable to delete the preferences of another user."));
    }
    let rows = preferences.clone();
    let deleted = ctx.write(("app.preference.delete.app_error", 400), move |tx| {
        for it in rows {
            tx.execute(
                "DELETE FROM preferences WHERE user_id = ?1 AND category = ?2 AND name = ?3",
                params![it.user_id, it.category, it.name],
            )?;
            if it.category == FAVOURITE {
                sidebar_categories::set_favourite(tx, &it.user_id, &it.name, false)?;
            }
        }
        Ok(())
    });
    deleted.await?;
    ctx.publish("sidebar_category_updated", json!({}), to_user(&user_id));
    let data = json!({ "preferences": as_json(&preferences) });
    ctx.publish("preferences_deleted", data, to_user(&user_id));
    Ok(v1::DeletePreferencesForUserResponse::default())
}

/// Stores all or none.
pub(in super::super) fn save(
    tx: &WriteTx<'_>,
    preferences: Vec<v1::Preference>,
) -> Result<(), Fault> {
    for mut it in preferences {
        if it.category == "theme" {
            it.value = theme(&it.value);
        }
        check(&it)?;
        tx.execute(
            "INSERT INTO preferences (user_id, category, name, value) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET value = excluded.value",
            params![it.user_id, it.category, it.name, it.value],
        )?;
    }
    Ok(())
}

fn check(it: &v1::Preference) -> Result<(), AppError> {
    let refused = |field: &str| {
        let id = format!("model.preference.is_valid.{field}.app_error");
        Err(invalid(&id, &format!("Invalid preference: {field}.")))
    };
    if !is_id(&it.user_id) {
        return refused("id");
    }
    if it.category.is_empty() || it.category.len() > MAX_CATEGORY_BYTES {
        return refused("category");
    }
    if it.name.len() > MAX_NAME_BYTES {
        return refused("name");
    }
    if runes(&it.value) > MAX_VALUE_CHARACTERS {
        return refused("value");
    }
    let limits_dms = it.category == "sidebar_settings" && it.name == "limit_visible_dms_gms";
    if limits_dms && !it.value.parse().is_ok_and(|limit: i64| (1..=40).contains(&limit)) {
        return refused("limit_visible_dms_gms");
    }
    Ok(())
}

/// The theme with sorted keys and with colours only; `null` for what is no JSON object.
fn theme(value: &str) -> String {
    let Ok(theme) = serde_json::from_str::<BTreeMap<String, Value>>(value) else {
        return "null".to_owned();
    };
    let colours = theme.into_iter().map(|(key, value)| {
        let text = value.as_str().unwrap_or_default();
        let kept = value.is_string() && (NO_COLOURS.contains(&key.as_str()) || is_colour(text));
        let colour = if kept { text.to_owned() } else { "#ffffff".to_owned() };
        (key, Value::String(colour))
    });
    Value::Object(colours.collect()).to_string()
}

/// `#rgb` or `#rrggbb`.
fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|it| it.is_ascii_hexdigit())
}

/// The list as the clients get it: JSON in a text.
fn as_json(preferences: &[v1::Preference]) -> String {
    let list = preferences.iter().map(|it| {
        json!({
            "user_id": it.user_id,
            "category": it.category,
            "name": it.name,
            "value": it.value,
        })
    });
    Value::Array(list.collect()).to_string()
}
