//! Faults of the machine: no file descriptors, a full disk, a peer that is gone without a word.
//! docs/faults.md has all faults.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Plugin, again, alive, children, is_again, passes_again, quick_stop, soon, until};
use plugin_conformance::api::ApiServer;
use plugin_conformance::hooks::{Cause, HealthError, HookError, HookLimits, Hooks, ServeHttpError};
use plugin_conformance::host::TraceEvent;
use plugin_conformance::http_front::{FindHooks, HttpFront};
use plugin_conformance::supervisor::{EventKind, Timeouts};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::Command;
use tokio::sync::watch;

// File descriptors

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Lets this process have no descriptor with this number or a greater one, save those it has.
fn descriptors_below(limit: u64) {
    let few = Rlimit { current: Some(limit), maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, few).unwrap();
}

/// Lets this process have this many descriptors more than it has now.
fn poor(more: usize) {
    descriptors_below(descriptors() as u64 + more as u64);
}

/// Takes all that are left but so many.
fn hold_all_but(free: usize) -> Vec<File> {
    let mut held: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    held.truncate(held.len().saturating_sub(free));
    held
}

/// With none left, with one, with two, and so on until the launch succeeds: each launch before that
/// fails in bounded time, names the limit, and leaves nothing; then the same supervisor launches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn launches_without_file_descriptors_fail_and_say_so() {
    if !is_again() {
        return passes_again(&mut again("launches_without_file_descriptors_fail_and_say_so")).await;
    }
    let timeouts = Timeouts { reap: Duration::from_millis(300), ..quick_stop() };
    // The second one calls the API before its handshake.
    for (character, unix) in [("no-api", true), ("well-behaved", false)] {
        let plugin = Plugin::of(character);
        let mut builder = plugin.builder().timeouts(timeouts);
        if unix {
            builder = builder.api_on_unix_socket();
        }
        // What is made once for all, such as the thread that forks, is there.
        soon(soon(builder.launch()).await.unwrap().shutdown()).await;
        until("nothing is left of it", || children().is_empty()).await;
        poor(40);
        let mut failures = 0;
        let launched = loop {
            let held = hold_all_but(failures);
            let start = Instant::now();
            let launched = soon(builder.launch()).await;
            assert!(start.elapsed() < timeouts.connect + timeouts.longest_stop());
            drop(held);
            let Err(error) = launched else { break launched.unwrap() };
            let text = error.to_string();
            assert!(text.to_lowercase().contains("too many open files"), "{failures}: {text}");
            assert!(text.contains("ulimit -n"), "{failures}: {text}");
            // What could not be looked for while it failed is looked for in the background.
            until("no process is left", || children().is_empty()).await;
            plugin.assert_nothing_left().await;
            failures += 1;
            assert!(failures < 40, "{text}");
        };
        assert!(failures > 5, "there was no want: {failures}");
        launched.health_check().await.unwrap();
        soon(launched.shutdown()).await;
        plugin.assert_nothing_left().await;
        descriptors_below(1024);
    }
}

/// A stop needs descriptors to look for descendants that have left the group. Without any it still
/// ends in bounded time and says that it does not know; what it could not find ends as soon as it can
/// be found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_file_descriptors_ends_and_is_made_good() {
    if !is_again() {
        let mut command = again("a_stop_without_file_descriptors_ends_and_is_made_good");
        return passes_again(&mut command).await;
    }
    let plugin = Plugin::of("grandchild-new-session");
    let timeouts = Timeouts { reap: Duration::from_millis(300), ..quick_stop() };
    let supervisor = soon(plugin.builder().timeouts(timeouts).launch()).await.unwrap();
    let report = plugin.report_where(|report| !report.grandchildren.is_empty()).await;
    // Not one that is closed while the plugin stops can be had again: only 0, 1 and 2 are allowed.
    descriptors_below(3);
    let start = Instant::now();
    let ended = soon(supervisor.shutdown()).await;
    assert!(start.elapsed() < timeouts.longest_stop(), "{:?}", start.elapsed());
    let exit = ended.exit.unwrap();
    assert!(exit.timed_out, "{exit}");
    descriptors_below(1024);
    until("the descendant is gone", || !alive(report.grandchildren[0])).await;
    until("the plugin is reaped", || children().is_empty()).await;
    plugin.assert_nothing_left().await;
}

/// No plugin at all.
struct Nobody;

