//! Launches that succeed: command, environment, API server, order of events, hooks.
//!
//! `s_…`, `p_…` and `f_…` are the lines of the upstream acceptance list.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use bytes::Bytes;
use common::{Plugin, SERVER_VERSION, alive, assert_refused, soon};
use fake_interpreters::wire;
use plugin_conformance::hooks::{Cause, Filtered, HookError, Hooks};
use plugin_conformance::supervisor::lifecycle::{Ending, Phase};
use plugin_conformance::supervisor::{EventKind, Supervisor, Timeouts};
use plugin_proto::{Method, Service, v1};
use prost::Message as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

fn address(plugin: &Plugin) -> String {
    let handshaken = |kind| match kind {
        EventKind::Handshaken { address } => Some(address),
        _ => None,
    };
    let address = plugin.kinds().into_iter().find_map(handshaken).unwrap();
    address.strip_prefix("tcp|").unwrap().to_owned()
}

async fn raw_hook(plugin: &Plugin, hook: &str) -> Result<Bytes, Code> {
    let channel = wire::connect(&address(plugin)).unwrap();
    let method = Method::by_name(Service::PluginHooks, hook).unwrap();
    let answer = soon(wire::unary(&channel, method, Bytes::new(), None)).await;
    answer.map_err(|status| status.code())
}

// The command

#[tokio::test]
async fn s_19_s_20_s_21_s_23_the_command_is_interpreter_and_script_in_the_bundle() {
    let plugin = Plugin::of("no-api");
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    let ended = supervisor.shutdown().await;
    assert!(ended.exit.unwrap().status.success());
    let report = plugin.report();
    let python = plugin.dir().join("venv/bin/python");
    assert_eq!(report.argv, [python.to_str().unwrap(), "plugin.py"]);
    assert_eq!(report.interpreter, python.to_str().unwrap());
    assert_eq!(report.cwd, plugin.dir().to_str().unwrap());
    assert_eq!(report.pid, supervisor.pid());
}

#[test]
fn s_22_every_wait_has_a_limit() {
    let Timeouts {
        handshake,
        connect,
        health,
        hook,
        deactivate,
        controller,
        leave,
        grace,
        reap,
        output,
        api_drain,
    } = Timeouts::default();
    for wait in [
        handshake, connect, health, hook, deactivate, controller, leave, grace, reap, output,
        api_drain,
    ] {
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(30));
    }
    assert!(Timeouts::default().longest_stop() < Duration::from_secs(30));
}

/// Upstream's test still wants the absolute path, its newest version passes the relative one. Ours
/// is relative to the working directory, so both name the same file.
#[tokio::test]
async fn s_24_the_argument_names_the_script() {
    let plugin = Plugin::of("no-api");
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    supervisor.shutdown().await;
    let report = plugin.report();
    let named = std::path::Path::new(&report.cwd).join(&report.argv[1]);
    assert_eq!(named, plugin.dir().join("plugin.py"));
}

