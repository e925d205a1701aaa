//! Posts: how they are stored, found and deleted.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;
use serde_json::json;

use super::super::ctx::{Ctx, plugin_context, to_channel};
use super::super::refusal::{invalid, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::post_props::{self as props, shown};
use super::{channels, files, post_events, restricted_dms, threads};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE posts (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    channel_id TEXT NOT NULL,
    root_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    type TEXT NOT NULL,
    create_at INTEGER NOT NULL,
    update_at INTEGER NOT NULL,
    delete_at INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX posts_by_channel ON posts (channel_id, create_at, number) WHERE delete_at = 0;
CREATE INDEX posts_by_change ON posts (channel_id, update_at);
CREATE INDEX posts_by_root ON posts (root_id, create_at, number) WHERE root_id <> '';
CREATE VIRTUAL TABLE posts_words USING fts5 (
    message, hashtags, content = '', contentless_delete = 1, tokenize = 'porter unicode61'
);
";

pub(super) const GET: &str = "app.post.get.app_error";

/// The living post of this id; 404 if there is none. How many replies there are is not filled in.
pub(super) fn get(tx: &Tx<'_>, id: &str) -> Result<v1::Post, Fault> {
    let found = tx.message("SELECT message FROM posts WHERE id = ?1 AND delete_at = 0", [id])?;
    found.ok_or_else(|| missing().into())
}

/// There is no such post.
pub(super) fn missing() -> AppError {
    not_found(GET, "Unable to get the post.")
}

/// Stores a post, or stores it anew, without what is no column in Mattermost.
pub(super) fn save(tx: &WriteTx<'_>, it: &v1::Post) -> Result<(), Fault> {
    let stored = v1::Post {
        pending_post_id: String::new(),
        reply_count: 0,
        last_reply_at: 0,
        participants: Vec::new(),
        is_following: None,
        ..it.clone()
    };
    let number: Option<i64> = tx.value(
        "INSERT INTO posts (id, channel_id, root_id, user_id, type, create_at, update_at, delete_at,
                            message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET
             channel_id = excluded.channel_id, root_id = excluded.root_id,
             user_id = excluded.user_id, type = excluded.type, create_at = excluded.create_at,
             update_at = excluded.update_at, delete_at = excluded.delete_at,
             message = excluded.message
         RETURNING number",
        params![
            it.id,
            it.channel_id,
            it.root_id,
            it.user_id,
            it.r#type,
            it.create_at,
            it.update_at,
            it.delete_at,
            stored.encode_to_vec(),
        ],
    )?;
    let found = it.delete_at == 0 && !it.r#type.starts_with("system_");
    tx.execute("DELETE FROM posts_words WHERE rowid = ?1", [number])?;
    if found {
        tx.execute(
            "INSERT INTO posts_words (rowid, message, hashtags) VALUES (?1, ?2, ?3)",
            params![number, it.message, it.hashtags],
        )?;
    }
    Ok(())
}

/// With the number of living replies in its thread.
pub(super) fn counted(tx: &Tx<'_>, mut post: v1::Post) -> Result<v1::Post, Fault> {
    let root_id = if post.root_id.is_empty() { &post.id } else { &post.root_id };
    post.reply_count = reply_count(tx, root_id)?;
    Ok(post)
}

/// How many living replies a thread has.
pub(super) fn reply_count(tx: &Tx<'_>, root_id: &str) -> Result<i64, Fault> {
    let count = tx.value(
        "SELECT COUNT(*) FROM posts WHERE root_id = ?1 AND root_id <> '' AND delete_at = 0",
        [root_id],
    )?;
    Ok(count.unwrap_or(0))
}

pub(in super::super) async fn get_post(
    ctx: &Ctx,
    it: v1::GetPostRequest,
) -> Result<v1::GetPostResponse, AppError> {
    let post = ctx.read(GET, move |tx| counted(tx, get(tx, &it.post_id)?)).await?;
    Ok(v1::GetPostResponse { post: Some(shown(post)), error: None })
}

/// With all replies. A post that is not there is 400 here.
pub(in super::super) async fn delete_post(
    ctx: &Ctx,
    it: v1::DeletePostRequest,
) -> Result<v1::DeletePostResponse, AppError> {
    let config = ctx.config();
    let by = ctx.plugin_id();
    let deleted = ctx.write("app.post.delete.app_error", move |tx| {
        let Some(post): Option<v1::Post> =
            tx.message("SELECT message FROM posts WHERE id = ?1 AND delete_at = 0", [&it.post_id])?
        else {
            return Err(invalid(GET, "Unable to get the post.").into());
        };
        let channel = channels::get(tx, &post.channel_id)?;
        if channel.delete_at > 0 {
            let id = "api.post.delete_post.can_not_delete_post_in_deleted.error";
            return Err(invalid(id, "A post in an archived channel cannot be deleted.").into());
        }
        if restricted_dms::is_restricted(tx, &config, &channel)? {
            let id = "api.post.delete_post.can_not_delete_from_restricted_dm.error";
            return Err(invalid(id, "A post in this direct message cannot be deleted.").into());
        }
        let now = tx.now();
        mark_deleted(tx, post.clone(), &by, now)?;
        if post.root_id.is_empty() {
            let replies: Vec<v1::Post> = tx.messages(
                "SELECT message FROM posts
                 WHERE root_id = ?1 AND root_id <> '' AND delete_at = 0",
                [&post.id],
            )?;
            for reply in replies {
                files::delete_of_post(tx, &reply.id, None)?;
                mark_deleted(tx, reply, &by, now)?;
            }
        }
        threads::shrunk(tx, &post, now)?;
        if !post.file_ids.is_empty() {
            files::delete_of_post(tx, &post.id, None)?;
        }
        tx.execute(
            "DELETE FROM preferences WHERE category = 'flagged_post' AND name = ?1",
            [&post.id],
        )?;
        Ok(post)
    });
    let post = deleted.await?;
    let data = json!({ "post": post_events::as_json(&post) });
    ctx.publish("post_deleted", data.clone(), to_channel(&post.channel_id));
    let mut for_admins = data;
    for_admins["delete_by"] = json!(*ctx.plugin_id());
    ctx.publish("post_deleted", for_admins, to_channel(&post.channel_id));
    ctx.tell(v1::MessageHasBeenDeletedRequest {
        context: None,
        plugin_context: plugin_context(),
        post: Some(shown(post)),
    });
    Ok(v1::DeletePostResponse::default())
}

fn mark_deleted(tx: &WriteTx<'_>, mut post: v1::Post, by: &str, now: i64) -> Result<(), Fault> {
    (post.delete_at, post.update_at) = (now, now);
    props::set(&mut post, "deleteBy", props::text(by));
    save(tx, &post)
}
