//! Users: how they are stored, created and found.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;
use serde_json::json;

use super::super::ctx::{Ctx, plugin_context, to_all};
use super::super::refusal::{absent, internal, invalid, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::{passwords, preferences, user_rules as rules, user_view as view};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL UNIQUE,
    auth_data TEXT UNIQUE,
    nickname TEXT NOT NULL,
    roles TEXT NOT NULL,
    update_at INTEGER NOT NULL,
    delete_at INTEGER NOT NULL,
    is_bot INTEGER NOT NULL,
    is_remote INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX users_by_change ON users (update_at);
";

/// Without a licence a server has so many active users.
const MAX_ACTIVE_USERS: i64 = 250;
const SAVE: &str = "app.user.save.app_error";

/// The user of this id, deactivated or not.
pub(super) fn find(tx: &Tx<'_>, id: &str) -> Result<Option<v1::User>, Fault> {
    tx.message("SELECT message FROM users WHERE id = ?1", [id])
}

/// The same; 404 if there is none.
pub(super) fn get(tx: &Tx<'_>, id: &str) -> Result<v1::User, Fault> {
    find(tx, id)?.ok_or_else(|| missing().into())
}

/// The user of this name, which is in lower case.
pub(super) fn by_username(tx: &Tx<'_>, name: &str) -> Result<Option<v1::User>, Fault> {
    tx.message("SELECT message FROM users WHERE username = ?1", [name])
}

/// There is no such user.
pub(super) fn missing() -> AppError {
    not_found("app.user.missing_account.const", "Unable to find the user.")
}

/// Stores a user, or stores the user anew. Names and addresses must have been checked.
pub(super) fn save(tx: &WriteTx<'_>, it: &v1::User) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO users (id, username, email, auth_data, nickname, roles, update_at, delete_at,
                            is_bot, is_remote, message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET
             username = excluded.username, email = excluded.email,
             auth_data = excluded.auth_data, nickname = excluded.nickname,
             roles = excluded.roles, update_at = excluded.update_at,
             delete_at = excluded.delete_at, is_bot = excluded.is_bot,
             is_remote = excluded.is_remote, message = excluded.message",
        params![
            it.id,
            it.username,
            it.email,
            it.auth_data,
            it.nickname,
            it.roles,
            it.update_at,
            it.delete_at,
            it.is_bot,
            rules::is_remote(it),
            it.encode_to_vec(),
        ],
    )
    .map(drop)
}

/// Refuses a name or an address that another user has.
pub(super) fn check_unique(tx: &Tx<'_>, it: &v1::User) -> Result<(), Fault> {
    if tx.exists("SELECT 1 FROM users WHERE username = ?1 AND id <> ?2", [&it.username, &it.id])? {
        return Err(username_taken().into());
    }
    if tx.exists("SELECT 1 FROM users WHERE email = ?1 AND id <> ?2", [&it.email, &it.id])? {
        let message = "An account with that email already exists.";
        return Err(invalid("app.user.save.email_exists.app_error", message).into());
    }
    Ok(())
}

/// A user or a group has the name already.
pub(super) fn username_taken() -> AppError {
    let message = "An account with that username already exists.";
    invalid("app.user.save.username_exists.app_error", message)
}

/// Whether another user may be active.
pub(super) fn is_full(tx: &Tx<'_>) -> Result<bool, Fault> {
    let active: Option<i64> = tx.value(
        "SELECT COUNT(*) FROM users WHERE delete_at = 0 AND is_bot = 0 AND is_remote = 0",
        [],
    )?;
    Ok(active.unwrap_or(0) >= MAX_ACTIVE_USERS)
}

