//! The embedded server's effects reach the plugins: its hooks are dispatched over the environment.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use plugin_proto::v1;
use tokio_util::task::TaskTracker;

use crate::api::AppError;
use crate::embedded::{HookSink, Notice, Will};
use crate::environment::dispatch::{Chained, Decided, Dispatcher};
use crate::environment::{Environment, WeakEnvironment};
use crate::hooks::HookError;

/// The plugins of an environment, as the embedded server sees them. Does not keep them alive.
#[derive(Debug, Clone)]
pub(super) struct Effects {
    environment: WeakEnvironment,
    /// Notices that plugins have not taken yet.
    notices: TaskTracker,
}

impl Effects {
    pub(super) fn on(environment: &Environment) -> Arc<Self> {
        Arc::new(Self { environment: environment.downgrade(), notices: TaskTracker::new() })
    }

    fn dispatch(&self) -> Option<Dispatcher> {
        Some(self.environment.upgrade()?.dispatch())
    }
}

fn will<T>(chained: Chained<T>) -> Will<T> {
    match chained.decided {
        Decided::Passed(value) => Will::Pass(value),
        Decided::Rejected { reason, .. } => Will::Reject { reason },
        Decided::Dismissed { .. } => Will::Dismiss,
    }
}

macro_rules! notices {
    ($dispatch:ident, $notice:ident: $($hook:ident $method:ident;)*) => {
        match $notice {
            $(Notice::$hook(request) => drop($dispatch.$method(request).await),)*
        }
    };
}

#[async_trait]
impl HookSink for Effects {
    fn tell(&self, notice: Notice) {
        let Some(dispatch) = self.dispatch() else { return };
        // A plugin is notified while the call that caused it goes on.
        self.notices.spawn(async move {
            notices! {
                dispatch, notice:
                OnCloudLimitsUpdated on_cloud_limits_updated;
                MessageHasBeenPosted message_has_been_posted;
                MessageHasBeenUpdated message_has_been_updated;
                MessageHasBeenDeleted message_has_been_deleted;
                ReactionHasBeenAdded reaction_has_been_added;
                ReactionHasBeenRemoved reaction_has_been_removed;
                PreferencesHaveChanged preferences_have_changed;
                UserHasBeenCreated user_has_been_created;
                UserHasLoggedIn user_has_logged_in;
                UserHasBeenDeactivated user_has_been_deactivated;
                ChannelHasBeenCreated channel_has_been_created;
                UserHasJoinedChannel user_has_joined_channel;
                UserHasLeftChannel user_has_left_channel;
                UserHasJoinedTeam user_has_joined_team;
                UserHasLeftTeam user_has_left_team;
                OnWebSocketConnect on_web_socket_connect;
                OnWebSocketDisconnect on_web_socket_disconnect;
                WebSocketMessageHasBeenPosted web_socket_message_has_been_posted;
            }
        });
    }

    async fn on_configuration_change(&self) {
        if let Some(dispatch) = self.dispatch() {
            dispatch.on_configuration_change(v1::OnConfigurationChangeRequest::default()).await;
        }
    }

    async fn message_will_be_posted(
        &self,
        request: v1::MessageWillBePostedRequest,
    ) -> Will<v1::Post> {
        match self.dispatch() {
            Some(dispatch) => will(dispatch.message_will_be_posted(request).await),
            None => Will::Pass(request.post.unwrap_or_default()),
        }
    }

    async fn message_will_be_updated(
        &self,
        request: v1::MessageWillBeUpdatedRequest,
    ) -> Will<v1::Post> {
        match self.dispatch() {
            Some(dispatch) => will(dispatch.message_will_be_updated(request).await),
            None => Will::Pass(request.new_post.unwrap_or_default()),
        }
    }

    async fn messages_will_be_consumed(&self, posts: Vec<v1::Post>) -> Vec<v1::Post> {
        let Some(dispatch) = self.dispatch() else { return posts };
        let request =
            v1::MessagesWillBeConsumedRequest { posts: posts.clone(), ..Default::default() };
        // Nobody can reject what has been posted.
        dispatch.messages_will_be_consumed(request).await.passed().unwrap_or(posts)
    }

