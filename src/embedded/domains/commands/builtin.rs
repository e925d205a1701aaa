//! The commands that the server has itself.

use plugin_proto::v1;

use super::super::super::config::Config;

/// A built-in command: trigger, hint and description.
struct BuiltIn(&'static str, &'static str, &'static str);

const ALL: [BuiltIn; 34] = [
    BuiltIn("away", "", "Set your status away"),
    BuiltIn("code", "[text]", "Display text as a code block"),
    BuiltIn("collapse", "", "Turn on auto-collapsing of image previews"),
    BuiltIn("dnd", "", "Do not disturb disables desktop and mobile push notifications"),
    BuiltIn("echo", "'message' [delay in seconds]", "Echo back text from your account"),
    BuiltIn("expand", "", "Turn off auto-collapsing of image previews"),
    BuiltIn(
        "groupmsg",
        "@[username1],@[username2] 'message'",
        "Sends a Group Message to the specified users",
    ),
    BuiltIn("header", "[text]", "Edit the channel header"),
    BuiltIn("help", "", "Show Mattermost help message"),
    BuiltIn("invite", "@[username]... ~[channel]...", "Invite a user to a channel"),
    BuiltIn(
        "invite_people",
        "[name@domain.com ...]",
        "Send an email invite to your Mattermost team",
    ),
    BuiltIn("join", "~[channel]", "Join the open channel"),
    BuiltIn("kick", "@[username]", "Remove a member from the channel"),
    BuiltIn("leave", "", "Leave the current channel"),
    BuiltIn("logout", "", "Logout of Mattermost"),
    BuiltIn("marketplace", "", "Open the Marketplace"),
    BuiltIn("me", "[message]", "Do an action"),
    BuiltIn("msg", "@[username] 'message'", "Send Direct Message to a user"),
    BuiltIn(
        "mute",
        "~[channel]",
        "Turns off desktop, email and push notifications for the current channel or the named one",
    ),
    BuiltIn("offline", "", "Set your status offline"),
    BuiltIn("online", "", "Set your status online"),
    BuiltIn("open", "~[channel]", "Join the open channel"),
    BuiltIn("purpose", "[text]", "Edit the channel purpose"),
    BuiltIn("remove", "@[username]", "Remove a member from the channel"),
    BuiltIn("rename", "[text]", "Rename the channel"),
    BuiltIn("search", "[text]", "Search text in messages"),
    BuiltIn("secure-connection", "[action]", "Manage secure connections to other servers"),
    BuiltIn("settings", "", "Open the Settings dialog"),
    BuiltIn("share-channel", "[action]", "Share the current channel with another server"),
    BuiltIn("shortcuts", "", "Displays a list of keyboard shortcuts"),
    BuiltIn("shrug", "[message]", "Adds a shrug to your message"),
    BuiltIn(
        "status",
        "[:emoji_name:] [status_message] or clear",
        "Set a custom status, or clear it",
    ),
    BuiltIn("test", "", "Loads this server with generated content"),
    BuiltIn("exportlink", "", "Makes a link to an export file"),
];

/// Triggers that a usual server does not have.
const HIDDEN: [&str; 2] = ["test", "exportlink"];

/// Whether a stored command may not have this trigger.
pub(super) fn is_trigger(trigger: &str) -> bool {
    ALL.iter().any(|it| it.0 == trigger && !HIDDEN.contains(&trigger))
}

/// What clients are offered for completion, by the trigger. Mattermost's order is random.
pub(super) fn list(config: &Config) -> Vec<v1::Command> {
    let invites = config.flag("EmailSettings", "SendEmailNotifications")
        && config.flag("TeamSettings", "EnableUserCreation")
        && config.flag("ServiceSettings", "EnableEmailInvitations");
    let marketplace = config.flag("PluginSettings", "Enable")
        && config.flag("PluginSettings", "EnableMarketplace");
    let is_offered = |it: &&BuiltIn| match it.0 {
        "invite_people" => invites,
        "marketplace" => marketplace,
        trigger => !HIDDEN.contains(&trigger),
    };
    let command = |it: &BuiltIn| v1::Command {
        trigger: it.0.to_owned(),
        auto_complete: true,
        auto_complete_hint: it.1.to_owned(),
        auto_complete_desc: it.2.to_owned(),
        display_name: match it.0 {
            "msg" | "groupmsg" => "message".to_owned(),
            trigger => trigger.to_owned(),
        },
        ..Default::default()
    };
    ALL.iter().filter(is_offered).map(command).collect()
}
