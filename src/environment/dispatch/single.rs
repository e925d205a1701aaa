//! Hooks of one plugin, which the caller names.

use plugin_proto::v1;

use super::Dispatcher;
use crate::environment::EnvironmentError;
use crate::hooks::{HookError, HookOutcome};

macro_rules! singles {
    ($($hook:literal $method:ident $request:ident => $decision:ty;)*) => {
        /// The hooks with a method here.
        #[cfg(test)]
        pub(super) const METHODS: &[&str] = &[$($hook),*];

        impl Dispatcher {
            $(
                #[doc = concat!("`", $hook, "` of one plugin.")]
                ///
                /// # Errors
                /// The plugin is unknown or does not run.
                pub async fn $method(
                    &self,
                    plugin_id: &str,
                    request: v1::$request,
                ) -> Result<HookOutcome<$decision>, EnvironmentError> {
                    let plugin = self.inner.plugins.find(plugin_id)?.running();
                    let plugin = plugin.ok_or_else(|| EnvironmentError::NotRunning {
                        plugin_id: plugin_id.to_owned(),
                    })?;
                    Ok(plugin.hooks().$method(request).await)
                }
            )*
        }
    };
}

singles! {
    "OnInstall" on_install OnInstallRequest => Result<(), HookError>;
    "ExecuteCommand" execute_command ExecuteCommandRequest
        => Result<Option<v1::CommandResponse>, HookError>;
    "OnPluginClusterEvent" on_plugin_cluster_event OnPluginClusterEventRequest => ();
    "OnSharedChannelsSyncMsg" on_shared_channels_sync_msg OnSharedChannelsSyncMsgRequest
        => Result<v1::SyncResponse, HookError>;
    "OnSharedChannelsPing" on_shared_channels_ping OnSharedChannelsPingRequest => bool;
    "OnSharedChannelsAttachmentSyncMsg" on_shared_channels_attachment_sync_msg
        OnSharedChannelsAttachmentSyncMsgRequest => Result<(), HookError>;
    "OnSharedChannelsProfileImageSyncMsg" on_shared_channels_profile_image_sync_msg
        OnSharedChannelsProfileImageSyncMsgRequest => Result<(), HookError>;
}
