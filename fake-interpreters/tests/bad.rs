//! Characters that misbehave, each in its own way.

#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use common::{
    Bundle, Plugin, health, hook, hook_within, only_version, report_where, serve_api, soon,
};
use fake_interpreters::compare::app_error_of_response;
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt as _;
use tonic::Code;
use tonic::transport::Channel;

/// Starts the character and connects.
async fn start(bundle: &Bundle) -> (Plugin, Channel) {
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    (plugin, channel)
}

#[tokio::test]
async fn first_lines_that_are_no_handshake() {
    for (character, start, end) in [
        ("garbage-handshake", "\u{1b}[31mTraceback", "\u{1b}[0m"),
        ("short-handshake", "1|invalid", "1|invalid"),
        ("netrpc-handshake", "1|1|tcp|127.0.0.1:", "|netrpc"),
        ("wrong-core-version", "2|1|tcp|127.0.0.1:", "|grpc"),
        ("wrong-app-version", "1|9|tcp|127.0.0.1:", "|grpc"),
        ("banner-before-handshake", "Welcome", "!"),
    ] {
        let bundle = Bundle::of(character);
        let mut plugin = bundle.start(None);
        let line = plugin.line().await;
        assert!(line.starts_with(start) && line.ends_with(end), "{character}: {line}");
        assert_eq!(plugin.child.try_wait().unwrap(), None, "{character} lives on");
    }
    let bundle = Bundle::of("huge-first-line");
    let mut plugin = bundle.start(None);
    let line = plugin.line().await;
    assert!(line.len() > 70_000 && line.ends_with("|grpc"));
}

#[tokio::test]
async fn a_silent_plugin_is_silent_and_dies_of_a_signal() {
    let bundle = Bundle::of("silent");
    let mut plugin = bundle.start(None);
    report_where(&bundle.path(), |report| report.pid > 0).await;
    assert_eq!(plugin.terminate().await.signal(), Some(Signal::TERM.as_raw()));
    assert_eq!(plugin.line().await, "");
    assert!(!bundle.report().complete);
}

#[tokio::test]
async fn exits_and_crashes_around_the_handshake() {
    let (status, stdout, stderr) = Bundle::of("crash-before-handshake").run(None).await;
    assert_eq!((status.code(), &*stdout), (Some(1), ""));
    assert!(stderr.starts_with("ModuleNotFoundError"), "{stderr}");

    let bundle = Bundle::of("crash-during-handshake");
    let (status, stdout, _) = bundle.run(None).await;
    assert_eq!((status.code(), &*stdout), (Some(1), "1|1|tcp|127.0"));
    assert_eq!(bundle.report().exit, Some(1));

    let bundle = Bundle::of("crash-after-handshake");
    let (status, stdout, _) = bundle.run(None).await;
    assert_eq!(status.signal(), Some(Signal::SEGV.as_raw()));
    assert!(stdout.ends_with("|grpc\n"));
    let report = bundle.report();
    assert!(!report.complete && report.handshake.is_some());
}

#[tokio::test]
async fn crashes_in_and_after_on_activate() {
    let bundle = Bundle::of("crash-in-on-activate");
    let (mut plugin, channel) = start(&bundle).await;
    hook(&channel, "OnActivate").await.unwrap_err();
    assert_eq!(plugin.exit().await.signal(), Some(Signal::KILL.as_raw()));
    assert_eq!(bundle.report().hooks, ["OnActivate"]);

    for _ in 0..20 {
        let bundle = Bundle::of("crash-later");
        let (mut plugin, channel) = start(&bundle).await;
        hook(&channel, "OnActivate").await.unwrap();
        assert_eq!(plugin.exit().await.signal(), Some(Signal::ABORT.as_raw()));
    }
}

#[tokio::test]
async fn an_error_in_on_activate_is_embedded() {
    let bundle = Bundle::of("error-in-on-activate");
    let (_plugin, channel) = start(&bundle).await;
    let answer = hook(&channel, "OnActivate").await.unwrap();
    let error = app_error_of_response(&answer).unwrap();
    assert_eq!((&*error.id, error.status_code), ("plugin.activate.app_error", 500));
}

#[tokio::test]
async fn hanging_hooks_hang_alone() {
    for (character, name) in [
        ("hang-in-implemented", "Implemented"),
        ("hang-in-on-activate", "OnActivate"),
        ("hang-in-on-deactivate", "OnDeactivate"),
    ] {
        let bundle = Bundle::of(character);
        let (mut plugin, channel) = start(&bundle).await;
        let error = hook_within(&channel, name, Some(Duration::from_millis(50))).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{character}");
        assert_eq!(health(&channel).await.unwrap(), 1, "{character}");
        drop(channel);
        assert!(plugin.terminate().await.success(), "{character}");
        assert_eq!(bundle.report().hooks, [name]);
    }
}

#[tokio::test]
async fn health_can_be_bad() {
    let bundle = Bundle::of("not-serving");
    let (_plugin, channel) = start(&bundle).await;
    assert_eq!(health(&channel).await.unwrap(), 2);

    let bundle = Bundle::of("no-health");
    let (_plugin, channel) = start(&bundle).await;
    assert_eq!(health(&channel).await.unwrap_err().code(), Code::Unimplemented);

    let bundle = Bundle::new("life: [{serve: {health: unknown}}, handshake, wait]");
    let (_plugin, channel) = start(&bundle).await;
    assert_eq!(health(&channel).await.unwrap_err().code(), Code::NotFound);

    let bundle = Bundle::of("blocks-health");
    let (_plugin, channel) = start(&bundle).await;
    let check = tokio::time::timeout(Duration::from_millis(50), health(&channel));
    assert!(check.await.is_err());
    hook(&channel, "OnActivate").await.unwrap();
}

