//! From the JSON that somebody sends to a whole configuration.

use serde_json::{Map, Value, json};

use super::super::super::config::Config;
use super::super::super::refusal::invalid;
use super::super::super::store::Source;
use crate::api::AppError;

/// Objects whose keys are data.
const MAPS: [&str; 3] = [
    "PluginSettings.Plugins",
    "PluginSettings.PluginStates",
    "ContentFlaggingSettings.NotificationSettings.EventTargetMapping",
];
/// Fields that take any JSON.
const ANYTHING: [&str; 2] =
    ["LogSettings.AdvancedLoggingJSON", "ExperimentalAuditSettings.AdvancedLoggingJSON"];
/// The only list whose elements are not texts.
const LIST_OF_OBJECTS: &str = "SqlSettings.ReplicaLagSettings";
/// Salts have so many characters.
const SALT_CHARACTERS: usize = 32;
/// Salts that are made when they are missing.
const SALTS: [(&str, &str); 2] =
    [("FileSettings", "PublicLinkSalt"), ("SqlSettings", "AtRestEncryptKey")];

/// The JSON object in these bytes; `null` is an empty one.
pub(super) fn parsed(bytes: &[u8]) -> Result<Value, AppError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Null) => Ok(json!({})),
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(unreadable("it is no JSON object")),
        Err(error) => Err(unreadable(&error.to_string())),
    }
}

fn unreadable(problem: &str) -> AppError {
    let message = format!("failed to unmarshal config: {problem}");
    invalid("api.config.update_config.app_error", &message)
}

/// A whole configuration: known fields of `given`, defaults for the others, and the feature flags of
/// `old`.
pub(super) fn filled(given: &Value, old: &Config, source: &Source) -> Result<Value, AppError> {
    let mut defaults = Config::default().json().clone();
    let empty = Map::new();
    let given = given.as_object().unwrap_or(&empty);
    let section = |name: &str| field(given, name).and_then(Value::as_object).unwrap_or(&empty);
    let services = section("ServiceSettings");
    if field(services, "SiteURL").is_some() {
        old_installation(&mut defaults);
    } else if field(services, "EnableDeveloper") == Some(&json!(true)) {
        defaults["ServiceSettings"]["SiteURL"] = json!("http://localhost:8065");
    }
    for kind in ["Web", "Mobile", "SSO"] {
        let days = field(services, &format!("SessionLength{kind}InDays"));
        if let Some(days) = days.and_then(Value::as_i64) {
            let hours = json!(days.saturating_mul(24));
            defaults["ServiceSettings"][format!("SessionLength{kind}InHours")] = hours;
        }
    }
    let mut whole = match merged(given, &defaults, "")? {
        Value::Object(whole) => Value::Object(whole),
        _ => json!({}),
    };
    for (section_name, salt) in SALTS {
        if field(section(section_name), salt).is_none() {
            let mut text = source.ids.next_id() + &source.ids.next_id();
            text.truncate(SALT_CHARACTERS);
            whole[section_name][salt] = json!(text);
        }
    }
    whole["FeatureFlags"] = old.json()["FeatureFlags"].clone();
    tidy(&mut whole);
    Ok(whole)
}

/// Defaults that an installation keeps which already has a site URL.
fn old_installation(defaults: &mut Value) {
    let services = json!({
        "SessionLengthWebInDays": 180,
        "SessionLengthWebInHours": 4320,
        "SessionLengthMobileInDays": 180,
        "SessionLengthMobileInHours": 4320,
        "ExtendSessionLengthWithActivity": false,
        "TerminateSessionsOnPasswordChange": false,
        "EnableEmailInvitations": true,
        "EnableSVGs": true,
        "EnableLatex": true,
    });
    let mail = json!({ "SendPushNotifications": false, "PushNotificationServer": "" });
    for (section, values) in [("ServiceSettings", services), ("EmailSettings", mail)] {
        for (name, value) in values.as_object().into_iter().flatten() {
            defaults[section][name] = value.clone();
        }
    }
}

/// `given` with the fields of `default`, as Go reads JSON into a struct: unknown fields are dropped,
/// names are compared without case, `null` is a field that is left out.
fn merged(given: &Map<String, Value>, default: &Value, path: &str) -> Result<Value, AppError> {
    let fields = default.as_object().into_iter().flatten().map(|(name, default)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let value = match field(given, name) {
            None => default.clone(),
            Some(value) => read(value, default, &path)?,
        };
        Ok((name.clone(), value))
    });
    fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

