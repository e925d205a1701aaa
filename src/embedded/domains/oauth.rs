//! OAuth apps: programs that may ask users for their accounts.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::super::ctx::Ctx;
use super::super::limits::{is_http_url, is_id, runes};
use super::super::refusal::{absent, invalid, not_found, unavailable};
use super::super::store::{Fault, Tx, WriteTx};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE oauth_apps (
    id TEXT PRIMARY KEY,
    message BLOB NOT NULL
) WITHOUT ROWID;
";

const MAX_SECRET_BYTES: usize = 128;
const MAX_NAME_BYTES: usize = 64;
const MAX_CALLBACKS_BYTES: usize = 1024;
const MAX_HOMEPAGE_BYTES: usize = 256;
const MAX_DESCRIPTION_CHARACTERS: usize = 512;
const MAX_ICON_URL_BYTES: usize = 512;
const MAX_MATTERMOST_APP_ID_BYTES: usize = 32;

/// The secret is always a new one, the creator always a given one.
pub(in super::super) async fn create_o_auth_app(
    ctx: &Ctx,
    it: v1::CreateOAuthAppRequest,
) -> Result<v1::CreateOAuthAppResponse, AppError> {
    enabled(ctx, "api.oauth.register_oauth_app.turn_off.app_error")?;
    let mut app = it.app.ok_or_else(|| absent("app"))?;
    if !app.id.is_empty() {
        let message = "A new app has no id: leave it out, or update the app.";
        return Err(invalid("app.oauth.save_app.existing.app_error", message));
    }
    let app = ctx.write("app.oauth.save_app.save.app_error", move |tx| {
        app.id = tx.new_id();
        app.client_secret = tx.new_id();
        app.create_at = tx.now();
        app.update_at = app.create_at;
        check(&app)?;
        save(tx, &app)?;
        Ok(app)
    });
    Ok(v1::CreateOAuthAppResponse { app: Some(app.await?), error: None })
}

pub(in super::super) async fn get_o_auth_app(
    ctx: &Ctx,
    it: v1::GetOAuthAppRequest,
) -> Result<v1::GetOAuthAppResponse, AppError> {
    enabled(ctx, "api.oauth.allow_oauth.turn_off.app_error")?;
    let app = ctx.read("app.oauth.get_app.finding.app_error", move |tx| stored(tx, &it.app_id));
    Ok(v1::GetOAuthAppResponse { app: Some(app.await?), error: None })
}

/// Everything is overwritten, with empty fields too, except what says whose app it is and since when.
pub(in super::super) async fn update_o_auth_app(
    ctx: &Ctx,
    it: v1::UpdateOAuthAppRequest,
) -> Result<v1::UpdateOAuthAppResponse, AppError> {
    enabled(ctx, "api.oauth.allow_oauth.turn_off.app_error")?;
    let mut app = it.app.ok_or_else(|| absent("app"))?;
    let app = ctx.write("app.oauth.update_app.updating.app_error", move |tx| {
        let old = stored(tx, &app.id)?;
        app.creator_id = old.creator_id;
        app.create_at = old.create_at;
        app.client_secret = old.client_secret;
        app.update_at = tx.now();
        check(&app)?;
        save(tx, &app)?;
        Ok(app)
    });
    Ok(v1::UpdateOAuthAppResponse { app: Some(app.await?), error: None })
}

/// An app that is not there is no error.
pub(in super::super) async fn delete_o_auth_app(
    ctx: &Ctx,
    it: v1::DeleteOAuthAppRequest,
) -> Result<v1::DeleteOAuthAppResponse, AppError> {
    enabled(ctx, "api.oauth.allow_oauth.turn_off.app_error")?;
    let deleted = ctx.write("app.oauth.delete_app.app_error", move |tx| {
        tx.execute("DELETE FROM oauth_apps WHERE id = ?1", [it.app_id])
    });
    deleted.await?;
    Ok(v1::DeleteOAuthAppResponse::default())
}

fn enabled(ctx: &Ctx, id: &str) -> Result<(), AppError> {
    match ctx.config().flag("ServiceSettings", "EnableOAuthServiceProvider") {
        true => Ok(()),
        false => Err(unavailable(id, "The system admin has turned off OAuth2 Service Provider.")),
    }
}

fn stored(tx: &Tx<'_>, id: &str) -> Result<v1::OAuthApp, Fault> {
    let app = tx.message("SELECT message FROM oauth_apps WHERE id = ?1", [id])?;
    Ok(app.ok_or_else(|| {
        not_found("app.oauth.get_app.find.app_error", "We couldn't find the requested app.")
    })?)
}

fn save(tx: &WriteTx<'_>, app: &v1::OAuthApp) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO oauth_apps (id, message) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET message = excluded.message",
        params![app.id, app.encode_to_vec()],
    )
    .map(drop)
}

fn check(app: &v1::OAuthApp) -> Result<(), AppError> {
    let longest = |text: &str, bytes| text.len() <= bytes;
    let rules = [
        ("app_id", is_id(&app.id)),
        ("create_at", app.create_at != 0),
        ("update_at", app.update_at != 0),
        ("creator_id", is_id(&app.creator_id)),
        ("client_secret", longest(&app.client_secret, MAX_SECRET_BYTES)),
        ("name", !app.name.is_empty() && longest(&app.name, MAX_NAME_BYTES)),
        ("callback", are_callbacks(&app.callback_urls)),
        ("homepage", longest(&app.homepage, MAX_HOMEPAGE_BYTES) && is_http_url(&app.homepage)),
        ("description", runes(&app.description) <= MAX_DESCRIPTION_CHARACTERS),
        ("icon_url", {
            let given = longest(&app.icon_url, MAX_ICON_URL_BYTES) && is_http_url(&app.icon_url);
            app.icon_url.is_empty() || given
        }),
        ("mattermost_app_id", longest(&app.mattermost_app_id, MAX_MATTERMOST_APP_ID_BYTES)),
    ];
    match rules.iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((field, _)) => {
            let id = format!("model.oauth.is_valid.{field}.app_error");
            Err(invalid(&id, &format!("Invalid OAuth app: {field}.")))
        }
    }
}

/// One URL or more, with commas between them. Go's `[a b]` of the list is what has a limit.
fn are_callbacks(urls: &str) -> bool {
    let brackets = 2;
    urls.len() + brackets <= MAX_CALLBACKS_BYTES && urls.split(',').all(is_http_url)
}
