//! Custom emoji. No RPC makes one: they come from a seed, as from people in the web app.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::super::config::Config;
use super::super::ctx::Ctx;
use super::super::paging::Page;
use super::super::refusal::{forbidden, internal, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::{file_store, images, system_emoji};
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
        None => Err(not_found(BY_NAME_MISSING, "We couldn't find the emoji.")),
    }
}

pub(in super::super) async fn get_emoji(
    ctx: &Ctx,
    it: v1::GetEmojiRequest,
) -> Result<v1::GetEmojiResponse, AppError> {
    enabled(&ctx.config())?;
    let emoji = ctx.read(GET, move |tx| get(tx, &it.emoji_id)).await?;
    Ok(v1::GetEmojiResponse { emoji: Some(emoji), error: None })
}

const GET: &str = "app.emoji.get.app_error";

fn get(tx: &Tx<'_>, id: &str) -> Result<v1::Emoji, Fault> {
    let found = tx.message("SELECT message FROM emoji WHERE id = ?1 AND delete_at = 0", [id])?;
    found.ok_or_else(|| not_found("app.emoji.get.no_result", "We couldn't find the emoji.").into())
}

/// Where the picture of an emoji is stored.
fn image_path(id: &str) -> String {
    format!("emoji/{id}/image")
}

/// The content type is the bare name of the format.
pub(in super::super) async fn get_emoji_image(
    ctx: &Ctx,
    it: v1::GetEmojiImageRequest,
) -> Result<v1::GetEmojiImageResponse, AppError> {
    let image = ctx.read(GET, move |tx| {
        let emoji = get(tx, &it.emoji_id)?;
        file_store::read(tx, &image_path(&emoji.id))?.ok_or_else(|| {
            let id = "api.emoji.get_image.read.app_error";
            not_found(id, "Unable to read the picture of the emoji.").into()
        })
    });
    let image = image.await?;
    let Some(header) = images::header(&image) else {
        let id = "api.emoji.get_image.decode.app_error";
        return Err(internal(id, "Unable to decode the picture of the emoji."));
    };
    let content_type = images::format_name(header.format).to_owned();
    Ok(v1::GetEmojiImageResponse { image: image.into(), content_type, error: None })
}

/// Refuses a name of no emoji that may be used.
pub(super) fn check_name(tx: &Tx<'_>, config: &Config, name: &str) -> Result<(), Fault> {
    if system_emoji::is_one(name) {
        return Ok(());
    }
    enabled(config)?;
    if tx.exists("SELECT 1 FROM emoji WHERE name = ?1 AND delete_at = 0", [name])? {
        return Ok(());
    }
    Err(not_found(BY_NAME_MISSING, "We couldn't find the emoji.").into())
}

const BY_NAME_MISSING: &str = "app.emoji.get_by_name.no_result";

/// Stores the picture of an emoji.
pub(in super::super) fn save_image(tx: &WriteTx<'_>, id: &str, image: &[u8]) -> Result<(), Fault> {
    file_store::write(tx, &image_path(id), image)
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
