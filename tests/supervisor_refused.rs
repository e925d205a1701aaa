//! Launches that fail: each says why, in bounded time, and leaves nothing behind.
//!
//! `s_…` are the lines of the upstream acceptance list.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use common::{Plugin, assert_refused, quick, soon};
use futures::StreamExt as _;
use plugin_conformance::hooks::{HealthError, HookError};
use plugin_conformance::supervisor::{
    EventKind, EventLog, ExitStatus, HandshakeError, LaunchError, LaunchFailure, Supervisor,
    Timeouts,
};

/// Time for everything that does come, on a busy machine too.
fn patient() -> Timeouts {
    let long = Duration::from_secs(30);
    Timeouts { handshake: long, connect: long, health: long, hook: long, grace: long, ..quick() }
}

/// Launches with an API, expects it to fail, and looks at what is left.
async fn refused(plugin: &Plugin) -> LaunchError {
    refused_within(plugin, patient()).await
}

async fn refused_within(plugin: &Plugin, timeouts: Timeouts) -> LaunchError {
    let error = plugin.refused(timeouts).await;
    assert_undone(plugin).await;
    error
}

/// A launch that reached the process: API first, then the process; and gone in the other order.
async fn assert_undone(plugin: &Plugin) {
    let kinds = plugin.kinds();
    let [EventKind::ApiListening { target }, EventKind::Spawned { pid }, .., last] = &kinds[..]
    else {
        panic!("{kinds:?}");
    };
    assert!(!common::alive(*pid), "it returned before the process was gone");
    assert_refused(target).await;
    assert_eq!(last, &EventKind::Ended);
    let at = |wanted: fn(&EventKind) -> bool| kinds.iter().position(wanted).unwrap();
    let exited = at(|kind| matches!(kind, EventKind::Exited { .. }));
    assert!(at(|kind| matches!(kind, EventKind::Stopping { .. })) < exited, "{kinds:?}");
    assert!(exited < at(|kind| matches!(kind, EventKind::ApiStopped { .. })), "{kinds:?}");
    assert!(!kinds.contains(&EventKind::Active));
}

async fn handshake_error(plugin: &Plugin) -> (HandshakeError, String) {
    let error = refused(plugin).await;
    let text = error.to_string();
    assert!(text.starts_with("unable to start plugin: com.mattermost.fake-"), "{text}");
    match error.failure {
        LaunchFailure::Handshake(error) => (error, text),
        other => panic!("{other:?}"),
    }
}

/// Nothing was started, not even the API server.
async fn nothing_started(plugin: &Plugin) -> LaunchError {
    let error = plugin.refused(Timeouts::default()).await;
    assert_eq!(plugin.kinds(), [], "something was started");
    assert!(error.exit.is_none() && error.stderr.is_empty());
    assert!(!plugin.bundle.report().exists());
    error
}

fn executable(name: &str) -> Plugin {
    Plugin::of("no-api").manifest(&format!(
        r#"{{"id": "com.example.x", "server": {{"runtime": "python", "executable": "{name}"}}}}"#
    ))
}

// Before anything is started

#[tokio::test]
async fn s_16_s_17_s_25_path_traversal_starts_nothing() {
    for name in [
        "../../../etc/passwd",
        "server/../../../etc/passwd",
        "../../../etc/passwd.py",
        "..",
        "a/../../bundle/plugin.py",
    ] {
        let error = nothing_started(&executable(name)).await;
        assert!(matches!(error.failure, LaunchFailure::Script(_)), "{error:?}");
        assert!(error.to_string().contains("path traversal"), "{error}");
        assert_eq!(error.plugin_id, "bundle");
    }
}

#[tokio::test]
async fn s_18_s_26_a_missing_script_starts_nothing() {
    for name in ["nonexistent.py", "/etc/passwd"] {
        let error = nothing_started(&executable(name)).await;
        assert!(error.to_string().contains("not found"), "{error}");
    }
}

#[tokio::test]
async fn a_folder_or_nothing_for_a_script_starts_nothing() {
    let error = nothing_started(&executable("venv")).await;
    assert!(error.to_string().contains("not a regular file"), "{error}");
    let error = nothing_started(&executable("")).await;
    assert!(error.to_string().contains("not specified in manifest"), "{error}");
}