impl FindHooks for Nobody {
    fn find(&self, _: &str) -> Option<Hooks> {
        None
    }
}

/// A server of HTTP in a process that may have few descriptors.
async fn poor_front() {
    let front = HttpFront::builder(Arc::new(Nobody)).start().await.unwrap();
    // From now on, when it has taken the limit for another: else it closes what is too much.
    poor(16);
    println!("\naddress {}", front.address());
    let read = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    front.stop(Duration::from_millis(200)).await;
    assert_eq!(front.tasks(), 0);
}

/// It serves the connections that it has, does not spin, and takes new ones when it can.
#[tokio::test]
async fn the_http_server_survives_a_want_of_file_descriptors() {
    if is_again() {
        return poor_front().await;
    }
    let mut command = again("the_http_server_survives_a_want_of_file_descriptors");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = soon(async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it starts");
            if let Some(address) = line.strip_prefix("address ") {
                break address.to_owned();
            }
        }
    })
    .await;
    let connect = || async { soon(TcpStream::connect(&address)).await.unwrap() };
    let mut good = connect().await;
    is_served(&mut good).await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(connect().await);
    }
    is_served(&mut good).await;
    let pid = child.id().unwrap();
    let (start, before) = (Instant::now(), cpu_ticks(pid));
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    while start.elapsed() < Duration::from_millis(500) {
        ticks.tick().await;
        is_served(&mut good).await;
    }
    let spent = cpu_ticks(pid) - before;
    assert!(spent < 25, "{spent} hundredths of a second in half a second");
    // The last of the crowd is not served yet, and then it is.
    let mut last = crowd.pop().unwrap();
    drop(crowd);
    is_served(&mut last).await;
    is_served(&mut good).await;
    drop(child.stdin.take());
    assert!(soon(child.wait()).await.unwrap().success());
}

async fn is_served(client: &mut TcpStream) {
    client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut reply = Vec::new();
    soon(async {
        while !reply.windows(4).any(|end| end == b"\r\n\r\n") {
            assert!(client.read_buf(&mut reply).await.unwrap() > 0, "it is closed");
        }
    })
    .await;
    let head = String::from_utf8_lossy(&reply);
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    // The page comes with the head or right after it.
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
    });
    let end = reply.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    soon(async {
        while reply.len() < end + length.unwrap_or(0) {
            assert!(client.read_buf(&mut reply).await.unwrap() > 0, "it is closed");
        }
    })
    .await;
}

/// Processor time of a process in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = stat.rsplit_once(')').unwrap().1;
    let ticks = rest.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