#[tokio::test]
async fn a_blocked_thread_hears_nothing() {
    let bundle = Bundle::of("blocks-thread");
    let (mut plugin, channel) = start(&bundle).await;
    hook(&channel, "OnActivate").await.unwrap();
    let limit = Some(Duration::from_millis(50));
    let error = hook_within(&channel, "OnDeactivate", limit).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    plugin.signal(Signal::TERM);
    let waited = tokio::time::timeout(Duration::from_millis(50), plugin.child.wait());
    assert!(waited.await.is_err());
}

#[tokio::test]
async fn sigterm_can_be_ignored_and_sigint_still_works() {
    let bundle = Bundle::of("ignores-sigterm");
    let (mut plugin, channel) = start(&bundle).await;
    plugin.signal(Signal::TERM);
    report_where(&bundle.path(), |report| report.stop.is_some()).await;
    assert_eq!(health(&channel).await.unwrap(), 1);
    plugin.signal(Signal::INT);
    assert!(plugin.exit().await.success());
    assert_eq!(bundle.report().stop.unwrap().signal.as_deref(), Some("SIGTERM"));
}

#[tokio::test]
async fn the_flood_comes_before_the_answer() {
    let bundle = Bundle::of("floods-output");
    let (mut plugin, channel) = start(&bundle).await;
    let mut stderr = plugin.child.stderr.take().unwrap();
    let pid = Pid::from_raw(plugin.child.id().unwrap() as i32).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let talk = async {
        hook(&channel, "OnActivate").await.unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
    };
    let reads =
        async { tokio::join!(plugin.stdout.read_to_end(&mut out), stderr.read_to_end(&mut err)) };
    soon(async { tokio::join!(talk, reads) }).await.1.0.unwrap();
    assert!(out.ends_with(b"\nafter the flood\n") && out.len() > 4 << 20, "{}", out.len());
    assert_eq!(err.len(), 4 << 20);
    assert!(out.split(|byte| *byte == b'\n').any(|line| line.len() > 65_536));
}

#[tokio::test]
async fn an_open_call_stays_open() {
    let api = serve_api(only_version).await;
    let bundle = Bundle::of("leaks-open-call");
    let mut plugin = bundle.start(Some(&api));
    let channel = plugin.connect().await;
    hook(&channel, "OnActivate").await.unwrap();
    assert!(plugin.terminate().await.success());
    let report = bundle.report();
    assert_eq!(
        report.calls.iter().map(|call| &*call.rpc).collect::<Vec<_>>(),
        ["GetServerVersion"]
    );
    assert_eq!(report.failures, [""; 0]);
}

#[tokio::test]
async fn the_controller_can_be_deaf() {
    let bundle = Bundle::of("controller-blocked");
    let (plugin, channel) = start(&bundle).await;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/plugin.GRPCController/Shutdown");
    let request = tonic::Request::new(bytes::Bytes::new());
    let shutdown = client.unary(request, path, fake_interpreters::wire::RawCodec);
    assert!(tokio::time::timeout(Duration::from_millis(50), shutdown).await.is_err());
    drop(plugin);
}

#[tokio::test]
async fn grandchildren_stay() {
    for (character, new_session) in
        [("grandchild-holds-stdout", false), ("grandchild-new-session", true)]
    {
        let bundle = Bundle::of(character);
        let (mut plugin, channel) = start(&bundle).await;
        hook(&channel, "OnActivate").await.unwrap();
        drop(channel);
        let group = rustix::process::getpgid(None).unwrap();
        assert!(plugin.terminate().await.success());
        let pids = bundle.report().grandchildren;
        let pid = Pid::from_raw(pids[0] as i32).unwrap();
        let its_group = rustix::process::getpgid(Some(pid)).unwrap();
        assert_eq!(its_group == pid, new_session, "{character}");
        assert_eq!(its_group == group, !new_session, "{character}");
        rustix::process::kill_process(pid, Signal::TERM).unwrap();

        // Its end of the pipe is open until it is killed.
        let mut rest = Vec::new();
        let read = plugin.stdout.read_to_end(&mut rest);
        assert!(tokio::time::timeout(Duration::from_millis(50), read).await.is_err());
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        soon(plugin.stdout.read_to_end(&mut rest)).await.unwrap();
    }
}

#[tokio::test]
async fn a_closed_stdout_is_the_end_of_the_pipe() {
    let bundle = Bundle::new("life: [{print: a}, close_stdout, {print: b}, wait]");
    let mut plugin = bundle.start(None);
    let mut out = String::new();
    soon(plugin.stdout.read_to_string(&mut out)).await.unwrap();
    assert_eq!(out, "a\n");
    assert_eq!(plugin.child.try_wait().unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_done_is_told() {
    let bundle = Bundle::new("life: [{call: GetUser}, every_rpc, {exit: 7}]");
    let (status, ..) = bundle.run(Some("nowhere")).await;
    assert_eq!(status.code(), Some(7));
    let report = bundle.report();
    assert_eq!(report.failures.len(), 2);
    assert!(
        report.failures[0].starts_with("call GetUser: MATTERMOST_PLUGIN_API_TARGET is \"nowhere\"")
    );
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_told_once() {
    let bundle = Bundle::new("life: [{log: a}, {exit: 4}]");
    // A directory stands where the report would be written.
    std::fs::create_dir(bundle.path().join("report.json.part")).unwrap();
    let (status, _, stderr) = bundle.run(None).await;
    assert_eq!(status.code(), Some(4));
    assert_eq!(stderr.matches("cannot write").count(), 1, "{stderr}");
}