#[tokio::test]
async fn s_01_s_02_s_05_s_08_what_is_no_python_plugin_starts_nothing() {
    let plugin = Plugin::of("no-api");
    fs::remove_file(plugin.dir().join("plugin.json")).unwrap();
    let error = nothing_started(&plugin).await;
    assert!(matches!(error.failure, LaunchFailure::Manifest(_)), "{error:?}");
    for manifest in [
        r#"{"id": "com.example.x"}"#,
        r#"{"id": "com.example.x", "server": {"executable": "plugin"}}"#,
        r#"{"id": "com.example.x", "server": {"runtime": "go", "executable": "server/plugin"}}"#,
        r#"{"id": "com.example.x", "server": {"runtime": "Python", "executable": "plugin"}}"#,
    ] {
        let error = nothing_started(&Plugin::of("no-api").manifest(manifest)).await;
        assert!(matches!(error.failure, LaunchFailure::NotPython { .. }), "{manifest}: {error:?}");
    }
}

#[tokio::test]
async fn s_13_without_any_interpreter_nothing_starts() {
    const TEST: &str = "s_13_without_any_interpreter_nothing_starts";
    if !common::is_again() {
        return common::passes_again(common::again(TEST).env("PATH", "/nonexistent")).await;
    }
    // There is no cargo on this PATH either.
    let folder = tempfile::tempdir().unwrap();
    let manifest = r#"{"id": "com.example.x", "server": {"executable": "plugin.py"}}"#;
    fs::write(folder.path().join("plugin.json"), manifest).unwrap();
    fs::write(folder.path().join("plugin.py"), "").unwrap();
    let error = soon(Supervisor::builder(folder.path()).launch()).await.unwrap_err();
    assert!(error.to_string().contains("no Python interpreter found"), "{error}");
}

#[tokio::test]
async fn an_api_that_cannot_listen_starts_no_process() {
    const TEST: &str = "an_api_that_cannot_listen_starts_no_process";
    if !common::is_again() {
        // The bundle needs a real folder: only the socket's is missing.
        let plugin = Plugin::of("no-api");
        let mut command = common::again(TEST);
        command.env("TMPDIR", "/nonexistent").env("TEST_BUNDLE", plugin.dir());
        return common::passes_again(&mut command).await;
    }
    let events = EventLog::default();
    let bundle = std::env::var_os("TEST_BUNDLE").unwrap();
    let builder = Supervisor::builder(&bundle)
        .api(std::sync::Arc::new(common::Tiny))
        .api_on_unix_socket()
        .events(&events);
    let error = soon(builder.launch()).await.unwrap_err();
    assert!(matches!(error.failure, LaunchFailure::Api(_)), "{error:?}");
    assert!(error.to_string().contains("/nonexistent"), "{error}");
    let kinds = events.kinds();
    assert!(matches!(&kinds[..], [EventKind::Stopping { .. }, EventKind::Ended]), "{kinds:?}");
}

// The process

/// The API server, up before the process, is stopped again.
#[tokio::test]
async fn an_interpreter_that_cannot_run_leaves_no_api_server() {
    for mode in [0o644, 0o755] {
        let plugin = Plugin::of("no-api");
        let python = plugin.dir().join("venv/bin/python");
        fs::remove_file(&python).unwrap();
        fs::write(&python, "not a program").unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(mode)).unwrap();
        let error = plugin.refused(Timeouts::default()).await;
        assert!(matches!(error.failure, LaunchFailure::Spawn(_)), "{error:?}");
        assert!(error.to_string().contains(python.to_str().unwrap()), "{error}");
        let kinds = plugin.kinds();
        let [EventKind::ApiListening { target }, EventKind::Stopping { .. }, .., EventKind::Ended] =
            &kinds[..]
        else {
            panic!("{kinds:?}");
        };
        assert_refused(target).await;
        assert!(plugin.pids().is_empty());
    }
}

// The handshake

#[tokio::test]
async fn s_35_silent_plugin_times_out() {
    let start = Instant::now();
    let limits = Timeouts { handshake: quick().handshake, ..patient() };
    let error = refused_within(&Plugin::of("silent"), limits).await;
    assert!(error.to_string().contains("timeout"), "{error}");
    let LaunchFailure::Handshake(error) = error.failure else { panic!("{error:?}") };
    assert_eq!(error, HandshakeError::Timeout { after: limits.handshake });
    assert!(start.elapsed() >= limits.handshake);
    assert!(start.elapsed() < Duration::from_secs(20), "nothing else is waited for");
}

