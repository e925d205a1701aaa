//! How each hook is dispatched: one row per hook.

/// How a hook is dispatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HookDispatch {
    /// Not by the dispatcher: the supervisor calls it as part of a plugin's life.
    Supervisor,
    /// Everybody at the same time. A failure is reported and changes nothing.
    Notify,
    /// One after the other, each sees what those before it left; the first rejection ends it. A
    /// plugin that fails lets it pass unchanged (fails open).
    FilterOpen,
    /// The same, but a plugin that fails rejects (fails closed).
    FilterClosed,
    /// Everybody at the same time; the answers are put together. Failures are reported.
    Collect,
    /// One plugin, which the caller names.
    Single,
    /// One plugin, as a stream: `PluginHTTP` and web servers use it.
    Stream,
}

use HookDispatch::{Collect, FilterClosed, FilterOpen, Notify, Single, Stream, Supervisor};

/// Each of the 42 hooks, and how it is dispatched.
pub const DISPATCH: &[(&str, HookDispatch)] = &[
    ("Implemented", Supervisor),
    ("OnActivate", Supervisor),
    ("OnDeactivate", Supervisor),
    ("OnConfigurationChange", Notify),
    ("OnInstall", Single),
    ("OnSendDailyTelemetry", Notify),
    ("RunDataRetention", Collect),
    ("OnCloudLimitsUpdated", Notify),
    ("ConfigurationWillBeSaved", FilterClosed),
    ("MessageWillBePosted", FilterOpen),
    ("MessageWillBeUpdated", FilterOpen),
    ("MessageHasBeenPosted", Notify),
    ("MessageHasBeenUpdated", Notify),
    ("MessagesWillBeConsumed", FilterOpen),
    ("MessageHasBeenDeleted", Notify),
    ("FileWillBeUploaded", FilterOpen),
    ("ReactionHasBeenAdded", Notify),
    ("ReactionHasBeenRemoved", Notify),
    ("NotificationWillBePushed", FilterOpen),
    ("EmailNotificationWillBeSent", FilterOpen),
    ("PreferencesHaveChanged", Notify),
    ("UserHasBeenCreated", Notify),
    ("UserWillLogIn", FilterOpen),
    ("UserHasLoggedIn", Notify),
    ("UserHasBeenDeactivated", Notify),
    ("OnSAMLLogin", FilterClosed),
    ("ChannelHasBeenCreated", Notify),
    ("UserHasJoinedChannel", Notify),
    ("UserHasLeftChannel", Notify),
    ("UserHasJoinedTeam", Notify),
    ("UserHasLeftTeam", Notify),
    ("ExecuteCommand", Single),
    ("OnWebSocketConnect", Notify),
    ("OnWebSocketDisconnect", Notify),
    ("WebSocketMessageHasBeenPosted", Notify),
    ("OnPluginClusterEvent", Single),
    ("OnSharedChannelsSyncMsg", Single),
    ("OnSharedChannelsPing", Single),
    ("OnSharedChannelsAttachmentSyncMsg", Single),
    ("OnSharedChannelsProfileImageSyncMsg", Single),
    ("GenerateSupportData", Collect),
    ("ServeHTTP", Stream),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use plugin_proto::Service;

    use super::super::{collect, filter, notify, single};
    use super::*;

    #[test]
    fn every_hook_has_one_row() {
        let rows: BTreeSet<_> = DISPATCH.iter().map(|(hook, _)| *hook).collect();
        let hooks: BTreeSet<_> = Service::PluginHooks.methods().map(|method| method.name).collect();
        assert_eq!(rows, hooks);
        assert_eq!(rows.len(), DISPATCH.len());
    }

    #[test]
    fn the_table_says_what_the_methods_do() {
        let rows = |wanted: &[HookDispatch]| -> BTreeSet<_> {
            let rows = DISPATCH.iter().filter(|(_, how)| wanted.contains(how));
            rows.map(|(hook, _)| *hook).collect()
        };
        let set = |hooks: &[&'static str]| hooks.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(rows(&[Notify]), set(notify::METHODS));
        assert_eq!(rows(&[Single]), set(single::METHODS));
        assert_eq!(rows(&[Collect]), set(collect::METHODS));
        assert_eq!(rows(&[FilterOpen]), set(filter::OPEN));
        assert_eq!(rows(&[FilterClosed]), set(filter::CLOSED));
    }
}
