//! Threads: the replies to a post, who takes part and who follows.

use std::collections::BTreeMap;

use plugin_proto::v1;
use rusqlite::params;

use super::super::ctx::Ctx;
use super::super::refusal::invalid;
use super::super::store::{Fault, Tx, WriteTx};
use super::post_props::shown;
use super::posts;
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE threads (
    root_id TEXT PRIMARY KEY,
    channel_id TEXT NOT NULL,
    reply_count INTEGER NOT NULL,
    last_reply_at INTEGER NOT NULL,
    delete_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE thread_followers (
    root_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    following INTEGER NOT NULL,
    PRIMARY KEY (root_id, user_id)
) WITHOUT ROWID;
";

/// All that is left of a thread: its root and its living replies, in the order of their creation.
pub(super) fn living(tx: &Tx<'_>, root_id: &str) -> Result<Vec<v1::Post>, Fault> {
    let mut posts: Vec<v1::Post> =
        tx.messages("SELECT message FROM posts WHERE id = ?1 AND delete_at = 0", [root_id])?;
    posts.extend(tx.messages::<v1::Post>(
        "SELECT message FROM posts WHERE root_id = ?1 AND root_id <> '' AND delete_at = 0
         ORDER BY create_at, number",
        [root_id],
    )?);
    Ok(posts)
}

fn root(tx: &Tx<'_>, root_id: &str) -> Result<Option<v1::Post>, Fault> {
    tx.message("SELECT message FROM posts WHERE id = ?1", [root_id])
}

/// A reply has been stored: its root has changed, and its author follows from now on. Answers the
/// followers.
pub(super) fn grown(
    tx: &WriteTx<'_>,
    reply: &v1::Post,
    auto_follow: bool,
) -> Result<Vec<String>, Fault> {
    let Some(mut root) = root(tx, &reply.root_id)? else { return Ok(Vec::new()) };
    root.update_at = reply.create_at;
    posts::save(tx, &root)?;
    store_counts(tx, &root)?;
    if auto_follow {
        for user_id in [&reply.user_id, &root.user_id] {
            // Who has left the thread stays away, unless it is the author.
            let author = *user_id == reply.user_id;
            tx.execute(
                "INSERT INTO thread_followers (root_id, user_id, following) VALUES (?1, ?2, 1)
                 ON CONFLICT DO UPDATE SET following = following OR ?3",
                params![root.id, user_id, author],
            )?;
        }
    }
    tx.values(
        "SELECT user_id FROM thread_followers WHERE root_id = ?1 AND following ORDER BY user_id",
        [&root.id],
    )
}

/// A reply has been edited: its root says so.
pub(super) fn touched(tx: &WriteTx<'_>, reply: &v1::Post, now: i64) -> Result<(), Fault> {
    let Some(mut root) = root(tx, &reply.root_id)? else { return Ok(()) };
    root.update_at = root.update_at.max(now);
    posts::save(tx, &root)
}

/// A post has been deleted: its thread goes with it, or has one reply less.
pub(super) fn shrunk(tx: &WriteTx<'_>, post: &v1::Post, now: i64) -> Result<(), Fault> {
    if post.root_id.is_empty() {
        return tx
            .execute("UPDATE threads SET delete_at = ?2 WHERE root_id = ?1", params![post.id, now])
            .map(drop);
    }
    let Some(mut root) = root(tx, &post.root_id)? else { return Ok(()) };
    root.update_at = now;
    posts::save(tx, &root)?;
    store_counts(tx, &root)
}

fn store_counts(tx: &WriteTx<'_>, root: &v1::Post) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO threads (root_id, channel_id, reply_count, last_reply_at, delete_at)
         SELECT ?1, ?2, COUNT(*), COALESCE(MAX(create_at), 0), 0 FROM posts
         WHERE root_id = ?1 AND root_id <> '' AND delete_at = 0
         ON CONFLICT DO UPDATE SET
             reply_count = excluded.reply_count, last_reply_at = excluded.last_reply_at",
        params![root.id, root.channel_id],
    )
    .map(drop)
}

/// The post that was asked for comes first, whatever its place in the thread.
pub(in super::super) async fn get_post_thread(
    ctx: &Ctx,
    it: v1::GetPostThreadRequest,
) -> Result<v1::GetPostThreadResponse, AppError> {
    if it.post_id.is_empty() {
        return Err(invalid(posts::GET, "Unable to get the thread of a post without an id."));
    }
    let list = ctx.read(posts::GET, move |tx| {
        let asked = posts::get(tx, &it.post_id)?;
        let root_id = if asked.root_id.is_empty() { &asked.id } else { &asked.root_id };
        let thread = living(tx, root_id)?;
        let reply_count = posts::reply_count(tx, root_id)?;
        let mut order = vec![asked.id.clone()];
        order.extend(thread.iter().map(|it| it.id.clone()).filter(|id| *id != asked.id));
        let posts: BTreeMap<_, _> = thread
            .into_iter()
            .map(|it| (it.id.clone(), shown(v1::Post { reply_count, ..it })))
            .collect();
        Ok(v1::PostList { order, posts, has_next: false, ..Default::default() })
    });
    Ok(v1::GetPostThreadResponse { post_list: Some(list.await?), error: None })
}
