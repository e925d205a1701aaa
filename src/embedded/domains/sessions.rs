//! Log-ins, and the access tokens of users.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::super::ctx::Ctx;
use super::super::outbox::{Mail, Sent};
use super::super::refusal::{absent, internal, invalid, not_found, refused, unavailable};
use super::super::store::{Fault, Tx, WriteTx};
use super::user_rules::{MAX_ROLES_BYTES, is_remote};
use super::{team_members, users};
use crate::api::AppError;
use crate::embedded::limits::is_id;

pub(super) const SCHEMA: &str = "
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    last_activity_at INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, last_activity_at);
CREATE TABLE user_access_tokens (
    id TEXT PRIMARY KEY,
    token TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    message BLOB NOT NULL
);
";

const GET: &str = "app.session.get.app_error";
const SAVE: &str = "app.session.save.app_error";
const MAX_SESSIONS: i64 = 500;
/// So many are revoked at once.
const REVOKED_AT_ONCE: i64 = 100;
const MAX_DESCRIPTION_BYTES: usize = 255;

/// The session of this id or token.
fn find(tx: &Tx<'_>, id_or_token: &str) -> Result<Option<v1::Session>, Fault> {
    tx.message("SELECT message FROM sessions WHERE id = ?1 OR token = ?1", [id_or_token])
}

fn save(tx: &WriteTx<'_>, it: &v1::Session) -> Result<(), Fault> {
    // Memberships are looked up, and `local` is no column.
    let stored = v1::Session { team_members: Vec::new(), local: false, ..it.clone() };
    tx.execute(
        "INSERT INTO sessions (id, token, user_id, last_activity_at, message)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET
             last_activity_at = excluded.last_activity_at, message = excluded.message",
        params![it.id, it.token, it.user_id, it.last_activity_at, stored.encode_to_vec()],
    )
    .map(drop)
}

/// The user is signed in nowhere any more.
pub(super) fn revoke_all(tx: &WriteTx<'_>, user_id: &str) -> Result<(), Fault> {
    tx.execute("DELETE FROM sessions WHERE user_id = ?1", [user_id]).map(drop)
}

/// All the user's sessions have these roles.
pub(super) fn set_roles(tx: &WriteTx<'_>, user_id: &str, roles: &str) -> Result<(), Fault> {
    let all: Vec<v1::Session> =
        tx.messages("SELECT message FROM sessions WHERE user_id = ?1", [user_id])?;
    for session in all {
        save(tx, &v1::Session { roles: roles.to_owned(), ..session })?;
    }
    Ok(())
}

fn missing() -> AppError {
    invalid(GET, "Unable to find the session.")
}

pub(in super::super) async fn get_session(
    ctx: &Ctx,
    it: v1::GetSessionRequest,
) -> Result<v1::GetSessionResponse, AppError> {
    let session = ctx.read((GET, 400), move |tx| {
        let Some(mut session) = find(tx, &it.session_id)? else { return Err(missing().into()) };
        session.team_members = team_members::of_user(tx, &session.user_id)?;
        Ok(session)
    });
    Ok(v1::GetSessionResponse { session: Some(session.await?), error: None })
}

/// The user need not exist.
pub(in super::super) async fn create_session(
    ctx: &Ctx,
    it: v1::CreateSessionRequest,
) -> Result<v1::CreateSessionResponse, AppError> {
    let Some(sent) = it.session else { return Err(absent("session")) };
    let session = ctx.write(SAVE, move |tx| {
        if users::find(tx, &sent.user_id)?.as_ref().is_some_and(is_remote) {
            let id = "api.user.login.remote_users.login.error";
            return Err(refused(id, 401, "A user of another server cannot sign in here.").into());
        }
        if !sent.id.is_empty() {
            let id = "app.session.save.existing.app_error";
            return Err(invalid(id, "A new session cannot have an id.").into());
        }
        if !is_id(&sent.user_id) || sent.roles.len() > MAX_ROLES_BYTES {
            let message = "Unable to save the session: user_id or roles are not valid.";
            return Err(internal(SAVE, message).into());
        }
        drop_oldest(tx, &sent.user_id)?;
        let now = tx.now();
        let session = v1::Session {
            id: tx.new_id(),
            token: tx.new_id(),
            create_at: now,
            last_activity_at: now,
            team_members: team_members::of_user(tx, &sent.user_id)?,
            ..sent
        };
        save(tx, &session)?;
        Ok(session)
    });
    Ok(v1::CreateSessionResponse { session: Some(session.await?), error: None })
}

