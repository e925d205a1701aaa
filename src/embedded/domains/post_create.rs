//! New posts.

use plugin_proto::v1;
use prost_types::Struct;
use prost_types::value::Kind;
use serde_json::json;

use super::super::config::Config;
use super::super::ctx::{Ctx, plugin_context, to_user};
use super::super::hook_sink::Will;
use super::super::refusal::{absent, internal, invalid, unavailable};
use super::super::store::{Fault, Tx, WriteTx};
use super::post_props::{self as props, answered, shown};
use super::{
    channels, files, mentions, notified, permissions, post_events, post_rules as rules, posts,
    teams, threads, users,
};
use crate::api::AppError;

const SAVE: &str = "app.post.save.app_error";
const DISMISSED: &str = "plugin.message_will_be_posted.dismiss_post";
const BURN: &str = "burn_on_read";

pub(in super::super) async fn create_post(
    ctx: &Ctx,
    it: v1::CreatePostRequest,
) -> Result<v1::CreatePostResponse, AppError> {
    let Some(mut post) = it.post else { return Err(absent("post")) };
    props::set(&mut post, "from_plugin", props::text("true"));
    let pending_post_id = post.pending_post_id.clone();
    let post = create(ctx, post).await?;
    let mut post = answered(post);
    post.pending_post_id = pending_post_id;
    Ok(v1::CreatePostResponse { post: Some(post), error: None })
}

/// Writes a post as the server does it for everybody: plugins are asked and told, clients are told.
/// Answers the post as it is stored.
pub(super) async fn create(ctx: &Ctx, mut post: v1::Post) -> Result<v1::Post, AppError> {
    let pending = format!("post {}", post.pending_post_id);
    let claim = ctx.in_flight().claim(pending);
    if claim.is_none() && !post.pending_post_id.is_empty() {
        let id = "api.post.deduplicate_create_post.pending";
        return Err(internal(id, "The same post is being created."));
    }
    post.pending_post_id.clear();
    let post = ctx.read(SAVE, move |tx| prepared(tx, post)).await?;
    let post = if post.r#type == BURN { post } else { let_pass(ctx, post).await? };
    let config = ctx.config();
    let stored = ctx.write(SAVE, move |tx| store(tx, &config, post)).await?;
    tell(ctx, &stored);
    Ok(stored.post)
}

/// With what is filled in before the plugins are asked.
fn prepared(tx: &Tx<'_>, mut post: v1::Post) -> Result<v1::Post, Fault> {
    let channel = channels::get(tx, &post.channel_id)?;
    let talk = matches!(channel.r#type(), v1::ChannelType::Direct | v1::ChannelType::Group);
    if talk && channel.shared == Some(true) {
        let id = "api.post.create_post.shared_dm_or_gm.app_error";
        return Err(invalid(id, "Direct messages cannot be shared.").into());
    }
    if post.r#type == BURN && channel.r#type() == v1::ChannelType::Direct {
        check_burning(tx, &channel, &post.user_id)?;
    }
    check_persistent(tx, &channel, &post)?;
    let author = users::get(tx, &post.user_id)?;
    if !post.root_id.is_empty() {
        check_root(tx, &post)?;
    }
    post.original_id.clear();
    check_ai_author(tx, &mut post)?;
    if author.is_bot {
        props::set(&mut post, "from_bot", props::text("true"));
    }
    if post.r#type == BURN {
        let id = "api.post.fill_in_post_props.burn_on_read.license.app_error";
        return Err(unavailable(id, "Posts that burn on read need a licence.").into());
    }
    post.hashtags = rules::hashtags(&post.message);
    props::remove(&mut post, "add_channel_member");
    props::remove(&mut post, "force_notification");
    let wants_all = post.r#type.is_empty() && mentions::words(&post.message).mentions_all();
    if wants_all
        && !permissions::granted_in_channel(tx, &author.id, &channel.id, "use_channel_mentions")?
    {
        props::set(&mut post, "mentionHighlightDisabled", props::flag(true));
    }
    fill_channel_mentions(tx, &channel, &mut post)?;
    Ok(post)
}

fn check_burning(tx: &Tx<'_>, channel: &v1::Channel, author: &str) -> Result<(), Fault> {
    let ids: Vec<&str> = channel.name.split("__").collect();
    if ids.first() == ids.last() {
        let id = "api.post.fill_in_post_props.burn_on_read.self_dm.app_error";
        return Err(invalid(id, "Nobody else reads this channel.").into());
    }
    for id in ids.into_iter().filter(|&id| id != author) {
        if users::find(tx, id)?.is_some_and(|user| user.is_bot) {
            let id = "api.post.fill_in_post_props.burn_on_read.bot_dm.app_error";
            return Err(invalid(id, "A bot reads this channel.").into());
        }
    }
    Ok(())
}

