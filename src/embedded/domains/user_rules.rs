//! What a user must be like, and what is filled in before one is stored.

use std::collections::BTreeMap;

use plugin_proto::v1;
use serde_json::Value;

use super::super::config::Config;
use super::super::limits::{is_id, runes, without_blocked_characters};
use super::super::refusal::invalid;
use super::custom_status;
use crate::api::AppError;

const MAX_USERNAME_BYTES: usize = 64;
const MAX_EMAIL_BYTES: usize = 128;
const MAX_NAME_CHARACTERS: usize = 64;
const MAX_POSITION_CHARACTERS: usize = 128;
const MAX_AUTH_DATA_BYTES: usize = 128;
const MAX_TIMEZONE_CHARACTERS: usize = 256;
pub(super) const MAX_ROLES_BYTES: usize = 256;
const MAX_PASSWORD_BYTES: usize = 72;
const MAX_POST_CHARACTERS: usize = 16_383;
const MAX_MAP_BYTES: usize = 1 << 20;
const RESERVED_USERNAMES: [&str; 4] = ["all", "channel", "matterbot", "system"];

/// The languages that the server speaks.
const LOCALES: [&str; 28] = [
    "bg", "cs", "da", "de", "en", "en-AU", "es", "fa", "fr", "hi", "hr", "hu", "it", "ja", "ka",
    "ko", "lt", "nl", "pl", "pt-BR", "ro", "ru", "sv", "tr", "uk", "vi", "zh-CN", "zh-TW",
];

const NOTIFY_PROPS: [(&str, &str); 12] = [
    ("channel", "true"),
    ("comments", "never"),
    ("desktop", "mention"),
    ("desktop_sound", "true"),
    ("desktop_threads", "all"),
    ("email", "true"),
    ("email_threads", "all"),
    ("first_name", "false"),
    ("mention_keys", ""),
    ("push", "mention"),
    ("push_status", "online"),
    ("push_threads", "all"),
];

/// Whether the name can be a user's or a bot's; lower-case it first where upper case is allowed.
pub(super) fn is_username(name: &str, remote: bool) -> bool {
    let allowed = |it: u8| {
        it.is_ascii_lowercase()
            || it.is_ascii_digit()
            || matches!(it, b'.' | b'-' | b'_')
            || (remote && it == b':')
    };
    (1..=MAX_USERNAME_BYTES).contains(&name.len())
        && name.bytes().all(allowed)
        && !RESERVED_USERNAMES.contains(&name)
}

/// The address that a bot of this name has.
pub(super) fn email_of_bot(username: &str) -> String {
    format!("{username}@localhost")
}

/// Whether `text` is one bare address of RFC 5322.
pub(super) fn is_bare_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_atom = |part: &str| {
        !part.is_empty()
            && part.chars().all(|it| {
                it.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(it) || !it.is_ascii()
            })
    };
    local.split('.').all(is_atom) && domain.split('.').all(is_atom)
}

/// Whether `locale` can be the tag of a language.
fn is_language_tag(locale: &str) -> bool {
    let mut parts = locale.split(['-', '_']);
    let language = parts.next().unwrap_or_default();
    let letters = language.bytes().all(|it| it.is_ascii_alphabetic());
    let subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_alphanumeric())
    };
    letters && matches!(language.len(), 2..=3 | 5..=8) && parts.all(subtag)
}

/// Whether the user comes from another server.
pub(super) fn is_remote(user: &v1::User) -> bool {
    user.remote_id.as_deref().is_some_and(|id| !id.is_empty())
}

/// Whether the user is a guest.
pub(super) fn is_guest(user: &v1::User) -> bool {
    user.roles.split_whitespace().any(|role| role == "system_guest")
}

/// The first rule that the user breaks.
pub(super) fn check(it: &v1::User) -> Result<(), AppError> {
    let remote = is_remote(it);
    let auth_data = it.auth_data.as_deref().unwrap_or_default();
    let email = !it.email.is_empty()
        && it.email.len() <= MAX_EMAIL_BYTES
        && it.email == it.email.to_lowercase()
        && (remote || is_bare_address(&it.email));
    let locale = it.locale.is_empty() || (it.locale.len() <= 5 && is_language_tag(&it.locale));
    let timezone = Value::from_iter(it.timezone.clone()).to_string();
    let rules = [
        ("id", is_id(&it.id)),
        ("create_at", it.create_at != 0),
        ("update_at", it.update_at != 0),
        ("username", is_username(&it.username, remote)),
        ("email", email),
        ("nickname", runes(&it.nickname) <= MAX_NAME_CHARACTERS),
        ("position", runes(&it.position) <= MAX_POSITION_CHARACTERS),
        ("first_name", runes(&it.first_name) <= MAX_NAME_CHARACTERS),
        ("last_name", runes(&it.last_name) <= MAX_NAME_CHARACTERS),
        ("auth_data", auth_data.len() <= MAX_AUTH_DATA_BYTES),
        ("auth_data_type", auth_data.is_empty() || !it.auth_service.is_empty()),
        ("auth_data_pwd", auth_data.is_empty() || it.password.is_empty()),
        ("locale", locale),
        ("timezone_limit", runes(&timezone) <= MAX_TIMEZONE_CHARACTERS),
        ("roles_limit", it.roles.len() <= MAX_ROLES_BYTES),
        ("invalidProperty", custom_status::is_valid(it)),
    ];
    match rules.into_iter().find(|(_, kept)| !kept) {
        Some((field, _)) => Err(broken(field)),
        None => Ok(()),
    }
}