/// Makes room for one more session of the user.
fn drop_oldest(tx: &WriteTx<'_>, user_id: &str) -> Result<(), Fault> {
    tx.execute(
        "DELETE FROM sessions WHERE id IN (
             SELECT id FROM sessions WHERE user_id = ?1
             ORDER BY last_activity_at DESC, rowid DESC LIMIT ?2 OFFSET ?3)",
        params![user_id, REVOKED_AT_ONCE, MAX_SESSIONS - 1],
    )
    .map(drop)
}

pub(in super::super) async fn extend_session_expiry(
    ctx: &Ctx,
    it: v1::ExtendSessionExpiryRequest,
) -> Result<v1::ExtendSessionExpiryResponse, AppError> {
    let extended = ctx.write("app.session.extend_session_expiry.app_error", move |tx| {
        let Some(session) = find(tx, &it.session_id)? else {
            let id = "app.session.get_sessions.app_error";
            return Err(internal(id, "Unable to find the session.").into());
        };
        save(tx, &v1::Session { expires_at: it.new_expiry, expired_notify: false, ..session })
    });
    extended.await?;
    Ok(v1::ExtendSessionExpiryResponse::default())
}

pub(in super::super) async fn revoke_session(
    ctx: &Ctx,
    it: v1::RevokeSessionRequest,
) -> Result<v1::RevokeSessionResponse, AppError> {
    const REMOVE: &str = "app.session.remove.app_error";
    let revoked = ctx.write(REMOVE, move |tx| {
        let Some(session) = find(tx, &it.session_id)? else { return Err(missing().into()) };
        if session.is_oauth {
            // Nobody signs in over OAuth here, so that there is no access data to be removed.
            return Err(internal(REMOVE, "The session has no access data.").into());
        }
        tx.execute("DELETE FROM sessions WHERE id = ?1", [&session.id]).map(drop)
    });
    revoked.await?;
    Ok(v1::RevokeSessionResponse::default())
}

pub(in super::super) async fn create_user_access_token(
    ctx: &Ctx,
    it: v1::CreateUserAccessTokenRequest,
) -> Result<v1::CreateUserAccessTokenResponse, AppError> {
    let Some(sent) = it.token else { return Err(absent("token")) };
    let enabled = ctx.config().flag("ServiceSettings", "EnableUserAccessTokens");
    let made = ctx.write("app.user_access_token.save.app_error", move |tx| {
        let user = users::get(tx, &sent.user_id)?;
        if !enabled && !user.is_bot {
            let message = "Personal access tokens are disabled.";
            return Err(unavailable("app.user_access_token.disabled", message).into());
        }
        if sent.description.len() > MAX_DESCRIPTION_BYTES {
            let id = "model.user_access_token.is_valid.description.app_error";
            return Err(invalid(id, "The description is too long.").into());
        }
        let (id, token) = (tx.new_id(), tx.new_id());
        let token = v1::UserAccessToken { id, token, is_active: true, ..sent };
        tx.execute(
            "INSERT INTO user_access_tokens (id, token, user_id, message) VALUES (?1, ?2, ?3, ?4)",
            params![token.id, token.token, token.user_id, token.encode_to_vec()],
        )?;
        Ok((token, user))
    });
    let (token, user) = made.await?;
    if !user.is_bot {
        let subject = "A personal access token was added to your account".to_owned();
        let html = format!("<p>{subject}</p>");
        ctx.outbox().send(Sent::Mail(Mail { to: user.email, subject, html }));
    }
    Ok(v1::CreateUserAccessTokenResponse { token: Some(token), error: None })
}

pub(in super::super) async fn revoke_user_access_token(
    ctx: &Ctx,
    it: v1::RevokeUserAccessTokenRequest,
) -> Result<v1::RevokeUserAccessTokenResponse, AppError> {
    let revoked = ctx.write("app.user_access_token.delete.app_error", move |tx| {
        let find = "SELECT message FROM user_access_tokens WHERE id = ?1";
        let Some(token) = tx.message::<v1::UserAccessToken>(find, [&it.token_id])? else {
            let id = "app.user_access_token.get_by_user.app_error";
            return Err(not_found(id, "Unable to find the token.").into());
        };
        tx.execute("DELETE FROM user_access_tokens WHERE id = ?1", [&token.id])?;
        tx.execute("DELETE FROM sessions WHERE token = ?1", [&token.token]).map(drop)
    });
    revoked.await?;
    Ok(v1::RevokeUserAccessTokenResponse::default())
}
