//! What the tests of the environment share.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_interpreters::report::Report;
use plugin_conformance::api::{ApiServer, PluginApi};
use plugin_conformance::conformance::{Bundle, Interpreter};
use plugin_conformance::environment::{
    Environment, EnvironmentBuilder, KeeperOptions, PluginState, RestartPolicy,
};
use tempfile::TempDir;

use crate::common::{Tiny, fake_python, quick_stop, soon};

/// A plugin with these hooks that stays; `on` is what it does inside them.
pub fn script(hooks: &str, on: &str) -> String {
    let on = if on.is_empty() { String::new() } else { format!("on:\n{on}") };
    format!("life:\n  - serve: {{hooks: [{hooks}]}}\n  - handshake\n  - wait\n{on}")
}

/// A folder with bundles.
pub struct Bundles(TempDir);

impl Bundles {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn root(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// A bundle with the id `com.mattermost.fake-{name}`.
    pub fn write(&self, name: &str, script: &str) -> PathBuf {
        let dir = self.path(name);
        Bundle::write(&dir, name, script, &Interpreter::Link(fake_python())).unwrap();
        dir
    }
}

/// The id of the bundle of this name.
pub fn id(name: &str) -> String {
    format!("com.mattermost.fake-{name}")
}

/// The API of each plugin, as it is served to its present life.
#[derive(Clone, Default)]
pub struct Apis(Arc<Mutex<BTreeMap<String, Arc<dyn PluginApi>>>>);

impl Apis {
    pub fn of(&self, name: &str) -> Arc<dyn PluginApi> {
        Arc::clone(&self.0.lock().unwrap()[&id(name)])
    }
}

/// An environment whose health checks come seldom and whose stops are quick; plugins that fail are
/// not started again.
pub fn calm(apis: &Apis) -> EnvironmentBuilder {
    let restart = RestartPolicy { strikes: 1, ..RestartPolicy::default() };
    let apis = apis.clone();
    Environment::builder()
        .api(|_| Arc::new(Tiny))
        .api_server(move |plugin, api| {
            apis.0.lock().unwrap().insert(plugin.id().to_owned(), Arc::clone(&api));
            ApiServer::builder(api)
        })
        .launch(|_, launch| launch.timeouts(quick_stop()))
        .keeper(KeeperOptions { interval: Duration::from_secs(600), restart })
}

/// A world of plugins, all active.
pub struct World {
    pub bundles: Bundles,
    pub apis: Apis,
    pub plugins: Environment,
}

impl World {
    pub async fn new(scripts: &[(&str, &str)]) -> Self {
        Self::with(scripts, |builder| builder).await
    }

    pub async fn with(
        scripts: &[(&str, &str)],
        change: impl FnOnce(EnvironmentBuilder) -> EnvironmentBuilder,
    ) -> Self {
        let world = Self::idle(scripts, change).await;
        for (name, _) in scripts {
            assert!(soon(world.plugins.activate(&id(name))).await.unwrap());
        }
        world
    }

    /// The plugins are added, and none is active.
    pub async fn idle(
        scripts: &[(&str, &str)],
        change: impl FnOnce(EnvironmentBuilder) -> EnvironmentBuilder,
    ) -> Self {
        let (bundles, apis) = (Bundles::new(), Apis::default());
        let plugins = change(calm(&apis)).build().unwrap();
        for (name, script) in scripts {
            plugins.add(bundles.write(name, script)).await.unwrap();
        }
        Self { bundles, apis, plugins }
    }

    pub fn report(&self, name: &str) -> Report {
        Report::read(&self.bundles.path(name).join("report.json")).unwrap()
    }

    pub async fn state(&self, name: &str, wanted: PluginState) {
        let mut states = self.plugins.states(&id(name)).unwrap();
        soon(states.wait_for(|&state| state == wanted)).await.unwrap();
    }
}

/// Whether the folder has nothing in it.
pub fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}