    async fn file_will_be_uploaded(
        &self,
        request: v1::FileWillBeUploadedRequest,
    ) -> Will<(v1::FileInfo, Bytes)> {
        match self.dispatch() {
            Some(dispatch) => will(dispatch.file_will_be_uploaded(request).await),
            None => Will::Pass((request.file_info.unwrap_or_default(), request.file_content)),
        }
    }

    async fn notification_will_be_pushed(
        &self,
        request: v1::NotificationWillBePushedRequest,
    ) -> Will<v1::PushNotification> {
        match self.dispatch() {
            Some(dispatch) => will(dispatch.notification_will_be_pushed(request).await),
            None => Will::Pass(request.push_notification.unwrap_or_default()),
        }
    }

    async fn email_notification_will_be_sent(
        &self,
        request: v1::EmailNotificationWillBeSentRequest,
    ) -> Will<(Bytes, Option<v1::EmailNotificationContent>)> {
        match self.dispatch() {
            Some(dispatch) => will(dispatch.email_notification_will_be_sent(request).await),
            None => {
                let notification = request.email_notification.unwrap_or_default();
                Will::Pass((notification.notification_json, None))
            }
        }
    }

    async fn user_will_log_in(&self, request: v1::UserWillLogInRequest) -> Will<()> {
        match self.dispatch() {
            Some(dispatch) => will(dispatch.user_will_log_in(request).await),
            None => Will::Pass(()),
        }
    }

    async fn configuration_will_be_saved(
        &self,
        config: v1::ConfigJson,
    ) -> Result<v1::ConfigJson, AppError> {
        let Some(dispatch) = self.dispatch() else { return Ok(config) };
        let request =
            v1::ConfigurationWillBeSavedRequest { new_config: Some(config), ..Default::default() };
        match will(dispatch.configuration_will_be_saved(request).await) {
            Will::Pass(config) => Ok(config),
            Will::Reject { reason } => Err(AppError::new("saveConfig", 400).message(reason)),
            Will::Dismiss => Err(AppError::new("saveConfig", 400)),
        }
    }

    async fn execute_command(
        &self,
        plugin_id: &str,
        request: v1::ExecuteCommandRequest,
    ) -> Result<Option<v1::CommandResponse>, AppError> {
        const FAILED: &str = "model.plugin_command.error.app_error";
        let inactive =
            || AppError::new(FAILED, 500).detail(format!("plugin {plugin_id} is not active"));
        let dispatch = self.dispatch().ok_or_else(inactive)?;
        let outcome = dispatch.execute_command(plugin_id, request).await.map_err(|_| inactive())?;
        outcome.decision.map_err(|error| match error {
            HookError::Refused { error, .. } => *error,
            other => AppError::new(FAILED, 500).detail(other.to_string()),
        })
    }

    async fn on_plugin_cluster_event(
        &self,
        plugin_id: &str,
        request: v1::OnPluginClusterEventRequest,
    ) {
        if let Some(dispatch) = self.dispatch()
            && let Err(error) = dispatch.on_plugin_cluster_event(plugin_id, request).await
        {
            tracing::debug!(%error, "a cluster event reaches nobody");
        }
    }

    async fn on_shared_channels_ping(
        &self,
        plugin_id: &str,
        request: v1::OnSharedChannelsPingRequest,
    ) -> Option<bool> {
        let outcome = self.dispatch()?.on_shared_channels_ping(plugin_id, request).await;
        Some(outcome.ok()?.decision)
    }

    async fn on_shared_channels_sync_msg(
        &self,
        plugin_id: &str,
        request: v1::OnSharedChannelsSyncMsgRequest,
    ) -> Result<Option<v1::SyncResponse>, AppError> {
        let Some(dispatch) = self.dispatch() else { return Ok(None) };
        let Ok(outcome) = dispatch.on_shared_channels_sync_msg(plugin_id, request).await else {
            return Ok(None);
        };
        outcome.decision.map(Some).map_err(|error| match error {
            HookError::Refused { error, .. } => *error,
            other => AppError::new("app.shared_channel.sync_msg", 500).detail(other.to_string()),
        })
    }
}
