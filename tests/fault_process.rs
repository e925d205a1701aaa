//! Faults of processes: a plugin that forks, one that is stopped by a signal, and the supervisor
//! killed itself. docs/faults.md has all faults.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Plugin, alive, assert_refused, fake_python, quick_stop, signal, soon, until};
use fake_interpreters::report::Report;
use plugin_conformance::conformance::{Bundle, Interpreter};
use plugin_conformance::hooks::{Cause, HealthError, HookError};
use plugin_conformance::supervisor::{
    Ended, EventKind, ExitStatus, HandshakeError, LaunchFailure, Supervisor, Timeouts,
};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

// Forks

/// A plugin that starts a grandchild of this kind when it is activated, with a call of the API
/// under way.
fn forking(kind: &str) -> Plugin {
    Plugin::new(
        "forks",
        &format!(
            "life:
  - serve: {{hooks: [OnActivate, OnDeactivate]}}
  - handshake
  - wait
on:
  OnActivate:
    - open_call: GetUser
    - call: GetServerVersion
    - grandchild: {{holds_output: true, {kind}}}
"
        ),
    )
}

/// How the life of a plugin that forks may end.
#[derive(Debug, Clone, Copy)]
enum End {
    Shutdown,
    Kill,
    Crash,
}

async fn ends(supervisor: &Supervisor, end: End) -> Ended {
    match end {
        End::Shutdown => soon(supervisor.shutdown()).await,
        End::Kill => soon(supervisor.kill()).await,
        End::Crash => {
            signal(supervisor.pid(), Signal::KILL);
            soon(supervisor.ended()).await
        }
    }
}

/// It has stdout, stderr, the socket on which the hooks are served, their connection and that of the
/// API, with a call open on it: as after a fork without exec. All of it goes with the plugin.
#[tokio::test]
async fn a_fork_with_every_socket_of_the_plugin_holds_up_no_stop() {
    let mut lives = Vec::new();
    for kind in [
        "holds_sockets: true",
        "holds_sockets: true, new_session: true",
        "holds_sockets: true, double_fork: true",
        "holds_sockets: true, new_session: true, double_fork: true",
    ] {
        for end in [End::Shutdown, End::Kill, End::Crash] {
            lives.push(async move {
                let plugin = forking(kind);
                let builder = plugin.builder().timeouts(quick_stop());
                let supervisor = soon(builder.launch()).await.unwrap();
                let report = plugin.report_where(|report| !report.grandchildren.is_empty()).await;
                assert_eq!(report.failures, [""; 0], "{kind}");
                let grandchild = report.grandchildren[0];
                assert!(alive(grandchild), "{kind}");
                let is_child = parent(grandchild) == supervisor.pid();
                assert_eq!(is_child, !kind.contains("double_fork"), "{kind}");
                let held = sockets(grandchild);
                assert!(held >= 3, "{kind}: it holds {held} sockets");

                let start = Instant::now();
                let ended = ends(&supervisor, end).await;
                let took = start.elapsed();
                assert!(took < quick_stop().longest_stop(), "{kind}, {end:?}: {took:?}");
                assert!(!alive(grandchild), "{kind}, {end:?}");
                let outside = usize::from(kind.contains("new_session"));
                let exit = ended.exit.unwrap();
                assert_eq!((exit.stragglers, exit.timed_out), (outside, false), "{kind}, {end:?}");
                plugin.assert_nothing_left().await;
            });
        }
    }
    futures::future::join_all(lives).await;
}

fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(1).unwrap().parse().unwrap()
}