// The program

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plugin-conformance"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// The program, started by a shell that does this before.
fn after(before: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = format!("{before}; exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(assert_cmd::cargo::cargo_bin!("plugin-conformance"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Exit status, and everything that was said.
fn seen(output: &Output) -> (i32, String) {
    let text = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
    assert!(!text.contains("panicked"), "{text}");
    (output.status.code().expect("no signal ends it"), text)
}

/// Whatever the limit: the program does its work, or says what it lacks.
#[tokio::test]
async fn the_program_says_that_it_lacks_file_descriptors() {
    let plugin = Plugin::of("no-api");
    let dir = plugin.dir().to_str().unwrap();
    let commands = [
        &["check", "plugin", dir][..],
        &["run", dir, "--once", "--listen", "127.0.0.1:0"][..],
        &["check", "plugin", dir, "--unix"][..],
    ];
    for arguments in commands {
        let mut worked = 0;
        for limit in [4, 5, 6, 7, 8, 10, 14, 18, 20, 22, 26, 64] {
            let mut command = after(&format!("ulimit -n {limit}"), arguments);
            let (status, text) = seen(&soon(command.output()).await.unwrap());
            if status == 0 {
                worked += 1;
                continue;
            }
            assert!(matches!(status, 1 | 2), "{limit}: {status}: {text}");
            assert!(text.to_lowercase().contains("too many open files"), "{limit}: {text}");
            assert!(text.contains("ulimit -n"), "{limit}: {text}");
        }
        assert!((1..12).contains(&worked), "{arguments:?}: {worked}");
    }
}

// Full disks

/// The verdict is said, and then that the report could not be written, and why.
#[tokio::test]
async fn a_full_disk_for_the_report_is_named_after_the_verdict() {
    let plugin = Plugin::of("well-behaved");
    let dir = plugin.dir().to_str().unwrap();
    let mut command = program(&["check", "plugin", dir, "--json", "/dev/full"]);
    let (status, text) = seen(&soon(command.output()).await.unwrap());
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("13 checks: 13 passed"), "{text}");
    assert!(text.contains("error: cannot write the report to /dev/full: "), "{text}");
    assert!(text.contains("make room on that disk"), "{text}");
}

/// Nothing is launched for a record that cannot be kept.
#[tokio::test]
async fn a_full_disk_for_events_is_told_before_anything_begins() {
    let plugin = Plugin::of("well-behaved");
    let dir = plugin.dir().to_str().unwrap();
    for file in ["--events", "--trace"] {
        let arguments = ["run", dir, "--once", "--listen", "127.0.0.1:0", file, "/dev/full"];
        let (status, text) = seen(&soon(program(&arguments).output()).await.unwrap());
        assert_eq!(status, 2, "{text}");
        assert!(text.contains("error: cannot write the trace /dev/full: "), "{text}");
        assert!(text.contains("make room on that disk"), "{text}");
        assert!(!plugin.bundle.report().exists(), "the plugin was launched");
    }
}

/// What is printed has nowhere to go: the work is done all the same, plugins are stopped in order, and
/// the exit status says that something is lost.
#[tokio::test]
async fn a_full_disk_behind_standard_output_is_no_panic() {
    let (checked, run) = (Plugin::of("well-behaved"), Plugin::of("well-behaved"));
    let report = checked.dir().join("gate.json");
    let folder = |plugin: &Plugin| plugin.dir().to_str().unwrap().to_owned();
    let (checked_dir, run_dir) = (folder(&checked), folder(&run));
    let commands = [
        &["bundle"][..],
        &["check", "plugin", &checked_dir, "--json", report.to_str().unwrap()][..],
        &["run", &run_dir, "--once", "--listen", "127.0.0.1:0"][..],
        &["serve"][..],
    ];
    let runs = commands.map(async |arguments| {
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let mut command = program(arguments);
        let child = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        let (status, text) = seen(&soon(child.wait_with_output()).await.unwrap());
        assert_eq!(status, 2, "{arguments:?}: {text}");
        assert!(text.contains("No space left on device"), "{arguments:?}: {text}");
        // And no place to say so.
        let mut command = program(arguments);
        let mut child = command.stdout(full()).stderr(full()).spawn().unwrap();
        assert_eq!(soon(child.wait()).await.unwrap().code(), Some(2), "{arguments:?}");
    });
    futures::future::join_all(runs).await;
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains("\"passed\": 13"), "{report}");
    assert_eq!(run.report().exit, Some(0));

    // Whoever closes it wants no more, and that is no failure.
    let mut command = after("exec 1>&-", &["bundle"]);
    let (status, text) = seen(&soon(command.output()).await.unwrap());
    assert_eq!(status, 0, "{text}");
}

/// A fake interpreter that cannot write its report says so once, and goes on.
#[tokio::test]
async fn a_full_disk_for_an_interpreters_report_ends_nothing() {
    let plugin = Plugin::of("well-behaved");
    let part = plugin.bundle.report().with_extension("json.part");
    std::os::unix::fs::symlink("/dev/full", part).unwrap();
    let supervisor = plugin.launch().await;
    let ended = soon(supervisor.shutdown()).await;
    assert!(ended.exit.unwrap().status.success());
    let said = |text: &str| {
        let log = plugin.log.lock().unwrap();
        log.iter().filter(|record| record.message.contains(text)).count()
    };
    assert_eq!(said("cannot write"), 1, "{:?}", plugin.log.lock().unwrap());
    assert_eq!(said("No space left on device"), 1);
    plugin.assert_nothing_left().await;

    // The gate judges what it has seen itself.
    let dir = plugin.dir().to_str().unwrap();
    let (status, text) = seen(&soon(program(&["check", "plugin", dir]).output()).await.unwrap());
    assert!(matches!(status, 0 | 1), "{text}");
    assert!(text.contains("ok      plugin.handshake"), "{text}");
}

