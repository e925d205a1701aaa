//! The API calls about plugins, which only the environment can answer.

use std::future::Future;
use std::sync::{Arc, Weak};

use plugin_proto::v1;

use super::api_caller::ApiCaller;
use super::inner::Inner;
use super::{EnvironmentError, PluginInfo, PluginState, install, plugin_http};
use crate::api::{ApiRequest, AppError, Overlay, PluginApi};

/// The calls about plugins in front of `below`, as `caller` may make them.
pub(super) fn over(below: Arc<dyn PluginApi>, caller: &PluginInfo, inner: Weak<Inner>) -> Overlay {
    let table = Table { caller: caller.clone(), inner };
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
    inner: Weak<Inner>,
}

impl Table {
    fn row<Q, F, A>(&self, api: Overlay, answer: F) -> Overlay
    where
        Q: ApiRequest + 'static,
        F: Fn(ApiCaller, Q) -> A + Copy + Send + Sync + 'static,
        A: Future<Output = Result<Q::Response, AppError>> + Send + 'static,
    {
        let (plugin, inner) = (self.caller.clone(), Weak::clone(&self.inner));
        api.answer(move |request: Q| {
            let environment = inner.upgrade();
            let plugin = plugin.clone();
            async move {
                let gone = || EnvironmentError::ShuttingDown.into_app_error(Q::method().name);
                let environment = environment.ok_or_else(gone)?;
                answer(ApiCaller { plugin, environment }, request).await
            }
        })
    }
}

async fn get_plugins(
    caller: ApiCaller,
    _: v1::GetPluginsRequest,
) -> Result<v1::GetPluginsResponse, AppError> {
    let entries = caller.environment.plugins.all();
    let manifests = entries.iter().map(|entry| (&entry.info).into()).collect();
    Ok(v1::GetPluginsResponse { manifests, error: None })
}

async fn get_plugin_status(
    caller: ApiCaller,
    request: v1::GetPluginStatusRequest,
) -> Result<v1::GetPluginStatusResponse, AppError> {
    let found = caller.environment.plugins.find(&request.id);
    let entry = found.map_err(|error| error.into_app_error("GetPluginStatus"))?;
    Ok(v1::GetPluginStatusResponse { status: Some(entry.status()), error: None })
}

async fn get_plugin_id(
    caller: ApiCaller,
    _: v1::GetPluginIdRequest,
) -> Result<v1::GetPluginIdResponse, AppError> {
    Ok(v1::GetPluginIdResponse { plugin_id: caller.plugin.id().to_owned(), error: None })
}

async fn get_bundle_path(
    caller: ApiCaller,
    _: v1::GetBundlePathRequest,
) -> Result<v1::GetBundlePathResponse, AppError> {
    let path = caller.plugin.bundle.display().to_string();
    Ok(v1::GetBundlePathResponse { path, error: None })
}

/// A plugin that runs, or is being started, is enabled already: plugins that enable each other in
/// `OnActivate` do not wait for each other.
async fn enable_plugin(
    caller: ApiCaller,
    request: v1::EnablePluginRequest,
) -> Result<v1::EnablePluginResponse, AppError> {
    let failed = |error: EnvironmentError| error.into_app_error("EnablePlugin");
    let inner = Arc::clone(&caller.environment);
    let entry = inner.plugins.find(&request.id).map_err(failed)?;
    let state = entry.keeper.state();
    if !matches!(state, PluginState::Running | PluginState::Starting) {
        if caller.is(&request.id) {
            // It is being stopped, and can wait neither for that end nor for its own next life.
            let plugin_id = request.id;
            return Err(failed(EnvironmentError::NotRunning { plugin_id }));
        }
        let id = request.id.clone();
        let activated =
            inner.run(async move { caller.environment.plugins.activate(&request.id).await }).await;
        if let Err(error @ EnvironmentError::Launch(_)) = &activated {
            tracing::error!(plugin_id = id, %error, "EnablePlugin: the plugin does not start");
        }
        activated.map_err(failed)?;
    }
    Ok(v1::EnablePluginResponse::default())
}

/// A plugin that does not run is disabled already.
async fn disable_plugin(
    caller: ApiCaller,
    request: v1::DisablePluginRequest,
) -> Result<v1::DisablePluginResponse, AppError> {
    let failed = |error: EnvironmentError| error.into_app_error("DisablePlugin");
    let inner = Arc::clone(&caller.environment);
    inner.plugins.find(&request.id).map_err(failed)?;
    let own = caller.is(&request.id);
    let work = async move { caller.environment.plugins.deactivate(&request.id).await };
    match own {
        true => inner.run_later("DisablePlugin", work),
        false => inner.run(work).await.map(|_| ()).map_err(failed)?,
    }
    Ok(v1::DisablePluginResponse::default())
}

async fn remove_plugin(
    caller: ApiCaller,
    request: v1::RemovePluginRequest,
) -> Result<v1::RemovePluginResponse, AppError> {
    let failed = |error: EnvironmentError| error.into_app_error("RemovePlugin");
    let inner = Arc::clone(&caller.environment);
    inner.plugins.find(&request.id).map_err(failed)?;
    let own = caller.is(&request.id);
    let work = async move { caller.environment.remove(&request.id).await };
    match own {
        true => inner.run_later("RemovePlugin", work),
        false => inner.run(work).await.map_err(failed)?,
    }
    Ok(v1::RemovePluginResponse::default())
}

async fn install_plugin(
    caller: ApiCaller,
    request: v1::InstallPluginRequest,
) -> Result<v1::InstallPluginResponse, AppError> {
    let failed = |error: EnvironmentError| error.into_app_error("InstallPlugin");
    let v1::InstallPluginRequest { file_data, replace } = request;
    let inner = Arc::clone(&caller.environment);
    let unpacked = {
        let inner = Arc::clone(&inner);
        async move { install::unpack(&inner, file_data).await }
    };
    let unpacked = inner.run(unpacked).await.map_err(failed)?;
    let info = unpacked.info.clone();
    let own = replace && caller.is(info.id());
    let work = async move { install::place(&caller.environment, unpacked, replace).await };
    let info = match own {
        true => {
            inner.run_later("InstallPlugin", work);
            info
        }
        false => inner.run(work).await.map_err(failed)?,
    };
    Ok(v1::InstallPluginResponse { manifest: Some((&info).into()), error: None })
}
