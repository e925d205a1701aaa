//! Reactions to posts.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;
use serde_json::json;

use super::super::ctx::{Ctx, plugin_context, to_channel};
use super::super::limits::is_id;
use super::super::refusal::{absent, forbidden, invalid};
use super::super::store::{Fault, Tx, WriteTx};
use super::{channels, emoji, posts, restricted_dms};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE reactions (
    post_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    emoji_name TEXT NOT NULL,
    create_at INTEGER NOT NULL,
    delete_at INTEGER NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (post_id, user_id, emoji_name)
) WITHOUT ROWID;
";

const SAVE: &str = "app.reaction.save.save.app_error";
const REMOVE: &str = "app.reaction.delete_all_with_emoji_name.get_reactions.app_error";
/// No configuration allows more different emoji on a post.
const MOST_EMOJI: i64 = 500;

fn check(it: &v1::Reaction) -> Result<(), AppError> {
    let refused = |field: &str| {
        let id = format!("model.reaction.is_valid.{field}.app_error");
        Err(invalid(&id, &format!("Invalid value for {field}.")))
    };
    if !is_id(&it.user_id) {
        return refused("user_id").map_err(|error| error.detail(format!("user_id={}", it.user_id)));
    }
    if !is_id(&it.post_id) {
        return refused("post_id");
    }
    let name = &it.emoji_name;
    let letters = name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-+_".contains(&it));
    if name.is_empty() || name.len() > 64 || !letters {
        return refused("emoji_name");
    }
    if it.create_at == 0 {
        return refused("create_at");
    }
    Ok(())
}

fn save(tx: &WriteTx<'_>, it: &v1::Reaction) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO reactions (post_id, user_id, emoji_name, create_at, delete_at, message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET delete_at = excluded.delete_at, message = excluded.message",
        params![
            it.post_id,
            it.user_id,
            it.emoji_name,
            it.create_at,
            it.delete_at,
            it.encode_to_vec(),
        ],
    )
    .map(drop)
}

fn find(tx: &Tx<'_>, it: &v1::Reaction) -> Result<Option<v1::Reaction>, Fault> {
    tx.message(
        "SELECT message FROM reactions WHERE post_id = ?1 AND user_id = ?2 AND emoji_name = ?3",
        [&it.post_id, &it.user_id, &it.emoji_name],
    )
}

/// The post says whether it has reactions, and that it has changed.
fn touch_post(tx: &WriteTx<'_>, mut post: v1::Post, now: i64) -> Result<(), Fault> {
    let live = "SELECT 1 FROM reactions WHERE post_id = ?1 AND delete_at = 0";
    post.has_reactions = tx.exists(live, [&post.id])?;
    post.update_at = now;
    posts::save(tx, &post)
}

/// A reaction that is there already is stored again and keeps its first time.
pub(in super::super) async fn add_reaction(
    ctx: &Ctx,
    it: v1::AddReactionRequest,
) -> Result<v1::AddReactionResponse, AppError> {
    let Some(mut reaction) = it.reaction else { return Err(absent("reaction")) };
    let config = ctx.config();
    let added = ctx.write(SAVE, move |tx| {
        let post = posts::get(tx, &reaction.post_id)?;
        emoji::check_name(tx, &config, &reaction.emoji_name)?;
        let used = tx.exists(
            "SELECT 1 FROM reactions WHERE post_id = ?1 AND emoji_name = ?2 AND delete_at = 0",
            [&reaction.post_id, &reaction.emoji_name],
        )?;
        let count: Option<i64> = tx.value(
            "SELECT COUNT(DISTINCT emoji_name) FROM reactions WHERE post_id = ?1 AND delete_at = 0",
            [&reaction.post_id],
        )?;
        let limit = config.number("ServiceSettings", "UniqueEmojiReactionLimitPerPost");
        if !used && count.unwrap_or(0) >= limit.min(MOST_EMOJI) {
            let id = "app.reaction.save.save.too_many_reactions";
            return Err(invalid(id, "The post has as many different reactions as it may.").into());
        }
        let channel = channels::get(tx, &post.channel_id)?;
        if channel.delete_at > 0 {
            let id = "api.reaction.save.archived_channel.app_error";
            return Err(forbidden(id, "You cannot react in an archived channel.").into());
        }
        if restricted_dms::is_restricted(tx, &config, &channel)? {
            let id = "api.reaction.save.restricted_dm.error";
            return Err(invalid(id, "You cannot react in this direct message.").into());
        }
        let now = tx.now();
        reaction.channel_id = Some(post.channel_id.clone());
        reaction.remote_id.get_or_insert_default();
        if reaction.create_at == 0 {
            reaction.create_at = now;
        }
        reaction.update_at = now;
        reaction.delete_at = 0;
        check(&reaction)?;
        let first = find(tx, &reaction)?.map_or(reaction.create_at, |first| first.create_at);
        save(tx, &v1::Reaction { create_at: first, ..reaction.clone() })?;
        touch_post(tx, post, now)?;
        Ok(reaction)
    });
    let reaction = added.await?;
    publish(ctx, "reaction_added", &reaction);
    ctx.tell(v1::ReactionHasBeenAddedRequest {
        context: None,
        plugin_context: plugin_context(),
        reaction: Some(reaction.clone()),
    });
    Ok(v1::AddReactionResponse { reaction: Some(reaction), error: None })
}

