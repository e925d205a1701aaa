//! Lists of channels.

use plugin_proto::v1;
use rusqlite::params;

use super::super::ctx::Ctx;
use super::super::paging::Page;
use super::super::refusal::{internal, not_found};
use crate::api::AppError;

const MAX_FOUND: usize = 100;

pub(in super::super) async fn get_public_channels_for_team(
    ctx: &Ctx,
    it: v1::GetPublicChannelsForTeamRequest,
) -> Result<v1::GetPublicChannelsForTeamResponse, AppError> {
    const GET: &str = "app.channel.get_public_channels.get.app_error";
    let Some(page) = Page::of(it.page, it.per_page) else {
        return Err(internal(
            GET,
            "Unable to get the channels: a page and its size are 0 or more.",
        ));
    };
    let channels = ctx.read(GET, move |tx| {
        tx.messages(
            "SELECT message FROM channels WHERE team_id = ?1 AND type = 1 AND delete_at = 0
             ORDER BY display_name COLLATE NOCASE LIMIT ?2 OFFSET ?3",
            params![it.team_id, page.limit, page.offset],
        )
    });
    Ok(v1::GetPublicChannelsForTeamResponse { channels: channels.await?, error: None })
}

/// The channels of the team, or of all, that the user is in, and all direct and group messages. None
/// is 404.
pub(in super::super) async fn get_channels_for_team_for_user(
    ctx: &Ctx,
    it: v1::GetChannelsForTeamForUserRequest,
) -> Result<v1::GetChannelsForTeamForUserResponse, AppError> {
    let channels: Vec<v1::Channel> = ctx
        .read("app.channel.get_channels.get.app_error", move |tx| {
            tx.messages(
                "SELECT c.message FROM channel_members AS m JOIN channels AS c ON c.id = m.channel_id
                 WHERE m.user_id = ?1 AND (?2 = '' OR c.team_id IN (?2, ''))
                     AND (?3 OR c.delete_at = 0)
                 ORDER BY c.display_name COLLATE NOCASE",
                params![it.user_id, it.team_id, it.include_deleted],
            )
        })
        .await?;
    if channels.is_empty() {
        let id = "app.channel.get_channels.not_found.app_error";
        return Err(not_found(id, "The user is in no channel."));
    }
    Ok(v1::GetChannelsForTeamForUserResponse { channels, error: None })
}

/// The count of guests is the count of members, and nothing else is counted: so it is in Mattermost.
pub(in super::super) async fn get_channel_stats(
    ctx: &Ctx,
    it: v1::GetChannelStatsRequest,
) -> Result<v1::GetChannelStatsResponse, AppError> {
    let channel_id = it.channel_id.clone();
    let count: Option<i64> = ctx
        .read("app.channel.get_member_count.app_error", move |tx| {
            tx.value(
                "SELECT COUNT(*) FROM channel_members AS m JOIN users AS u ON u.id = m.user_id
                 WHERE m.channel_id = ?1 AND u.delete_at = 0",
                [it.channel_id],
            )
        })
        .await?;
    let member_count = count.unwrap_or(0);
    let stats = v1::ChannelStats {
        channel_id,
        member_count,
        guest_count: member_count,
        ..Default::default()
    };
    Ok(v1::GetChannelStatsResponse { channel_stats: Some(stats), error: None })
}

/// Public channels of the team, archived ones too, by what they are called or for.
pub(in super::super) async fn search_channels(
    ctx: &Ctx,
    it: v1::SearchChannelsRequest,
) -> Result<v1::SearchChannelsResponse, AppError> {
    let term = Term::of(&it.term);
    let channels = ctx.read("app.channel.search.app_error", move |tx| {
        let all: Vec<v1::Channel> = tx.messages(
            "SELECT message FROM channels WHERE team_id = ?1 AND type = 1
             ORDER BY display_name COLLATE NOCASE",
            [it.team_id],
        )?;
        Ok(all.into_iter().filter(|channel| term.finds(channel)).take(MAX_FOUND).collect())
    });
    Ok(v1::SearchChannelsResponse { channels: channels.await?, error: None })
}

/// What is looked for: a part of a text, or beginnings of its words.
struct Term {
    part: String,
    words: Vec<String>,
}

impl Term {
    fn of(text: &str) -> Self {
        let text = text.trim().to_lowercase();
        Self { part: text.replace('*', ""), words: words(&text.replace('|', "")) }
    }

    fn finds(&self, channel: &v1::Channel) -> bool {
        let texts = [&channel.name, &channel.display_name, &channel.purpose];
        let texts = texts.map(|text| text.to_lowercase());
        if texts.iter().any(|text| text.contains(&self.part)) {
            return true;
        }
        let found = words(&texts.join(" "));
        let begins = |word: &String| found.iter().any(|text| text.starts_with(word.as_str()));
        !self.words.is_empty() && self.words.iter().all(begins)
    }
}

fn words(text: &str) -> Vec<String> {
    let between = |it: char| it.is_whitespace() || "<>+-()~:*\"!@&".contains(it);
    text.split(between).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
