//! The checks of a supervisor that somebody else wrote.
//!
//! Required is what today's Go supervisor does, which every plugin can rely on; recommended is what it
//! does not do, and should. S- and P-numbers are the behaviours that the Go server's own tests assert.

use plugin_proto::Service;

use super::Level::{Recommended, Required};
use super::SubjectKind::Supervisor;
use super::{Check, leaked};

const fn required(id: &'static str, title: &'static str) -> Check {
    Check::new(Supervisor, Required, id, title)
}

const fn recommended(id: &'static str, title: &'static str) -> Check {
    Check::new(Supervisor, Recommended, id, title)
}

/// A row for each RPC.
pub(super) fn rpcs() -> impl Iterator<Item = Check> {
    Service::PluginAPI.methods().map(|method| {
        let id = leaked(format!("supervisor.rpc.{}", method.name));
        let title = format!("{}: the supervisor's API server answers or refuses the call", method.name);
        required(id, leaked(title))
            .harm("a plugin's call is lost, or hangs")
            .source("proto/proto/mattermost/pluginapi/v1")
            .remedy("answer, refuse with a status, or answer UNIMPLEMENTED; with --expect-answers generated answer as `serve` does")
            .needs(&[
                "supervisor.start",
                "supervisor.stays",
                "supervisor.api-target",
                "supervisor.api-first",
            ])
    })
}

