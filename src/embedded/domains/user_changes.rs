//! Changes of users: what they tell of themselves, whether they are active, how they sign in.

use plugin_proto::v1;
use rusqlite::params;
use serde_json::json;

use super::super::config::Config;
use super::super::ctx::{Ctx, plugin_context, to_channel, to_user};
use super::super::outbox::{Mail, Sent};
use super::super::refusal::{absent, internal, invalid, refused};
use super::super::store::{Fault, WriteTx};
use super::role_table::role;
use super::system_posts::{self, SystemPost};
use super::{
    direct_channels, sessions, user_rules as rules, user_status, user_view as view, users,
};
use crate::api::AppError;

const UPDATE: &str = "app.user.update.finding.app_error";

pub(in super::super) async fn update_user(
    ctx: &Ctx,
    it: v1::UpdateUserRequest,
) -> Result<v1::UpdateUserResponse, AppError> {
    let Some(sent) = it.user else { return Err(absent("user")) };
    // What a bot is, is not stored from here, but sent back.
    let bot = (sent.is_bot, sent.bot_description.clone(), sent.bot_last_icon_update);
    let mut user = update(ctx, sent.id.clone(), move |_| Ok(sent)).await?;
    (user.is_bot, user.bot_description, user.bot_last_icon_update) = bot;
    Ok(v1::UpdateUserResponse { user: Some(view::light(user)), error: None })
}

/// Stores what `change` makes of the stored user, tells of it, and answers it with its secrets.
pub(super) async fn update<F>(ctx: &Ctx, id: String, change: F) -> Result<v1::User, AppError>
where
    F: FnOnce(v1::User) -> Result<v1::User, AppError> + Send + 'static,
{
    let config = ctx.config();
    let updated = ctx.write(UPDATE, move |tx| {
        let old = users::get(tx, &id)?;
        let sent = change(old.clone())?;
        updated(tx, &config, &old, sent).map(|(user, mail_to)| (old, user, mail_to))
    });
    let (old, user, verify) = updated.await?;
    send_mails(ctx, &old, &user, verify);
    view::publish_updated(ctx, &user);
    Ok(user)
}

/// The stored user, and an address that is still to be verified.
fn updated(
    tx: &WriteTx<'_>,
    config: &Config,
    old: &v1::User,
    mut user: v1::User,
) -> Result<(v1::User, Option<String>), Fault> {
    let sso = matches!(&*old.auth_service, "ldap" | "saml");
    let new_email = user.email.to_lowercase() != old.email;
    if new_email && !sso {
        check_domain(config, old, &user.email)?;
    }
    let oauth = matches!(&*old.auth_service, "gitlab" | "google" | "office365" | "openid");
    if oauth {
        user.email.clone_from(&old.email);
    }
    let new_email = new_email && !oauth;
    let mut verify = None;
    let must_verify = config.flag("EmailSettings", "RequireEmailVerification");
    if new_email && must_verify && !old.is_bot {
        let email = user.email.to_lowercase();
        if tx.exists("SELECT 1 FROM users WHERE email = ?1 AND id <> ?2", [&email, &old.id])? {
            let id = "app.user.save.email_exists.app_error";
            return Err(invalid(id, "An account with that email already exists.").into());
        }
        user.email.clone_from(&old.email);
        verify = Some(email);
    }
    rules::fill_changed(&mut user, tx.now());
    let judged = v1::User { create_at: old.create_at, ..user.clone() };
    rules::check(&judged)?;
    if old.auth_service == "ldap" && (user.username != old.username || user.email != old.email) {
        let id = "app.user.update.find.app_error";
        return Err(invalid(id, "The names of this user come from LDAP.").into());
    }
    let email_verified = match user.email == old.email {
        _ if !old.auth_service.is_empty() => true,
        kept => kept && old.email_verified,
    };
    let user = v1::User {
        create_at: old.create_at,
        delete_at: old.delete_at,
        roles: old.roles.clone(),
        password: old.password.clone(),
        auth_data: old.auth_data.clone(),
        auth_service: old.auth_service.clone(),
        last_password_update: old.last_password_update,
        last_picture_update: old.last_picture_update,
        failed_attempts: old.failed_attempts,
        mfa_secret: old.mfa_secret.clone(),
        mfa_active: old.mfa_active,
        last_login: old.last_login,
        email_verified,
        is_bot: old.is_bot,
        bot_description: old.bot_description.clone(),
        bot_last_icon_update: old.bot_last_icon_update,
        last_activity_at: 0,
        terms_of_service_id: String::new(),
        terms_of_service_create_at: 0,
        disable_welcome_email: false,
        ..user
    };
    let mut user = user;
    if user.username != old.username {
        forget_mentions(&mut user, &old.username);
        if user.last_picture_update <= 0 {
            user.last_picture_update = -tx.now();
        }
    }
    users::check_unique(tx, &user)?;
    if !rules::fits_the_database(&user) {
        return Err(internal(UPDATE, "Unable to update the account.").into());
    }
    users::save(tx, &user)?;
    Ok((user, verify))
}

