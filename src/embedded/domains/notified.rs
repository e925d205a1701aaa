//! What a new post changes in its channel and for the members.

use plugin_proto::v1;

use super::super::store::{Fault, WriteTx};
use super::{channel_members, channels, mentions, permissions, post_rules as rules, users};

/// The channel has a post more.
pub(super) fn count_post(
    tx: &WriteTx<'_>,
    mut channel: v1::Channel,
    post: &v1::Post,
) -> Result<v1::Channel, Fault> {
    let counts = i64::from(!rules::is_join_or_leave(post));
    channel.last_post_at = channel.last_post_at.max(post.create_at);
    channel.total_msg_count += counts;
    if post.root_id.is_empty() {
        channel.last_root_post_at = channel.last_root_post_at.max(post.create_at);
        channel.total_msg_count_root += counts;
    }
    channels::save(tx, &channel)?;
    Ok(channel)
}

/// Adds to the mentions of the members that the post mentions; who they are.
pub(super) fn count_mentions(
    tx: &WriteTx<'_>,
    channel: &v1::Channel,
    post: &v1::Post,
) -> Result<Vec<String>, Fault> {
    if post.r#type.starts_with("system_") {
        return Ok(Vec::new());
    }
    let talk = matches!(channel.r#type(), v1::ChannelType::Direct | v1::ChannelType::Group);
    let words = mentions::words(&post.message);
    let may_call_all =
        permissions::granted_in_channel(tx, &post.user_id, &channel.id, "use_channel_mentions")?;
    let calls_all = may_call_all && ["all", "channel"].iter().any(|&it| words.names.contains(it));
    let mut mentioned = Vec::new();
    for mut member in channel_members::of_channel(tx, &channel.id)? {
        if member.user_id == post.user_id {
            continue;
        }
        let Some(user) = users::find(tx, &member.user_id)?.filter(|user| user.delete_at == 0)
        else {
            continue;
        };
        let ignores_all =
            member.notify_props.get("ignore_channel_mentions").map(String::as_str) == Some("on");
        let hears_all = user.notify_props.get("channel").map(String::as_str) == Some("true");
        let mut keys = user.notify_props.get("mention_keys").map_or("", String::as_str).split(',');
        let by_first_name = user.notify_props.get("first_name").map(String::as_str) == Some("true")
            && !user.first_name.is_empty()
            && words.has(&user.first_name);
        let is_mentioned = talk
            || words.names.contains(&user.username)
            || by_first_name
            || keys.any(|key| !key.trim().is_empty() && words.has(key.trim()))
            || (calls_all && hears_all && !ignores_all);
        if !is_mentioned {
            continue;
        }
        member.mention_count += 1;
        if post.root_id.is_empty() {
            member.mention_count_root += 1;
        }
        channel_members::save(tx, &member)?;
        mentioned.push(member.user_id);
    }
    Ok(mentioned)
}
