//! The server's configuration, and the part of it that is a plugin's.
//!
//! `decode.rs` makes a whole configuration of a given one, `secrets.rs` hides passwords and puts them
//! back, `checks.rs` says what is refused, `client.rs` what clients are told.

mod checks;
mod client;
mod decode;
mod secrets;

use plugin_proto::v1;
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::super::config::Config;
use super::super::ctx::{Ctx, to_all};
use super::super::refusal::{absent, internal, invalid};
use super::super::store::Source;
use super::logging::object_of;
use crate::api::AppError;
use decode::whole_numbers;

pub(super) const SCHEMA: &str = "
CREATE TABLE configuration (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    json TEXT NOT NULL
);
";

const SAVE: &str = "app.save_config.app_error";

/// A fresh installation's configuration, with salts of its own.
pub(super) fn first_rows(connection: &Connection, source: &Source) -> rusqlite::Result<()> {
    if connection.prepare("SELECT 1 FROM configuration")?.exists([])? {
        return Ok(());
    }
    let fresh = decode::filled(&json!({}), &Config::default(), source);
    let fresh = fresh.unwrap_or_else(|_| Config::default().json().clone());
    let insert = "INSERT INTO configuration (one, json) VALUES (1, ?1)";
    connection.execute(insert, [fresh.to_string()]).map(drop)
}

/// The configuration that is stored.
pub(in super::super) fn stored(connection: &Connection) -> rusqlite::Result<Config> {
    let json: String =
        connection.query_row("SELECT json FROM configuration", [], |row| row.get(0))?;
    let parsed = serde_json::from_str(&json).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })?;
    Ok(Config::new(parsed))
}

/// The manifest's defaults, and the stored values over them. Top-level keys are lower-cased.
pub(in super::super) async fn load_plugin_configuration(
    ctx: &Ctx,
    _: v1::LoadPluginConfigurationRequest,
) -> Result<v1::LoadPluginConfigurationResponse, AppError> {
    let plugin_id = ctx.plugin_id();
    let settings = ctx.installed().get(&plugin_id).map(|it| it.settings).unwrap_or_default();
    let defaults = settings.into_iter().filter(|it| !it.in_section);
    let mut all: Map<String, Value> =
        defaults.map(|it| (it.key.to_lowercase(), it.default)).collect();
    if let Some(values) = entry(ctx.config().json(), &plugin_id) {
        all.extend(values.iter().map(|(key, value)| (key.to_lowercase(), value.clone())));
    }
    let config_json = Value::Object(all).to_string().into();
    Ok(v1::LoadPluginConfigurationResponse { config_json, error: None })
}

pub(in super::super) async fn get_config(
    ctx: &Ctx,
    _: v1::GetConfigRequest,
) -> Result<v1::GetConfigResponse, AppError> {
    let config_json = sanitized(ctx).to_string().into();
    Ok(v1::GetConfigResponse { config_json, error: None })
}

pub(in super::super) async fn get_unsanitized_config(
    ctx: &Ctx,
    _: v1::GetUnsanitizedConfigRequest,
) -> Result<v1::GetUnsanitizedConfigResponse, AppError> {
    let config_json = ctx.config().json().to_string().into();
    Ok(v1::GetUnsanitizedConfigResponse { config_json, error: None })
}

/// The whole configuration is replaced: a field that is left out goes back to its default.
pub(in super::super) async fn save_config(
    ctx: &Ctx,
    it: v1::SaveConfigRequest,
) -> Result<v1::SaveConfigResponse, AppError> {
    if it.config_json.is_empty() {
        return Err(absent("config_json"));
    }
    let given = decode::parsed(&it.config_json)?;
    save(ctx, given).await?;
    Ok(v1::SaveConfigResponse::default())
}

