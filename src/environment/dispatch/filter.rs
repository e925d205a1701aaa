//! Hooks that may change or reject something before it is done.

use bytes::Bytes;
use plugin_proto::v1;

use super::ask::{closed, mapped};
use super::chain::chain;
use super::{Chained, Dispatcher};
use crate::hooks::{Filtered, HookOutcome, UploadChange};

/// The hooks here that fail open.
#[cfg(test)]
pub(super) const OPEN: &[&str] = &[
    "MessageWillBePosted",
    "MessageWillBeUpdated",
    "MessagesWillBeConsumed",
    "FileWillBeUploaded",
    "NotificationWillBePushed",
    "EmailNotificationWillBeSent",
    "UserWillLogIn",
];

/// The hooks here that fail closed.
#[cfg(test)]
pub(super) const CLOSED: &[&str] = &["ConfigurationWillBeSaved", "OnSAMLLogin"];

impl Dispatcher {
    /// Shows `value` to every plugin that implements `hook`, one after the other.
    async fn filter<T, A>(
        &self,
        hook: &str,
        value: T,
        ask: impl Fn(crate::hooks::Hooks, T) -> A,
    ) -> Chained<T>
    where
        T: Clone,
        A: Future<Output = HookOutcome<Filtered<T>>>,
    {
        let listeners = self.implementing(hook).into_iter();
        let filters = listeners.map(|it| (it.info.manifest.id, it.plugin.hooks().clone()));
        chain(filters, value, ask).await
    }

    /// `MessageWillBePosted`: the post before it is stored. Fails open.
    pub async fn message_will_be_posted(
        &self,
        request: v1::MessageWillBePostedRequest,
    ) -> Chained<v1::Post> {
        let post = request.post.clone().unwrap_or_default();
        self.filter("MessageWillBePosted", post, |hooks, post| {
            let request = v1::MessageWillBePostedRequest { post: Some(post), ..request.clone() };
            async move { hooks.message_will_be_posted(request).await }
        })
        .await
    }

    /// `MessageWillBeUpdated`: the new post before it takes the place of the old one. Fails open.
    pub async fn message_will_be_updated(
        &self,
        request: v1::MessageWillBeUpdatedRequest,
    ) -> Chained<v1::Post> {
        let post = request.new_post.clone().unwrap_or_default();
        self.filter("MessageWillBeUpdated", post, |hooks, post| {
            let request =
                v1::MessageWillBeUpdatedRequest { new_post: Some(post), ..request.clone() };
            async move { hooks.message_will_be_updated(request).await }
        })
        .await
    }

    /// `MessagesWillBeConsumed`: posts before a client sees them. Fails open; nobody can reject.
    pub async fn messages_will_be_consumed(
        &self,
        request: v1::MessagesWillBeConsumedRequest,
    ) -> Chained<Vec<v1::Post>> {
        let v1::MessagesWillBeConsumedRequest { context, posts } = request;
        self.filter("MessagesWillBeConsumed", posts, |hooks, posts| {
            let request = v1::MessagesWillBeConsumedRequest { context: context.clone(), posts };
            async move { hooks.messages_will_be_consumed(request).await }
        })
        .await
    }

    /// `FileWillBeUploaded`: record and content before they are stored. Fails open.
    pub async fn file_will_be_uploaded(
        &self,
        request: v1::FileWillBeUploadedRequest,
    ) -> Chained<(v1::FileInfo, Bytes)> {
        let v1::FileWillBeUploadedRequest { context, plugin_context, file_info, file_content } =
            request;
        let file = (file_info.unwrap_or_default(), file_content);
        self.filter("FileWillBeUploaded", file, |hooks, (info, content)| {
            let request = v1::FileWillBeUploadedRequest {
                context: context.clone(),
                plugin_context: plugin_context.clone(),
                file_info: Some(info.clone()),
                file_content: content.clone(),
            };
            async move {
                let outcome = hooks.file_will_be_uploaded(request).await;
                mapped(outcome, |change: UploadChange| {
                    (change.file_info.unwrap_or(info), change.content.unwrap_or(content))
                })
            }
        })
        .await
    }

