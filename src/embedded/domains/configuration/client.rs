//! The part of the configuration that clients are told, all of it texts.

use serde_json::{Map, Value, json};

use super::super::super::config::Config;

/// The settings whose name a client knows them by is their own.
const TOLD: [(&str, &[&str]); 5] = [
    (
        "ServiceSettings",
        &[
            "SiteURL",
            "WebsocketURL",
            "EnableCommands",
            "EnableCustomEmoji",
            "EnableEmojiPicker",
            "EnableGifPicker",
            "EnableIncomingWebhooks",
            "EnableOutgoingWebhooks",
            "EnableOAuthServiceProvider",
            "EnablePostUsernameOverride",
            "EnablePostIconOverride",
            "EnableLinkPreviews",
            "EnableTesting",
            "EnableDeveloper",
            "EnableUserTypingMessages",
            "EnableUserStatuses",
            "EnableBotAccountCreation",
            "CollapsedThreads",
            "ThreadAutoFollow",
            "PostEditTimeLimit",
            "TimeBetweenUserTypingUpdatesMilliseconds",
            "MinimumHashtagLength",
        ],
    ),
    (
        "TeamSettings",
        &[
            "SiteName",
            "EnableUserCreation",
            "EnableOpenServer",
            "RestrictDirectMessage",
            "TeammateNameDisplay",
            "EnableCustomUserStatuses",
            "MaxNotificationsPerChannel",
        ],
    ),
    (
        "EmailSettings",
        &["SendEmailNotifications", "SendPushNotifications", "RequireEmailVerification"],
    ),
    ("FileSettings", &["EnableFileAttachments", "EnablePublicLink", "MaxFileSize"]),
    ("LocalizationSettings", &["DefaultClientLocale", "AvailableLocales"]),
];

/// What clients are told.
pub(super) fn config(config: &Config, version: &str) -> Value {
    let mut told = Map::new();
    told.insert("Version".to_owned(), json!(version));
    told.insert("BuildEnterpriseReady".to_owned(), json!("false"));
    told.insert(
        "PluginsEnabled".to_owned(),
        json!(config.flag("PluginSettings", "Enable").to_string()),
    );
    for (section, names) in TOLD {
        for name in names {
            let text = match config.get(section, name) {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            told.insert((*name).to_owned(), json!(text));
        }
    }
    Value::Object(told)
}
