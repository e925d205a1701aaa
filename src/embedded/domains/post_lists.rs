//! Lists of a channel's posts.

use std::collections::{BTreeMap, BTreeSet};

use plugin_proto::v1;
use rusqlite::params;

use super::super::ctx::Ctx;
use super::super::paging::Page;
use super::super::refusal::{internal, invalid};
use super::super::store::{Fault, Tx};
use super::post_props::shown;
use super::{posts, threads};
use crate::api::AppError;

/// The longest page of a channel's posts.
const MAX_PER_PAGE: i32 = 1000;
/// So many changes at most are answered at once.
const MAX_CHANGES: i64 = 1000;
const AROUND: &str = "app.post.get_posts_around.get.app_error";

/// The posts by their ids; the order is theirs.
fn listed(posts: Vec<v1::Post>, others: impl IntoIterator<Item = v1::Post>) -> v1::PostList {
    let order = posts.iter().map(|post| post.id.clone()).collect();
    let all = posts.into_iter().chain(others);
    let posts: BTreeMap<_, _> = all.map(|post| (post.id.clone(), shown(post))).collect();
    v1::PostList { order, posts, ..Default::default() }
}

/// The threads of these roots.
fn of_threads(tx: &Tx<'_>, roots: &BTreeSet<String>) -> Result<Vec<v1::Post>, Fault> {
    let mut all = Vec::new();
    for root_id in roots {
        all.extend(threads::living(tx, root_id)?);
    }
    Ok(all)
}

pub(in super::super) async fn get_posts_for_channel(
    ctx: &Ctx,
    it: v1::GetPostsForChannelRequest,
) -> Result<v1::GetPostsForChannelResponse, AppError> {
    if it.per_page > MAX_PER_PAGE {
        let message = format!("A page has at most {MAX_PER_PAGE} posts.");
        return Err(invalid("app.post.get_posts.app_error", &message));
    }
    let failing = "app.post.get_root_posts.app_error";
    let Some(page) = Page::of(it.page, it.per_page) else {
        return Err(internal(
            failing,
            "Unable to get the posts: a page and its size are 0 or more.",
        ));
    };
    let list = ctx.read(failing, move |tx| {
        let page: Vec<v1::Post> = tx.messages(
            "SELECT message FROM posts WHERE number IN (
                 SELECT number FROM posts WHERE channel_id = ?1 AND delete_at = 0
                 ORDER BY create_at DESC, number DESC LIMIT ?2 OFFSET ?3)
             ORDER BY create_at DESC, number DESC",
            params![it.channel_id, page.limit, page.offset],
        )?;
        let replies = page.iter().map(|post| &post.root_id).filter(|root| !root.is_empty());
        let others = of_threads(tx, &replies.cloned().collect())?;
        Ok(listed(page, others))
    });
    Ok(v1::GetPostsForChannelResponse { post_list: Some(list.await?), error: None })
}

/// Deleted posts and the earlier versions of edited ones are among them.
pub(in super::super) async fn get_posts_since(
    ctx: &Ctx,
    it: v1::GetPostsSinceRequest,
) -> Result<v1::GetPostsSinceResponse, AppError> {
    let list = ctx.read("app.post.get_posts_since.app_error", move |tx| {
        let hits: Vec<v1::Post> = tx.messages(
            "SELECT message FROM (
                 SELECT message, create_at, number FROM posts
                 WHERE channel_id = ?1 AND update_at > ?2 ORDER BY update_at DESC LIMIT ?3)
             ORDER BY create_at DESC, number DESC",
            params![it.channel_id, it.time, MAX_CHANGES],
        )?;
        let ids: BTreeSet<_> = hits.iter().map(|post| post.id.clone()).collect();
        let roots: BTreeSet<_> = hits.iter().map(|post| post.root_id.clone()).collect();
        let mut others = Vec::new();
        for root_id in roots.difference(&ids).filter(|id| !id.is_empty()) {
            let root = tx.message("SELECT message FROM posts WHERE id = ?1", [root_id])?;
            others.extend::<Option<v1::Post>>(root);
        }
        Ok(listed(hits, others))
    });
    Ok(v1::GetPostsSinceResponse { post_list: Some(list.await?), error: None })
}

const BEFORE: &str = "
    SELECT message FROM posts WHERE number IN (
        SELECT number FROM posts WHERE channel_id = ?1 AND delete_at = 0
            AND create_at < (SELECT create_at FROM posts WHERE id = ?2)
        ORDER BY create_at DESC, number DESC LIMIT ?3 OFFSET ?4)
    ORDER BY create_at DESC, number DESC";

const AFTER: &str = "
    SELECT message FROM posts WHERE number IN (
        SELECT number FROM posts WHERE channel_id = ?1 AND delete_at = 0
            AND create_at > (SELECT create_at FROM posts WHERE id = ?2)
        ORDER BY create_at, number LIMIT ?3 OFFSET ?4)
    ORDER BY create_at DESC, number DESC";

/// A page of what is before or after a post, which may be deleted or of another channel.
async fn around(
    ctx: &Ctx,
    sql: &'static str,
    (channel_id, post_id): (String, String),
    page: Option<Page>,
) -> Result<Option<v1::PostList>, AppError> {
    let Some(page) = page else {
        return Err(invalid(AROUND, "Unable to get the posts: a page and its size are 0 or more."));
    };
    let list = ctx.read(AROUND, move |tx| {
        let page: Vec<v1::Post> =
            tx.messages(sql, params![channel_id, post_id, page.limit, page.offset])?;
        let root_of = |post: &v1::Post| {
            if post.root_id.is_empty() { post.id.clone() } else { post.root_id.clone() }
        };
        let others = of_threads(tx, &page.iter().map(root_of).collect())?;
        let mut list = listed(page, others);
        for post in list.posts.values_mut() {
            *post = posts::counted(tx, std::mem::take(post))?;
        }
        Ok(list)
    });
    list.await.map(Some)
}

pub(in super::super) async fn get_posts_before(
    ctx: &Ctx,
    it: v1::GetPostsBeforeRequest,
) -> Result<v1::GetPostsBeforeResponse, AppError> {
    let page = Page::of(it.page, it.per_page);
    let post_list = around(ctx, BEFORE, (it.channel_id, it.post_id), page).await?;
    Ok(v1::GetPostsBeforeResponse { post_list, error: None })
}

pub(in super::super) async fn get_posts_after(
    ctx: &Ctx,
    it: v1::GetPostsAfterRequest,
) -> Result<v1::GetPostsAfterResponse, AppError> {
    let page = Page::of(it.page, it.per_page);
    let post_list = around(ctx, AFTER, (it.channel_id, it.post_id), page).await?;
    Ok(v1::GetPostsAfterResponse { post_list, error: None })
}