/// S-36: in less than 15 s in total, with the limits that a server uses.
#[tokio::test]
async fn s_36_the_default_limit_is_10_s() {
    let limits = Timeouts::default();
    assert_eq!(limits.handshake, Duration::from_secs(10));
    // What comes after it for a plugin whose end nothing delays takes no time at all.
    let plugin = Plugin::of("silent");
    let limits = Timeouts { handshake: Duration::from_millis(100), ..limits };
    let start = Instant::now();
    plugin.refused(limits).await;
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test]
async fn s_37_netrpc_with_a_live_address_is_refused() {
    let (error, text) = handshake_error(&Plugin::of("netrpc-handshake")).await;
    assert!(matches!(error, HandshakeError::UnsupportedProtocol { .. }), "{error:?}");
    assert!(text.contains("protocol") && text.contains("grpc"), "{text}");
}

#[tokio::test]
async fn s_38_two_fields_are_unrecognized() {
    let (error, text) = handshake_error(&Plugin::of("short-handshake")).await;
    assert!(matches!(error, HandshakeError::Unrecognized { .. }), "{error:?}");
    assert!(text.contains("Unrecognized remote plugin message: 1|invalid"), "{text}");
}

/// S-39, and the launches of every other plugin that cannot become active: the error says why, and
/// by the time it is there, process and port are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_39_every_failed_launch_is_undone() {
    let cases = [
        ("silent", "timeout while waiting for plugin to start"),
        ("garbage-handshake", "Unrecognized remote plugin message: \\u{1b}[31mTraceback"),
        ("short-handshake", "Unrecognized remote plugin message: 1|invalid"),
        ("netrpc-handshake", "unsupported plugin protocol \"netrpc\""),
        ("wrong-core-version", "incompatible core API version with plugin. Plugin version: 2"),
        ("wrong-app-version", "incompatible API version with plugin. Plugin version: 9"),
        ("tls-handshake", "error parsing server cert"),
        ("huge-first-line", "first line on stdout has 65536 bytes or more"),
        ("banner-before-handshake", "Unrecognized remote plugin message: Welcome to my plugin!"),
        ("crash-before-handshake", "No module named 'mattermost'"),
        ("crash-during-handshake", "exit status 1"),
        ("crash-after-handshake", "killed by signal 11 (SIGSEGV)"),
        ("hang-in-implemented", "failed to query implemented hooks: Implemented did not answer"),
        ("crash-in-on-activate", "killed by signal 9 (SIGKILL)"),
        ("error-in-on-activate", "The plugin is not configured."),
        ("hang-in-on-activate", "activation failed: OnActivate did not answer within 2s"),
        ("blocks-health", "did not answer a health check within 300ms"),
        ("not-serving", "NOT_SERVING"),
        ("no-health", "must serve grpc.health.v1.Health for the service \"plugin\""),
    ];
    futures::stream::iter(cases)
        .for_each_concurrent(4, async |(character, words)| {
            let plugin = Plugin::of(character);
            let start = Instant::now();
            // Short are the waits that are to run out, and no others.
            let (short, hook) = (quick().handshake, Duration::from_secs(2));
            let limits = match character {
                "silent" => Timeouts { handshake: short, ..patient() },
                "blocks-health" => Timeouts { health: short, ..patient() },
                "hang-in-implemented" | "hang-in-on-activate" => Timeouts { hook, ..patient() },
                _ => patient(),
            };
            let text = refused_within(&plugin, limits).await.to_string();
            assert!(text.contains(words), "{character}: {text}");
            assert!(start.elapsed() < Duration::from_secs(20), "{character}");
        })
        .await;
}