fn read(value: &Value, default: &Value, path: &str) -> Result<Value, AppError> {
    if ANYTHING.contains(&path) {
        return Ok(value.clone());
    }
    if MAPS.contains(&path) {
        return read_map(value, default, path);
    }
    let fits = match (value, default) {
        (Value::Object(given), Value::Object(_)) => return merged(given, default, path),
        (Value::Bool(_), Value::Bool(_)) | (Value::String(_), Value::String(_)) => true,
        (Value::Number(number), Value::Number(_)) => number.is_i64(),
        (Value::Array(list), Value::Array(_)) if path == LIST_OF_OBJECTS => {
            list.iter().all(Value::is_object)
        }
        (Value::Array(list), Value::Array(_)) => {
            // The reasons of content flagging and the like.
            list.iter().all(Value::is_string)
        }
        _ => false,
    };
    if fits {
        return Ok(value.clone());
    }
    Err(unreadable(&format!("{path} is {}, not {}", kind(value), kind(default))))
}

/// Plugins' values are theirs; the states of plugins that come with the server have defaults.
fn read_map(value: &Value, default: &Value, path: &str) -> Result<Value, AppError> {
    let Some(given) = value.as_object() else {
        return Err(unreadable(&format!("{path} is {}, not an object", kind(value))));
    };
    let values_fit = match path {
        "PluginSettings.Plugins" => |value: &Value| value.is_object() || value.is_null(),
        "PluginSettings.PluginStates" => |value: &Value| value.is_object(),
        _ => |value: &Value| value.is_array(),
    };
    if let Some((key, value)) = given.iter().find(|(_, value)| !values_fit(value)) {
        return Err(unreadable(&format!("{path}.{key} is {}", kind(value))));
    }
    let mut map = match path {
        "PluginSettings.PluginStates" => default.as_object().cloned().unwrap_or_default(),
        _ => Map::new(),
    };
    for (key, value) in given {
        let value = match path {
            "PluginSettings.PluginStates" => {
                let enable = value.as_object().and_then(|state| field(state, "Enable"));
                json!({ "Enable": enable.and_then(Value::as_bool).unwrap_or_default() })
            }
            _ => value.clone(),
        };
        map.insert(key.clone(), value);
    }
    Ok(Value::Object(map))
}

/// The field of this name, or of one that differs in case only.
fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let other_case = || object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    let found = object.get(name).or_else(|| other_case().map(|(_, value)| value));
    found.filter(|value| !value.is_null())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What the server puts right by itself.
fn tidy(config: &mut Value) {
    let text = |config: &Value, section: &str, name: &str| {
        config[section][name].as_str().unwrap_or_default().to_owned()
    };
    let site_url = text(config, "ServiceSettings", "SiteURL");
    config["ServiceSettings"]["SiteURL"] = json!(site_url.trim_end_matches('/'));
    let directory = text(config, "FileSettings", "Directory");
    if text(config, "FileSettings", "DriverName") == "local"
        && !directory.is_empty()
        && !directory.ends_with('/')
    {
        config["FileSettings"]["Directory"] = json!(directory + "/");
    }
    for name in ["DefaultServerLocale", "DefaultClientLocale"] {
        if !LOCALES.contains(&text(config, "LocalizationSettings", name).as_str()) {
            config["LocalizationSettings"][name] = json!("en");
        }
    }
}

/// The languages that the server speaks.
const LOCALES: [&str; 22] = [
    "bg", "de", "en", "en-AU", "es", "fa", "fr", "hu", "it", "ja", "ko", "nl", "pl", "pt-BR", "ro",
    "ru", "sv", "tr", "uk", "vi", "zh-CN", "zh-TW",
];

/// `value` with the whole numbers among its numbers written as such, as Go writes them.
pub(super) fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(it) if number.is_f64() && it.fract() == 0.0 && it.abs() < 9.0e15 => {
                json!(it as i64)
            }
            _ => Value::Number(number),
        },
        Value::Array(list) => list.into_iter().map(whole_numbers).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(key, value)| (key, whole_numbers(value))).collect()
        }
        other => other,
    }
}