fn check_domain(config: &Config, old: &v1::User, email: &str) -> Result<(), AppError> {
    let (section, id) = match rules::is_guest(old) {
        true => ("GuestAccountsSettings", "api.user.update_user.accepted_guest_domain.app_error"),
        false => ("TeamSettings", "api.user.update_user.accepted_domain.app_error"),
    };
    if rules::is_of_domain(email, config.text(section, "RestrictCreationToDomains")) {
        return Ok(());
    }
    Err(invalid(id, "The email address is not of an allowed domain."))
}

/// The old name is no word any more that the user is told of.
fn forget_mentions(user: &mut v1::User, name: &str) {
    let Some(keys) = user.notify_props.get_mut("mention_keys") else { return };
    let at_name = format!("@{name}");
    let kept = keys.split(',').filter(|key| !key.is_empty() && *key != name && *key != at_name);
    *keys = kept.map(|key| format!(",{key}")).collect();
}

fn send_mails(ctx: &Ctx, old: &v1::User, user: &v1::User, verify: Option<String>) {
    let mail = |to: &str, subject: &str| {
        let (to, subject) = (to.to_owned(), subject.to_owned());
        let html = format!("<p>{subject}</p>");
        ctx.outbox().send(Sent::Mail(Mail { to, subject, html }));
    };
    if old.is_bot {
        return;
    }
    if let Some(address) = verify {
        mail(&address, "Verify your new email address");
    }
    if user.email != old.email {
        mail(&old.email, "Your email address has changed");
    }
    if user.username != old.username {
        mail(&user.email, "Your username has changed");
    }
}

/// A soft deletion: the same as making the user inactive.
pub(in super::super) async fn delete_user(
    ctx: &Ctx,
    it: v1::DeleteUserRequest,
) -> Result<v1::DeleteUserResponse, AppError> {
    set_active(ctx, it.user_id, false).await?;
    Ok(v1::DeleteUserResponse::default())
}

pub(in super::super) async fn update_user_active(
    ctx: &Ctx,
    it: v1::UpdateUserActiveRequest,
) -> Result<v1::UpdateUserActiveResponse, AppError> {
    set_active(ctx, it.user_id, it.active).await?;
    Ok(v1::UpdateUserActiveResponse::default())
}

/// Activates or deactivates a user, whatever the user is now.
pub(super) async fn set_active(ctx: &Ctx, id: String, active: bool) -> Result<(), AppError> {
    let disables_bots = ctx.config().flag("ServiceSettings", "DisableBotsWhenOwnerIsDeactivated");
    let changed = ctx.write(UPDATE, move |tx| {
        let mut user = users::get(tx, &id)?;
        if active && users::is_full(tx)? {
            let id = "app.user.update_active.user_limit.exceeded";
            let message = "The server has as many users as it may have without a licence.";
            return Err(invalid(id, message).into());
        }
        user.update_at = tx.now();
        user.delete_at = if active { 0 } else { user.update_at };
        rules::check(&v1::User { password: String::new(), ..user.clone() })?;
        users::save(tx, &user)?;
        let (mut bots, mut names, mut admins) = (Vec::new(), Vec::new(), Vec::new());
        if !active {
            sessions::revoke_all(tx, &id)?;
            user_status::set_offline(tx, &id)?;
            bots = tx.values(
                "SELECT user_id FROM bots WHERE owner_id = ?1 AND delete_at = 0 ORDER BY create_at",
                [&id],
            )?;
            if !user.is_bot && !bots.is_empty() {
                names = tx.values(
                    "SELECT u.username FROM bots AS b JOIN users AS u ON u.id = b.user_id
                     WHERE b.owner_id = ?1 AND b.delete_at = 0 ORDER BY b.create_at",
                    [&id],
                )?;
                admins = tx.values(
                    "SELECT id FROM users
                     WHERE delete_at = 0 AND instr(' ' || roles || ' ', ' system_admin ') > 0
                     ORDER BY username",
                    [],
                )?;
            }
        }
        Ok((user, bots, names, admins))
    });
    let (user, bots, names, admins): (_, Vec<String>, Vec<String>, Vec<String>) = changed.await?;
    view::publish_updated(ctx, &user);
    if active {
        return Ok(());
    }
    let data = json!({ "status": "offline", "user_id": user.id });
    ctx.publish("status_change", data, to_user(&user.id));
    for admin in admins {
        let channel = direct_channels::direct(ctx, admin.clone(), admin.clone()).await?;
        let post = SystemPost::owner_deactivated(&channel.id, &admin, &user, &names, disables_bots);
        system_posts::publish_or_log(ctx, post).await;
    }
    ctx.tell(v1::UserHasBeenDeactivatedRequest {
        context: None,
        plugin_context: plugin_context(),
        user: Some(view::light(user)),
    });
    if disables_bots {
        for bot in bots {
            Box::pin(super::bot_changes::set_active(ctx, bot, false)).await?;
        }
    }
    Ok(())
}