/// Notifications that are repeated are for a few people only.
fn check_persistent(tx: &Tx<'_>, channel: &v1::Channel, post: &v1::Post) -> Result<(), Fault> {
    const MOST: usize = 5;
    let priority = post.metadata.as_ref().and_then(|it| it.priority.as_ref());
    let wanted = priority.is_some_and(|it| it.persistent_notifications == Some(true));
    if !wanted || channel.r#type() == v1::ChannelType::Direct {
        return Ok(());
    }
    let mut count = 0;
    for name in &mentions::words(&post.message).names {
        count += usize::from(users::by_username(tx, name)?.is_some());
    }
    if count == 0 || count > MOST {
        let id = "api.post.post_priority.persistent_notification_validation_error.request_error";
        let message = format!("Persistent notifications need 1 to {MOST} mentioned users.");
        return Err(internal(id, &message).into());
    }
    Ok(())
}

fn check_root(tx: &Tx<'_>, post: &v1::Post) -> Result<(), Fault> {
    let root: Option<v1::Post> =
        tx.message("SELECT message FROM posts WHERE id = ?1 AND delete_at = 0", [&post.root_id])?;
    let no_root = || invalid("api.post.create_post.root_id.app_error", "Invalid root id.");
    let Some(root) = root else { return Err(no_root().into()) };
    if root.channel_id != post.channel_id {
        let id = "api.post.create_post.channel_root_id.app_error";
        return Err(internal(id, "The root post is in another channel.").into());
    }
    if !root.root_id.is_empty() {
        return Err(no_root().into());
    }
    if root.r#type == BURN {
        let id = "api.post.create_post.burn_on_read.app_error";
        return Err(invalid(id, "A post that burns on read has no replies.").into());
    }
    Ok(())
}

/// Who says that a machine has written the post must be its author or a bot.
pub(super) fn check_ai_author(tx: &Tx<'_>, post: &mut v1::Post) -> Result<(), Fault> {
    let Some(id) = props::text_of(post, "ai_generated_by").map(str::to_owned) else {
        return Ok(());
    };
    let Some(user) = users::find(tx, &id)? else {
        props::remove(post, "ai_generated_by");
        return Ok(());
    };
    if !user.is_bot && user.id != post.user_id {
        let id = "api.post.fill_in_post_props.invalid_ai_generated_user.app_error";
        return Err(invalid(id, "ai_generated_by must be the author or a bot.").into());
    }
    props::set(post, "ai_generated_by_username", props::text(&user.username));
    Ok(())
}

/// Names the channels that the post mentions and that its author may read.
pub(super) fn fill_channel_mentions(
    tx: &Tx<'_>,
    channel: &v1::Channel,
    post: &mut v1::Post,
) -> Result<(), Fault> {
    let names = props::texts(post).iter().flat_map(|text| mentions::channels(text)).collect();
    let names: std::collections::BTreeSet<String> = names;
    let mut mentioned = Struct::default();
    for name in names {
        let found: Option<v1::Channel> = tx.message(
            "SELECT message FROM channels
             WHERE name = ?1 AND delete_at = 0 AND team_id <> '' AND (?2 = '' OR team_id = ?2)",
            [&name, &channel.team_id],
        )?;
        let Some(found) = found else { continue };
        if !may_read(tx, &post.user_id, &found)? {
            continue;
        }
        let team = teams::find(tx, &found.team_id)?.map(|team| team.name).unwrap_or_default();
        let fields =
            [("display_name", &found.display_name), ("team_name", &team), ("id", &found.id)];
        let fields = fields.map(|(name, value)| (name.to_owned(), props::text(value))).into();
        let kind = Some(Kind::StructValue(Struct { fields }));
        mentioned.fields.insert(name, prost_types::Value { kind });
    }
    if mentioned.fields.is_empty() {
        props::remove(post, "channel_mentions");
    } else {
        let kind = Some(Kind::StructValue(mentioned));
        props::set(post, "channel_mentions", prost_types::Value { kind });
        props::remove(post, "current_team_id");
    }
    Ok(())
}

/// Whether the user may read what is in the channel.
pub(super) fn may_read(tx: &Tx<'_>, user_id: &str, channel: &v1::Channel) -> Result<bool, Fault> {
    if permissions::granted_in_channel(tx, user_id, &channel.id, "read_channel")? {
        return Ok(true);
    }
    let open = channel.r#type() == v1::ChannelType::Open;
    let team_id = &channel.team_id;
    Ok(open && permissions::granted_in_team(tx, user_id, team_id, "read_public_channel")?)
}

