//! The plugin that makes an API call.

use std::sync::Arc;

use super::PluginInfo;
use super::inner::Inner;

/// The plugin that calls, and the environment that it calls.
#[derive(Clone)]
pub(super) struct ApiCaller {
    pub(super) plugin: PluginInfo,
    pub(super) environment: Arc<Inner>,
}

impl ApiCaller {
    /// Whether it is the plugin of this id, however that is capitalized.
    pub(super) fn is(&self, plugin_id: &str) -> bool {
        self.plugin.id() == plugin_id.to_lowercase()
    }
}