/// A certificate as a TLS plugin of go-plugin prints it; the upstream supervisor panics over it.
#[tokio::test]
async fn a_valid_certificate_is_refused_without_a_panic() {
    const CERTIFICATE: &str = "MIIBeTCCAR+gAwIBAgIUaa5ow3z7gdmXLVmSfgBOUqgJIMswCgYIKoZIzj0EAwIwETEPMA0GA1UEAwwGcGx1Z2luMCAXDTI2MTEyMjIzNTU1NVoYDzIxMjYxMDI5MjM1NTU1WjARMQ8wDQYDVQQDDAZwbHVnaW4wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASpCnRyLWNjFemG4s+eu3RWKANVtnmsvpnr+RUYLCdLM1YjbiDsz5FHXEpo4njjc5qg9gNnuEt5TR/tTX/PQhP4o1MwUTAdBgNVHQ4EFgQUs5Z2jsWnd3W35Ol4cMhVCsLPDH8wHwYDVR0jBBgwFoAUs5Z2jsWnd3W35Ol4cMhVCsLPDH8wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAiW4HZfViso/PJN+PwkF1s7B84ywz0l3RwHPK+ZbJejoCIBC2D+RyIF4gPeAEqgx+3HEbrBji1u0lMsCZc4r7tAUK";
    let plugin = Plugin::saying(&format!("1|1|{{network}}|{{address}}|grpc|{CERTIFICATE}"));
    let (error, text) = handshake_error(&plugin).await;
    assert_eq!(error, HandshakeError::ServerCert { length: CERTIFICATE.len() });
    assert!(text.contains("server cert") && text.contains("without TLS"), "{text}");
}

#[tokio::test]
async fn fields_that_are_refused() {
    for (line, words) in [
        ("", "Unrecognized remote plugin message"),
        ("x|1|tcp|{address}|grpc", "error parsing core protocol version"),
        ("1|x|tcp|{address}|grpc", "Error parsing protocol version"),
        ("1|1|udp|{address}|grpc", "unknown address type"),
        ("1|1|tcp|nowhere|grpc", "must be host:port"),
        ("1|1|tcp|127.0.0.1:0|grpc", "from 1 to 65535"),
        ("1|1|unix||grpc", "path of the socket"),
        ("1|1|tcp|{address}", "unsupported plugin protocol \"netrpc\""),
        ("1|1|tcp|{address}| grpc", "unsupported plugin protocol"),
    ] {
        let (_, text) = handshake_error(&Plugin::saying(line)).await;
        assert!(text.contains(words), "{line}: {text}");
    }
}

/// The last words on stderr come with the error, and how the process ended.
#[tokio::test]
async fn the_error_tells_the_exit_and_the_last_lines_of_stderr() {
    let script =
        "life:\n  - flood: {stream: stderr, bytes: 100000}\n  - log: the last word\n  - exit: 3\n";
    let plugin = Plugin::new("last-words", script);
    let error = refused(&plugin).await;
    assert_eq!(error.exit.as_ref().unwrap().status, ExitStatus::Code(3));
    assert!(error.stderr.trim_end().ends_with("the last word"), "{}", error.stderr);
    assert!(error.stderr.len() <= 8 * 1024);
    let text = error.to_string();
    assert!(text.contains("exit status 3") && text.contains("the last word"), "{text}");
}

/// Stdout closed without a line, while the process lives on.
#[tokio::test]
async fn a_closed_stdout_is_not_waited_for() {
    let plugin = Plugin::new("closes", "life: [close_stdout, hang]");
    let start = Instant::now();
    let error = plugin.refused(patient()).await;
    assert!(
        matches!(error.failure, LaunchFailure::Handshake(HandshakeError::NoLine { .. })),
        "{error:?}"
    );
    assert!(start.elapsed() < patient().handshake);
    assert_undone(&plugin).await;
}

// The plugin's server

#[tokio::test]
async fn an_address_where_nobody_listens_is_refused_at_once() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let socket = tempfile::tempdir().unwrap();
    let unix = socket.path().join("none.sock");
    for line in [format!("1|1|tcp|{address}|grpc"), format!("1|1|unix|{}|grpc", unix.display())] {
        let error = refused(&Plugin::saying(&line)).await;
        assert!(matches!(error.failure, LaunchFailure::Unreachable { .. }), "{error:?}");
        let address = line.split('|').nth(3).unwrap();
        assert!(error.to_string().contains(address), "{error}");
    }
}

/// Somebody accepts the connection and never says a word.
#[tokio::test]
async fn a_mute_server_does_not_hold_the_launch() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = format!("1|1|tcp|{}|grpc", mute.local_addr().unwrap());
    let plugin = Plugin::saying(&line);
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = mute.accept().await {
            held.push(connection);
        }
    });
    let timeouts = Timeouts { connect: quick().health, health: quick().health, ..patient() };
    let error = plugin.refused(timeouts).await;
    assert!(
        matches!(
            error.failure,
            LaunchFailure::Health(HealthError::Timeout { .. }) | LaunchFailure::Unreachable { .. }
        ),
        "{error:?}"
    );
    assert_undone(&plugin).await;
    accepting.abort();
}

