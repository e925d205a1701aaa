//! Bots: a user, and a row that says whose bot it is.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::super::ctx::Ctx;
use super::super::limits::runes;
use super::super::paging::Page;
use super::super::refusal::{absent, internal, invalid, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::{user_rules as rules, user_view as view, users};
use crate::api::AppError;

/// The names of a bot are those of its user.
pub(super) const SCHEMA: &str = "
CREATE TABLE bots (
    user_id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    create_at INTEGER NOT NULL,
    delete_at INTEGER NOT NULL,
    message BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX bots_by_owner ON bots (owner_id);
";

/// The bot of this id; a disabled one only if `disabled`.
pub(super) fn find(tx: &Tx<'_>, id: &str, disabled: bool) -> Result<Option<v1::Bot>, Fault> {
    let bot = tx.message(
        "SELECT message FROM bots WHERE user_id = ?1 AND (?2 OR delete_at = 0)",
        params![id, disabled],
    )?;
    bot.map(|bot| named(tx, bot)).transpose()
}

/// With the names that its user has now.
fn named(tx: &Tx<'_>, mut bot: v1::Bot) -> Result<v1::Bot, Fault> {
    if let Some(user) = users::find(tx, &bot.user_id)? {
        (bot.username, bot.display_name) = (user.username, user.first_name);
    }
    Ok(bot)
}

/// The same; 404 if there is none.
pub(super) fn get(tx: &Tx<'_>, id: &str, disabled: bool) -> Result<v1::Bot, Fault> {
    find(tx, id, disabled)?.ok_or_else(|| {
        not_found("store.sql_bot.get.missing.app_error", "The bot does not exist.").into()
    })
}

/// Stores a bot, or stores it anew, and what its user shows of it.
pub(super) fn save(tx: &WriteTx<'_>, bot: &v1::Bot, user: v1::User) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO bots (user_id, owner_id, create_at, delete_at, message)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (user_id) DO UPDATE SET
             owner_id = excluded.owner_id, create_at = excluded.create_at,
             delete_at = excluded.delete_at, message = excluded.message",
        params![bot.user_id, bot.owner_id, bot.create_at, bot.delete_at, bot.encode_to_vec()],
    )?;
    users::save(
        tx,
        &v1::User {
            is_bot: true,
            bot_description: bot.description.clone(),
            bot_last_icon_update: bot.last_icon_update,
            ..user
        },
    )
}

/// The rules for what is sent as a bot.
fn check(bot: &v1::Bot) -> Result<(), AppError> {
    let broken = |field: &str| {
        let id = format!("model.bot.is_valid.{field}.app_error");
        Err(invalid(&id, &format!("Invalid bot: {field}.")))
    };
    if !rules::is_username(&bot.username, false) {
        return broken("username");
    }
    if runes(&bot.display_name) > 64 {
        return broken("user_id");
    }
    if runes(&bot.description) > 1024 {
        return broken("description");
    }
    if bot.owner_id.is_empty() || runes(&bot.owner_id) > 190 {
        return broken("creator_id");
    }
    Ok(())
}

/// The user of a bot.
fn user_of(bot: &v1::Bot, user: v1::User) -> v1::User {
    v1::User {
        username: bot.username.clone(),
        email: rules::email_of_bot(&bot.username),
        first_name: bot.display_name.clone(),
        ..user
    }
}

/// Makes a bot that has an owner.
pub(super) fn insert(tx: &WriteTx<'_>, mut bot: v1::Bot) -> Result<v1::Bot, Fault> {
    check(&bot)?;
    if !bot.user_id.is_empty() {
        let id = "app.user.save.existing.app_error";
        return Err(invalid(id, "A new bot cannot have an id.").into());
    }
    let user = v1::User { roles: "system_user".to_owned(), is_bot: true, ..Default::default() };
    let mut user = user_of(&bot, user);
    rules::fill_new(&mut user, &tx.new_id(), &Default::default(), tx.now());
    rules::check(&user)?;
    users::insert(tx, &user)?;
    bot.user_id = user.id.clone();
    (bot.create_at, bot.delete_at) = (tx.now(), 0);
    bot.update_at = bot.create_at;
    save(tx, &bot, user)?;
    Ok(bot)
}

pub(in super::super) async fn create_bot(
    ctx: &Ctx,
    it: v1::CreateBotRequest,
) -> Result<v1::CreateBotResponse, AppError> {
    let Some(bot) = it.bot else { return Err(absent("bot")) };
    let bot = create(ctx, bot).await?;
    Ok(v1::CreateBotResponse { bot: Some(bot), error: None })
}

pub(super) async fn create(ctx: &Ctx, mut bot: v1::Bot) -> Result<v1::Bot, AppError> {
    if bot.owner_id.is_empty() {
        bot.owner_id = ctx.plugin_id().as_ref().to_owned();
    }
    let made = ctx.write("app.bot.createbot.internal_error", move |tx| {
        let owner = users::find(tx, &bot.owner_id)?;
        if owner.as_ref().is_some_and(|owner| owner.is_bot) {
            let id = "plugin_api.bot_cant_create_bot";
            return Err(invalid(id, "A bot cannot own a bot.").into());
        }
        Ok((insert(tx, bot)?, owner))
    });
    let (bot, owner) = made.await?;
    if let Some(owner) = owner {
        super::direct_channels::greet_owner(ctx, &bot, &owner).await?;
    }
    Ok(bot)
}

pub(in super::super) async fn patch_bot(
    ctx: &Ctx,
    it: v1::PatchBotRequest,
) -> Result<v1::PatchBotResponse, AppError> {
    let Some(patch) = it.bot_patch else { return Err(absent("patch")) };
    let bot = patched(ctx, it.bot_user_id, patch).await?;
    Ok(v1::PatchBotResponse { bot: Some(bot), error: None })
}

pub(super) async fn patched(
    ctx: &Ctx,
    user_id: String,
    patch: v1::BotPatch,
) -> Result<v1::Bot, AppError> {
    // The user stays changed when the bot turns out to be none.
    let patched = ctx.write("app.bot.patchbot.internal_error", move |tx| {
        let old = get(tx, &user_id, true)?;
        let new = v1::Bot {
            username: patch.username.unwrap_or_else(|| old.username.clone()),
            display_name: patch.display_name.unwrap_or_else(|| old.display_name.clone()),
            description: patch.description.unwrap_or_else(|| old.description.clone()),
            ..old.clone()
        };
        if new == old {
            return Ok((Ok(old), None));
        }
        let mut user = user_of(&new, users::get(tx, &user_id)?);
        rules::fill_changed(&mut user, tx.now());
        rules::check(&user)?;
        users::check_unique(tx, &user)?;
        if let Err(error) = check(&new) {
            let names = v1::Bot {
                username: user.username.clone(),
                display_name: user.first_name.clone(),
                ..old
            };
            save(tx, &names, user.clone())?;
            return Ok((Err(error), Some(user)));
        }
        let new = v1::Bot {
            update_at: tx.now(),
            display_name: user.first_name.clone(),
            username: user.username.clone(),
            ..new
        };
        save(tx, &new, user)?;
        let user = users::get(tx, &user_id)?;
        Ok((Ok(new), Some(user)))
    });
    let (answer, user) = patched.await?;
    if let Some(user) = user {
        view::publish_updated(ctx, &user);
    }
    answer
}

pub(in super::super) async fn get_bot(
    ctx: &Ctx,
    it: v1::GetBotRequest,
) -> Result<v1::GetBotResponse, AppError> {
    let failing = "app.bot.getbot.internal_error";
    let bot = ctx.read(failing, move |tx| get(tx, &it.bot_user_id, it.include_deleted)).await?;
    Ok(v1::GetBotResponse { bot: Some(bot), error: None })
}

/// The oldest first, whoever owns them.
pub(in super::super) async fn get_bots(
    ctx: &Ctx,
    it: v1::GetBotsRequest,
) -> Result<v1::GetBotsResponse, AppError> {
    const GET: &str = "app.bot.getbots.internal_error";
    let it = it.options.unwrap_or_default();
    let Some(page) = Page::of(it.page, it.per_page) else {
        return Err(internal(GET, "Unable to get the bots: a page and its size are 0 or more."));
    };
    let bots = ctx.read(GET, move |tx| {
        let bots: Vec<v1::Bot> = tx.messages(
            "SELECT b.message FROM bots AS b JOIN users AS u ON u.id = b.user_id
             WHERE (?1 OR b.delete_at = 0) AND (?2 = '' OR b.owner_id = ?2)
                 AND (NOT ?3 OR EXISTS (
                     SELECT 1 FROM users AS o WHERE o.id = b.owner_id AND o.delete_at <> 0))
             ORDER BY b.create_at, u.username LIMIT ?4 OFFSET ?5",
            params![it.include_deleted, it.owner_id, it.only_orphaned, page.limit, page.offset],
        )?;
        bots.into_iter().map(|bot| named(tx, bot)).collect()
    });
    Ok(v1::GetBotsResponse { bots: bots.await?, error: None })
}