fn sockets(pid: u32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

/// Nothing finds a descendant that has left the group and thrown its environment away: it stays, with
/// the plugin's output in its hands. But it holds up nothing, and the next launch is a good one.
#[tokio::test]
async fn a_fork_that_hides_from_the_supervisor_holds_up_nothing() {
    let plugin = Plugin::of("well-behaved");
    let interpreter = plugin.dir().join("venv/bin/python");
    let note = plugin.dir().join("hidden.pid");
    let script = format!(
        "#!/bin/sh\nenv -i /usr/bin/setsid /bin/sh -c 'echo $$ >{note}.new; mv {note}.new {note}; exec sleep 1000' &\nexec {python} \"$@\"\n",
        note = note.display(),
        python = fake_python().display(),
    );
    fs::remove_file(&interpreter).unwrap();
    fs::write(&interpreter, script).unwrap();
    fs::set_permissions(&interpreter, fs::Permissions::from_mode(0o755)).unwrap();
    for _ in 0..2 {
        let builder = plugin.builder().timeouts(quick_stop());
        let supervisor = soon(builder.launch()).await.unwrap();
        until("it is there", || note.exists()).await;
        let hidden: u32 = fs::read_to_string(&note).unwrap().trim().parse().unwrap();
        let start = Instant::now();
        let ended = soon(supervisor.shutdown()).await;
        assert!(start.elapsed() < quick_stop().longest_stop(), "{:?}", start.elapsed());
        assert!(ended.exit.unwrap().status.success());
        plugin.assert_nothing_left().await;
        assert!(alive(hidden), "better than documented");
        signal(hidden, Signal::KILL);
        fs::remove_file(&note).unwrap();
    }
}

// SIGSTOP

/// Stopped before it has said anything, and in each of the steps after that: the launch fails at
/// that step's limit, and the process is gone although it hears no SIGTERM.
#[tokio::test]
async fn a_launch_of_a_stopped_plugin_fails_in_time() {
    let limit = Duration::from_millis(400);
    let timeouts = Timeouts { handshake: limit, health: limit, hook: limit, ..quick_stop() };
    let stopped = async |character: &str, wanted: fn(&EventKind) -> bool| {
        let plugin = Plugin::of(character);
        let builder = plugin.builder().timeouts(timeouts);
        let stop = async {
            plugin.event(wanted).await;
            signal(plugin.pids()[0], Signal::STOP);
        };
        let launch = async { soon(builder.launch()).await.expect_err("it is stopped") };
        let start = Instant::now();
        let (error, ()) = tokio::join!(launch, stop);
        let most = limit + timeouts.longest_stop();
        assert!(start.elapsed() < most, "{character}: {:?}", start.elapsed());
        let exit = error.exit.as_ref().unwrap();
        assert_eq!((exit.status, exit.timed_out), (ExitStatus::Signal(9), false), "{error}");
        plugin.assert_nothing_left().await;
        error.failure
    };
    let spawned = |kind: &EventKind| matches!(kind, EventKind::Spawned { .. });
    let healthy = |kind: &EventKind| *kind == EventKind::Healthy;
    let known = |kind: &EventKind| matches!(kind, EventKind::HooksKnown { .. });
    let handshaken = |kind: &EventKind| matches!(kind, EventKind::Handshaken { .. });
    // Those that say no more by themselves: where they are stopped is certain.
    let (handshake, health, implemented, activate) = tokio::join!(
        stopped("silent", spawned),
        stopped("blocks-health", handshaken),
        stopped("hang-in-implemented", healthy),
        stopped("hang-in-on-activate", known),
    );
    let is_timeout = matches!(handshake, LaunchFailure::Handshake(HandshakeError::Timeout { .. }));
    assert!(is_timeout, "{handshake}");
    assert!(matches!(health, LaunchFailure::Health(HealthError::Timeout { .. })), "{health}");
    let is_timeout = matches!(implemented, LaunchFailure::Implemented(HookError::Timeout { .. }));
    assert!(is_timeout, "{implemented}");
    let is_timeout = matches!(activate, LaunchFailure::OnActivate(HookError::Timeout { .. }));
    assert!(is_timeout, "{activate}");
}

/// Stopped while the launch waits for the handshake, and continued within its time: nothing happened.
#[tokio::test]
async fn a_plugin_that_goes_on_in_time_is_launched() {
    let script = "life:
  - serve: {hooks: [OnActivate, OnDeactivate]}
  - grandchild: {}
  - delay: 50
  - handshake
  - wait
";
    let plugin = Plugin::new("pauses", script);
    let builder = plugin.builder().timeouts(quick_stop());
    let pause = async {
        plugin.event(|kind| matches!(kind, EventKind::Spawned { .. })).await;
        let pid = plugin.pids()[0];
        plugin.report_where(|report| !report.grandchildren.is_empty()).await;
        signal(pid, Signal::STOP);
        until("it is stopped", || state(pid) == 'T').await;
        signal(pid, Signal::CONT);
    };
    let (supervisor, ()) = tokio::join!(async { soon(builder.launch()).await.unwrap() }, pause);
    supervisor.health_check().await.unwrap();
    soon(supervisor.shutdown()).await;
    plugin.assert_nothing_left().await;
}

fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.unwrap_or('?')
}

