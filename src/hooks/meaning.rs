//! What the answer of each hook means: one row per hook.

use std::convert::Infallible;

use bytes::Bytes;
use plugin_proto::prost::Message;
use plugin_proto::v1;

use super::{Filtered, HookError};
use crate::api::AppError;

/// The reason by which `MessageWillBePosted` rejects a post without a word to its author.
pub const DISMISS_POST: &str = "plugin.message_will_be_posted.dismiss_post";

/// What a plugin made of a file that is being uploaded.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadChange {
    /// Replaces the record.
    pub file_info: Option<v1::FileInfo>,
    /// Replaces the content; a plugin cannot make a file empty.
    pub content: Option<Bytes>,
}

/// What a hook's answer means to the server, and what holds when there is none.
pub trait Meaning: Message + Default + Send + Sync + 'static {
    /// What the server goes on with.
    type Decision: Send + 'static;

    /// When the plugin does not implement the hook.
    fn unasked() -> Self::Decision;

    /// When the plugin was asked and there is no answer.
    fn failed(error: &HookError) -> Self::Decision;

    /// When the plugin has answered `hook`.
    fn answered(self, hook: &'static str) -> Self::Decision;
}

/// A row is a kind, a response and what the response holds. The kinds:
///
/// - `event`: the plugin is notified, and cannot object. Nothing is decided, whatever happens.
/// - `result`: an AppError in the answer is an error, and so is a failure; a hook that is not
///   implemented succeeds with the default value.
/// - `filter`: a reason rejects and wins over a replacement; a failure, or an answer with neither,
///   leaves the thing as it is (fails open).
macro_rules! meanings {
    ($($kind:ident $response:ident $(=> $value:ty, |$answer:ident| $read:expr)?;)*) => {
        $(meanings!(@$kind $response $(=> $value, |$answer| $read)?);)*
    };
    (@event $response:ident) => {
        impl Meaning for v1::$response {
            type Decision = ();
            fn unasked() {}
            fn failed(_: &HookError) {}
            fn answered(self, _: &'static str) {}
        }
    };
    (@result $response:ident => $value:ty, |$answer:ident| $read:expr) => {
        impl Meaning for v1::$response {
            type Decision = Result<$value, HookError>;
            fn unasked() -> Self::Decision {
                Ok(Default::default())
            }
            fn failed(error: &HookError) -> Self::Decision {
                Err(error.clone())
            }
            fn answered(mut self, hook: &'static str) -> Self::Decision {
                if let Some(error) = self.error.take() {
                    return Err(HookError::Refused { hook, error: Box::new(AppError::from(error)) });
                }
                let $answer = self;
                Ok($read)
            }
        }
    };
    (@filter $response:ident => $value:ty, |$answer:ident| $read:expr) => {
        impl Meaning for v1::$response {
            type Decision = Filtered<$value>;
            fn unasked() -> Self::Decision {
                Filtered::Unchanged
            }
            fn failed(_: &HookError) -> Self::Decision {
                Filtered::Unchanged
            }
            fn answered(self, _: &'static str) -> Self::Decision {
                let $answer = self;
                match $read {
                    (reason, _) if !reason.is_empty() => Filtered::Rejected(reason),
                    (_, Some(other)) => Filtered::Replaced(other),
                    (_, None) => Filtered::Unchanged,
                }
            }
        }
    };
}

meanings! {
    result ImplementedResponse              => Vec<String>, |answer| answer.hooks;
    result OnActivateResponse               => (), |_answer| ();
    result OnDeactivateResponse             => (), |_answer| ();
    result OnConfigurationChangeResponse    => (), |_answer| ();
    result OnInstallResponse                => (), |_answer| ();
    event  OnSendDailyTelemetryResponse;
    result RunDataRetentionResponse         => i64, |answer| answer.deleted_count;
    event  OnCloudLimitsUpdatedResponse;
    // `None`: it is saved as it is. A configuration of no bytes counts as none.
    result ConfigurationWillBeSavedResponse => Option<v1::ConfigJson>, |answer|
        answer.modified_config.filter(|config| !config.config_json.is_empty());
    filter MessageWillBeUpdatedResponse     => v1::Post, |answer|
        (answer.rejection_reason, answer.modified_post);
    event  MessageHasBeenPostedResponse;
    event  MessageHasBeenUpdatedResponse;
    // It cannot reject, nor leave nothing: an empty list is an answer with nothing in it.
    filter MessagesWillBeConsumedResponse   => Vec<v1::Post>, |answer|
        (String::new(), Some(answer.posts).filter(|posts| !posts.is_empty()));
    event  MessageHasBeenDeletedResponse;
    filter FileWillBeUploadedResponse       => UploadChange, |answer|
        (answer.rejection_reason, UploadChange::of(answer.modified_file_info, answer.modified_content));
    event  ReactionHasBeenAddedResponse;
    event  ReactionHasBeenRemovedResponse;
    filter NotificationWillBePushedResponse => v1::PushNotification, |answer|
        (answer.rejection_reason, answer.modified_notification);
    filter EmailNotificationWillBeSentResponse => v1::EmailNotificationContent, |answer|
        (answer.rejection_reason, answer.modified_content);
    event  PreferencesHaveChangedResponse;
    event  UserHasBeenCreatedResponse;
    // It can only reject. Fails open: a broken login filter admits everyone.
    filter UserWillLogInResponse            => Infallible, |answer| (answer.rejection_reason, None);
    event  UserHasLoggedInResponse;
    event  UserHasBeenDeactivatedResponse;
    // Fails closed: a broken filter admits nobody.
    result OnSamlLoginResponse              => (), |_answer| ();
    event  ChannelHasBeenCreatedResponse;
    event  UserHasJoinedChannelResponse;
    event  UserHasLeftChannelResponse;
    event  UserHasJoinedTeamResponse;
    event  UserHasLeftTeamResponse;
    result ExecuteCommandResponse           => Option<v1::CommandResponse>, |answer| answer.response;
    event  OnWebSocketConnectResponse;
    event  OnWebSocketDisconnectResponse;
    event  WebSocketMessageHasBeenPostedResponse;
    event  OnPluginClusterEventResponse;
    result OnSharedChannelsSyncMsgResponse  => v1::SyncResponse, |answer|
        answer.response.unwrap_or_default();
    result OnSharedChannelsAttachmentSyncMsgResponse   => (), |_answer| ();
    result OnSharedChannelsProfileImageSyncMsgResponse => (), |_answer| ();
    result GenerateSupportDataResponse      => Vec<v1::FileData>, |answer| answer.files;
}

/// The one filter with a word for silence.
impl Meaning for v1::MessageWillBePostedResponse {
    type Decision = Filtered<v1::Post>;

    fn unasked() -> Self::Decision {
        Filtered::Unchanged
    }

    fn failed(_: &HookError) -> Self::Decision {
        Filtered::Unchanged
    }

    fn answered(self, _: &'static str) -> Self::Decision {
        match (self.rejection_reason, self.modified_post) {
            (reason, _) if reason == DISMISS_POST => Filtered::Dismissed,
            (reason, _) if !reason.is_empty() => Filtered::Rejected(reason),
            (_, Some(post)) => Filtered::Replaced(post),
            (_, None) => Filtered::Unchanged,
        }
    }
}

/// Whether the remote cluster is healthy: yes by default, no when the plugin fails or answers nothing.
impl Meaning for v1::OnSharedChannelsPingResponse {
    type Decision = bool;

    fn unasked() -> bool {
        true
    }

    fn failed(_: &HookError) -> bool {
        false
    }

    fn answered(self, _: &'static str) -> bool {
        self.healthy
    }
}

impl UploadChange {
    fn of(file_info: Option<v1::FileInfo>, content: Bytes) -> Option<Self> {
        let content = Some(content).filter(|content| !content.is_empty());
        (file_info.is_some() || content.is_some()).then_some(Self { file_info, content })
    }
}