/// A user who does not exist is no error.
pub(in super::super) async fn update_user_auth(
    ctx: &Ctx,
    it: v1::UpdateUserAuthRequest,
) -> Result<v1::UpdateUserAuthResponse, AppError> {
    const UPDATE: &str = "app.user.update_auth_data.app_error";
    let Some(auth) = it.user_auth else { return Err(absent("user_auth")) };
    let answer = auth.clone();
    let updated = ctx.write(UPDATE, move |tx| {
        let Some(user) = users::find(tx, &it.user_id)? else { return Ok(()) };
        let data = auth.auth_data.as_deref().unwrap_or_default();
        let taken = "SELECT 1 FROM users WHERE auth_data = ?1 AND id <> ?2";
        if tx.exists(taken, params![auth.auth_data, user.id])? {
            let id = "app.user.update_auth_data.email_exists.app_error";
            return Err(invalid(id, "Another account signs in like this.").into());
        }
        if data.len() > 128 || auth.auth_service.len() > 32 {
            let message = "Unable to update how the user signs in: a value is too long.";
            return Err(internal(UPDATE, message).into());
        }
        let now = tx.now();
        let user = v1::User {
            auth_data: auth.auth_data,
            auth_service: auth.auth_service,
            password: String::new(),
            last_password_update: now,
            update_at: now,
            failed_attempts: 0,
            ..user
        };
        users::save(tx, &user)
    });
    updated.await?;
    Ok(v1::UpdateUserAuthResponse { user_auth: Some(answer), error: None })
}

pub(in super::super) async fn update_user_roles(
    ctx: &Ctx,
    it: v1::UpdateUserRolesRequest,
) -> Result<v1::UpdateUserRolesResponse, AppError> {
    let user = ctx.write(UPDATE, move |tx| {
        let Some(old) = users::find(tx, &it.user_id)? else {
            let id = "app.user.missing_account.const";
            return Err(refused(id, 400, "Unable to find the user.").into());
        };
        if let Some(unknown) = it.new_roles.split_whitespace().find(|name| role(name).is_none()) {
            let message = format!("There is no role {unknown}.");
            let id = "app.role.check_roles_exist.role_not_found";
            return Err(invalid(id, &message).into());
        }
        let is_admin = |roles: &str| roles.split_whitespace().any(|role| role == "system_admin");
        if is_admin(&old.roles) && !is_admin(&it.new_roles) && is_last_admin(tx, &old.id)? {
            let message = "The server needs a system administrator.";
            return Err(invalid("app.user.update.lastAdmin.app_error", message).into());
        }
        if it.new_roles.len() > rules::MAX_ROLES_BYTES {
            return Err(rules::broken("roles_limit").into());
        }
        let user = v1::User { roles: it.new_roles, update_at: tx.now(), ..old };
        users::save(tx, &user)?;
        sessions::set_roles(tx, &user.id, &user.roles)?;
        Ok(user)
    });
    let user = user.await?;
    let data = json!({ "user_id": user.id, "roles": user.roles });
    ctx.publish("user_role_updated", data, to_user(&user.id));
    Ok(v1::UpdateUserRolesResponse { user: Some(view::light(user)), error: None })
}

/// Whether nobody else who is active, local and a person administrates the server.
fn is_last_admin(tx: &WriteTx<'_>, id: &str) -> Result<bool, Fault> {
    let other = tx.exists(
        "SELECT 1 FROM users WHERE id <> ?1 AND delete_at = 0 AND is_bot = 0 AND is_remote = 0
             AND instr(' ' || roles || ' ', ' system_admin ') > 0",
        [id],
    )?;
    Ok(!other)
}

/// There is no LDAP without a licence.
pub(in super::super) async fn get_ldap_user_attributes(
    _: &Ctx,
    _: v1::GetLdapUserAttributesRequest,
) -> Result<v1::GetLdapUserAttributesResponse, AppError> {
    let message = "LDAP is disabled or the licence does not support it.";
    Err(super::super::refusal::unavailable("ent.ldap.disabled.app_error", message))
}

/// Nothing is checked.
pub(in super::super) async fn publish_user_typing(
    ctx: &Ctx,
    it: v1::PublishUserTypingRequest,
) -> Result<v1::PublishUserTypingResponse, AppError> {
    let data = json!({ "parent_id": it.parent_id, "user_id": it.user_id });
    let omit_users = vec![it.user_id];
    let to = v1::WebsocketBroadcast { omit_users, ..to_channel(&it.channel_id) };
    ctx.publish("typing", data, to);
    Ok(v1::PublishUserTypingResponse::default())
}
