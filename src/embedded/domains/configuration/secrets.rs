//! Passwords and the like, which most readers see as asterisks, and which come back as such.

use serde_json::{Map, Value, json};

use super::super::super::installed::Plugin;

/// What stands for a secret.
const PLACEHOLDER: &str = "********************************";

/// Hidden even when they are empty. A list is hidden entry by entry.
const ALWAYS: [&str; 8] = [
    "/FileSettings/PublicLinkSalt",
    "/SqlSettings/DataSource",
    "/SqlSettings/AtRestEncryptKey",
    "/SqlSettings/DataSourceReplicas",
    "/SqlSettings/DataSourceSearchReplicas",
    "/ElasticsearchSettings/Password",
    "/ServiceSettings/SplitKey",
    "/CacheSettings/RedisPassword",
];
/// Hidden when there is something to hide.
const GIVEN: [&str; 13] = [
    "/LdapSettings/BindPassword",
    "/FileSettings/AmazonS3SecretAccessKey",
    "/EmailSettings/SMTPPassword",
    "/GitLabSettings/Secret",
    "/GoogleSettings/Secret",
    "/Office365Settings/Secret",
    "/OpenIdSettings/Secret",
    "/MessageExportSettings/GlobalRelaySettings/SMTPPassword",
    "/FileSettings/ExportAmazonS3SecretAccessKey",
    "/ElasticsearchSettings/ClientKey",
    "/ServiceSettings/GoogleDeveloperKey",
    "/ServiceSettings/GiphySdkKey",
    "/AutoTranslationSettings/LibreTranslate/APIKey",
];
/// Hidden, and yet not restored: whoever reads a configuration and saves it stores asterisks here.
const LOST: [&str; 6] = [
    "/CacheSettings/RedisPassword",
    "/FileSettings/ExportAmazonS3SecretAccessKey",
    "/ElasticsearchSettings/ClientKey",
    "/ServiceSettings/GoogleDeveloperKey",
    "/ServiceSettings/GiphySdkKey",
    "/AutoTranslationSettings/LibreTranslate/APIKey",
];

/// Hides the secrets, and the entries of plugins that are not installed.
pub(super) fn hide(config: &mut Value, installed: &[Plugin]) {
    for path in ALWAYS {
        match config.pointer_mut(path) {
            Some(Value::Array(list)) => list.fill(json!(PLACEHOLDER)),
            Some(value) => *value = json!(PLACEHOLDER),
            None => {}
        }
    }
    for path in GIVEN {
        let value = config.pointer_mut(path);
        if let Some(value) = value.filter(|value| value.as_str() != Some("")) {
            *value = json!(PLACEHOLDER);
        }
    }
    let lags = config.pointer_mut("/SqlSettings/ReplicaLagSettings").and_then(Value::as_array_mut);
    for lag in lags.into_iter().flatten() {
        lag["DataSource"] = json!(PLACEHOLDER);
    }
    let are_on = config["PluginSettings"]["Enable"] == json!(true);
    let installed = if are_on { installed } else { &[] };
    let Some(plugins) = plugins_mut(config) else { return };
    plugins.retain(|id, values| {
        let is_empty = values.as_object().is_none_or(Map::is_empty);
        is_empty || installed.iter().any(|plugin| plugin.manifest.id == *id)
    });
    for plugin in installed {
        let Some(Value::Object(values)) = plugins.get_mut(&plugin.manifest.id) else { continue };
        let secrets = || plugin.settings.iter().filter(|setting| setting.secret);
        for (key, value) in values {
            if secrets().any(|setting| setting.key.to_lowercase() == key.to_lowercase()) {
                *value = json!(PLACEHOLDER);
            }
        }
    }
}

/// Puts the secrets of `old` where `new` has placeholders.
pub(super) fn restore(new: &mut Value, old: &Value) {
    for path in ALWAYS.iter().chain(&GIVEN).filter(|path| !LOST.contains(path)) {
        let (Some(new), Some(old)) = (new.pointer_mut(path), old.pointer(path)) else { continue };
        match (new, old) {
            (Value::Array(new), Value::Array(old)) if new.len() == old.len() => {
                new.iter_mut().zip(old).for_each(|(new, old)| restore_one(new, old));
            }
            (new @ Value::String(_), old) => restore_one(new, old),
            _ => {}
        }
    }
    let Some(plugins) = plugins_mut(new) else { return };
    for (id, values) in plugins {
        for (key, value) in values.as_object_mut().into_iter().flatten() {
            restore_one(value, &old["PluginSettings"]["Plugins"][&id[..]][&key[..]]);
        }
    }
}

fn restore_one(new: &mut Value, old: &Value) {
    if new.as_str() == Some(PLACEHOLDER) {
        *new = old.clone();
    }
}

fn plugins_mut(config: &mut Value) -> Option<&mut Map<String, Value>> {
    config.pointer_mut("/PluginSettings/Plugins")?.as_object_mut()
}
