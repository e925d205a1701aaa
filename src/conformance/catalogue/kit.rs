//! The checks of the kit's own supervisor and API server, in the order in which they are made: after
//! those of the RPCs and hooks, which are generated.

use super::Check;
use super::Level::Required;
use super::SubjectKind::Kit;

const fn check(id: &'static str, title: &'static str) -> Check {
    Check::new(Kit, Required, id, title)
}

pub(super) static CHECKS: &[Check] = &[
    check("launch.active", "a well-behaved plugin becomes active")
        .harm("no plugin can be used")
        .source("the Go server's own tests of its Python supervisor")
        .remedy("read the launch's error: it names the step that failed"),
    check("launch.api-first", "the API server answers before the process starts")
        .harm("a plugin that calls the API at import time fails, now and then")
        .source("launch order of the Go supervisor")
        .remedy("start the API server, wait until it listens, and only then start the process"),
    check("launch.target", "MATTERMOST_PLUGIN_API_TARGET names the API server")
        .harm("the plugin calls nobody, or somebody else's server")
        .source("environment of a Python plugin")
        .remedy("set the variable last, over an inherited one"),
    check("launch.server-version", "GetServerVersion answers across the boundary")
        .harm("the plugin refuses to start or turns features off")
        .source("the Go server's planned acceptance of the callback server")
        .remedy("let the API server answer GetServerVersion"),
    check("launch.working-directory", "the process runs in its bundle")
        .harm("relative paths of the plugin lead elsewhere")
        .source("command of the Go supervisor")
        .remedy("set the child's working directory to the bundle"),
    check("launch.arguments", "the interpreter gets the script's path and no more")
        .harm("a plugin that parses its arguments fails")
        .source("command of the Go supervisor")
        .remedy("start `interpreter script`, without switches"),
    check("launch.cookie", "go-plugin's cookie and protocol version are set")
        .harm("a plugin on go-plugin's SDK refuses to start")
        .source("HashiCorp go-plugin, handshake")
        .remedy("set MATTERMOST_PLUGIN and PLUGIN_PROTOCOL_VERSIONS"),
    check("launch.identity", "the plugin is told its id and its path")
        .harm("the Python SDK logs and acts under an empty id")
        .source("what the Python SDK reads of its environment")
        .remedy("set MATTERMOST_PLUGIN_ID and MATTERMOST_PLUGIN_PATH"),
    check("launch.hooks", "Implemented is asked first, then OnActivate")
        .harm("hooks are called that the plugin does not have")
        .source("launch order of the Go supervisor")
        .remedy("ask Implemented once, before any other hook"),
    check("health.serving", "a healthy plugin passes a health check")
        .harm("a healthy plugin is restarted again and again")
        .source("gRPC health protocol, service \"plugin\"")
        .remedy("ask grpc.health.v1.Health/Check for the service \"plugin\""),
    check("stop.on-deactivate", "OnDeactivate is the last hook")
        .harm("the plugin loses what it would have saved")
        .source("stop order of the Go supervisor")
        .remedy("call OnDeactivate once, at the start of the stop, and no hook after it"),
    check("stop.sigterm", "the process is asked to leave by SIGTERM")
        .harm("handlers and atexit functions of the plugin never run")
        .source("shutdown of the Python SDK")
        .remedy("send SIGTERM and wait for the grace period before SIGKILL"),
    check("stop.api-last", "the API server outlives the process")
        .harm("the plugin cannot save its state while it stops")
        .source("stop order of the Go supervisor")
        .remedy("stop the API server only when the process is reaped"),
    check("stop.exit-status", "a plugin that leaves in order ends with status 0")
        .harm("an orderly end looks like a crash in logs and metrics")
        .source("shutdown of the Python SDK")
        .remedy("wait for the process to leave before killing it"),
    check("stop.nothing-left", "no process, port or file is left")
        .harm("the server runs out of processes, ports or disk")
        .source("this kit")
        .remedy("reap the process, close the listener, remove the sockets"),
    check("launch.unix-socket", "the API can be served on a Unix socket")
        .harm("the API stays open to every local process")
        .source("this kit")
        .remedy("serve on a socket in a folder of mode 0700 and name it unix:///path"),
    check("handshake.silent", "a plugin that prints no handshake is given up in bounded time")
        .harm("one broken plugin holds up the server's start")
        .source("the Go server's own tests: S-35, S-36")
        .remedy("limit the wait for the first line"),
    check("handshake.garbage", "a first line that is no handshake is refused")
        .harm("the server connects to nowhere, and says nothing useful")
        .source("HashiCorp go-plugin, handshake")
        .remedy("check the number of fields first"),
    check("handshake.short", "a handshake of too few fields is refused")
        .harm("the server guesses an address")
        .source("the Go server's own tests: S-38")
        .remedy("refuse a line of fewer than four fields"),
    check("handshake.netrpc", "a handshake for net/rpc is refused")
        .harm("gRPC is spoken to a plugin that does not understand it")
        .source("the Go server's own tests: S-37")
        .remedy("allow the protocol grpc only; no fifth field means netrpc"),
    check("handshake.core-version", "another core protocol version is refused")
        .harm("a plugin of another go-plugin is misunderstood")
        .source("HashiCorp go-plugin, handshake")
        .remedy("compare the first field with 1"),
    check("handshake.app-version", "another app protocol version is refused")
        .harm("a plugin of another contract is misunderstood")
        .source("HashiCorp go-plugin, handshake")
        .remedy("compare the second field with 1"),
    check("handshake.huge-line", "a first line of 64 KiB and more is refused")
        .harm("a plugin fills the server's memory")
        .source("HashiCorp go-plugin, line limit")
        .remedy("read at most 64 KiB of the first line"),
    check(
        "handshake.long-line",
        "a long handshake of less than 64 KiB with further fields is accepted",
    )
    .harm("plugins of a later go-plugin are refused")
    .source("HashiCorp go-plugin, handshake")
    .remedy("ignore fields that are not known"),
    check("handshake.certificate", "a handshake that wants TLS is refused")
        .harm("the server panics, or speaks plaintext to a TLS plugin")
        .source("HashiCorp go-plugin, handshake")
        .remedy("refuse a sixth field that is a certificate"),
    check("handshake.banner", "a line printed before the handshake is named in the error")
        .harm("nobody finds the print that broke the plugin")
        .source("HashiCorp go-plugin, handshake")
        .remedy("put the first line into the error"),
    check(
        "crash.before-handshake",
        "a process that ends before its handshake fails the launch at once",
    )
    .harm("a missing module costs the whole handshake timeout")
    .source("failure points of the Go supervisor")
    .remedy("watch the process while waiting for the line"),
    check("crash.during-handshake", "half a handshake and an end fail the launch")
        .harm("the server waits for the rest of a line")
        .source("failure points of the Go supervisor")
        .remedy("take the end of stdout as the end of the wait"),
    check("crash.after-handshake", "a process that ends after its handshake fails the launch")
        .harm("a plugin is called active that is gone")
        .source("failure points of the Go supervisor")
        .remedy("watch the process while connecting"),
    check("crash.in-on-activate", "a process that ends in OnActivate fails the launch")
        .harm("a plugin is called active that is gone")
        .source("failure points of the Go supervisor")
        .remedy("take a lost connection for a failure"),
    check("crash.later", "the end of an active plugin is noticed without a health check")
        .harm("hooks fail for up to 30 s before anybody knows")
        .source("this kit")
        .remedy("wait for the process, do not only ping it"),
    check("activate.refused", "an AppError from OnActivate fails the launch and is told whole")
        .harm("a plugin that said no is used all the same")
        .source("failure points of the Go supervisor")
        .remedy("look at the field error of OnActivateResponse"),
    check("activate.hang", "an OnActivate that never answers fails the launch in bounded time")
        .harm("one plugin holds up the server's start for ever")
        .source("the hook timeout of 30 s")
        .remedy("call OnActivate with a deadline"),
    check("implemented.hang", "an Implemented that never answers fails the launch in bounded time")
        .harm("one plugin holds up the server's start for ever")
        .source("the hook timeout of 30 s")
        .remedy("call Implemented with a deadline"),
    check(
        "stop.hang-in-on-deactivate",
        "an OnDeactivate that never answers does not stop the stop",
    )
    .harm("the server cannot be stopped")
    .source("stop order of the Go supervisor")
    .remedy("call OnDeactivate with a deadline and go on"),
    check("stop.ignored-sigterm", "a plugin that ignores SIGTERM is killed after the grace period")
        .harm("a process stays behind")
        .source("stop order of the Go supervisor")
        .remedy("send SIGKILL when the grace period is over"),
    check("stop.grandchild", "a descendant that holds stdout neither outlives nor delays the stop")
        .harm("the stop hangs on a pipe that a child holds open")
        .source("this kit")
        .remedy("signal the process group, and do not wait for the pipes' end"),
    check(
        "stop.grandchild-new-session",
        "a descendant that left the process group does not outlive the stop",
    )
    .harm("processes of stopped plugins pile up")
    .source("this kit")
    .remedy("look for descendants outside the group"),
    check(
        "stop.blocked-event-loop",
        "a plugin whose event loop is blocked fails its health check and is stopped",
    )
    .harm("the server cannot be stopped")
    .source("this kit")
    .remedy("give every call of the stop a deadline, then kill"),
    check("stop.controller", "a plugin with go-plugin's controller leaves by it, without a signal")
        .harm("a Go-like plugin is interrupted in its own shutdown")
        .source("HashiCorp go-plugin, GRPCController")
        .remedy("call plugin.GRPCController/Shutdown first"),
    check("stop.controller-blocked", "a controller that never answers does not stop the stop")
        .harm("the server cannot be stopped")
        .source("this kit")
        .remedy("call Shutdown with a deadline and go on"),
    check(
        "stop.calls-while-stopping",
        "API calls that a plugin makes while it is stopped are answered",
    )
    .harm("the plugin cannot save its state while it stops")
    .source("stop order of the Go supervisor")
    .remedy("stop the API server only when the process is reaped"),
    check("stop.open-call", "a call that a plugin leaves open does not hold the API server")
        .harm("the stop hangs for ever")
        .source("this kit")
        .remedy("give calls a limit when the process is gone"),
    check("health.blocked", "a health service that never answers fails the launch in bounded time")
        .harm("one plugin holds up the server's start")
        .source("this kit")
        .remedy("ping with a deadline"),
    check("health.not-serving", "a plugin that says NOT_SERVING is not healthy")
        .harm("a plugin that asks for help gets none")
        .source("gRPC health protocol")
        .remedy("look at the status, not only at the error"),
    check("health.missing", "a plugin without a health service is refused")
        .harm("the plugin can never be watched")
        .source("HashiCorp go-plugin, health")
        .remedy("refuse it at the launch, with its name"),
    check("output.flood", "floods on stdout and stderr neither block the plugin nor get lost")
        .harm("a plugin that logs much stops in a print")
        .source("this kit")
        .remedy("read both pipes to their end, lines of any length"),
    check("handshake.unix", "a plugin may serve its hooks on a Unix socket")
        .harm("a plugin of go-plugin that chooses a socket is refused")
        .source("HashiCorp go-plugin, handshake")
        .remedy("take the networks tcp and unix"),
    check("http.request", "a request reaches the plugin in order, in chunks, and whole")
        .harm("the plugin gets another request than the client made")
        .source("ServeHTTP protocol")
        .remedy("send init first and once, chunks of at most 64 KiB, and body_complete"),
    check("http.echo", "a body comes back as it went, both ways at once")
        .harm("uploads and downloads are cut or mixed")
        .source("ServeHTTP protocol")
        .remedy("read the reply while the request is being sent"),
    check("http.large", "a reply in several messages arrives whole")
        .harm("downloads are cut")
        .source("ServeHTTP protocol")
        .remedy("read on until body_complete or the end"),
    check("http.headers", "a reply's headers arrive, repeated ones too")
        .harm("cookies get lost")
        .source("ServeHTTP protocol")
        .remedy("add headers one by one, do not set them"),
    check("http.error", "a plugin's own errors arrive unchanged")
        .harm("clients see another error than the plugin sent")
        .source("ServeHTTP protocol")
        .remedy("pass on status and body as they are"),
    check("http.no-init", "a reply without init has status 200")
        .harm("replies of a lazy plugin become errors")
        .source("ServeHTTP protocol")
        .remedy("take a missing init for 200 without headers"),
    check("http.bad-status", "a status that HTTP does not know becomes 500")
        .harm("the server panics or the client gets nonsense")
        .source("ServeHTTP protocol")
        .remedy("allow 100 to 999"),
    check("http.half-reply", "a reply that fails after its headers does not look whole")
        .harm("clients keep half a file")
        .source("this kit")
        .remedy("reset the connection where the stream failed"),
    check("http.second-init", "a second init does not look like a good reply")
        .harm("clients keep a reply that contradicts itself")
        .source("ServeHTTP protocol")
        .remedy("cut the reply"),
    check("http.after-complete", "what comes after body_complete is not read")
        .harm("the next reply begins in this one")
        .source("ServeHTTP protocol")
        .remedy("stop reading at body_complete"),
    check("http.no-reply", "a stream that fails before its first message is a 502")
        .harm("a failing plugin looks like a working one")
        .source("ServeHTTP protocol")
        .remedy("answer 502"),
    check("http.early-reply", "an early reply arrives whole, though nobody reads the upload")
        .harm("clients of a plugin that says 413 hang")
        .source("this kit")
        .remedy("stop the upload when the reply is complete"),
    check("http.crash", "a plugin that dies during a request is a 502, at once")
        .harm("clients wait for a plugin that is gone")
        .source("ServeHTTP protocol")
        .remedy("watch the process while waiting"),
];
