//! The generated rows: two checks for each RPC of PluginAPI, two for each unary hook.

use plugin_proto::Service;

use super::Level::Required;
use super::SubjectKind::Kit;
use super::{Check, leaked};

/// In the order in which they are made.
pub(super) fn checks() -> Vec<Check> {
    let rpcs = || Service::PluginAPI.methods();
    let hooks = || Service::PluginHooks.methods().filter(|hook| hook.is_unary());
    let answers = rpcs().map(|method| {
        row(
            format!("rpc.{}.answer", method.name),
            format!("{}: request and response cross byte for byte", method.name),
        )
        .harm("a plugin's call reaches the server with other values, or the plugin works with values that the server never sent")
        .remedy("compare the named field on both sides of the wire: a handler that rebuilds the message is the usual place to lose one")
    });
    let failures = rpcs().map(|method| {
        row(
            format!("rpc.{}.failure", method.name),
            format!(
                "{}: a failure crosses whole, on the channel \"{}\"",
                method.name, method.error_channel
            ),
        )
        .harm("a plugin takes a failure for a success, or cannot tell which failure it was")
        .remedy("send the AppError on the RPC's own channel (column error_channel of proto/methods.tsv), with id, message and status")
    });
    let hook_answers = hooks().map(|hook| {
        row(
            format!("hook.{}.answer", hook.name),
            format!("{}: request and answer cross byte for byte", hook.name),
        )
        .harm("a plugin decides on other values than the server has, or the server acts on another decision than the plugin made")
        .remedy("compare the named message on both sides of the wire")
    });
    let hook_failures = hooks().map(|hook| {
        row(
            format!("hook.{}.failure", hook.name),
            format!("{}: a failure is told, and has the documented outcome", hook.name),
        )
        .harm("a failing plugin blocks what it should let pass, or lets pass what it should block")
        .remedy("see the hook's row in src/conformance/catalogue/decisions.tsv")
    });
    answers.chain(failures).chain(hook_answers).chain(hook_failures).collect()
}

fn row(id: String, title: String) -> Check {
    Check::new(Kit, Required, leaked(id), leaked(title))
        .source("proto/proto/mattermost/pluginapi/v1 and proto/methods.tsv")
}
