//! Custom emoji. No RPC makes one: they come from a seed, as from people in the web app.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::super::config::Config;
use super::super::ctx::Ctx;
use super::super::paging::Page;
use super::super::refusal::{forbidden, internal, not_found};
use super::super::store::{Fault, WriteTx};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE emoji (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    delete_at INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX emoji_by_name ON emoji (name) WHERE delete_at = 0;
";

/// Living emoji, by name or in the order in which they were made.
pub(in super::super) async fn get_emoji_list(
    ctx: &Ctx,
    it: v1::GetEmojiListRequest,
) -> Result<v1::GetEmojiListResponse, AppError> {
    const LIST: &str = "app.emoji.get_list.internal_error";
    let Some(page) = Page::of(it.page, it.per_page) else {
        return Err(internal(LIST, "Unable to get the emoji: a page and its size are 0 or more."));
    };
    let sql = match it.sort_by.as_str() {
        "name" => "SELECT message FROM emoji WHERE delete_at = 0 ORDER BY name LIMIT ?1 OFFSET ?2",
        _ => "SELECT message FROM emoji WHERE delete_at = 0 ORDER BY rowid LIMIT ?1 OFFSET ?2",
    };
    let emojis = ctx.read(LIST, move |tx| tx.messages(sql, params![page.limit, page.offset]));
    Ok(v1::GetEmojiListResponse { emojis: emojis.await?, error: None })
}

pub(in super::super) async fn get_emoji_by_name(
    ctx: &Ctx,
    it: v1::GetEmojiByNameRequest,
) -> Result<v1::GetEmojiByNameResponse, AppError> {
    enabled(&ctx.config())?;
    let found: Option<v1::Emoji> = ctx
        .read("app.emoji.get_by_name.app_error", move |tx| {
            tx.message("SELECT message FROM emoji WHERE name = ?1 AND delete_at = 0", [it.name])
        })
        .await?;
    match found {
        Some(emoji) => Ok(v1::GetEmojiByNameResponse { emoji: Some(emoji), error: None }),
        None => Err(not_found("app.emoji.get_by_name.no_result", "We couldn't find the emoji.")),
    }
}

pub(in super::super) async fn get_emoji(
    ctx: &Ctx,
    it: v1::GetEmojiRequest,
) -> Result<v1::GetEmojiResponse, AppError> {
    enabled(&ctx.config())?;
    let found: Option<v1::Emoji> = ctx
        .read("app.emoji.get.app_error", move |tx| {
            tx.message("SELECT message FROM emoji WHERE id = ?1 AND delete_at = 0", [it.emoji_id])
        })
        .await?;
    match found {
        Some(emoji) => Ok(v1::GetEmojiResponse { emoji: Some(emoji), error: None }),
        None => Err(not_found("app.emoji.get.no_result", "We couldn't find the emoji.")),
    }
}

/// Whether custom emoji are to be had at all.
fn enabled(config: &Config) -> Result<(), AppError> {
    if !config.flag("ServiceSettings", "EnableCustomEmoji") {
        return Err(forbidden("api.emoji.disabled.app_error", "Custom emoji have been disabled."));
    }
    if config.text("FileSettings", "DriverName").is_empty() {
        let message = "File storage is not configured, so that there are no custom emoji.";
        return Err(forbidden("api.emoji.storage.app_error", message));
    }
    Ok(())
}

/// Stores an emoji, or stores it anew.
pub(in super::super) fn save(tx: &WriteTx<'_>, emoji: &v1::Emoji) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO emoji (id, name, delete_at, message) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET
             name = excluded.name, delete_at = excluded.delete_at, message = excluded.message",
        params![emoji.id, emoji.name, emoji.delete_at, emoji.encode_to_vec()],
    )
    .map(drop)
}
