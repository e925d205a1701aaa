//! The API calls about plugins, which only the environment can answer.

use std::future::Future;
use std::sync::{Arc, Weak};

use plugin_proto::v1;

use super::room::Room;
use super::{EnvironmentError, PluginInfo, install, plugin_http};
use crate::api::{ApiRequest, AppError, Overlay, PluginApi};
use crate::environment::PluginState;

/// Who asks, and whom.
#[derive(Clone)]
pub(super) struct Asked {
    /// The plugin that calls.
    pub(super) caller: PluginInfo,
    pub(super) room: Arc<Room>,
}

/// The calls about plugins in front of `below`, as `caller` may make them.
pub(super) fn over(below: Arc<dyn PluginApi>, caller: &PluginInfo, room: Weak<Room>) -> Overlay {
    let table = Table { caller: caller.clone(), room };
    let api = Overlay::over(below);
    let api = table.row(api, get_plugins);
    let api = table.row(api, get_plugin_status);
    let api = table.row(api, get_plugin_id);
    let api = table.row(api, get_bundle_path);
    let api = table.row(api, enable_plugin);
    let api = table.row(api, disable_plugin);
    let api = table.row(api, remove_plugin);
    let api = table.row(api, install_plugin);
    table.row(api, plugin_http::plugin_http)
}

/// What every row needs. The environment is held weakly: its plugins' APIs do not keep it alive.
struct Table {
    caller: PluginInfo,
    room: Weak<Room>,
}

impl Table {
    fn row<Q, F, A>(&self, api: Overlay, answer: F) -> Overlay
    where
        Q: ApiRequest + 'static,
        F: Fn(Asked, Q) -> A + Copy + Send + Sync + 'static,
        A: Future<Output = Result<Q::Response, AppError>> + Send + 'static,
    {
        let (caller, room) = (self.caller.clone(), Weak::clone(&self.room));
        api.answer(move |request: Q| {
            let asked = room.upgrade().map(|room| Asked { caller: caller.clone(), room });
            async move {
                let gone = || EnvironmentError::ShuttingDown.into_app_error(Q::method().name);
                answer(asked.ok_or_else(gone)?, request).await
            }
        })
    }
}

impl Asked {
    fn is_caller(&self, plugin_id: &str) -> bool {
        self.caller.id() == plugin_id.to_lowercase()
    }
}

async fn get_plugins(
    asked: Asked,
    _: v1::GetPluginsRequest,
) -> Result<v1::GetPluginsResponse, AppError> {
    let entries = asked.room.plugins.all();
    let manifests = entries.iter().map(|entry| (&entry.info).into()).collect();
    Ok(v1::GetPluginsResponse { manifests, error: None })
}

async fn get_plugin_status(
    asked: Asked,
    request: v1::GetPluginStatusRequest,
) -> Result<v1::GetPluginStatusResponse, AppError> {
    let found = asked.room.plugins.find(&request.id);
    let entry = found.map_err(|error| error.into_app_error("GetPluginStatus"))?;
    Ok(v1::GetPluginStatusResponse { status: Some(entry.status()), error: None })
}

async fn get_plugin_id(
    asked: Asked,
    _: v1::GetPluginIdRequest,
) -> Result<v1::GetPluginIdResponse, AppError> {
    Ok(v1::GetPluginIdResponse { plugin_id: asked.caller.id().to_owned(), error: None })
}

async fn get_bundle_path(
    asked: Asked,
    _: v1::GetBundlePathRequest,
) -> Result<v1::GetBundlePathResponse, AppError> {
    let path = asked.caller.bundle.display().to_string();
    Ok(v1::GetBundlePathResponse { path, error: None })
}

/// A plugin that runs, or is being started, is enabled already: plugins that enable each other in
/// `OnActivate` do not wait for each other.
async fn enable_plugin(
    asked: Asked,
    request: v1::EnablePluginRequest,
) -> Result<v1::EnablePluginResponse, AppError> {
    let failed = |error: EnvironmentError| error.into_app_error("EnablePlugin");
    let room = Arc::clone(&asked.room);
    let entry = room.plugins.find(&request.id).map_err(failed)?;
    let state = entry.keeper.state();
    if !matches!(state, PluginState::Running | PluginState::Starting) {
        if asked.is_caller(&request.id) {
            // It is being stopped, and can wait neither for that end nor for its own next life.
            let plugin_id = request.id;
            return Err(failed(EnvironmentError::NotRunning { plugin_id }));
        }
        room.run(async move { asked.room.plugins.activate(&request.id).await })
            .await
            .map_err(failed)?;
    }
    Ok(v1::EnablePluginResponse::default())
}

/// A plugin that does not run is disabled already.
async fn disable_plugin(
    asked: Asked,
    request: v1::DisablePluginRequest,
) -> Result<v1::DisablePluginResponse, AppError> {
    let failed = |error: EnvironmentError| error.into_app_error("DisablePlugin");
    let room = Arc::clone(&asked.room);
    room.plugins.find(&request.id).map_err(failed)?;
    let own = asked.is_caller(&request.id);
    let work = async move { asked.room.plugins.deactivate(&request.id).await };
    match own {
        true => room.run_later("DisablePlugin", work),
        false => room.run(work).await.map(|_| ()).map_err(failed)?,
    }
    Ok(v1::DisablePluginResponse::default())
}

async fn remove_plugin(
    asked: Asked,
    request: v1::RemovePluginRequest,
) -> Result<v1::RemovePluginResponse, AppError> {
    let failed = |error: EnvironmentError| error.into_app_error("RemovePlugin");
    let room = Arc::clone(&asked.room);
    room.plugins.find(&request.id).map_err(failed)?;
    let own = asked.is_caller(&request.id);
    let work = async move { asked.room.remove(&request.id).await };
    match own {
        true => room.run_later("RemovePlugin", work),
        false => room.run(work).await.map_err(failed)?,
    }
    Ok(v1::RemovePluginResponse::default())
}

async fn install_plugin(
    asked: Asked,
    request: v1::InstallPluginRequest,
) -> Result<v1::InstallPluginResponse, AppError> {
    let failed = |error: EnvironmentError| error.into_app_error("InstallPlugin");
    let v1::InstallPluginRequest { file_data, replace } = request;
    let room = Arc::clone(&asked.room);
    let unpacked = {
        let room = Arc::clone(&room);
        async move { install::unpack(&room, file_data).await }
    };
    let unpacked = room.run(unpacked).await.map_err(failed)?;
    let info = unpacked.info.clone();
    let own = replace && asked.is_caller(info.id());
    let work = async move { install::place(&asked.room, unpacked, replace).await };
    let info = match own {
        true => {
            room.run_later("InstallPlugin", work);
            info
        }
        false => room.run(work).await.map_err(failed)?,
    };
    Ok(v1::InstallPluginResponse { manifest: Some((&info).into()), error: None })
}
