//! Bots come and go: their activity, their end, and the one that a plugin relies on.

use plugin_proto::v1;

use super::super::ctx::Ctx;
use super::super::refusal::{absent, plain};
use super::{bots, kv, user_changes, users};
use crate::api::AppError;

/// Where a plugin's bot is remembered, among the plugin's own keys.
const BOT_KEY: &str = "mmi_botid";

pub(in super::super) async fn update_bot_active(
    ctx: &Ctx,
    it: v1::UpdateBotActiveRequest,
) -> Result<v1::UpdateBotActiveResponse, AppError> {
    let bot = set_active(ctx, it.bot_user_id, it.active).await?;
    Ok(v1::UpdateBotActiveResponse { bot: Some(bot), error: None })
}

/// The user is changed first, also where it is no bot's.
pub(super) async fn set_active(ctx: &Ctx, id: String, active: bool) -> Result<v1::Bot, AppError> {
    user_changes::set_active(ctx, id.clone(), active).await?;
    let changed = ctx.write("app.bot.patchbot.internal_error", move |tx| {
        let mut bot = bots::get(tx, &id, true)?;
        if active == (bot.delete_at == 0) {
            return Ok(bot);
        }
        bot.update_at = tx.now();
        bot.delete_at = if active { 0 } else { bot.update_at };
        bots::save(tx, &bot, users::get(tx, &id)?)?;
        Ok(bot)
    });
    changed.await
}

/// Two rows go and nothing else; an id that is nobody's is no error, and any user's row goes.
pub(in super::super) async fn permanent_delete_bot(
    ctx: &Ctx,
    it: v1::PermanentDeleteBotRequest,
) -> Result<v1::PermanentDeleteBotResponse, AppError> {
    let deleted = ctx.write("app.bot.permenent_delete.bad_id", move |tx| {
        tx.execute("DELETE FROM bots WHERE user_id = ?1", [&it.bot_user_id])?;
        tx.execute("DELETE FROM users WHERE id = ?1", [&it.bot_user_id])
    });
    deleted.await?;
    Ok(v1::PermanentDeleteBotResponse::default())
}

pub(in super::super) async fn ensure_bot_user(
    ctx: &Ctx,
    it: v1::EnsureBotUserRequest,
) -> Result<v1::EnsureBotUserResponse, AppError> {
    let Some(bot) = it.bot else { return Err(absent("bot")) };
    if bot.username.is_empty() {
        return Err(plain("passed a bot with no username"));
    }
    let bot_user_id = ensure(ctx, bot).await?;
    Ok(v1::EnsureBotUserResponse { bot_user_id, error: None })
}

async fn ensure(ctx: &Ctx, bot: v1::Bot) -> Result<String, AppError> {
    let key = v1::KvGetRequest { key: BOT_KEY.to_owned() };
    let known = kv::kv_get(ctx, key).await?.value;
    let known = String::from_utf8_lossy(&known).into_owned();
    let (id, name) = (known.clone(), bot.username.to_lowercase());
    let found = ctx.read("app.bot.getbot.internal_error", move |tx| {
        Ok((bots::find(tx, &id, true)?, users::by_username(tx, &name)?))
    });
    let (by_key, by_name) = found.await?;
    if by_key.is_some() {
        let patch = v1::BotPatch {
            username: Some(bot.username),
            display_name: Some(bot.display_name),
            description: Some(bot.description),
        };
        let patched = bots::patched(ctx, known, patch).await;
        let bot = patched.map_err(|error| wrapped("failed to patch bot: ", "PatchBot", &error))?;
        return Ok(bot.user_id);
    }
    if let Some(user) = by_name {
        if user.is_bot {
            remember(ctx, &user.id).await?;
        } else {
            tracing::error!(
                username = user.username,
                "a plugin wants this name for its bot, and a person has it"
            );
        }
        return Ok(user.id);
    }
    let owner_id = ctx.plugin_id().as_ref().to_owned();
    let created = bots::create(ctx, v1::Bot { owner_id, ..bot }).await;
    let bot = created.map_err(|error| wrapped("failed to create bot: ", "CreateBot", &error))?;
    remember(ctx, &bot.user_id).await?;
    Ok(bot.user_id)
}

async fn remember(ctx: &Ctx, id: &str) -> Result<(), AppError> {
    let value = id.to_owned().into_bytes().into();
    let set = kv::kv_set(ctx, v1::KvSetRequest { key: BOT_KEY.to_owned(), value }).await;
    set.map(drop).map_err(|error| wrapped("failed to set plugin key: ", "KVSet", &error))
}

fn wrapped(what: &str, place: &str, error: &AppError) -> AppError {
    let detail = match error.detailed_error.as_str() {
        "" => String::new(),
        detail => format!(", {detail}"),
    };
    plain(&format!("{what}{place}: {}{detail}", error.message))
}
