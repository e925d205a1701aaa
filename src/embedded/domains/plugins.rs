//! The calls about plugins, as far as the server knows them: which are installed, and which are
//! switched on. It runs none itself; where plugins run, their environment answers these calls.

use std::path::{Component, Path, PathBuf};

use plugin_proto::v1;
use serde_json::json;

use super::super::ctx::{Ctx, to_all};
use super::super::installed::{Plugin, State};
use super::super::refusal::{internal, not_found, unavailable};
use super::{bundle, configuration};
use crate::api::AppError;

const CONFIG: &str = "app.plugin.config.app_error";

pub(in super::super) async fn get_plugin_id(
    ctx: &Ctx,
    _: v1::GetPluginIdRequest,
) -> Result<v1::GetPluginIdResponse, AppError> {
    Ok(v1::GetPluginIdResponse { plugin_id: ctx.plugin_id().to_string(), error: None })
}

/// Where the caller's files are, or would be.
pub(in super::super) async fn get_bundle_path(
    ctx: &Ctx,
    _: v1::GetBundlePathRequest,
) -> Result<v1::GetBundlePathResponse, AppError> {
    let folder = folder(ctx, &ctx.plugin_id());
    let path = std::path::absolute(&folder).unwrap_or(folder);
    Ok(v1::GetBundlePathResponse { path: path.display().to_string(), error: None })
}

/// Active ones first, each part by the id.
pub(in super::super) async fn get_plugins(
    ctx: &Ctx,
    _: v1::GetPluginsRequest,
) -> Result<v1::GetPluginsResponse, AppError> {
    enabled(ctx)?;
    let all = ctx.installed().all().into_iter();
    let (active, others): (Vec<_>, Vec<_>) = all.partition(|it| it.state == State::Running);
    let manifests = active.into_iter().chain(others).map(|it| it.manifest).collect();
    Ok(v1::GetPluginsResponse { manifests, error: None })
}

/// Ids are compared exactly.
pub(in super::super) async fn get_plugin_status(
    ctx: &Ctx,
    it: v1::GetPluginStatusRequest,
) -> Result<v1::GetPluginStatusResponse, AppError> {
    enabled(ctx)?;
    let Plugin { manifest, state, .. } = ctx.installed().get(&it.id).ok_or_else(not_installed)?;
    let path = folder(ctx, &manifest.id);
    let clean: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    let status = v1::PluginStatus {
        plugin_path: clean.display().to_string(),
        state: state as i32,
        plugin_id: manifest.id,
        name: manifest.name,
        description: manifest.description,
        version: manifest.version,
    };
    Ok(v1::GetPluginStatusResponse { status: Some(status), error: None })
}

/// Success, even if the plugin does not start.
pub(in super::super) async fn enable_plugin(
    ctx: &Ctx,
    it: v1::EnablePluginRequest,
) -> Result<v1::EnablePluginResponse, AppError> {
    let plugin = switch(ctx, &it.id, true).await?;
    if plugin.state == State::Running && plugin.has_web_app {
        ctx.publish("plugin_enabled", json!({ "manifest": client_manifest(&plugin) }), to_all());
    }
    ctx.publish("plugin_statuses_changed", json!({}), to_all());
    saved_again(ctx).await?;
    Ok(v1::EnablePluginResponse::default())
}

/// The plugin's commands go with it.
pub(in super::super) async fn disable_plugin(
    ctx: &Ctx,
    it: v1::DisablePluginRequest,
) -> Result<v1::DisablePluginResponse, AppError> {
    disable(ctx, &it.id).await?;
    Ok(v1::DisablePluginResponse::default())
}

/// Its keys and its configuration stay. An id with upper case is disabled, and then not found.
pub(in super::super) async fn remove_plugin(
    ctx: &Ctx,
    it: v1::RemovePluginRequest,
) -> Result<v1::RemovePluginResponse, AppError> {
    disable(ctx, &it.id).await?;
    ctx.installed().remove(&it.id).ok_or_else(not_installed)?;
    Ok(v1::RemovePluginResponse::default())
}