/// The rule about this field of a user is broken.
pub(super) fn broken(field: &str) -> AppError {
    let message = if field == "timezone_limit" { "" } else { &*format!("Invalid user: {field}.") };
    invalid(&format!("model.user.is_valid.{field}.app_error"), message)
}

/// What the database refuses though the model allows it.
pub(super) fn fits_the_database(it: &v1::User) -> bool {
    let bytes = |map: &BTreeMap<String, String>| -> usize {
        map.iter().map(|(key, value)| key.len() + value.len()).sum()
    };
    let answer = it.notify_props.get("auto_responder_message").map_or(0, |text| runes(text));
    answer <= MAX_POST_CHARACTERS
        && [&it.props, &it.notify_props, &it.timezone]
            .into_iter()
            .all(|map| bytes(map) <= MAX_MAP_BYTES)
}

/// The rules for a new password.
pub(super) fn check_password(config: &Config, password: &str) -> Result<(), AppError> {
    let section = "PasswordSettings";
    let least = usize::try_from(config.number(section, "MinimumLength")).unwrap_or(0);
    if password.len() < least {
        let message = format!("The password must have at least {least} characters.");
        return Err(invalid("model.user.is_valid.pwd_min_length.app_error", &message));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        let message = format!("The password must have at most {MAX_PASSWORD_BYTES} characters.");
        return Err(invalid("model.user.is_valid.pwd_max_length.app_error", &message));
    }
    let has = |of: fn(&char) -> bool| password.chars().any(|it| of(&it));
    let demands = [
        ("Lowercase", "_lowercase", has(char::is_ascii_lowercase)),
        ("Uppercase", "_uppercase", has(char::is_ascii_uppercase)),
        ("Number", "_number", has(char::is_ascii_digit)),
        ("Symbol", "_symbol", has(|it| it.is_ascii_punctuation() || *it == ' ')),
    ];
    let missing: String = demands
        .iter()
        .filter(|(setting, _, met)| config.flag(section, setting) && !met)
        .map(|(_, name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let id = format!("model.user.is_valid.pwd{missing}.app_error");
    Err(invalid(&id, "The password lacks characters of a kind that is demanded."))
}

/// Whether the address is of one of the domains, a list with commas or spaces; empty allows all.
pub(super) fn is_of_domain(email: &str, domains: &str) -> bool {
    let domains = domains.to_lowercase().replace(['@', ','], " ");
    let mut domains = domains.split_whitespace().peekable();
    let of = email.to_lowercase();
    domains.peek().is_none() || domains.any(|domain| of.ends_with(&format!("@{domain}")))
}

/// What a new user gets; `now` is the time, `id` a new id.
pub(super) fn fill_new(it: &mut v1::User, id: &str, config: &Config, now: i64) {
    if it.id.is_empty() {
        id.clone_into(&mut it.id);
    }
    if it.username.is_empty() {
        it.username = format!("a{id}");
    }
    clean(it);
    let known = LOCALES.contains(&it.locale.as_str());
    if !known {
        config.text("LocalizationSettings", "DefaultClientLocale").clone_into(&mut it.locale);
    }
    if it.locale.is_empty() {
        "en".clone_into(&mut it.locale);
    }
    if it.create_at == 0 {
        it.create_at = now;
    }
    (it.update_at, it.last_password_update) = (it.create_at, it.create_at);
    it.mfa_active = false;
    if it.notify_props.is_empty() {
        it.notify_props = notify_props();
    }
    if it.timezone.is_empty() {
        let zone = [("automaticTimezone", ""), ("manualTimezone", "")];
        let zone = zone.into_iter().chain([("useAutomaticTimezone", "true")]);
        it.timezone = zone.map(|(key, value)| (key.into(), value.into())).collect();
    }
    custom_status::fill(it, now);
}

/// What a user gets that is changed at the time `now`.
pub(super) fn fill_changed(it: &mut v1::User, now: i64) {
    clean(it);
    it.bot_description = without_blocked_characters(&it.bot_description);
    it.update_at = now;
    if it.notify_props.is_empty() {
        it.notify_props = notify_props();
    } else if let Some(keys) = it.notify_props.get_mut("mention_keys") {
        let words = keys.split(',').filter(|word| !word.trim().is_empty());
        *keys = words.map(str::to_lowercase).collect::<Vec<_>>().join(",");
    }
    custom_status::fill(it, now);
}

fn clean(it: &mut v1::User) {
    it.username = without_blocked_characters(&it.username).to_lowercase();
    it.email = it.email.to_lowercase();
    for name in [&mut it.first_name, &mut it.last_name, &mut it.nickname] {
        *name = without_blocked_characters(name);
    }
    it.auth_data.take_if(|data| data.is_empty());
}

fn notify_props() -> BTreeMap<String, String> {
    NOTIFY_PROPS.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}