/// Stopped in the middle of a hook: the hook ends at its deadline; continued, the plugin is as good
/// as before.
#[tokio::test]
async fn a_hook_of_a_stopped_plugin_ends_at_its_deadline() {
    let more = "on:\n  MessageWillBePosted:\n    - log: asked\n    - delay: 100\n    - answer: {rejection_reason: spam}\n";
    let plugin = Plugin::good("OnActivate, MessageWillBePosted", more);
    let limit = Duration::from_millis(500);
    let timeouts = Timeouts { hook: limit, ..quick_stop() };
    let supervisor = soon(plugin.builder().timeouts(timeouts).launch()).await.unwrap();
    let ask = || supervisor.hooks().message_will_be_posted(Default::default());
    let start = Instant::now();
    let stop = async {
        let asked = || plugin.log.lock().unwrap().iter().any(|record| record.message == "asked");
        until("it is asked", asked).await;
        signal(supervisor.pid(), Signal::STOP);
    };
    let (outcome, ()) = tokio::join!(soon(ask()), stop);
    let timed_out = matches!(outcome.cause, Cause::Failed(HookError::Timeout { .. }));
    assert!(timed_out, "{:?}", outcome.cause);
    assert!(start.elapsed() < limit + Duration::from_secs(2), "{:?}", start.elapsed());

    signal(supervisor.pid(), Signal::CONT);
    let outcome = soon(ask()).await;
    assert!(matches!(outcome.cause, Cause::Answered), "{:?}", outcome.cause);
    let ended = soon(supervisor.shutdown()).await;
    assert!(ended.exit.unwrap().status.success());
    plugin.assert_nothing_left().await;
}

/// Stopped while it stops: SIGKILL ends what hears no SIGTERM. Continued meanwhile, it leaves by
/// itself.
#[tokio::test]
async fn a_plugin_that_is_stopped_while_it_stops_is_killed_unless_it_goes_on() {
    for goes_on in [false, true] {
        let plugin = Plugin::of("well-behaved");
        let grace = Duration::from_millis(if goes_on { 10_000 } else { 300 });
        let timeouts = Timeouts { grace, ..quick_stop() };
        let supervisor = soon(plugin.builder().timeouts(timeouts).launch()).await.unwrap();
        let pid = supervisor.pid();
        signal(pid, Signal::STOP);
        let start = Instant::now();
        let go_on = async {
            plugin.event(|kind| *kind == EventKind::Terminating).await;
            if goes_on {
                signal(pid, Signal::CONT);
            }
        };
        let (ended, ()) = tokio::join!(soon(supervisor.shutdown()), go_on);
        assert!(start.elapsed() < timeouts.longest_stop(), "{:?}", start.elapsed());
        let exit = ended.exit.unwrap();
        assert_eq!(exit.status.success(), goes_on, "{exit}");
        assert_eq!(plugin.kinds().contains(&EventKind::Killing), !goes_on);
        plugin.assert_nothing_left().await;
    }
}

// The supervisor itself

/// The program `plugin-conformance run` as a supervisor, with a bundle of its own.
struct Run {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Run {
    fn start(bundle: &Path, temporary: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plugin-conformance"));
        command.arg("run").arg(bundle).args(["--listen", "127.0.0.1:0"]).args(arguments);
        command.env_remove("RUST_LOG").env("TMPDIR", temporary).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self, wanted: &str) {
        soon(async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("it goes on");
                if line.contains(wanted) {
                    break;
                }
            }
        })
        .await;
    }

    async fn killed(mut self) {
        self.child.start_kill().unwrap();
        soon(self.child.wait()).await.unwrap();
    }
}

fn bundle(folder: &TempDir, script: &str) -> PathBuf {
    let dir = folder.path().canonicalize().unwrap().join("bundle");
    Bundle::write(&dir, "orphan", script, &Interpreter::Link(fake_python())).unwrap();
    dir
}