/// Upstream checks the cleaned path and runs the raw one: here the file that is checked runs.
#[tokio::test]
async fn the_script_that_was_checked_is_the_one_that_runs() {
    let outside = tempfile::tempdir().unwrap();
    let evil = outside.path().canonicalize().unwrap().join("evil.py");
    fs::write(&evil, "life:\n  - log: evil\n  - exit: 66\n").unwrap();
    let evil = evil.to_str().unwrap();
    for executable in [evil.to_owned(), format!("x/..//.{evil}")] {
        let plugin = Plugin::of("no-api")
            .manifest(&format!(r#"{{"id": "decoy", "server": {{"executable": "{executable}"}}}}"#));
        let decoy = plugin.dir().join(&evil[1..]);
        fs::create_dir_all(decoy.parent().unwrap()).unwrap();
        fs::rename(plugin.dir().join("plugin.py"), &decoy).unwrap();
        let supervisor = soon(plugin.alone().launch()).await.unwrap();
        let ended = supervisor.shutdown().await;
        assert!(ended.exit.unwrap().status.success());
        let report = decoy.with_file_name("report.json");
        let report = fake_interpreters::Report::read(&report).unwrap();
        assert_eq!(report.argv[1], evil[1..]);
        assert!(!plugin.log.lock().unwrap().iter().any(|record| record.message == "evil"));
    }
}

#[tokio::test]
async fn s_07_the_executables_map_is_run() {
    let (os, arch) = match (std::env::consts::OS, std::env::consts::ARCH) {
        (os, "x86_64") => (os, "amd64"),
        (os, _) => (os, "arm64"),
    };
    let os = if os == "macos" { "darwin" } else { os };
    let plugin = Plugin::of("no-api").manifest(&format!(
        r#"{{"id": "map", "server": {{"executable": "no.py", "executables": {{"{os}-{arch}": "server/main.py"}}}}}}"#
    ));
    fs::create_dir(plugin.dir().join("server")).unwrap();
    fs::rename(plugin.dir().join("plugin.py"), plugin.dir().join("server/main.py")).unwrap();
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    supervisor.shutdown().await;
    let report = plugin.dir().join("server/report.json");
    assert_eq!(fake_interpreters::Report::read(&report).unwrap().argv[1], "server/main.py");
}

#[tokio::test]
async fn s_11_a_dot_venv_is_run() {
    let plugin = Plugin::of("no-api");
    fs::rename(plugin.dir().join("venv"), plugin.dir().join(".venv")).unwrap();
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    supervisor.shutdown().await;
    let python = plugin.dir().join(".venv/bin/python");
    assert_eq!(plugin.report().interpreter, python.to_str().unwrap());
}

#[tokio::test]
async fn a_bundle_named_by_a_relative_path_is_launched() {
    let here = std::env::current_dir().unwrap();
    let folder = tempfile::tempdir_in(&here).unwrap();
    let plugin = Plugin::of("no-api");
    let link = folder.path().join("plugin");
    symlink(plugin.dir(), &link).unwrap();
    let relative = link.strip_prefix(&here).unwrap();
    assert!(relative.is_relative());
    let supervisor = soon(Supervisor::builder(relative).launch()).await.unwrap();
    supervisor.shutdown().await;
    let report = plugin.report();
    assert_eq!(report.interpreter, link.join("venv/bin/python").to_str().unwrap());
    assert_eq!(report.cwd, plugin.dir().to_str().unwrap());
    assert_eq!(report.environment.plugin_path.as_deref(), link.to_str());
}

#[tokio::test]
async fn the_id_is_in_lower_case_everywhere() {
    let plugin = Plugin::of("no-api")
        .manifest(r#"{"id": "Com.Example.AX", "server": {"executable": "plugin.py"}}"#);
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    assert_eq!(supervisor.id(), "com.example.ax");
    supervisor.shutdown().await;
    assert_eq!(plugin.report().environment.plugin_id.as_deref(), Some("com.example.ax"));
}

// The environment

#[cfg(target_os = "linux")]
mod environment {
    use super::*;
    use common::{again, environment, is_again, passes_again};

    const TARGET: &str = "MATTERMOST_PLUGIN_API_TARGET";
    /// What an outer go-plugin host leaves to its children.
    const FOREIGN: [&str; 4] = [
        "PLUGIN_CLIENT_CERT",
        "PLUGIN_MULTIPLEX_GRPC",
        "PLUGIN_UNIX_SOCKET_DIR",
        "PLUGIN_UNIX_SOCKET_GROUP",
    ];

    async fn of(builder: plugin_conformance::supervisor::SupervisorBuilder) -> (Vars, Supervisor) {
        let supervisor = soon(builder.launch()).await.unwrap();
        (environment(supervisor.pid()), supervisor)
    }

    type Vars = std::collections::BTreeMap<String, String>;

    fn assert_ours(vars: &Vars, plugin: &Plugin) {
        let ours = [
            ("MATTERMOST_PLUGIN", "Securely message teams, anywhere."),
            ("PLUGIN_MIN_PORT", "10000"),
            ("PLUGIN_MAX_PORT", "25000"),
            ("PLUGIN_PROTOCOL_VERSIONS", "1"),
            ("MATTERMOST_PLUGIN_ID", &plugin.bundle.id),
            ("MATTERMOST_PLUGIN_PATH", plugin.dir().to_str().unwrap()),
        ];
        for (name, value) in ours {
            assert_eq!(vars.get(name).map(String::as_str), Some(value), "{name}");
        }
        for name in FOREIGN {
            assert!(!vars.contains_key(name), "{name} reached the plugin");
        }
    }

    #[tokio::test]
    async fn the_supervisors_own_variables_win_over_the_callers() {
        let plugin = Plugin::of("no-api");
        let disturbed = |mut builder: plugin_conformance::supervisor::SupervisorBuilder| {
            for name in FOREIGN.into_iter().chain([
                TARGET,
                "MATTERMOST_PLUGIN",
                "PLUGIN_MIN_PORT",
                "PLUGIN_PROTOCOL_VERSIONS",
                "MATTERMOST_PLUGIN_ID",
                "MATTERMOST_PLUGIN_PATH",
                "MATTERMOST_PLUGIN_LAUNCH",
            ]) {
                builder = builder.env(name, "127.0.0.1:1");
            }
            builder.env("MATTERMOST_LOG_LEVEL", "DEBUG")
        };
        let (vars, supervisor) = of(disturbed(plugin.builder())).await;
        assert_ours(&vars, &plugin);
        assert_eq!(vars.get(TARGET).map(String::as_str), supervisor.api_target());
        assert_eq!(vars["MATTERMOST_LOG_LEVEL"], "DEBUG");
        assert_ne!(vars["MATTERMOST_PLUGIN_LAUNCH"], "127.0.0.1:1");
        supervisor.shutdown().await;

        let (vars, supervisor) = of(disturbed(plugin.alone())).await;
        assert_ours(&vars, &plugin);
        assert_eq!(vars.get(TARGET), None, "no API, no target");
        assert_eq!((supervisor.api_target(), supervisor.api_address()), (None, None));
        supervisor.shutdown().await;
    }

    /// Upstream the inherited copy wins: a plugin then talks to somebody else's server.
    #[tokio::test]
    async fn an_inherited_target_or_certificate_does_not_reach_the_plugin() {
        const TEST: &str =
            "environment::an_inherited_target_or_certificate_does_not_reach_the_plugin";
        if !is_again() {
            let mut command = again(TEST);
            for name in
                FOREIGN.into_iter().chain([TARGET, "MATTERMOST_PLUGIN", "MATTERMOST_PLUGIN_ID"])
            {
                command.env(name, "127.0.0.1:1");
            }
            return passes_again(command.env("UNRELATED", "kept")).await;
        }
        assert_eq!(std::env::var(TARGET).as_deref(), Ok("127.0.0.1:1"));
        let plugin = Plugin::of("well-behaved");
        let (vars, supervisor) = of(plugin.builder()).await;
        assert_ours(&vars, &plugin);
        assert_eq!(vars["UNRELATED"], "kept");
        assert_eq!(vars.get(TARGET).map(String::as_str), supervisor.api_target());
        plugin
            .report_where(|report| report.server_version.as_deref() == Some(SERVER_VERSION))
            .await;
        supervisor.shutdown().await;

        let plugin = Plugin::of("no-api");
        let (vars, supervisor) = of(plugin.alone()).await;
        assert_ours(&vars, &plugin);
        assert_eq!(vars.get(TARGET), None);
        supervisor.shutdown().await;
    }

    /// The host's terminal is not the plugin's: no stdin to read from, no Ctrl-C to hear.
    #[tokio::test]
    async fn stdin_is_empty_and_the_group_its_own() {
        let plugin = Plugin::of("no-api");
        let supervisor = plugin.launch().await;
        let pid = supervisor.pid();
        assert_eq!(fs::read_link(format!("/proc/{pid}/fd/0")).unwrap().to_str(), Some("/dev/null"));
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let group = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(2).unwrap();
        assert_eq!(group, pid.to_string());
        supervisor.shutdown().await;
    }
}

// The API server

/// Upstream's `TestPythonAPIServerStartup`.
#[tokio::test]
async fn test_python_api_server_startup() {
    p_1(&Plugin::of("well-behaved")).await;
}

/// P-1: the variable is set, its value is host:port.
async fn p_1(plugin: &Plugin) {
    let supervisor = plugin.launch().await;
    let report = plugin.report_where(|report| report.api_reachable_at_start).await;
    let target = report.api_target.expect("the variable is set");
    assert_eq!(supervisor.api_target(), Some(&*target));
    let address: std::net::SocketAddr = target.parse().expect("host:port");
    assert_eq!(supervisor.api_address(), Some(address));
    assert!(address.ip().is_loopback() && address.port() != 0, "{address}");
    supervisor.shutdown().await;
}

/// Upstream's `TestPythonAPIServerLifecycle`: P-2, the API server accepts connections after the
/// launch and refuses them after the shutdown.
#[tokio::test]
async fn test_python_api_server_lifecycle() {
    let plugin = Plugin::of("well-behaved");
    for life in 0..2 {
        let supervisor = plugin.launch().await;
        let target = supervisor.api_target().unwrap().to_owned();
        assert!(common::answers(&target).await);
        supervisor.shutdown().await;
        assert_refused(&target).await;
        assert_eq!(plugin.targets().len(), life + 1, "each life has a server of its own");
    }
    plugin.assert_nothing_left().await;
}

/// Upstream's `TestPythonPluginCanCallAPI`: P-3, the plugin reads the variable, connects and gets
/// the expected server version.
#[tokio::test]
async fn test_python_plugin_can_call_api() {
    let plugin = Plugin::of("well-behaved");
    let supervisor = plugin.launch().await;
    let report = plugin.report_where(|report| report.calls.len() == 2).await;
    assert_eq!(report.server_version.as_deref(), Some(SERVER_VERSION));
    assert!(report.calls.iter().all(|call| call.rpc == "GetServerVersion" && call.code == "OK"));
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    supervisor.shutdown().await;
}

#[tokio::test]
async fn p_1_p_2_p_3_on_a_unix_socket() {
    let plugin = Plugin::of("well-behaved");
    let supervisor = soon(plugin.builder().api_on_unix_socket().launch()).await.unwrap();
    let target = supervisor.api_target().unwrap().to_owned();
    let path = target.strip_prefix("unix://").expect("unix:///path");
    assert_eq!(supervisor.api_address(), None);
    let folder = std::path::Path::new(path).parent().unwrap();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(folder).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    plugin.report_where(|report| report.server_version.as_deref() == Some(SERVER_VERSION)).await;
    supervisor.shutdown().await;
    assert_refused(&target).await;
    plugin.assert_nothing_left().await;
}

#[tokio::test]
async fn plugins_run_side_by_side_each_with_its_own_server() {
    let plugins = [(); 4].map(|()| Plugin::of("well-behaved"));
    let lives = futures::future::join_all(plugins.iter().map(Plugin::launch)).await;
    let mut targets: Vec<_> = lives.iter().map(|life| life.api_target().unwrap()).collect();
    targets.sort_unstable();
    targets.dedup();
    assert_eq!(targets.len(), 4);
    soon(futures::future::join_all(lives.iter().map(Supervisor::shutdown))).await;
    for plugin in &plugins {
        plugin.assert_nothing_left().await;
    }
}

// Launch and health

/// F-6: the health test's fake names no hooks at all.
#[tokio::test]
async fn s_27_s_28_s_29_a_fake_without_hooks_api_or_metrics_is_healthy() {
    let plugin = Plugin::good("", "");
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    assert_eq!(supervisor.hooks().implemented_hooks().count(), 0);
    assert!(supervisor.hooks().implements("Implemented"));
    supervisor.health_check().await.unwrap();
    assert_eq!(supervisor.phase(), Phase::Active);
    let ended = supervisor.shutdown().await;
    assert_eq!(ended.ending, Ending::Stopped);
    assert!(ended.exit.unwrap().status.success());
    assert_eq!(supervisor.phase(), Phase::Ended);
    // Hooks that are not implemented are not called.
    assert_eq!(plugin.report().hooks, ["Implemented"]);
}

/// (c) What happens in a good life, in this order.
#[tokio::test]
async fn a_good_life_in_order() {
    let plugin = Plugin::of("well-behaved");
    let supervisor = plugin.launch().await;
    supervisor.shutdown().await;
    let kinds = plugin.kinds();
    let [
        EventKind::ApiListening { target },
        EventKind::Spawned { pid },
        EventKind::Handshaken { address },
        EventKind::Healthy,
        EventKind::HooksKnown { hooks },
        EventKind::Active,
        EventKind::Stopping { reason },
        EventKind::Deactivated { error: None },
        EventKind::AskedToLeave { agreed: false },
        EventKind::Terminating,
        EventKind::Exited { report: exit },
        EventKind::ApiStopped { forced: 0 },
        EventKind::Ended,
    ] = &kinds[..]
    else {
        panic!("{kinds:#?}");
    };
    let report = plugin.report();
    assert_eq!(report.api_target.as_ref(), Some(target));
    assert_eq!(report.pid, *pid);
    assert_eq!(report.handshake, Some(format!("1|1|{address}|grpc")));
    assert_eq!(hooks, &["OnActivate", "OnDeactivate"]);
    assert!(reason.contains("stop was asked for"), "{reason}");
    assert!(exit.status.success() && exit.stragglers == 0 && !exit.timed_out);
    assert_eq!(report.hooks, ["Implemented", "OnActivate", "OnDeactivate"]);
    assert!(report.stop.unwrap().api_reachable, "the API server stops last");

    let events = plugin.events.events();
    assert!(events.is_sorted_by_key(|event| event.at));
    assert!(events.is_sorted_by_key(|event| event.elapsed));
    let first = events[0].at - events[0].elapsed;
    assert!(events.iter().all(|event| event.at - event.elapsed == first), "one clock");
    // A late reader gets all of it, too.
    let mut reader = plugin.events.reader();
    for kind in &kinds {
        assert_eq!(&soon(reader.next()).await.kind, kind);
    }
}

#[tokio::test]
async fn a_plugin_with_a_controller_leaves_without_a_signal() {
    let plugin = Plugin::of("controller-exits");
    let supervisor = plugin.launch().await;
    let ended = soon(supervisor.shutdown()).await;
    assert!(ended.exit.unwrap().status.success());
    assert!(plugin.kinds().contains(&EventKind::AskedToLeave { agreed: true }));
    assert!(!plugin.kinds().contains(&EventKind::Terminating));
    assert_eq!(plugin.report().stop.unwrap().signal, None);
}

#[tokio::test]
async fn hooks_on_a_unix_socket() {
    let plugin = Plugin::of("unix-hooks");
    let supervisor = plugin.launch().await;
    supervisor.health_check().await.unwrap();
    soon(supervisor.shutdown()).await;
    let handshake = plugin.report().handshake.unwrap();
    assert!(handshake.starts_with("1|1|unix|/"), "{handshake}");
    plugin.assert_nothing_left().await;
}

/// As in go-plugin: outer white space and a carriage return are trimmed, a sixth field of at most 50
/// bytes and all after it are ignored, a name is looked up, a line may have 64 KiB less one byte.
#[tokio::test]
async fn handshakes_that_are_accepted() {
    for line in [
        "1|1|{network}|{address}|grpc\r",
        " \t1|1|{network}|{address}|grpc  ",
        "1|1|{network}|{address}|grpc|",
        "1|1|{network}|{address}|grpc|not a certificate|true|and more",
        "01|+1|{network}|{address}|grpc",
    ] {
        let plugin = Plugin::saying(line);
        let supervisor = plugin.launch().await;
        supervisor.health_check().await.unwrap();
        supervisor.kill().await;
    }
    let plugin = Plugin::of("long-handshake-field");
    plugin.launch().await.kill().await;
}

// The fakes

#[tokio::test]
async fn f_1_the_fake_ignores_further_arguments_and_wants_little_of_the_manifest() {
    let plugin = Plugin::of("well-behaved").manifest(
        r#"{"id": "com.example.f1", "version": "1.0.0", "server": {"executable": "plugin.py"}}"#,
    );
    plugin.launch().await.shutdown().await;
    let exits = Plugin::new("exits", "life:\n  - exit: 7\n");
    let mut command = tokio::process::Command::new(common::fake_python());
    command.args(["plugin.py", "--whatever", "else"]).current_dir(exits.dir());
    assert_eq!(soon(command.status()).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn f_2_f_3_f_4_f_5_f_7_the_fake_serves_what_it_should_and_nothing_else() {
    let plugin = Plugin::good("OnActivate, OnDeactivate, MessageHasBeenPosted", "");
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    let address = address(&plugin);
    // F-2
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let line = format!("1|1|tcp|{address}|grpc");
    plugin.report_where(|report| report.handshake.as_ref() == Some(&line)).await;
    // F-3
    let channel = wire::connect(&address).unwrap();
    let request = HealthCheckRequest { service: "plugin".into() };
    let health = soon(HealthClient::new(channel.clone()).check(request)).await.unwrap();
    assert_eq!(health.get_ref().status, 1);
    for path in [
        "/plugin.GRPCController/Shutdown",
        "/plugin.GRPCBroker/StartStream",
        "/plugin.GRPCStdio/StreamStdio",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        soon(grpc.ready()).await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let path = http::uri::PathAndQuery::from_static(path);
        let answer = soon(grpc.unary(tonic::Request::new(()), path, codec)).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
    }
    // F-4
    assert_eq!(raw_hook(&plugin, "UserHasJoinedChannel").await, Err(Code::Unimplemented));
    // F-7
    for hook in ["OnActivate", "MessageHasBeenPosted", "OnDeactivate"] {
        assert_eq!(raw_hook(&plugin, hook).await, Ok(Bytes::new()));
    }
    // F-5: our supervisor does send the signal, and the fake ends in order.
    let ended = soon(supervisor.shutdown()).await;
    assert!(ended.exit.unwrap().status.success());
    assert_eq!(plugin.report().stop.unwrap().signal.as_deref(), Some("SIGTERM"));
    assert_eq!(plugin.report().exit, Some(0));
}

#[tokio::test]
async fn f_6_hook_lists_are_reported_as_they_are_named() {
    for hooks in [
        &[][..],
        &["OnActivate"],
        &["OnActivate", "OnDeactivate"],
        &["MessageHasBeenPosted", "OnActivate", "OnDeactivate"],
        &["MessageHasBeenPosted", "OnActivate", "OnDeactivate", "ServeHTTP"],
        &["OnActivate", "ServeHTTP"],
        &["OnActivate", "OnConfigurationChange", "OnDeactivate", "ServeHTTP"],
        &["MessageHasBeenPosted", "OnActivate", "UserHasJoinedChannel"],
    ] {
        let plugin = Plugin::good(&hooks.join(", "), "");
        let supervisor = soon(plugin.alone().launch()).await.unwrap();
        assert_eq!(supervisor.hooks().implemented_hooks().collect::<Vec<_>>(), hooks);
        soon(supervisor.shutdown()).await;
    }
}

/// F-8: the request is read until `body_complete`, the last init remembered, the chunks joined.
#[tokio::test]
async fn f_8_serve_http_is_answered_after_the_whole_body() {
    let plugin = Plugin::good("OnActivate, ServeHTTP", "");
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    let channel = wire::connect(&address(&plugin)).unwrap();
    let init = v1::ServeHttpRequestInit {
        method: "POST".into(),
        url: "/api/echo".into(),
        ..Default::default()
    };
    let chunk = |init, chunk: &'static [u8], body_complete| v1::ServeHttpRequest {
        init,
        body_chunk: chunk.into(),
        body_complete,
    };
    let messages = [chunk(Some(init), b"12345", false), chunk(None, b"678", true)];
    // The stream stays open after body_complete, as upstream's does while a body is not at its end.
    use futures::StreamExt as _;
    let messages = futures::stream::iter(messages).chain(futures::stream::pending());
    let mut grpc = tonic::client::Grpc::new(channel);
    soon(grpc.ready()).await.unwrap();
    let codec = tonic_prost::ProstCodec::<v1::ServeHttpRequest, v1::ServeHttpResponse>::default();
    let method = Method::by_name(Service::PluginHooks, "ServeHTTP").unwrap();
    let path = http::uri::PathAndQuery::from_static(method.path);
    let answer = soon(grpc.streaming(tonic::Request::new(messages), path, codec)).await.unwrap();
    let answer = soon(answer.into_inner().message()).await.unwrap().unwrap();
    assert_eq!(answer.init.unwrap().status_code, 200);
    assert!(answer.body_complete);
    let body: serde_json::Value = serde_json::from_slice(&answer.body_chunk).unwrap();
    assert_eq!(body, serde_json::json!({"method": "POST", "url": "/api/echo", "body_bytes": 8}));
    soon(supervisor.shutdown()).await;
}

// Hook dispatch

const DISPATCH: &str = "OnActivate, OnDeactivate, MessageHasBeenPosted";

#[tokio::test]
async fn s_44_to_s_51_hook_dispatch() {
    let plugin = Plugin::good(DISPATCH, "");
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    // S-44
    let hooks: &Hooks = supervisor.hooks();
    supervisor.health_check().await.unwrap();
    // S-45
    let named = soon(hooks.implemented(v1::ImplementedRequest::default())).await;
    assert_eq!(named.decision.unwrap(), ["OnActivate", "OnDeactivate", "MessageHasBeenPosted"]);
    // S-46, S-47, S-48
    assert!(hooks.implements("OnDeactivate") && hooks.implements("MessageHasBeenPosted"));
    assert!(!hooks.implements("ChannelHasBeenCreated"));
    let unasked = hooks.channel_has_been_created(Default::default()).await;
    assert_eq!(unasked.cause, Cause::NotImplemented);
    // S-49, S-50
    soon(hooks.on_activate(Default::default())).await.decision.unwrap();
    soon(hooks.on_deactivate(Default::default())).await.decision.unwrap();
    // S-51
    let request = v1::MessageHasBeenPostedRequest {
        plugin_context: None,
        context: None,
        post: Some(v1::Post { id: "post".into(), ..Default::default() }),
    };
    soon(hooks.message_has_been_posted(request)).await.answer().unwrap();
    let report = plugin.report_where(|report| report.hooks.len() == 6).await;
    assert!(!report.hooks.contains(&"ChannelHasBeenCreated".to_owned()), "it was called");
    soon(supervisor.shutdown()).await;
}

#[tokio::test]
async fn i_21_i_22_only_what_is_named_is_implemented() {
    let plugin = Plugin::good("OnActivate, MessageHasBeenPosted, UserHasJoinedChannel", "");
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    let hooks = supervisor.hooks();
    assert!(hooks.implements("MessageHasBeenPosted") && hooks.implements("UserHasJoinedChannel"));
    for hook in ["OnDeactivate", "ServeHTTP", "ExecuteCommand", "ChannelHasBeenCreated", "Nonsense"]
    {
        assert!(!hooks.implements(hook), "{hook}");
    }
    soon(supervisor.shutdown()).await;
    let hooks = plugin.report().hooks;
    assert!(!hooks.contains(&"OnDeactivate".to_owned()), "not implemented, not called");
}

/// A hook that does not exist is no reason to refuse the plugin.
#[tokio::test]
async fn a_plugin_may_name_hooks_of_the_future() {
    let plugin = Plugin::good(
        "OnActivate",
        "on:\n  Implemented:\n    - answer: {hooks: [OnActivate, OnTheMoon, OnActivate]}\n",
    );
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    let hooks: Vec<_> = supervisor.hooks().implemented_hooks().collect();
    assert_eq!(hooks, ["OnActivate", "OnTheMoon"]);
    soon(supervisor.shutdown()).await;
}

#[tokio::test]
async fn hooks_fail_each_in_its_own_way() {
    let plugin = Plugin::good(
        "MessageWillBePosted, MessageHasBeenPosted, UserHasJoinedChannel, UserHasLeftChannel, ExecuteCommand",
        "on:
  MessageWillBePosted:
    - answer: {rejection_reason: never}
  MessageHasBeenPosted:
    - fail: {code: INTERNAL, message: broken}
  UserHasJoinedChannel: [hang]
  ExecuteCommand:
    - answer_error: {id: command.error, message: Not now., status_code: 418, where: here}
",
    );
    let supervisor = soon(plugin.alone().timeouts(common::quick_stop()).launch()).await.unwrap();
    let hooks = supervisor.hooks();
    let answer = soon(hooks.message_will_be_posted(Default::default())).await;
    assert_eq!(answer.decision, Filtered::Rejected("never".to_owned()));
    let failed = soon(hooks.message_has_been_posted(Default::default())).await;
    let failed = failed.answer().unwrap_err();
    assert!(
        matches!(&failed, HookError::Status { status, .. } if status.code() == Code::Internal),
        "{failed}"
    );
    let refused = soon(hooks.execute_command(Default::default())).await;
    assert!(refused.is_answered());
    let refused = refused.decision.unwrap_err();
    let HookError::Refused { hook: "ExecuteCommand", error } = &refused else {
        panic!("{refused}")
    };
    assert_eq!((error.id.as_str(), error.status_code), ("command.error", 418));
    assert_eq!((error.message.as_str(), error.location.as_str()), ("Not now.", "here"));
    let limit = Duration::from_millis(100);
    let hasty = hooks.clone().with_deadline(limit);
    let hung = soon(hasty.user_has_joined_channel(Default::default())).await;
    let hung = hung.answer().unwrap_err();
    assert!(
        matches!(hung, HookError::Timeout { hook: "UserHasJoinedChannel", after } if after == limit),
        "{hung}"
    );
    // One hook that hangs holds up no other, nor health.
    let other = hooks.clone();
    let hanging =
        tokio::spawn(async move { other.user_has_joined_channel(Default::default()).await });
    plugin
        .report_where(|report| {
            report.hooks.iter().filter(|hook| *hook == "UserHasJoinedChannel").count() == 2
        })
        .await;
    soon(hooks.user_has_left_channel(Default::default())).await.answer().unwrap();
    soon(supervisor.health_check()).await.unwrap();
    // The stop cuts it off.
    soon(supervisor.shutdown()).await;
    let cut_off = soon(hanging).await.unwrap().answer().unwrap_err();
    assert!(matches!(cut_off, HookError::Stopping { .. }), "{cut_off}");
}

/// More than the 4 MiB that gRPC allows by default.
#[tokio::test]
async fn large_messages_reach_the_plugin() {
    let plugin = Plugin::good(DISPATCH, "");
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    let post = v1::Post { message: "x".repeat(8 << 20), ..Default::default() };
    let request = v1::MessageHasBeenPostedRequest { post: Some(post), ..Default::default() };
    assert!(request.encoded_len() > 8 << 20);
    soon(supervisor.hooks().message_has_been_posted(request)).await.answer().unwrap();
    soon(supervisor.shutdown()).await;
    assert!(!alive(supervisor.pid()));
}