/// Asks the plugins, who may give another post.
async fn let_pass(ctx: &Ctx, post: v1::Post) -> Result<v1::Post, AppError> {
    let metadata = post.metadata.clone();
    let request = v1::MessageWillBePostedRequest {
        context: None,
        plugin_context: plugin_context(),
        post: Some(shown(post)),
    };
    match ctx.hooks().message_will_be_posted(request).await {
        Will::Pass(passed) => Ok(with_metadata(passed, metadata)),
        Will::Reject { reason } => Err(rejected(&reason)),
        Will::Dismiss => Err(invalid(DISMISSED, "")),
    }
}

/// A plugin has said no.
pub(super) fn rejected(reason: &str) -> AppError {
    if reason == DISMISSED {
        return invalid(DISMISSED, "");
    }
    invalid(&format!("Post rejected by plugin. {reason}"), "")
}

/// What plugins do not see comes back; of what they add only the rest stays.
pub(super) fn with_metadata(mut passed: v1::Post, before: Option<v1::PostMetadata>) -> v1::Post {
    match (&mut passed.metadata, before) {
        (Some(given), Some(before)) => given.priority = before.priority,
        (given @ None, before) => *given = before,
        (Some(_), None) => {}
    }
    passed
}

/// What has been stored, and who is to hear of it.
struct Stored {
    post: v1::Post,
    channel: Option<v1::Channel>,
    sender: String,
    mentioned: Vec<String>,
    followers: Vec<String>,
    /// The author has called everybody and may not.
    unheard: bool,
}

fn store(tx: &WriteTx<'_>, config: &Config, mut post: v1::Post) -> Result<Stored, Fault> {
    let remote = post.remote_id.as_deref().is_some_and(|id| !id.is_empty());
    if !post.id.is_empty() && !remote {
        let id = "app.post.save.existing.app_error";
        return Err(invalid(id, "You cannot save an existing post.").into());
    }
    if post.id.is_empty() {
        post.id = tx.new_id();
    }
    if post.create_at == 0 {
        post.create_at = tx.now();
    }
    post.update_at = post.create_at;
    post.original_id.clear();
    post.file_ids.sort();
    post.file_ids.dedup();
    props::fill_actions(&mut post, || tx.new_id(), false);
    rules::check(&post)?;
    let channel = channels::find(tx, &post.channel_id)?;
    if !post.file_ids.is_empty() {
        let (id, channel_id) = (&post.id, &post.channel_id);
        let attached = files::attach(tx, &post.file_ids, id, channel_id, &post.user_id)?;
        if attached.len() != post.file_ids.len() {
            post.file_ids = attached;
            post.update_at = tx.now();
        }
    }
    posts::save(tx, &post)?;
    let channel = channel.map(|it| notified::count_post(tx, it, &post)).transpose()?;
    let mut followers = Vec::new();
    if !post.root_id.is_empty() {
        let auto_follow = config.flag("ServiceSettings", "ThreadAutoFollow");
        followers = threads::grown(tx, &post, auto_follow)?;
    }
    let mentioned = match &channel {
        Some(channel) => notified::count_mentions(tx, channel, &post)?,
        None => Vec::new(),
    };
    let author = users::find(tx, &post.user_id)?;
    if !post.root_id.is_empty() {
        post.reply_count = posts::reply_count(tx, &post.root_id)?;
    }
    let sender = author.map(|author| format!("@{}", author.username)).unwrap_or_default();
    let unheard = post
        .props
        .as_ref()
        .is_some_and(|props| props.fields.contains_key("mentionHighlightDisabled"));
    Ok(Stored { post, channel, sender, mentioned, followers, unheard })
}

fn tell(ctx: &Ctx, stored: &Stored) {
    let Stored { post, channel, sender, mentioned, followers, unheard } = stored;
    ctx.tell(v1::MessageHasBeenPostedRequest {
        context: None,
        plugin_context: plugin_context(),
        post: Some(shown(post.clone())),
    });
    if let Some(channel) = channel.as_ref().filter(|channel| channel.delete_at == 0) {
        post_events::publish_posted(ctx, post, channel, sender, mentioned);
    }
    for follower in followers {
        let data = json!({ "thread_id": post.root_id, "reply_count": post.reply_count });
        ctx.publish("thread_updated", data, to_user(follower));
    }
    if *unheard {
        let note = v1::Post {
            id: ctx.new_id(),
            create_at: ctx.now(),
            user_id: post.user_id.clone(),
            channel_id: post.channel_id.clone(),
            root_id: post.root_id.clone(),
            r#type: "system_ephemeral".to_owned(),
            message: "Channel notifications are disabled for you in this channel.".to_owned(),
            ..Default::default()
        };
        post_events::publish_to_user(ctx, "ephemeral_message", &note, &post.user_id);
    }
}