pub(in super::super) async fn create_user(
    ctx: &Ctx,
    it: v1::CreateUserRequest,
) -> Result<v1::CreateUserResponse, AppError> {
    let Some(user) = it.user else { return Err(absent("user")) };
    let config = ctx.config();
    let saved = ctx.write(SAVE, move |tx| {
        if is_full(tx)? {
            let message = "The server has as many users as it may have without a licence.";
            let id = "api.user.create_user.user_limits.exceeded";
            return Err(invalid(id, message).into());
        }
        let sso = matches!(&*user.auth_service, "ldap" | "saml");
        let domains = config.text("TeamSettings", "RestrictCreationToDomains");
        if !sso && !rules::is_of_domain(&user.email, domains) {
            let message = "The email address is not of an allowed domain.";
            let id = "api.user.create_user.accepted_domain.app_error";
            return Err(invalid(id, message).into());
        }
        if user.auth_service.is_empty() {
            rules::check_password(&config, &user.password)?;
        }
        if !user.id.is_empty() && !rules::is_remote(&user) {
            let message = "A new user cannot have an id.";
            return Err(invalid("app.user.save.existing.app_error", message).into());
        }
        let first = !tx.exists("SELECT 1 FROM users WHERE is_bot = 0", [])?;
        let roles = if first { "system_admin system_user" } else { "system_user" };
        let mut user = v1::User {
            roles: roles.to_owned(),
            last_login: 0,
            is_bot: false,
            bot_description: String::new(),
            bot_last_icon_update: 0,
            last_activity_at: 0,
            terms_of_service_id: String::new(),
            terms_of_service_create_at: 0,
            ..user
        };
        rules::fill_new(&mut user, &tx.new_id(), &config, tx.now());
        if !user.password.is_empty() {
            user.password = passwords::hashed(&user.password, &tx.new_id())?;
        }
        rules::check(&user)?;
        insert(tx, &user)?;
        preferences::save(tx, first_preferences(&user.id))?;
        Ok(user)
    });
    let saved = saved.await?;
    if saved.email_verified {
        view::publish_updated(ctx, &saved);
    }
    ctx.publish("new_user", json!({ "user_id": saved.id }), to_all());
    let shown = view::light(saved);
    ctx.tell(v1::UserHasBeenCreatedRequest {
        context: None,
        plugin_context: plugin_context(),
        user: Some(shown.clone()),
    });
    Ok(v1::CreateUserResponse { user: Some(shown), error: None })
}

/// Stores a new user, who must have been checked.
pub(super) fn insert(tx: &WriteTx<'_>, user: &v1::User) -> Result<(), Fault> {
    check_unique(tx, user)?;
    let taken = match &user.auth_data {
        Some(auth) => tx.exists("SELECT 1 FROM users WHERE auth_data = ?1", [auth])?,
        None => false,
    };
    if taken || !rules::fits_the_database(user) || find(tx, &user.id)?.is_some() {
        return Err(internal(SAVE, "Unable to save the account.").into());
    }
    let stored = v1::User {
        disable_welcome_email: false,
        update_at: if user.email_verified { tx.now() } else { user.update_at },
        ..user.clone()
    };
    save(tx, &stored)
}

fn first_preferences(user_id: &str) -> Vec<v1::Preference> {
    let preferences = [
        ("recommended_next_steps", "hide", "false"),
        ("tutorial_step", user_id, "0"),
        ("system_notice", "GMasDM", "true"),
    ];
    let preference = |(category, name, value): (&str, &str, &str)| v1::Preference {
        user_id: user_id.to_owned(),
        category: category.to_owned(),
        name: name.to_owned(),
        value: value.to_owned(),
    };
    preferences.into_iter().map(preference).collect()
}

/// With everything, secrets included; so do the next two.
pub(in super::super) async fn get_user(
    ctx: &Ctx,
    it: v1::GetUserRequest,
) -> Result<v1::GetUserResponse, AppError> {
    let user = ctx.read("app.user.get.app_error", move |tx| get(tx, &it.user_id)).await?;
    Ok(v1::GetUserResponse { user: Some(user), error: None })
}

pub(in super::super) async fn get_user_by_email(
    ctx: &Ctx,
    it: v1::GetUserByEmailRequest,
) -> Result<v1::GetUserByEmailResponse, AppError> {
    let email = it.email.to_lowercase();
    let user = ctx
        .read("app.user.missing_account.const", move |tx| {
            tx.message("SELECT message FROM users WHERE email = ?1", [email])
        })
        .await?;
    match user {
        Some(user) => Ok(v1::GetUserByEmailResponse { user: Some(user), error: None }),
        None => Err(missing()),
    }
}

pub(in super::super) async fn get_user_by_username(
    ctx: &Ctx,
    it: v1::GetUserByUsernameRequest,
) -> Result<v1::GetUserByUsernameResponse, AppError> {
    const GET: &str = "app.user.get_by_username.app_error";
    let name = it.name.to_lowercase();
    match ctx.read(GET, move |tx| by_username(tx, &name)).await? {
        Some(user) => Ok(v1::GetUserByUsernameResponse { user: Some(user), error: None }),
        None => Err(not_found(GET, "Unable to find an account with that username.")),
    }
}