/// A record that is begun and then finds its disk full costs nothing but itself.
#[tokio::test]
async fn a_file_size_limit_for_events_is_told_at_the_end() {
    let plugin = Plugin::of("well-behaved");
    let dir = plugin.dir().to_str().unwrap();
    let events = plugin.dir().with_file_name("events.jsonl");
    let arguments =
        ["run", dir, "--once", "--listen", "127.0.0.1:0", "--events", events.to_str().unwrap()];
    // Half a KiB of file each; SIGXFSZ is ignored, so that writing fails instead.
    let mut command = after("trap '' XFSZ; ulimit -f 1", &arguments);
    let (status, text) = seen(&soon(command.output()).await.unwrap());
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("active at"), "{text}");
    assert!(text.contains(&format!("cannot write the trace {}: ", events.display())), "{text}");
    // What was written before is whole lines, but for the last.
    let written = fs::read_to_string(&events).unwrap();
    let (whole, _) = written.rsplit_once('\n').unwrap();
    for line in whole.lines() {
        let _: TraceEvent = serde_json::from_str(line).unwrap();
    }
}

// Half-open connections

/// Carries bytes between the supervisor and the plugin's own socket until it is told to stop; from
/// then on nothing comes through, and nobody is told: as if the machine between were gone.
async fn relay(listener: TcpListener, bundle: &Path, open: watch::Receiver<bool>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((supervisor, _)) = listener.accept().await {
        let names = fs::read_dir(bundle).unwrap().flatten().map(|entry| entry.path());
        let socket =
            names.into_iter().find(|path| path.extension() == Some("sock".as_ref())).unwrap();
        let mut open = open.clone();
        connections.spawn(async move {
            let (supervisor_reads, supervisor_writes) = &mut supervisor.into_split();
            let plugin = UnixStream::connect(socket).await.unwrap();
            let (plugin_reads, plugin_writes) = &mut plugin.into_split();
            let there = tokio::io::copy(supervisor_reads, plugin_writes);
            let back = tokio::io::copy(plugin_reads, supervisor_writes);
            tokio::select! {
                _ = async { tokio::join!(there, back) } => return,
                _ = open.wait_for(|open| !open) => {}
            }
            // Both connections stay open, and nobody reads them.
            std::future::pending().await
        });
    }
}

/// Health checks and hooks end at their limits, and so does the stop.
#[tokio::test]
async fn a_plugin_behind_a_dead_connection_is_stopped_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plugin = Plugin::new(
        "far",
        &format!(
            "life:
  - serve: {{hooks: [OnActivate, OnDeactivate, MessageWillBePosted], network: unix}}
  - handshake: \"1|1|tcp|127.0.0.1:{port}|grpc\"
  - wait
"
        ),
    );
    let (connected, open) = watch::channel(true);
    let relay = async {
        relay(listener, plugin.dir(), open).await;
    };
    let life = async {
        let (health, hook) = (Duration::from_millis(700), Duration::from_millis(1200));
        let timeouts = Timeouts { health, hook, ..quick_stop() };
        let supervisor = soon(plugin.builder().timeouts(timeouts).launch()).await.unwrap();
        supervisor.health_check().await.unwrap();
        connected.send_replace(false);

        let start = Instant::now();
        let error = soon(supervisor.health_check()).await.unwrap_err();
        assert!(matches!(error, HealthError::Timeout { .. }), "{error}");
        assert!(start.elapsed() < health + Duration::from_secs(2), "{:?}", start.elapsed());
        let hooks = supervisor.hooks();
        let start = Instant::now();
        let outcome = soon(hooks.message_will_be_posted(Default::default())).await;
        let failed = matches!(outcome.cause, Cause::Failed(HookError::Timeout { .. }));
        assert!(failed, "{:?}", outcome.cause);
        assert!(start.elapsed() < hook + Duration::from_secs(2), "{:?}", start.elapsed());

        let start = Instant::now();
        let ended = soon(supervisor.shutdown()).await;
        assert!(start.elapsed() < timeouts.longest_stop(), "{:?}", start.elapsed());
        // SIGTERM reaches it all the same; a call that never ends may keep it until it is killed.
        assert!(!ended.exit.unwrap().timed_out);
        let failed = |kind: &EventKind| matches!(kind, EventKind::Deactivated { error: Some(_) });
        assert!(plugin.kinds().iter().any(failed), "{:?}", plugin.kinds());
        plugin.assert_nothing_left().await;
    };
    tokio::select! {
        () = relay => unreachable!("the listener stays"),
        () = life => {}
    }
}