/// What was not there is removed as well: clients and plugins are told.
pub(in super::super) async fn remove_reaction(
    ctx: &Ctx,
    it: v1::RemoveReactionRequest,
) -> Result<v1::RemoveReactionResponse, AppError> {
    let Some(mut reaction) = it.reaction else { return Err(absent("reaction")) };
    let config = ctx.config();
    let removed = ctx.write(REMOVE, move |tx| {
        let post = posts::get(tx, &reaction.post_id)?;
        let channel = channels::get(tx, &post.channel_id)?;
        if channel.delete_at > 0 {
            let id = "api.reaction.delete.archived_channel.app_error";
            return Err(forbidden(id, "You cannot react in an archived channel.").into());
        }
        if restricted_dms::is_restricted(tx, &config, &channel)? {
            let id = "api.reaction.delete.restricted_dm.error";
            return Err(invalid(id, "You cannot react in this direct message.").into());
        }
        let now = tx.now();
        if let Some(mut stored) = find(tx, &reaction)? {
            (stored.update_at, stored.delete_at) = (now, now);
            save(tx, &stored)?;
        }
        touch_post(tx, post, now)?;
        reaction.channel_id = Some(channel.id);
        reaction.remote_id.get_or_insert_default();
        (reaction.update_at, reaction.delete_at) = (now, now);
        Ok(reaction)
    });
    let reaction = removed.await?;
    publish(ctx, "reaction_removed", &reaction);
    ctx.tell(v1::ReactionHasBeenRemovedRequest {
        context: None,
        plugin_context: plugin_context(),
        reaction: Some(reaction),
    });
    Ok(v1::RemoveReactionResponse::default())
}

fn publish(ctx: &Ctx, event: &str, it: &v1::Reaction) {
    let reaction = json!({
        "user_id": it.user_id,
        "post_id": it.post_id,
        "emoji_name": it.emoji_name,
        "create_at": it.create_at,
        "update_at": it.update_at,
        "delete_at": it.delete_at,
        "remote_id": it.remote_id,
        "channel_id": it.channel_id,
    });
    let data = json!({ "reaction": reaction.to_string() });
    ctx.publish(event, data, to_channel(it.channel_id.as_deref().unwrap_or_default()));
}

/// The oldest first, of a deleted post as well.
pub(in super::super) async fn get_reactions(
    ctx: &Ctx,
    it: v1::GetReactionsRequest,
) -> Result<v1::GetReactionsResponse, AppError> {
    let reactions = ctx.read("app.reaction.get_for_post.app_error", move |tx| {
        tx.messages(
            "SELECT message FROM reactions WHERE post_id = ?1 AND delete_at = 0
             ORDER BY create_at, emoji_name, user_id",
            [&it.post_id],
        )
    });
    Ok(v1::GetReactionsResponse { reactions: reactions.await?, error: None })
}
