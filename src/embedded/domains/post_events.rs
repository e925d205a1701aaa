//! The JSON that clients get of posts: a text within the event's data.

use plugin_proto::v1;
use serde_json::{Value, json};

use super::super::ctx::{Ctx, to_channel, to_user};
use super::event_json::channel_type;
use super::logging::object_of;

/// The post as Mattermost's clients read it.
pub(super) fn as_json(it: &v1::Post) -> String {
    let mut post = json!({
        "id": it.id,
        "create_at": it.create_at,
        "update_at": it.update_at,
        "edit_at": it.edit_at,
        "delete_at": it.delete_at,
        "is_pinned": it.is_pinned,
        "user_id": it.user_id,
        "channel_id": it.channel_id,
        "root_id": it.root_id,
        "original_id": it.original_id,
        "message": it.message,
        "type": it.r#type,
        "props": it.props.clone().map(object_of).unwrap_or_default(),
        "hashtags": it.hashtags,
        "pending_post_id": it.pending_post_id,
        "remote_id": it.remote_id,
        "reply_count": it.reply_count,
        "last_reply_at": it.last_reply_at,
        "participants": null,
        "metadata": {},
    });
    if it.has_reactions {
        post["has_reactions"] = json!(true);
    }
    if !it.file_ids.is_empty() {
        post["file_ids"] = json!(it.file_ids);
    }
    post.to_string()
}

/// An event about a post, to the channel.
pub(super) fn publish(ctx: &Ctx, event: &str, post: &v1::Post) {
    ctx.publish(event, json!({ "post": as_json(post) }), to_channel(&post.channel_id));
}

/// An event about a post that only one user sees.
pub(super) fn publish_to_user(ctx: &Ctx, event: &str, post: &v1::Post, user_id: &str) {
    let to = v1::WebsocketBroadcast { channel_id: post.channel_id.clone(), ..to_user(user_id) };
    ctx.publish(event, json!({ "post": as_json(post) }), to);
}

/// A new post, to its channel.
pub(super) fn publish_posted(
    ctx: &Ctx,
    post: &v1::Post,
    channel: &v1::Channel,
    sender: &str,
    mentions: &[String],
) {
    let mut data = json!({
        "post": as_json(post),
        "channel_type": channel_type(channel.r#type()),
        "channel_display_name": channel.display_name,
        "channel_name": channel.name,
        "sender_name": sender,
        "team_id": channel.team_id,
        "set_online": true,
    });
    if !mentions.is_empty() {
        data["mentions"] = Value::String(json!(mentions).to_string());
    }
    if !post.file_ids.is_empty() {
        data["otherFile"] = json!("true");
    }
    ctx.publish("posted", data, to_channel(&post.channel_id));
}
