//! What a stored command must keep. Lengths are in bytes.

use plugin_proto::v1;

use super::super::super::limits::{is_http_url, is_id};
use super::super::super::refusal::invalid;
use crate::api::AppError;

const TOKEN_BYTES: usize = 26;
const MAX_TRIGGER_BYTES: usize = 128;
const MAX_URL_BYTES: usize = 1024;
const MAX_DISPLAY_NAME_BYTES: usize = 64;
const MAX_DESCRIPTION_BYTES: usize = 128;

pub(super) fn check(it: &v1::Command) -> Result<(), AppError> {
    let has_creator = !it.creator_id.is_empty();
    let has_plugin = !it.plugin_id.is_empty();
    let rules = [
        ("id", is_id(&it.id)),
        ("token", it.token.len() == TOKEN_BYTES),
        ("create_at", it.create_at != 0),
        ("update_at", it.update_at != 0),
        ("plugin_id", has_creator || has_plugin),
        ("user_id", has_plugin || is_id(&it.creator_id)),
        ("plugin_id", !(has_creator && has_plugin)),
        ("team_id", is_id(&it.team_id)),
        ("trigger", is_trigger(&it.trigger)),
        ("url", (1..=MAX_URL_BYTES).contains(&it.url.len())),
        ("url_http", is_http_url(&it.url)),
        ("method", matches!(it.method.as_str(), "P" | "G")),
        ("display_name", it.display_name.len() <= MAX_DISPLAY_NAME_BYTES),
        ("description", it.description.len() <= MAX_DESCRIPTION_BYTES),
    ];
    match rules.iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((field, _)) => {
            let id = format!("model.command.is_valid.{field}.app_error");
            Err(invalid(&id, &format!("Invalid command: {field}.")))
        }
    }
}

fn is_trigger(text: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"_./-".contains(&it);
    (1..=MAX_TRIGGER_BYTES).contains(&text.len())
        && !text.starts_with('/')
        && text.bytes().all(allowed)
}