/// A new plugin stays inactive unless the configuration says that it is enabled.
pub(in super::super) async fn install_plugin(
    ctx: &Ctx,
    it: v1::InstallPluginRequest,
) -> Result<v1::InstallPluginResponse, AppError> {
    let config = ctx.config();
    let uploads = ["Enable", "EnableUploads"];
    if !uploads.iter().all(|name| config.flag("PluginSettings", name)) {
        let message = "Plugins and/or plugin uploads have been disabled.";
        return Err(unavailable("app.plugin.upload_disabled.app_error", message));
    }
    let v1::InstallPluginRequest { file_data, replace } = it;
    let read = tokio::task::spawn_blocking(move || bundle::manifest(&file_data)).await;
    let manifest = read.map_err(|error| {
        internal("app.plugin.filesystem.app_error", "").detail(error.to_string())
    })??;
    let mut plugin = Plugin::of(&manifest);
    let id = plugin.manifest.id.clone();
    if ctx.installed().get(&id).is_some() && !replace {
        let message = "Unable to install plugin. A plugin with the same ID is already installed.";
        return Err(super::super::refusal::invalid("app.plugin.install_id.app_error", message));
    }
    let states = config.get("PluginSettings", "PluginStates");
    if states[&id]["Enable"] == json!(true) {
        plugin.state = State::FailedToStart;
    }
    let manifest = plugin.manifest.clone();
    ctx.commands().forget(&id);
    ctx.installed().put(plugin);
    ctx.publish("plugin_statuses_changed", json!({}), to_all());
    Ok(v1::InstallPluginResponse { manifest: Some(manifest), error: None })
}

async fn disable(ctx: &Ctx, id: &str) -> Result<(), AppError> {
    let was = ctx.installed().get(&id.to_lowercase());
    let plugin = switch(ctx, id, false).await?;
    ctx.commands().forget(&plugin.manifest.id);
    if plugin.has_web_app && was.is_some_and(|it| it.state == State::Running) {
        ctx.publish("plugin_disabled", json!({ "manifest": client_manifest(&plugin) }), to_all());
    }
    ctx.publish("plugin_statuses_changed", json!({}), to_all());
    saved_again(ctx).await
}

/// Writes the state into the configuration and lets the plugin follow.
async fn switch(ctx: &Ctx, id: &str, enable: bool) -> Result<Plugin, AppError> {
    enabled(ctx)?;
    let id = id.to_lowercase();
    if ctx.installed().get(&id).is_none() {
        return Err(not_installed());
    }
    let key = id.clone();
    let stored = configuration::store(ctx, move |config| {
        let mut config = config.clone();
        config["PluginSettings"]["PluginStates"][key] = json!({ "Enable": enable });
        config
    });
    stored.await.map_err(not_saved)?;
    ctx.installed().update(&id, |plugin| {
        plugin.state = match (enable, plugin.is_served) {
            (false, _) => State::NotRunning,
            (true, true) => State::Running,
            (true, false) => State::FailedToStart,
        };
    });
    ctx.installed().get(&id).ok_or_else(not_installed)
}

/// Mattermost saves the configuration a second time, and only then asks the plugins.
async fn saved_again(ctx: &Ctx) -> Result<(), AppError> {
    let config = ctx.config().json().clone();
    configuration::save(ctx, config).await.map_err(not_saved)
}

fn not_saved(error: AppError) -> AppError {
    internal(CONFIG, "Error saving plugin state in config.").detail(error.to_string())
}

fn enabled(ctx: &Ctx) -> Result<(), AppError> {
    match ctx.config().flag("PluginSettings", "Enable") {
        true => Ok(()),
        false => {
            let message = "Plugins have been disabled. Please check your logs for details.";
            Err(unavailable("app.plugin.disabled.app_error", message))
        }
    }
}

fn not_installed() -> AppError {
    not_found("app.plugin.not_installed.app_error", "Plugin is not installed.")
}

fn folder(ctx: &Ctx, id: &str) -> PathBuf {
    Path::new(ctx.config().text("PluginSettings", "Directory")).join(id)
}

/// What clients are told of a plugin.
fn client_manifest(plugin: &Plugin) -> serde_json::Value {
    let manifest = &plugin.manifest;
    json!({
        "id": manifest.id,
        "name": manifest.name,
        "version": manifest.version,
        "min_server_version": manifest.min_server_version,
    })
}
