//! What a post must be to be stored, and what its text says.

use std::sync::LazyLock;

use plugin_proto::v1;
use regex::Regex;
use serde_json::{Value, json};

use super::super::limits::{is_id, runes};
use super::super::refusal::invalid;
use super::logging::object_of;
use crate::api::AppError;

const MAX_MESSAGE: usize = 16_383;
const MAX_HASHTAGS: usize = 1000;
const MAX_FILE_IDS: usize = 300;
const MAX_PROPS: usize = 800_000;

/// The types that a stored post may have, besides `custom_…`.
const TYPES: &[&str] = &[
    "",
    "slack_attachment",
    "me",
    "reminder",
    "burn_on_read",
    "add_bot_teams_channels",
    "system_generic",
    "system_join_leave",
    "system_auto_responder",
    "system_add_remove",
    "system_join_channel",
    "system_guest_join_channel",
    "system_leave_channel",
    "system_join_team",
    "system_leave_team",
    "system_add_to_channel",
    "system_add_guest_to_chan",
    "system_remove_from_channel",
    "system_move_channel",
    "system_add_to_team",
    "system_remove_from_team",
    "system_header_change",
    "system_purpose_change",
    "system_displayname_change",
    "system_convert_channel",
    "system_channel_deleted",
    "system_channel_restored",
    "system_change_chan_privacy",
    "system_wrangler",
    "system_gm_to_channel",
    "system_autotranslation",
];

/// Types that count as no message.
const JOINS: &[&str] = &[
    "system_join_leave",
    "system_add_remove",
    "system_join_channel",
    "system_leave_channel",
    "system_join_team",
    "system_leave_team",
    "system_add_to_channel",
    "system_remove_from_channel",
    "system_add_to_team",
    "system_remove_from_team",
];

/// Whether the post tells of somebody who comes or goes.
pub(super) fn is_join_or_leave(it: &v1::Post) -> bool {
    JOINS.contains(&&*it.r#type)
}

/// The rules, in Mattermost's order.
pub(super) fn check(it: &v1::Post) -> Result<(), AppError> {
    let error = |field: &str| {
        let id = format!("model.post.is_valid.{field}.app_error");
        invalid(&id, &format!("Invalid value for {field}."))
    };
    let refused = |field: &str| Err(error(field).detail(format!("id={}", it.id)));
    if !is_id(&it.id) {
        return Err(error("id"));
    }
    if it.create_at == 0 {
        return refused("create_at");
    }
    if it.update_at == 0 {
        return refused("update_at");
    }
    if !is_id(&it.user_id) {
        return Err(error("user_id"));
    }
    if !is_id(&it.channel_id) {
        return Err(error("channel_id"));
    }
    if !it.root_id.is_empty() && !is_id(&it.root_id) {
        return Err(error("root_id"));
    }
    if !it.original_id.is_empty() && it.original_id.len() != 26 {
        return Err(error("original_id"));
    }
    if runes(&it.message) > MAX_MESSAGE {
        return refused("message_length");
    }
    if runes(&it.hashtags) > MAX_HASHTAGS {
        return refused("hashtags");
    }
    if !TYPES.contains(&&*it.r#type) && !it.r#type.starts_with("custom_") {
        return Err(error("type").detail(format!("id={}", it.r#type)));
    }
    if runes(&json!(it.file_ids).to_string()) > MAX_FILE_IDS {
        return refused("file_ids");
    }
    let props = it.props.clone().map(object_of).unwrap_or_default();
    if runes(&Value::Object(props).to_string()) > MAX_PROPS {
        return refused("props");
    }
    Ok(())
}

static TAG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^#\p{L}[\p{L}\p{N}\-_.]*[\p{L}\p{N}]$").ok());

/// The hashtags of a text, with spaces between them.
pub(super) fn hashtags(message: &str) -> String {
    let mut tags = String::new();
    for word in message.split_whitespace() {
        let word = word.trim_matches(|it: char| !it.is_alphanumeric() && it != '#');
        let word = match word.trim_start_matches('#') {
            rest if rest.len() < word.len() => format!("#{rest}"),
            _ => continue,
        };
        if !TAG.as_ref().is_some_and(|tag| tag.is_match(&word)) {
            continue;
        }
        let space = if tags.is_empty() { "" } else { " " };
        if runes(&tags) + runes(space) + runes(&word) > MAX_HASHTAGS {
            break;
        }
        tags.push_str(space);
        tags.push_str(&word);
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashtags_are_words_with_a_letter() {
        let cases = [
            ("a #tag, and (#Other-one.)", "#tag #Other-one"),
            ("##twice #a #1a #ab_ no#tag", "#twice #ab"),
            ("", ""),
            ("#äöü #x.y", "#äöü #x.y"),
        ];
        for (message, tags) in cases {
            assert_eq!(hashtags(message), tags, "{message}");
        }
        let long = hashtags(&"#abcdefghi ".repeat(200));
        assert!(runes(&long) <= MAX_HASHTAGS && long.ends_with("#abcdefghi"), "{long}");
    }
}
