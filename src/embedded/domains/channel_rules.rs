//! What a channel must be like.

use plugin_proto::v1;

use super::super::limits::{is_id, runes};
use super::super::refusal::invalid;
use crate::api::AppError;

const MAX_NAME_BYTES: usize = 64;
const MAX_ID_BYTES: usize = 26;
const MAX_BANNER_BYTES: usize = 1024;

/// The first rule that the channel breaks.
pub(super) fn check(it: &v1::Channel) -> Result<(), AppError> {
    let kind = it.r#type();
    let of_team = matches!(kind, v1::ChannelType::Open | v1::ChannelType::Private);
    let rules = [
        ("id", is_id(&it.id)),
        ("create_at", it.create_at != 0),
        ("update_at", it.update_at != 0),
        ("display_name", runes(&it.display_name) <= 64),
        ("1_or_more", is_name(&it.name)),
        ("type", kind != v1::ChannelType::Unspecified),
        ("header", runes(&it.header) <= 1024),
        ("purpose", runes(&it.purpose) <= 250),
        ("creator_id", it.creator_id.len() <= MAX_ID_BYTES),
        ("name", !of_team || !(is_group_name(&it.name) || is_direct_name(&it.name))),
    ];
    let broken = rules.into_iter().find(|(_, kept)| !kept).map(|(field, _)| field);
    let broken = broken.or_else(|| it.banner_info.as_ref().and_then(|it| banner(it, of_team)));
    match broken {
        Some(field) => {
            let id = format!("model.channel.is_valid.{field}.app_error");
            Err(invalid(&id, &format!("Invalid channel: {field}.")))
        }
        None => Ok(()),
    }
}

/// The first rule that a banner breaks, if it is shown at all.
fn banner(it: &v1::ChannelBannerInfo, of_team: bool) -> Option<&'static str> {
    if it.enabled != Some(true) {
        return None;
    }
    let text = it.text.as_deref().unwrap_or_default();
    let colour = it.background_color.as_deref().unwrap_or_default();
    let rules = [
        ("banner_info.channel_type", of_team),
        ("banner_info.text.empty", !text.is_empty()),
        ("banner_info.text.invalid_length", text.len() <= MAX_BANNER_BYTES),
        ("banner_info.background_color.empty", !colour.is_empty()),
        ("banner_info.background_color.invalid", is_colour(colour)),
    ];
    rules.into_iter().find(|(_, kept)| !kept).map(|(field, _)| field)
}

/// `#rgb` or `#rrggbb`.
fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    matches!(digits.len(), 3 | 6) && digits.bytes().all(|it| it.is_ascii_hexdigit())
}

/// A letter or a digit, then those, hyphens and underscores.
fn is_name(name: &str) -> bool {
    let word = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    name.bytes().next().is_some_and(word)
        && name.bytes().all(|it| word(it) || matches!(it, b'-' | b'_'))
}

/// What only a group message may be named.
fn is_group_name(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}

/// What only a direct channel may be named.
fn is_direct_name(name: &str) -> bool {
    name.split_once("__").is_some_and(|(one, other)| is_id(one) && is_id(other))
}

/// What the database refuses though the model allows it.
pub(super) fn fits_the_database(it: &v1::Channel) -> bool {
    it.name.len() <= MAX_NAME_BYTES
        && it.team_id.len() <= MAX_ID_BYTES
        && it.scheme_id.as_ref().is_none_or(|id| id.len() <= MAX_ID_BYTES)
        && runes(&it.default_category_name) <= 64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_with_a_letter_or_a_digit() {
        for good in ["a", "0", "a-", "a_b-c__d", &"a".repeat(100)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a b", "ä"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_messages_are_kept_for_them() {
        assert!(is_group_name(&"0a".repeat(20)) && !is_group_name(&"0g".repeat(20)));
        let id = "a".repeat(26);
        assert!(is_direct_name(&format!("{id}__{id}")) && !is_direct_name(&format!("{id}__a")));
    }
}
