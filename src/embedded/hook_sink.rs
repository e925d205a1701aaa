//! Where the server's effects meet the plugins: hooks, as the server calls them.

use async_trait::async_trait;
use bytes::Bytes;
use plugin_proto::v1;

use crate::api::AppError;

/// What the plugins say to something that is about to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Will<T> {
    /// It is to be done, with what they made of it.
    Pass(T),
    /// It is not to be done.
    Reject {
        /// Why, in the words of the plugin.
        reason: String,
    },
    /// It is not to be done, and nobody is to be told (`MessageWillBePosted` only).
    Dismiss,
}

/// The active plugins of a server, the calling one among them. No transaction is open while the server
/// waits for one of them: a plugin may call the API within a hook.
///
/// Every method has a default, which is a server without plugins.
#[async_trait]
pub trait HookSink: Send + Sync + 'static {
    /// Tells the plugins that something has happened. Returns at once; the plugins hear of it in their
    /// own time, which may be after the answer to the call that caused it.
    fn tell(&self, notice: Notice) {
        let _ = notice;
    }

    /// `OnConfigurationChange`: ends when all plugins have answered.
    async fn on_configuration_change(&self) {}

    /// `MessageWillBePosted`, one plugin after the other.
    async fn message_will_be_posted(
        &self,
        request: v1::MessageWillBePostedRequest,
    ) -> Will<v1::Post> {
        Will::Pass(request.post.unwrap_or_default())
    }

    /// `MessageWillBeUpdated`, one plugin after the other.
    async fn message_will_be_updated(
        &self,
        request: v1::MessageWillBeUpdatedRequest,
    ) -> Will<v1::Post> {
        Will::Pass(request.new_post.unwrap_or_default())
    }

    /// `MessagesWillBeConsumed`, one plugin after the other.
    async fn messages_will_be_consumed(&self, posts: Vec<v1::Post>) -> Vec<v1::Post> {
        posts
    }

    /// `FileWillBeUploaded`, one plugin after the other.
    async fn file_will_be_uploaded(
        &self,
        request: v1::FileWillBeUploadedRequest,
    ) -> Will<(v1::FileInfo, Bytes)> {
        Will::Pass((request.file_info.unwrap_or_default(), request.file_content))
    }

    /// `NotificationWillBePushed`, one plugin after the other.
    async fn notification_will_be_pushed(
        &self,
        request: v1::NotificationWillBePushedRequest,
    ) -> Will<v1::PushNotification> {
        Will::Pass(request.push_notification.unwrap_or_default())
    }

    /// `EmailNotificationWillBeSent`, one plugin after the other: the notification's JSON, and the
    /// texts that a plugin gave in place of its own.
    async fn email_notification_will_be_sent(
        &self,
        request: v1::EmailNotificationWillBeSentRequest,
    ) -> Will<(Bytes, Option<v1::EmailNotificationContent>)> {
        let notification = request.email_notification.unwrap_or_default();
        Will::Pass((notification.notification_json, None))
    }

    /// `UserWillLogIn`, one plugin after the other.
    async fn user_will_log_in(&self, request: v1::UserWillLogInRequest) -> Will<()> {
        let _ = request;
        Will::Pass(())
    }

    /// `ConfigurationWillBeSaved`, one plugin after the other.
    ///
    /// # Errors
    /// What the first plugin that rejects it says.
    async fn configuration_will_be_saved(
        &self,
        config: v1::ConfigJson,
    ) -> Result<v1::ConfigJson, AppError> {
        Ok(config)
    }

    /// `ExecuteCommand` of one plugin: `Ok(None)` if it answers neither response nor error.
    ///
    /// # Errors
    /// What the plugin says; 500 `model.plugin_command.error.app_error` if it is not active.
    async fn execute_command(
        &self,
        plugin_id: &str,
        request: v1::ExecuteCommandRequest,
    ) -> Result<Option<v1::CommandResponse>, AppError> {
        let _ = request;
        Err(AppError::new("model.plugin_command.error.app_error", 500)
            .detail(format!("plugin {plugin_id} is not active")))
    }

    /// `OnPluginClusterEvent` of one plugin. Nothing happens if it is not active.
    async fn on_plugin_cluster_event(
        &self,
        plugin_id: &str,
        request: v1::OnPluginClusterEventRequest,
    ) {
        let _ = (plugin_id, request);
    }

    /// `OnSharedChannelsPing` of one plugin: whether it is well; `None` if it is not active.
    async fn on_shared_channels_ping(
        &self,
        plugin_id: &str,
        request: v1::OnSharedChannelsPingRequest,
    ) -> Option<bool> {
        let _ = (plugin_id, request);
        None
    }

    /// `OnSharedChannelsSyncMsg` of one plugin; `None` if it is not active.
    ///
    /// # Errors
    /// What the plugin says.
    async fn on_shared_channels_sync_msg(
        &self,
        plugin_id: &str,
        request: v1::OnSharedChannelsSyncMsgRequest,
    ) -> Result<Option<v1::SyncResponse>, AppError> {
        let _ = (plugin_id, request);
        Ok(None)
    }
}

/// A server without plugins.
#[derive(Debug)]
pub(crate) struct NoPlugins;

impl HookSink for NoPlugins {}

macro_rules! notices {
    ($($hook:ident $request:ident;)*) => {
        /// Something that has happened: the request of the hook that tells it.
        #[derive(Debug, Clone, PartialEq)]
        #[expect(clippy::large_enum_variant, reason = "lives as long as it takes to be told")]
        #[non_exhaustive]
        pub enum Notice {
            $(
                #[doc = concat!("Of the hook `", stringify!($hook), "`.")]
                $hook(v1::$request),
            )*
        }

        impl Notice {
            /// The hook's name.
            pub fn hook(&self) -> &'static str {
                match self {
                    $(Self::$hook(_) => stringify!($hook),)*
                }
            }
        }

        $(
            impl From<v1::$request> for Notice {
                fn from(request: v1::$request) -> Self {
                    Self::$hook(request)
                }
            }
        )*
    };
}

notices! {
    OnCloudLimitsUpdated OnCloudLimitsUpdatedRequest;
    MessageHasBeenPosted MessageHasBeenPostedRequest;
    MessageHasBeenUpdated MessageHasBeenUpdatedRequest;
    MessageHasBeenDeleted MessageHasBeenDeletedRequest;
    ReactionHasBeenAdded ReactionHasBeenAddedRequest;
    ReactionHasBeenRemoved ReactionHasBeenRemovedRequest;
    PreferencesHaveChanged PreferencesHaveChangedRequest;
    UserHasBeenCreated UserHasBeenCreatedRequest;
    UserHasLoggedIn UserHasLoggedInRequest;
    UserHasBeenDeactivated UserHasBeenDeactivatedRequest;
    ChannelHasBeenCreated ChannelHasBeenCreatedRequest;
    UserHasJoinedChannel UserHasJoinedChannelRequest;
    UserHasLeftChannel UserHasLeftChannelRequest;
    UserHasJoinedTeam UserHasJoinedTeamRequest;
    UserHasLeftTeam UserHasLeftTeamRequest;
    OnWebSocketConnect OnWebSocketConnectRequest;
    OnWebSocketDisconnect OnWebSocketDisconnectRequest;
    WebSocketMessageHasBeenPosted WebSocketMessageHasBeenPostedRequest;
}