/// Peers of the API that say nothing, half a preface, or half a frame, and stay: the stop does not
/// wait for them.
#[tokio::test]
async fn half_open_peers_of_the_api_do_not_hold_a_stop() {
    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let server = ApiServer::builder(Arc::new(common::Tiny)).start().await.unwrap();
    let mut peers = Vec::new();
    let half_a_frame = [HELLO, b"\0\x40\0\x01\x04\0\0\0\x01\x83"].concat();
    for said in [&b""[..], &HELLO[..10], HELLO, &half_a_frame] {
        let mut peer = TcpStream::connect(server.target()).await.unwrap();
        peer.write_all(said).await.unwrap();
        peers.push(peer);
    }
    until("they are there", || server.tasks() == 1 + peers.len()).await;
    let drain = Duration::from_millis(200);
    let start = Instant::now();
    let stop = soon(server.stop(drain)).await;
    assert!(start.elapsed() < drain + Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!((stop.stuck, server.tasks()), (0, 0));
}

/// How a plugin behind a dead connection comes to be known as lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Stopped,
    Killed,
    /// It lives on, and answers no ping.
    Pinged,
}

/// HTTP under way behind a connection that says nothing any more, though nobody closes it, ends with
/// the plugin's process, or by a ping while that lives: with and without a body, before the reply and
/// in the middle of it.
#[tokio::test]
async fn http_behind_a_dead_connection_ends() {
    for loss in [Loss::Stopped, Loss::Killed, Loss::Pinged] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plugin = Plugin::new(
            "far",
            &format!(
                "life:
  - serve: {{hooks: [ServeHTTP], network: unix}}
  - handshake: \"1|1|tcp|127.0.0.1:{port}|grpc\"
  - wait
on:
  ServeHTTP:
    - routes:
        - {{path: /mute, do: [hang]}}
        - {{path: /half, reply: {{read: first, body: half, end: hang}}}}
"
            ),
        );
        let (connected, open) = watch::channel(true);
        let relay = async {
            relay(listener, plugin.dir(), open).await;
        };
        tokio::select! {
            () = relay => unreachable!("the listener stays"),
            () = http_of_a_lost_plugin(&plugin, loss, connected) => {}
        }
    }
}

async fn http_of_a_lost_plugin(plugin: &Plugin, loss: Loss, connected: watch::Sender<bool>) {
    let (ping_interval, ping_timeout) = match loss {
        Loss::Pinged => (Duration::from_millis(200), Duration::from_secs(3)),
        Loss::Stopped | Loss::Killed => (Duration::from_secs(600), Duration::from_secs(600)),
    };
    let limits = HookLimits { ping_interval, ping_timeout, ..Default::default() };
    let launch = plugin.builder().timeouts(quick_stop()).hook_limits(limits);
    let supervisor = soon(launch.launch()).await.unwrap();
    let asked = [("/mute", ""), ("/mute", "body"), ("/half", ""), ("/half", "body")];
    let asked = asked.map(|(path, body)| {
        let init = plugin_proto::v1::ServeHttpRequestInit {
            method: "POST".into(),
            url: path.into(),
            content_length: -1,
            ..Default::default()
        };
        let hooks = supervisor.hooks().clone();
        let (half, here) = tokio::sync::oneshot::channel();
        let request = tokio::spawn(async move {
            let mut body = hooks.serve_http(init, body.to_owned()).await?.body;
            assert_eq!(body.part().await.unwrap().unwrap().chunk, "half");
            half.send(()).unwrap();
            body.part().await.expect("it is not whole").map(drop)
        });
        (path, here, request)
    });
    plugin
        .report_where(|report| {
            report.hooks.iter().filter(|hook| *hook == "ServeHTTP").count() == asked.len()
        })
        .await;
    let mut under_way = Vec::new();
    for (path, here, request) in asked {
        if path == "/half" {
            soon(here).await.unwrap();
        }
        under_way.push((path, request));
    }
    connected.send_replace(false);
    match loss {
        Loss::Stopped => drop(soon(supervisor.shutdown()).await),
        Loss::Killed => common::signal(plugin.pids()[0], rustix::process::Signal::KILL),
        Loss::Pinged => {}
    }
    for (path, request) in under_way {
        let error = soon(request).await.unwrap().unwrap_err();
        let expected = match path {
            "/mute" => matches!(error, ServeHttpError::NoReply { status: Some(_) }),
            _ => matches!(error, ServeHttpError::Cut { .. }),
        };
        assert!(expected, "{loss:?}: {path}: {error:?}");
        assert_eq!(error.http_status().as_u16(), 502, "{error}");
    }
    soon(supervisor.shutdown()).await;
}
