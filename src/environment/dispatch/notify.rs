//! Hooks that tell plugins what has happened.

use futures::future::join_all;
use plugin_proto::v1;

use super::ask::told;
use super::{Dispatcher, Listener, Told};
use crate::hooks::HookOutcome;

macro_rules! notifications {
    ($($hook:literal $method:ident $request:ident, $result:expr;)*) => {
        /// The hooks with a method here.
        #[cfg(test)]
        pub(super) const METHODS: &[&str] = &[$($hook),*];

        impl Dispatcher {
            $(
                #[doc = concat!("`", $hook, "` of every plugin that implements it, at the same time:")]
                /// one that hangs delays no other. Ends when all have answered or failed.
                pub async fn $method(&self, request: v1::$request) -> Vec<Told> {
                    let tell = |Listener { info, plugin }: Listener| {
                        let request = request.clone();
                        async move {
                            let outcome = plugin.hooks().$method(request).await;
                            Told { plugin_id: info.manifest.id, result: $result(outcome) }
                        }
                    };
                    join_all(self.implementing($hook).into_iter().map(tell)).await
                }
            )*
        }
    };
}

/// The plugin's objection counts as a failure, but changes nothing.
fn objected<E>(outcome: HookOutcome<Result<(), E>>) -> Result<(), E> {
    outcome.decision
}

notifications! {
    "OnConfigurationChange" on_configuration_change OnConfigurationChangeRequest, objected;
    "OnSendDailyTelemetry" on_send_daily_telemetry OnSendDailyTelemetryRequest, told;
    "OnCloudLimitsUpdated" on_cloud_limits_updated OnCloudLimitsUpdatedRequest, told;
    "MessageHasBeenPosted" message_has_been_posted MessageHasBeenPostedRequest, told;
    "MessageHasBeenUpdated" message_has_been_updated MessageHasBeenUpdatedRequest, told;
    "MessageHasBeenDeleted" message_has_been_deleted MessageHasBeenDeletedRequest, told;
    "ReactionHasBeenAdded" reaction_has_been_added ReactionHasBeenAddedRequest, told;
    "ReactionHasBeenRemoved" reaction_has_been_removed ReactionHasBeenRemovedRequest, told;
    "PreferencesHaveChanged" preferences_have_changed PreferencesHaveChangedRequest, told;
    "UserHasBeenCreated" user_has_been_created UserHasBeenCreatedRequest, told;
    "UserHasLoggedIn" user_has_logged_in UserHasLoggedInRequest, told;
    "UserHasBeenDeactivated" user_has_been_deactivated UserHasBeenDeactivatedRequest, told;
    "ChannelHasBeenCreated" channel_has_been_created ChannelHasBeenCreatedRequest, told;
    "UserHasJoinedChannel" user_has_joined_channel UserHasJoinedChannelRequest, told;
    "UserHasLeftChannel" user_has_left_channel UserHasLeftChannelRequest, told;
    "UserHasJoinedTeam" user_has_joined_team UserHasJoinedTeamRequest, told;
    "UserHasLeftTeam" user_has_left_team UserHasLeftTeamRequest, told;
    "OnWebSocketConnect" on_web_socket_connect OnWebSocketConnectRequest, told;
    "OnWebSocketDisconnect" on_web_socket_disconnect OnWebSocketDisconnectRequest, told;
    "WebSocketMessageHasBeenPosted" web_socket_message_has_been_posted WebSocketMessageHasBeenPostedRequest, told;
}
