//! The checks of a plugin's bundle, in the order in which they are made.

use super::Check;
use super::Level::Required;
use super::SubjectKind::Plugin;

const fn check(id: &'static str, title: &'static str) -> Check {
    Check::new(Plugin, Required, id, title)
}

pub(super) static CHECKS: &[Check] = &[
    check("plugin.bundle", "manifest, interpreter and script are in order")
        .harm("the server cannot start the plugin")
        .source("what the Go supervisor reads of a bundle")
        .remedy("read the error: it names the file"),
    check("plugin.handshake", "the first line of stdout is a valid handshake")
        .harm("the server refuses the plugin")
        .source("HashiCorp go-plugin, handshake")
        .remedy("print nothing before the handshake, and flush it"),
    check("plugin.health", "grpc.health.v1.Health says SERVING for \"plugin\"")
        .harm("the server restarts the plugin again and again")
        .source("gRPC health protocol")
        .remedy("register the health service for the name plugin"),
    check("plugin.implemented", "Implemented names hooks that exist, each once")
        .harm("hooks are never called")
        .source("PluginHooks.Implemented")
        .remedy("name each hook once, as the contract writes it"),
    check("plugin.activate", "OnActivate succeeds in time")
        .harm("the plugin cannot be enabled")
        .source("PluginHooks.OnActivate")
        .remedy("answer within 30 s, without an error"),
    check("plugin.api-calls", "every API call is well-formed and knows the contract")
        .harm("the server misunderstands the plugin")
        .source("proto/proto/mattermost/pluginapi/v1")
        .remedy("build the client from the current .proto files"),
    check("plugin.api-answers", "a fake interpreter got every answer as it was sent")
        .harm("the plugin works with other values than the server sent")
        .source("proto/proto/mattermost/pluginapi/v1")
        .remedy("compare the named field on both sides of the wire"),
    check("plugin.deactivate", "OnDeactivate succeeds in time")
        .harm("the plugin loses its state at each stop")
        .source("PluginHooks.OnDeactivate")
        .remedy("answer within 10 s, without an error"),
    check("plugin.stays", "the plugin does not end before it is told to")
        .harm("the plugin is restarted, and given up after the third time")
        .source("restart rules of the Go server")
        .remedy("wait for SIGTERM after the handshake"),
    check("plugin.leaves", "the plugin leaves when it is asked to, before it is killed")
        .harm("each stop takes the whole grace period")
        .source("shutdown of the Python SDK")
        .remedy("end on SIGTERM"),
    check("plugin.exit-status", "it ends with status 0")
        .harm("an orderly end looks like a crash")
        .source("shutdown of the Python SDK")
        .remedy("exit with 0 after SIGTERM"),
    check("plugin.no-stragglers", "no process of it is left outside its group")
        .harm("processes pile up on the server")
        .source("this kit")
        .remedy("end children before leaving"),
    check("plugin.mocks", "the mocks get the calls they expect")
        .harm("the plugin does not do what its tests say")
        .source("the file given by --mocks")
        .remedy("compare the call that is named with the file"),
    check("plugin.again", "the plugin can be launched a second time")
        .harm("the plugin does not survive a restart")
        .source("restart rules of the Go server")
        .remedy("remove locks and sockets at the end, and tolerate them at the start"),
];
