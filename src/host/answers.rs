//! What plugins are answered on a laptop.

use std::sync::Arc;

use plugin_proto::Service;

use crate::api::GeneratedApi;
use crate::api::PluginApi;
use crate::api::mock::{MockApi, MockFile, Unverified};
use crate::embedded::{Embedded, KvApi, KvStore};
use crate::environment::Environment;

use super::effects::Effects;

/// What answers the API calls of the plugins.
#[derive(Debug, Clone, Default)]
pub enum Answers {
    /// Generated messages: every RPC succeeds.
    #[default]
    Generated,
    /// What the mocks of a file say.
    Mocks(MockFile),
    /// What an embedded Mattermost says; its effects reach the plugins as hooks.
    Embedded(Embedded),
}

/// The answers at work: one API for all plugins, and a KV store with a namespace for each.
#[derive(Debug, Clone)]
pub(super) struct Answering {
    api: Api,
    /// `None`: the mocks have taken it over.
    kv: Option<KvStore>,
}

#[derive(Clone)]
enum Api {
    Generated(Arc<dyn PluginApi>),
    Mocks(Arc<MockApi>),
    Embedded(Embedded),
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Generated(_) => "Generated",
            Self::Mocks(_) => "Mocks",
            Self::Embedded(_) => "Embedded",
        })
    }
}

impl Answering {
    pub(super) fn new(answers: &Answers, server_version: &str) -> Self {
        let kv = KvStore::default();
        match answers {
            Answers::Generated => {
                Self { api: Api::Generated(GeneratedApi::answering(server_version)), kv: Some(kv) }
            }
            Answers::Embedded(server) => Self { api: Api::Embedded(server.clone()), kv: None },
            Answers::Mocks(file) => {
                let mut kv_calls =
                    Service::PluginAPI.methods().filter(|method| method.group == "kv");
                let mocked = kv_calls.any(|method| file.answers(method.name));
                // A plugin may run for long, and nobody reads the calls themselves.
                let mocks = file.api(server_version).verify_on_drop(false).keep_last(0, 0);
                let mocks = Arc::new(mocks);
                Self { api: Api::Mocks(mocks), kv: (!mocked).then_some(kv) }
            }
        }
    }

    /// What one plugin is answered.
    pub(super) fn to_plugin(&self, plugin_id: &str) -> Arc<dyn PluginApi> {
        let api = match &self.api {
            Api::Generated(api) => Arc::clone(api),
            Api::Mocks(mocks) => mocks.plugin_api(),
            Api::Embedded(server) => server.api_of(plugin_id),
        };
        match &self.kv {
            Some(kv) => Arc::new(KvApi::over(kv, plugin_id, api)),
            None => api,
        }
    }

    /// What the plugins' calls cause reaches the plugins of this environment.
    pub(super) fn reach(&self, environment: &Environment) {
        if let Api::Embedded(server) = &self.api {
            server.set_hooks(Effects::on(environment));
        }
    }

    /// Whether the calls came that the mocks expect.
    pub(super) fn verify(&self) -> Result<(), Unverified> {
        match &self.api {
            Api::Generated(_) | Api::Embedded(_) => Ok(()),
            Api::Mocks(mocks) => mocks.verify(),
        }
    }
}