/// Somebody accepts the connection, says something that is no HTTP/2, and hangs up.
#[tokio::test]
async fn a_server_of_another_kind_is_refused() {
    use tokio::io::AsyncWriteExt as _;
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = format!("1|1|tcp|{}|grpc", other.local_addr().unwrap());
    let plugin = Plugin::saying(&line);
    let answering = tokio::spawn(async move {
        while let Ok((mut connection, _)) = other.accept().await {
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = refused(&plugin).await;
    assert!(
        matches!(
            error.failure,
            LaunchFailure::Health(HealthError::Status { .. }) | LaunchFailure::Unreachable { .. }
        ),
        "{error:?}"
    );
    answering.abort();
}

#[tokio::test]
async fn an_unknown_health_service_is_refused() {
    let script = "life:\n  - serve: {health: unknown}\n  - handshake\n  - wait\n";
    let error = refused(&Plugin::new("unknown", script)).await;
    assert!(
        matches!(error.failure, LaunchFailure::Health(HealthError::Status { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_implemented_that_fails_is_refused() {
    for steps in ["[{fail: {code: INTERNAL, message: broken}}]", "[{crash: SIGABRT}]"] {
        let plugin = Plugin::good("OnActivate", &format!("on:\n  Implemented: {steps}\n"));
        let error = refused(&plugin).await;
        assert!(
            matches!(
                error.failure,
                LaunchFailure::Implemented(
                    HookError::Status { .. } | HookError::Disconnected { .. }
                ) | LaunchFailure::ExitedDuring(_)
            ),
            "{error:?}"
        );
        assert!(error.exit.is_some());
    }
}

/// A plugin that refuses to activate is well otherwise: it leaves in order.
#[tokio::test]
async fn an_on_activate_that_fails_ends_in_order() {
    for steps in [
        "[{fail: {code: UNKNOWN, message: no licence}}]",
        "[{answer_error: {id: x, message: no licence, status_code: 500}}]",
    ] {
        let plugin =
            Plugin::good("OnActivate, OnDeactivate", &format!("on:\n  OnActivate: {steps}\n"));
        let error = refused(&plugin).await;
        assert!(matches!(error.failure, LaunchFailure::OnActivate(_)), "{error:?}");
        assert!(error.to_string().contains("no licence"), "{error}");
        assert_eq!(error.exit.as_ref().unwrap().status, ExitStatus::Code(0));
        let report = plugin.report();
        assert_eq!(report.stop.unwrap().signal.as_deref(), Some("SIGTERM"));
        assert_eq!(report.hooks, ["Implemented", "OnActivate"], "it was never active");
    }
}

/// A descendant of a launch that fails goes with it, whatever group it is in.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn descendants_of_a_failed_launch_go_with_it() {
    for (new_session, end) in
        [(false, "exit: 1"), (true, "exit: 1"), (false, "crash: SIGKILL"), (true, "crash: SIGABRT")]
    {
        let plugin = Plugin::new(
            "parent",
            &format!(
                "life:\n  - grandchild: {{holds_output: true, new_session: {new_session}}}\n  - {end}\n"
            ),
        );
        // Its output stays open, so the end is not to be known by that.
        let start = Instant::now();
        let error = plugin.refused(patient()).await;
        assert!(start.elapsed() < patient().handshake, "its output was waited for");
        assert_eq!(error.exit.unwrap().stragglers, usize::from(new_session));
        assert_undone(&plugin).await;
        // An exit and a crash both leave the last report.
        let grandchildren = plugin.report().grandchildren;
        assert_eq!(grandchildren.len(), 1);
        assert!(!common::alive(grandchildren[0]), "{} is left", grandchildren[0]);
    }
}

/// A failed launch can be tried again with the same builder.
#[tokio::test]
async fn after_a_failed_launch_the_next_one_may_succeed() {
    let plugin = Plugin::of("garbage-handshake");
    let builder = plugin.builder().timeouts(patient());
    soon(builder.launch()).await.unwrap_err();
    let good = fake_interpreters::Character::by_name("well-behaved").unwrap().script;
    fs::write(plugin.dir().join("plugin.py"), good).unwrap();
    let supervisor = soon(builder.launch()).await.unwrap();
    soon(supervisor.shutdown()).await;
    plugin.assert_nothing_left().await;
}