async fn report(bundle: &Path, wanted: impl Fn(&Report) -> bool) -> Report {
    let mut found = None;
    until("the report is as wanted", || {
        let read = Report::read(&bundle.join("report.json")).ok();
        found = read.filter(|report| wanted(report));
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// Killed while its plugin is active: the kernel ends the plugin, even one that is stopped or ignores
/// signals. What the plugin had started ends with the next launch, which is a good one, and so does the
/// API's Unix socket, on which nobody listens.
#[tokio::test]
async fn a_killed_supervisor_leaves_nothing_that_disturbs_the_next() {
    let kinds = ["", "new_session: true", "holds_sockets: true, double_fork: true"];
    let lives = kinds.map(async |kind| {
        let folder = tempfile::tempdir().unwrap();
        let temporary = tempfile::tempdir().unwrap();
        let script = format!(
            "life:
  - ignore_sigterm
  - serve: {{hooks: [OnActivate, OnDeactivate]}}
  - grandchild: {{holds_output: true, {kind}}}
  - handshake
  - wait
"
        );
        let dir = bundle(&folder, &script);
        let mut run = Run::start(&dir, temporary.path(), &["--unix"]);
        run.line("active at").await;
        let first = report(&dir, |report| !report.grandchildren.is_empty()).await;
        let (plugin, grandchild) = (first.pid, first.grandchildren[0]);
        let target = first.api_target.unwrap();
        assert!(alive(plugin) && alive(grandchild), "{kind}");
        signal(plugin, Signal::STOP);
        run.killed().await;
        until("the plugin is gone", || !alive(plugin)).await;
        assert!(!common::answers(&target).await, "{kind}");

        // The next one, a process of its own as well.
        let script = "life: [{serve: {hooks: [OnActivate]}}, handshake, wait]\n";
        fs::write(dir.join("plugin.py"), script).unwrap();
        let mut next = Run::start(&dir, temporary.path(), &["--once", "--unix"]);
        next.line("active at").await;
        until("what the plugin had started is gone", || !alive(grandchild)).await;
        assert!(soon(next.child.wait()).await.unwrap().success());
        // Nothing is left in the folder for temporary files either.
        let left = fs::read_dir(temporary.path()).unwrap().flatten();
        let left: Vec<_> =
            left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(left.is_empty(), "{left:?}");
    });
    futures::future::join_all(lives).await;
}

/// Killed in the middle of a launch.
#[tokio::test]
async fn a_supervisor_that_is_killed_in_a_launch_leaves_no_process() {
    let scripts = [
        "life: [{lock: begun}, hang]\n",
        "life: [{serve: {hooks: [OnActivate]}}, {lock: begun}, handshake, wait]\non: {OnActivate: [hang]}\n",
    ];
    let lives = scripts.map(async |script| {
        let (folder, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = bundle(&folder, script);
        let run = Run::start(&dir, temporary.path(), &[]);
        until("it has begun", || dir.join("begun").exists()).await;
        let plugin = report(&dir, |report| report.pid != 0).await;
        run.killed().await;
        until("the plugin is gone", || !alive(plugin.pid)).await;
        let target = plugin.api_target.as_ref().unwrap();
        assert_refused(target).await;
    });
    futures::future::join_all(lives).await;
}

/// The orphans of others are not touched: a supervisor that lives keeps what its plugin has started,
/// whoever else launches.
#[tokio::test]
async fn a_living_supervisors_plugins_are_left_alone() {
    let plugin = forking("new_session: true");
    let supervisor = soon(plugin.builder().timeouts(quick_stop()).launch()).await.unwrap();
    let report = plugin.report_where(|report| !report.grandchildren.is_empty()).await;
    let (folder, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = bundle(&folder, "life: [{serve: {hooks: [OnActivate]}}, handshake, wait]\n");
    let mut next = Run::start(&dir, temporary.path(), &["--once"]);
    next.line("active at").await;
    assert!(soon(next.child.wait()).await.unwrap().success());
    assert!(alive(report.grandchildren[0]) && alive(supervisor.pid()));
    supervisor.health_check().await.unwrap();
    soon(supervisor.shutdown()).await;
    plugin.assert_nothing_left().await;
}