pub(super) static CHECKS: &[Check] = &[
    required("supervisor.start", "the interpreter in the bundle is started")
        .harm("the plugin cannot be used")
        .source("launch order of the Go supervisor")
        .remedy("start the bundle's interpreter with the script; the command's output is shown"),
    required(
        "supervisor.interpreter",
        "venv/bin/python of the bundle goes before the system's Python",
    )
    .harm("the plugin runs without its dependencies")
    .source("interpreter discovery of the Go supervisor: S-10, S-12")
    .remedy("look for venv/bin/python and venv/bin/python3 in the bundle before PATH")
    .needs(&["supervisor.start"]),
    required("supervisor.arguments", "the interpreter gets the script's path and no more")
        .harm("a plugin that parses its arguments fails")
        .source("command of the Go supervisor: S-20")
        .remedy("start `interpreter script`, without switches; relative to the bundle, or absolute")
        .needs(&["supervisor.start"]),
    required("supervisor.working-directory", "the process runs in its bundle")
        .harm("relative paths of the plugin lead elsewhere")
        .source("command of the Go supervisor: S-21")
        .remedy("set the child's working directory to the bundle")
        .needs(&["supervisor.start"]),
    required("supervisor.cookie", "MATTERMOST_PLUGIN is go-plugin's magic cookie")
        .harm("a plugin that looks whether a server started it refuses to start")
        .source("HashiCorp go-plugin, handshake")
        .remedy("set MATTERMOST_PLUGIN to the server's cookie")
        .needs(&["supervisor.start"]),
    required("supervisor.protocol-versions", "PLUGIN_PROTOCOL_VERSIONS has the version 1")
        .harm("a plugin that negotiates chooses no version")
        .source("HashiCorp go-plugin, handshake")
        .remedy("set PLUGIN_PROTOCOL_VERSIONS to 1")
        .needs(&["supervisor.start"]),
    recommended("supervisor.ports", "PLUGIN_MIN_PORT and PLUGIN_MAX_PORT are set")
        .harm("a plugin on go-plugin's server code finds no port")
        .source("HashiCorp go-plugin, server")
        .remedy("set the two variables, 10000 and 25000 as the Go server does")
        .needs(&["supervisor.start"]),
    required("supervisor.environment", "the plugin inherits its supervisor's environment")
        .harm("proxies, locales and credentials of the host are missing")
        .source("environment of a Python plugin")
        .remedy("pass the environment on, and put your variables over it")
        .needs(&["supervisor.start"]),
    recommended("supervisor.plugin-id", "MATTERMOST_PLUGIN_ID is the manifest's id")
        .harm("the Python SDK logs and acts under an empty id")
        .source("what the Python SDK reads; the Go supervisor does not set it")
        .remedy("set MATTERMOST_PLUGIN_ID")
        .needs(&["supervisor.start"]),
    recommended("supervisor.plugin-path", "MATTERMOST_PLUGIN_PATH is the bundle")
        .harm("the Python SDK does not know where its files are")
        .source("what the Python SDK reads; the Go supervisor does not set it")
        .remedy("set MATTERMOST_PLUGIN_PATH to the absolute path of the bundle")
        .needs(&["supervisor.start"]),
    required("supervisor.api-target", "MATTERMOST_PLUGIN_API_TARGET is where the API answers")
        .harm("the plugin's calls reach nobody")
        .source("environment of a Python plugin: P-1")
        .remedy("set the variable to host:port of the API server of this plugin")
        .needs(&["supervisor.start"]),
    required("supervisor.api-first", "the API answers at the process's first instant")
        .harm("a plugin that calls the API at import time fails, now and then")
        .source("launch order of the Go supervisor")
        .remedy("listen before the process is started")
        .needs(&["supervisor.start", "supervisor.api-target"]),
    required("supervisor.server-version", "GetServerVersion answers across the boundary")
        .harm("the plugin refuses to start or turns features off")
        .source("P-3: a fake plugin gets the expected version")
        .remedy("let the API server answer GetServerVersion, with your version")
        .needs(&["supervisor.start", "supervisor.api-target"]),
    required("supervisor.implemented", "Implemented is the first hook")
        .harm("hooks are called that the plugin does not have")
        .source("launch order of the Go supervisor")
        .remedy("call Implemented once, before any other hook")
        .needs(&["supervisor.start"]),
    required("supervisor.activate", "OnActivate is called once and awaited")
        .harm("the plugin never sets itself up, or twice")
        .source("launch order of the Go supervisor")
        .remedy("call OnActivate once, after Implemented, and wait for its answer")
        .needs(&["supervisor.start"]),
    required("supervisor.stays", "an active plugin is left alone until the stop")
        .harm("the plugin is restarted again and again")
        .source("the plugin's life in the Go server")
        .remedy("keep the process and the command running until you are asked to stop")
        .needs(&["supervisor.start"]),
    recommended("supervisor.health", "the health of the service \"plugin\" is asked for")
        .harm("a plugin that hangs is never noticed")
        .source("gRPC health protocol; health job of the Go server")
        .remedy(
            "call grpc.health.v1.Health/Check for \"plugin\", at the launch and from time to time",
        )
        .needs(&["supervisor.start"]),
    required("supervisor.on-deactivate", "OnDeactivate is called once, as the last hook")
        .harm("the plugin loses what it would have saved")
        .source("stop order of the Go supervisor")
        .remedy("call OnDeactivate at the start of the stop, and no hook after it")
        .needs(&["supervisor.start"]),
    recommended("supervisor.sigterm", "the process is asked to leave by SIGTERM")
        .harm("handlers and atexit functions of the plugin never run")
        .source("shutdown of the Python SDK; the Go supervisor kills at once")
        .remedy("send SIGTERM and wait for some seconds before SIGKILL")
        .needs(&["supervisor.start"]),
    required("supervisor.api-last", "the API answers as long as the process lives")
        .harm("the plugin cannot save its state while it stops")
        .source("stop order of the Go supervisor")
        .remedy("stop the API server when the process is reaped")
        .needs(&["supervisor.no-orphan", "supervisor.start", "supervisor.api-target"]),
    required("supervisor.no-orphan", "the process does not outlive the supervisor")
        .harm("processes of stopped plugins pile up, and hold ports and locks")
        .source("stop order of the Go supervisor")
        .remedy("kill and reap the process before you end")
        .needs(&["supervisor.start"]),
    required("supervisor.stop-in-time", "the stop of a good plugin comes to its end")
        .harm("the server cannot be stopped")
        .source("stop order of the Go supervisor")
        .remedy("give every step of the stop a limit, and end when all is done")
        .needs(&["supervisor.start"]),
    required("supervisor.api-closed", "after the stop nobody answers at the target")
        .harm("ports of stopped plugins stay open")
        .source("P-2: connections are refused after the shutdown")
        .remedy("close the API's listener")
        .needs(&["supervisor.start", "supervisor.api-target"]),
    recommended("supervisor.exit-status", "the command ends with status 0 after an orderly stop")
        .harm("an orderly stop looks like a crash to whoever runs the server")
        .source("this kit")
        .remedy("end with status 0")
        .needs(&["supervisor.stays", "supervisor.start", "supervisor.stop-in-time"]),
    required(
        "supervisor.activate-hang",
        "an OnActivate that never answers fails the launch, in 45 s",
    )
    .harm("one plugin holds up the server's start for ever")
    .source("the hook timeout of 30 s")
    .remedy("call OnActivate with a deadline, and end the process when it is over")
    .needs(&["supervisor.start", "supervisor.activate", "supervisor.activate-fails"]),
    required(
        "supervisor.implemented-hang",
        "an Implemented that never answers fails the launch, in 45 s",
    )
    .harm("one plugin holds up the server's start for ever")
    .source("the hook timeout of 30 s")
    .remedy("call Implemented with a deadline, and end the process when it is over")
    .needs(&[
        "supervisor.no-orphan",
        "supervisor.start",
        "supervisor.implemented",
        "supervisor.implemented-fails",
    ]),
    required(
        "supervisor.on-deactivate-hang",
        "an OnDeactivate that never answers does not stop the stop",
    )
    .harm("the server cannot be stopped")
    .source("the hook timeout of 30 s")
    .remedy("call OnDeactivate with a deadline, and go on")
    .needs(&[
        "supervisor.no-orphan",
        "supervisor.start",
        "supervisor.on-deactivate",
        "supervisor.stop-in-time",
    ]),
    required("supervisor.handshake-silent", "a plugin without a handshake is given up, in 15 s")
        .harm("one broken plugin holds up the server's start")
        .source("S-35, S-36: the start timeout is 10 s")
        .remedy("limit the wait for the first line, and end the process when it is over")
        .needs(&["supervisor.start", "supervisor.handshake-garbage"]),
    required("supervisor.handshake-garbage", "a first line that is no handshake is refused")
        .harm("the server connects to nowhere")
        .source("HashiCorp go-plugin, handshake: S-38")
        .remedy("check the fields before you connect, and end the process")
        .needs(&["supervisor.start"]),
    required("supervisor.handshake-banner", "a good handshake after another line is refused")
        .harm("a plugin works here that fails under the Go server")
        .source("HashiCorp go-plugin, handshake: the first line, whatever it is")
        .remedy("take the first line alone")
        .needs(&["supervisor.start"]),
    required("supervisor.handshake-short", "a handshake of fewer than four fields is refused")
        .harm("the server guesses an address")
        .source("HashiCorp go-plugin, handshake: S-38")
        .remedy("refuse it, and end the process")
        .needs(&["supervisor.start"]),
    required(
        "supervisor.handshake-no-protocol",
        "a handshake without a protocol, which means net/rpc, is refused",
    )
    .harm("gRPC is spoken to a plugin that does not understand it")
    .source("HashiCorp go-plugin, handshake")
    .remedy("take a missing fifth field for netrpc, and refuse it")
    .needs(&["supervisor.start"]),
    required("supervisor.handshake-netrpc", "a handshake for net/rpc is refused")
        .harm("gRPC is spoken to a plugin that does not understand it")
        .source("HashiCorp go-plugin, handshake: S-37")
        .remedy("allow the protocol grpc only")
        .needs(&["supervisor.start"]),
    required("supervisor.handshake-core-version", "another core protocol version is refused")
        .harm("a plugin of another go-plugin is misunderstood")
        .source("HashiCorp go-plugin, handshake")
        .remedy("compare the first field with 1")
        .needs(&["supervisor.start"]),
    required("supervisor.handshake-app-version", "another app protocol version is refused")
        .harm("a plugin of another contract is misunderstood")
        .source("HashiCorp go-plugin, handshake")
        .remedy("compare the second field with 1")
        .needs(&["supervisor.start"]),
    recommended(
        "supervisor.handshake-network",
        "a network that is neither tcp nor unix is refused",
    )
    .harm("the server connects to nowhere, or crashes")
    .source("HashiCorp go-plugin, handshake; its versions up to 1.0.1 let it pass")
    .remedy("compare the third field with tcp and unix")
    .needs(&["supervisor.start"]),
    required("supervisor.handshake-certificate", "a handshake that wants TLS is refused")
        .harm("plaintext is spoken to a TLS plugin")
        .source("HashiCorp go-plugin, handshake")
        .remedy("refuse a sixth field of more than 50 characters")
        .needs(&["supervisor.start"]),
    required("supervisor.handshake-huge-line", "a first line of 64 KiB and more is refused")
        .harm("a plugin fills the server's memory")
        .source("HashiCorp go-plugin, line limit")
        .remedy("read at most 64 KiB of the first line")
        .needs(&["supervisor.start", "supervisor.handshake-garbage"]),
    required(
        "supervisor.handshake-extra-fields",
        "further fields of a good handshake are no fault",
    )
    .harm("plugins of a later go-plugin are refused")
    .source("HashiCorp go-plugin, handshake")
    .remedy("ignore a short sixth field and whatever follows")
    .needs(&["supervisor.start", "supervisor.implemented"]),
    recommended("supervisor.handshake-long-line", "a good handshake of 60,000 bytes is taken")
        .harm("plugins of a later go-plugin are refused")
        .source("this kit; older versions of go-plugin take a long rest for a certificate")
        .remedy("read lines of up to 64 KiB")
        .needs(&[
            "supervisor.start",
            "supervisor.handshake-extra-fields",
            "supervisor.implemented",
        ]),
    recommended("supervisor.handshake-unix", "a plugin may serve its hooks on a Unix socket")
        .harm("a plugin that chooses a socket is refused")
        .source("HashiCorp go-plugin, handshake")
        .remedy("take the networks tcp and unix")
        .needs(&["supervisor.start", "supervisor.implemented"]),
    required(
        "supervisor.handshake-slow",
        "a plugin that needs 5 s for its handshake is waited for",
    )
    .harm("a plugin with many imports cannot be used")
    .source("the start timeout of 10 s for Python plugins")
    .remedy("wait for 10 s")
    .needs(&["supervisor.start", "supervisor.implemented"]),
    required("supervisor.unclaimed-hooks", "a plugin without hooks is taken, and asked none")
        .harm("plugins that only call the API are refused")
        .source("S-28: hooks are there even if the plugin implements none")
        .remedy("call only hooks that Implemented names")
        .needs(&["supervisor.stays", "supervisor.start", "supervisor.implemented"]),
    required("supervisor.implemented-fails", "an Implemented that fails, fails the launch")
        .harm("a plugin is called active of which nothing is known")
        .source("failure points of the Go supervisor")
        .remedy("end the process when Implemented fails")
        .needs(&["supervisor.no-orphan", "supervisor.start", "supervisor.implemented"]),
    required("supervisor.activate-refused", "an AppError of OnActivate fails the launch")
        .harm("a plugin that said no is used all the same")
        .source("failure points of the Go supervisor")
        .remedy("look at the field error of OnActivateResponse, and end the process")
        .needs(&["supervisor.no-orphan", "supervisor.start", "supervisor.activate"]),
    required("supervisor.activate-fails", "a gRPC failure of OnActivate fails the launch")
        .harm("a plugin that never set itself up is used all the same")
        .source("failure points of the Go supervisor")
        .remedy("end the process when OnActivate fails")
        .needs(&["supervisor.no-orphan", "supervisor.start", "supervisor.activate"]),
    required("supervisor.failed-launch-api", "a launch that failed leaves no API server behind")
        .harm("ports pile up with each failed launch")
        .source("failure points of the Go supervisor")
        .remedy("stop the API server on each way out of the launch")
        .needs(&["supervisor.start", "supervisor.api-target", "supervisor.activate-fails"]),
    required("supervisor.refused-launch-api", "a refused handshake leaves no API server behind")
        .harm("ports pile up with each failed launch")
        .source("failure points of the Go supervisor")
        .remedy("stop the API server on each way out of the launch")
        .needs(&["supervisor.api-target", "supervisor.handshake-garbage"]),
    recommended(
        "supervisor.health-not-serving",
        "a plugin that says NOT_SERVING is not taken for healthy",
    )
    .harm("a plugin that asks for help gets none")
    .source("gRPC health protocol; the Go supervisor looks at the RPC's error alone")
    .remedy("look at the status of the answer, too")
    .needs(&["supervisor.start", "supervisor.health"]),
    recommended("supervisor.crash-noticed", "a plugin's crash is noticed within 10 s")
        .harm("hooks fail for up to 30 s before anybody knows")
        .source("this kit; the Go server notices at its next health check")
        .remedy("wait for the process, do not only ping it")
        .needs(&["supervisor.start", "supervisor.activate"]),
    required("supervisor.crash-stop", "after a crash the stop comes to its end")
        .harm("the server cannot be stopped")
        .source("failure points of the Go supervisor")
        .remedy("let the steps of the stop fail fast when the process is gone")
        .needs(&["supervisor.start", "supervisor.activate", "supervisor.stop-in-time"]),
    recommended(
        "supervisor.inherited-target",
        "an inherited MATTERMOST_PLUGIN_API_TARGET does not win",
    )
    .harm("the plugin calls somebody else's server")
    .source("this kit; with the Go supervisor the inherited one wins")
    .remedy("put your variables over the inherited ones")
    .needs(&["supervisor.start", "supervisor.api-target"]),
    required("supervisor.nested-script", "a script in a folder of the bundle is found")
        .harm("plugins with a server/ folder cannot be used")
        .source("S-15: server/plugin.py")
        .remedy("run the script that server.executable of the manifest names")
        .needs(&["supervisor.start"]),
    required("supervisor.traversal", "a script outside the bundle is not run")
        .harm("an uploaded plugin runs any file of the host")
        .source("S-16, S-17, S-25: path traversal")
        .remedy("clean the path, and refuse one that leaves the bundle"),
    required("supervisor.stdout-flood", "output on stdout after the handshake blocks nobody")
        .harm("a plugin that prints much stops in a print")
        .source("the Go supervisor reads stdout to its end")
        .remedy("read stdout to its end")
        .needs(&["supervisor.stays", "supervisor.start", "supervisor.implemented"]),
    recommended("supervisor.stdout-long-lines", "lines of 200,000 bytes on stdout block nobody")
        .harm("a plugin that prints a long line stops in a print")
        .source("this kit; go-plugin stops reading at a line of 64 KiB")
        .remedy("read stdout without a limit for lines")
        .needs(&[
            "supervisor.stays",
            "supervisor.start",
            "supervisor.implemented",
            "supervisor.stdout-flood",
        ]),
    required("supervisor.stderr-flood", "output on stderr blocks nobody")
        .harm("a plugin that logs much stops in a log call")
        .source("the Go supervisor reads stderr to its end")
        .remedy("read stderr to its end, lines of any length")
        .needs(&["supervisor.stays", "supervisor.start", "supervisor.implemented"]),
    required("supervisor.on-deactivate-awaited", "an OnDeactivate of 3 s is awaited")
        .harm("the plugin loses what it was saving")
        .source("stop order of the Go supervisor: OnDeactivate has 10 s")
        .remedy("wait for the answer of OnDeactivate before you end the process")
        .needs(&["supervisor.start", "supervisor.on-deactivate"]),
    required("supervisor.api-while-stopping", "an API call of OnDeactivate is answered")
        .harm("the plugin cannot save its state")
        .source("stop order of the Go supervisor")
        .remedy("stop the API server after the process")
        .needs(&[
            "supervisor.start",
            "supervisor.api-target",
            "supervisor.activate",
            "supervisor.on-deactivate",
            "supervisor.api-last",
        ]),
    required(
        "supervisor.open-call",
        "an API call that the plugin leaves open does not hold the stop",
    )
    .harm("the server cannot be stopped")
    .source("the Go supervisor's stop order: the process goes first, and its connections with it")
    .remedy("stop the API server after the process, and with a limit")
    .needs(&[
        "supervisor.no-orphan",
        "supervisor.start",
        "supervisor.api-target",
        "supervisor.stop-in-time",
    ]),
    required("supervisor.ignored-sigterm", "a plugin that ignores SIGTERM is gone in the end")
        .harm("a process stays behind")
        .source("stop order of the Go supervisor")
        .remedy("send SIGKILL when the grace period is over")
        .needs(&["supervisor.start", "supervisor.stop-in-time", "supervisor.no-orphan"]),
    recommended(
        "supervisor.blocked-event-loop",
        "a plugin whose event loop is blocked does not hold the stop",
    )
    .harm("the server cannot be stopped")
    .source("this kit; the Go supervisor waits for its Shutdown call without a limit")
    .remedy("give every call of the stop a limit")
    .needs(&["supervisor.start", "supervisor.stop-in-time", "supervisor.on-deactivate-hang"]),
    recommended("supervisor.grandchild", "a child of the plugin does not outlive the stop")
        .harm("processes of stopped plugins pile up")
        .source("this kit; the Go supervisor kills the process alone")
        .remedy("start the plugin in a process group of its own, and signal the group")
        .needs(&["supervisor.start", "supervisor.stop-in-time"]),
    recommended(
        "supervisor.grandchild-holds-output",
        "a child that keeps stdout and stderr does not hold the stop",
    )
    .harm("the server cannot be stopped")
    .source("this kit; the Go supervisor waits for the end of both pipes")
    .remedy("do not wait for the end of the pipes when the process is gone")
    .needs(&["supervisor.start", "supervisor.stop-in-time"]),
    recommended(
        "supervisor.grandchild-new-session",
        "a child in a session of its own does not outlive the stop",
    )
    .harm("processes of stopped plugins pile up")
    .source("this kit")
    .remedy("look for descendants outside the process group")
    .needs(&["supervisor.start", "supervisor.stop-in-time", "supervisor.grandchild"]),
    recommended("supervisor.second-stop", "a second request to stop changes nothing")
        .harm("an impatient operator leaves a process behind")
        .source("this kit; the Go supervisor's shutdown can be called twice")
        .remedy("go on with the stop that is under way")
        .needs(&[
            "supervisor.start",
            "supervisor.on-deactivate",
            "supervisor.on-deactivate-awaited",
            "supervisor.stop-in-time",
            "supervisor.no-orphan",
        ]),
];