    /// `NotificationWillBePushed`: a push notification before it is sent. Fails open.
    pub async fn notification_will_be_pushed(
        &self,
        request: v1::NotificationWillBePushedRequest,
    ) -> Chained<v1::PushNotification> {
        let push = request.push_notification.clone().unwrap_or_default();
        self.filter("NotificationWillBePushed", push, |hooks, push| {
            let request = v1::NotificationWillBePushedRequest {
                push_notification: Some(push),
                ..request.clone()
            };
            async move { hooks.notification_will_be_pushed(request).await }
        })
        .await
    }

    /// `EmailNotificationWillBeSent`: a mail before it is sent. Fails open.
    ///
    /// A plugin gets the notification as JSON and gives its texts as a message; these take the
    /// place of the JSON's fields of the same names for the plugins after it. What passes is the
    /// JSON with all changes, and the last plugin's texts, if one gave any.
    pub async fn email_notification_will_be_sent(
        &self,
        request: v1::EmailNotificationWillBeSentRequest,
    ) -> Chained<(Bytes, Option<v1::EmailNotificationContent>)> {
        let v1::EmailNotificationWillBeSentRequest { context, email_notification } = request;
        let json = email_notification.unwrap_or_default().notification_json;
        self.filter("EmailNotificationWillBeSent", (json, None), |hooks, (json, _)| {
            let request = v1::EmailNotificationWillBeSentRequest {
                context: context.clone(),
                email_notification: Some(v1::EmailNotificationJson {
                    notification_json: json.clone(),
                }),
            };
            async move {
                let outcome = hooks.email_notification_will_be_sent(request).await;
                mapped(outcome, |content| (with_content(&json, &content), Some(content)))
            }
        })
        .await
    }

    /// `UserWillLogIn`: plugins may refuse. Fails open.
    pub async fn user_will_log_in(&self, request: v1::UserWillLogInRequest) -> Chained<()> {
        self.filter("UserWillLogIn", (), |hooks, ()| {
            let request = request.clone();
            async move {
                let outcome = hooks.user_will_log_in(request).await;
                mapped(outcome, |never| match never {})
            }
        })
        .await
    }

    /// `ConfigurationWillBeSaved`: the server's configuration before it is saved. Fails closed: a
    /// plugin that fails rejects it.
    pub async fn configuration_will_be_saved(
        &self,
        request: v1::ConfigurationWillBeSavedRequest,
    ) -> Chained<v1::ConfigJson> {
        let config = request.new_config.clone().unwrap_or_default();
        self.filter("ConfigurationWillBeSaved", config, |hooks, config| {
            let request =
                v1::ConfigurationWillBeSavedRequest { new_config: Some(config), ..request.clone() };
            async move { closed(hooks.configuration_will_be_saved(request).await) }
        })
        .await
    }

    /// `OnSAMLLogin`: plugins may refuse. Fails closed: a plugin that fails refuses.
    pub async fn on_saml_login(&self, request: v1::OnSamlLoginRequest) -> Chained<()> {
        self.filter("OnSAMLLogin", (), |hooks, ()| {
            let request = request.clone();
            async move {
                let outcome = hooks.on_saml_login(request).await;
                let decision = outcome.decision.map(|()| None);
                closed(HookOutcome { decision, cause: outcome.cause })
            }
        })
        .await
    }
}

/// The notification with these texts in it. What is no JSON object is left as it is.
fn with_content(json: &Bytes, content: &v1::EmailNotificationContent) -> Bytes {
    let Ok(mut notification) =
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(json)
    else {
        return json.clone();
    };
    let v1::EmailNotificationContent {
        subject,
        title,
        sub_title,
        message_html,
        message_text,
        button_text,
        button_url,
        footer_text,
    } = content.clone();
    let texts = [
        ("subject", subject),
        ("title", title),
        ("sub_title", sub_title),
        ("message_html", message_html),
        ("message_text", message_text),
        ("button_text", button_text),
        ("button_url", button_url),
        ("footer_text", footer_text),
    ];
    notification.extend(texts.map(|(name, text)| (name.to_owned(), text.into())));
    serde_json::to_vec(&notification).map_or_else(|_| json.clone(), Bytes::from)
}
