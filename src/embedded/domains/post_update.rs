//! Changes to posts.

use plugin_proto::v1;

use super::super::ctx::{Ctx, plugin_context};
use super::super::hook_sink::Will;
use super::super::refusal::{absent, invalid};
use super::super::store::{Fault, WriteTx};
use super::post_create::{check_ai_author, fill_channel_mentions, with_metadata};
use super::post_props::{self as props, answered, shown};
use super::{channels, files, post_events, post_rules as rules, posts, restricted_dms, threads};
use crate::api::AppError;

const UPDATE: &str = "app.post.update.app_error";

/// All that can be changed is taken from the request: what it leaves out is wiped.
pub(in super::super) async fn update_post(
    ctx: &Ctx,
    it: v1::UpdatePostRequest,
) -> Result<v1::UpdatePostResponse, AppError> {
    let Some(request) = it.post else { return Err(absent("post")) };
    if request.id.is_empty() {
        return Err(invalid(posts::GET, "Unable to get a post without an id."));
    }
    let config = ctx.config();
    let asked = request.clone();
    let prepared = ctx.read(UPDATE, move |tx| {
        let old = posts::get(tx, &asked.id)?;
        if old.r#type == "burn_on_read" {
            let id = "api.post.update_post.burn_on_read.app_error";
            return Err(invalid(id, "A post that burns on read cannot be changed.").into());
        }
        if old.r#type.starts_with("system_") {
            let id = "api.post.update_post.system_message.app_error";
            let message = "A system message cannot be changed.";
            return Err(invalid(id, message).detail(format!("id={}", old.id)).into());
        }
        let channel = channels::get(tx, &old.channel_id)?;
        if channel.delete_at > 0 {
            let id = "api.post.update_post.can_not_update_post_in_deleted.error";
            return Err(invalid(id, "A post in an archived channel cannot be changed.").into());
        }
        if restricted_dms::is_restricted(tx, &config, &channel)? {
            let id = "api.post.update_post.can_not_update_post_in_restricted_dm.error";
            return Err(invalid(id, "A post in this direct message cannot be changed.").into());
        }
        let mut new = changed(&old, asked);
        check_ai_author(tx, &mut new)?;
        fill_channel_mentions(tx, &channel, &mut new)?;
        props::remove(&mut new, "add_channel_member");
        props::remove(&mut new, "force_notification");
        Ok((new, old))
    });
    let (new, old) = prepared.await?;
    let new = let_pass(ctx, new, &old).await?;
    let stored = ctx.write(UPDATE, move |tx| store(tx, new, &request));
    let (new, history) = stored.await?;
    post_events::publish(ctx, "post_edited", &new);
    ctx.tell(v1::MessageHasBeenUpdatedRequest {
        context: None,
        plugin_context: plugin_context(),
        new_post: Some(shown(new.clone())),
        old_post: Some(shown(history)),
    });
    Ok(v1::UpdatePostResponse { post: Some(answered(new)), error: None })
}

/// The stored post with what the request says.
fn changed(old: &v1::Post, request: v1::Post) -> v1::Post {
    let mut new = v1::Post {
        message: request.message,
        is_pinned: request.is_pinned,
        has_reactions: request.has_reactions,
        props: request.props,
        file_ids: request.file_ids,
        metadata: request.metadata,
        ..old.clone()
    };
    if let Some(metadata) = &mut new.metadata {
        metadata.embeds.clear();
    }
    if new.message != old.message {
        new.hashtags = rules::hashtags(&new.message);
    }
    new
}

async fn let_pass(ctx: &Ctx, new: v1::Post, old: &v1::Post) -> Result<v1::Post, AppError> {
    let (id, metadata) = (new.id.clone(), new.metadata.clone());
    let request = v1::MessageWillBeUpdatedRequest {
        context: None,
        plugin_context: plugin_context(),
        new_post: Some(shown(new)),
        old_post: Some(shown(old.clone())),
    };
    let rejected = |reason: &str| invalid(&format!("Post rejected by plugin. {reason}"), "");
    match ctx.hooks().message_will_be_updated(request).await {
        Will::Pass(passed) => Ok(v1::Post { id, ..with_metadata(passed, metadata) }),
        Will::Reject { reason } => Err(rejected(&reason)),
        Will::Dismiss => Err(rejected("")),
    }
}

/// Answers the new post and the row that keeps the old one.
fn store(
    tx: &WriteTx<'_>,
    mut new: v1::Post,
    request: &v1::Post,
) -> Result<(v1::Post, v1::Post), Fault> {
    // It may have changed while the plugins were asked.
    let old = posts::get(tx, &new.id)?;
    let now = tx.now();
    new.file_ids.sort();
    new.file_ids.dedup();
    props::fill_actions(&mut new, || tx.new_id(), false);
    let other_files = new.file_ids != old.file_ids;
    let edited = new.message != old.message || other_files || !props::same_attachments(&new, &old);
    new.update_at = now;
    if edited {
        new.edit_at = now;
    }
    if other_files {
        let gone = old.file_ids.iter().filter(|&id| !new.file_ids.contains(id));
        files::delete_of_post(tx, &new.id, Some(&gone.cloned().collect::<Vec<_>>()))?;
        let (kept, added): (Vec<_>, Vec<_>) =
            new.file_ids.iter().cloned().partition(|id| old.file_ids.contains(id));
        // The call has no user, so that only files of nobody are attached.
        let attached = files::attach(tx, &added, &new.id, &request.channel_id, "")?;
        new.file_ids = kept.into_iter().chain(attached).collect();
        new.file_ids.sort();
    }
    rules::check(&new)?;
    let history = v1::Post {
        id: tx.new_id(),
        original_id: old.id.clone(),
        delete_at: now,
        update_at: now,
        remote_id: request.remote_id.clone().or_else(|| old.remote_id.clone()),
        ..old
    };
    posts::save(tx, &history)?;
    posts::save(tx, &new)?;
    if let Some(mut channel) = channels::find(tx, &new.channel_id)? {
        channel.last_post_at = channel.last_post_at.max(now);
        channels::save(tx, &channel)?;
    }
    if !new.root_id.is_empty() {
        threads::touched(tx, &new, now)?;
    }
    Ok((posts::counted(tx, new)?, history))
}
