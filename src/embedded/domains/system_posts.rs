//! Posts that the server writes when members come and go.

use plugin_proto::v1;
use serde_json::{Value, json};

use super::super::ctx::Ctx;
use crate::api::AppError;

/// A post of the server's own, in a user's name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SystemPost {
    pub(super) channel_id: String,
    /// Who is shown as its author.
    pub(super) user_id: String,
    /// Such as `system_join_channel`.
    pub(super) kind: &'static str,
    pub(super) message: String,
    pub(super) props: Value,
}

impl SystemPost {
    /// The user has done something alone.
    fn alone(channel_id: &str, user: &v1::User, kind: &'static str, message: String) -> Self {
        Self {
            channel_id: channel_id.to_owned(),
            user_id: user.id.clone(),
            kind,
            message,
            props: json!({ "username": user.username }),
        }
    }

    /// The user has been added by somebody else.
    fn added(
        channel_id: &str,
        user: &v1::User,
        by: &v1::User,
        kind: &'static str,
        place: &str,
    ) -> Self {
        Self {
            channel_id: channel_id.to_owned(),
            user_id: by.id.clone(),
            kind,
            message: format!("{} added to the {place} by {}.", user.username, by.username),
            props: json!({
                "userId": by.id,
                "username": by.username,
                "addedUserId": user.id,
                "addedUsername": user.username,
            }),
        }
    }

    pub(super) fn joined_team(channel_id: &str, user: &v1::User) -> Self {
        let message = format!("{} joined the team.", user.username);
        Self::alone(channel_id, user, "system_join_team", message)
    }

    pub(super) fn added_to_team(channel_id: &str, user: &v1::User, by: &v1::User) -> Self {
        Self::added(channel_id, user, by, "system_add_to_team", "team")
    }

    pub(super) fn left_team(channel_id: &str, user: &v1::User) -> Self {
        let message = format!("{} left the team.", user.username);
        Self::alone(channel_id, user, "system_leave_team", message)
    }

    pub(super) fn removed_from_team(channel_id: &str, user: &v1::User) -> Self {
        let message = format!("{} removed from the team.", user.username);
        Self::alone(channel_id, user, "system_remove_from_team", message)
    }

    pub(super) fn joined_channel(channel_id: &str, user: &v1::User, guest: bool) -> Self {
        if guest {
            let message = format!("{} joined the channel as guest.", user.username);
            return Self::alone(channel_id, user, "system_guest_join_channel", message);
        }
        let message = format!("{} joined the channel.", user.username);
        Self::alone(channel_id, user, "system_join_channel", message)
    }

    pub(super) fn added_to_channel(
        channel_id: &str,
        user: &v1::User,
        by: &v1::User,
        guest: bool,
    ) -> Self {
        if guest {
            let (kind, place) = ("system_add_guest_to_chan", "channel as guest");
            return Self::added(channel_id, user, by, kind, place);
        }
        Self::added(channel_id, user, by, "system_add_to_channel", "channel")
    }

    pub(super) fn left_channel(channel_id: &str, user: &v1::User) -> Self {
        let message = format!("@{} left the channel.", user.username);
        Self::alone(channel_id, user, "system_leave_channel", message)
    }

    pub(super) fn bot_added(channel_id: &str, bot: &v1::Bot) -> Self {
        Self {
            channel_id: channel_id.to_owned(),
            user_id: bot.user_id.clone(),
            kind: "add_bot_teams_channels",
            message: "Please add me to teams and channels you want me to interact in. To do this, \
                      use the browser or Mattermost Desktop App."
                .to_owned(),
            props: json!({}),
        }
    }

    /// Tells an administrator of the bots of somebody who has been deactivated.
    pub(super) fn owner_deactivated(
        channel_id: &str,
        admin_id: &str,
        owner: &v1::User,
        bots: &[String],
        disabled: bool,
    ) -> Self {
        let now = if disabled { "have been disabled" } else { "are still enabled" };
        let list: String = bots.iter().map(|bot| format!("\n* {bot}")).collect();
        Self {
            channel_id: channel_id.to_owned(),
            user_id: admin_id.to_owned(),
            kind: "system_generic",
            message: format!(
                "{} has been deactivated. These bots of that user {now}:\n{list}",
                owner.username
            ),
            props: json!({}),
        }
    }

    pub(super) fn channel_deleted(channel_id: &str, bot: &v1::User) -> Self {
        let message = format!("{} archived the channel.", bot.username);
        Self::alone(channel_id, bot, "system_channel_deleted", message)
    }
}

/// Writes the post as any other: plugins are asked and told, clients are told. An archived channel
/// and an author who is no member are no hindrance. Ends when it is written.
pub(super) async fn publish(ctx: &Ctx, post: SystemPost) -> Result<(), AppError> {
    let props = super::post_props::object(post.props);
    let post = v1::Post {
        channel_id: post.channel_id,
        user_id: post.user_id,
        r#type: post.kind.to_owned(),
        message: post.message,
        props: Some(props),
        ..Default::default()
    };
    super::post_create::create(ctx, post).await.map(drop)
}

/// The same where a failure hinders nothing: it is only logged.
pub(super) async fn publish_or_log(ctx: &Ctx, post: SystemPost) {
    let kind = post.kind;
    if let Err(error) = publish(ctx, post).await {
        tracing::warn!(kind, id = error.id, "a system post could not be written");
    }
}