/// Without the manifest's defaults, and with secrets hidden.
pub(in super::super) async fn get_plugin_config(
    ctx: &Ctx,
    _: v1::GetPluginConfigRequest,
) -> Result<v1::GetPluginConfigResponse, AppError> {
    let config = sanitized(ctx);
    let own = entry(&config, &ctx.plugin_id()).cloned().unwrap_or_default();
    Ok(v1::GetPluginConfigResponse { config: Some(struct_of(own)), error: None })
}

/// The plugin's whole entry is replaced.
pub(in super::super) async fn save_plugin_config(
    ctx: &Ctx,
    it: v1::SavePluginConfigRequest,
) -> Result<v1::SavePluginConfigResponse, AppError> {
    let own = object_of(it.config.ok_or_else(|| absent("config"))?);
    let mut config = ctx.config().json().clone();
    config["PluginSettings"]["Plugins"][&*ctx.plugin_id()] = whole_numbers(Value::Object(own));
    save(ctx, config).await?;
    Ok(v1::SavePluginConfigResponse::default())
}

/// Asks the plugins, and stores what they made of it.
pub(super) async fn save(ctx: &Ctx, given: Value) -> Result<(), AppError> {
    decode::filled(&given, &ctx.config(), ctx.source())?;
    let asked = v1::ConfigJson { config_json: given.to_string().into() };
    let answer = ctx.hooks().configuration_will_be_saved(asked).await?;
    let given = decode::parsed(&answer.config_json).map_err(|error| {
        let message = "A plugin's answer to ConfigurationWillBeSaved is no configuration.";
        invalid("app.save_config.plugin_hook_error", message).detail(error.message)
    })?;
    store(ctx, move |_| given).await
}

/// Stores what `make` makes of the configuration, and tells of it if that is something else.
pub(super) async fn store(
    ctx: &Ctx,
    make: impl FnOnce(&Value) -> Value + Send,
) -> Result<(), AppError> {
    let saving = ctx.saving().await;
    let old = ctx.config();
    let mut new = decode::filled(&make(old.json()), &old, ctx.source())?;
    secrets::restore(&mut new, old.json());
    let new = Config::new(new);
    checks::check(&new).map_err(|rule| {
        let message = "An error occurred saving the configuration.";
        internal(SAVE, message).detail(format!("model.config.is_valid.{rule}.app_error"))
    })?;
    let json = new.json().to_string();
    let kept = ctx
        .write(SAVE, move |tx| tx.execute("UPDATE configuration SET json = ?1", [json]).map(drop));
    kept.await?;
    ctx.set_config(new.clone());
    drop(saving);
    if new.json() == old.json() {
        return Ok(());
    }
    ctx.hooks().on_configuration_change().await;
    ctx.publish(
        "config_changed",
        json!({ "config": client::config(&new, ctx.version()) }),
        to_all(),
    );
    Ok(())
}

/// The entry of a plugin, if it has one.
fn entry<'a>(config: &'a Value, plugin_id: &str) -> Option<&'a Map<String, Value>> {
    config["PluginSettings"]["Plugins"].get(plugin_id)?.as_object()
}

fn sanitized(ctx: &Ctx) -> Value {
    let mut config = ctx.config().json().clone();
    secrets::hide(&mut config, &ctx.installed().all());
    config
}

fn struct_of(object: Map<String, Value>) -> prost_types::Struct {
    let fields = object.into_iter().map(|(key, value)| (key, value_of(value)));
    prost_types::Struct { fields: fields.collect() }
}

fn value_of(value: Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(it) => Kind::BoolValue(it),
        Value::Number(it) => Kind::NumberValue(it.as_f64().unwrap_or_default()),
        Value::String(it) => Kind::StringValue(it),
        Value::Array(list) => Kind::ListValue(prost_types::ListValue {
            values: list.into_iter().map(value_of).collect(),
        }),
        Value::Object(object) => Kind::StructValue(struct_of(object)),
    };
    prost_types::Value { kind: Some(kind) }
}
