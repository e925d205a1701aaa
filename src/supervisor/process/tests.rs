#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::{interval, timeout};

use super::command::LAUNCH_MARKER;
use super::*;

mod fuse;
mod machine;

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// Tells a test of this file, run once more in a process of its own, what it is there for.
const ROLE: &str = "PROCESS_TEST_ROLE";

fn marker() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn sh(script: &str) -> Command {
    Command::new("/bin/sh", "/", marker()).arg("-c").arg(script)
}

async fn start(script: &str) -> (Process, Lines<BufReader<ChildStdout>>) {
    let (process, stdout, _) = spawn(&sh(script)).await.unwrap();
    (process, BufReader::new(stdout).lines())
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    timeout(LONG, lines.next_line()).await.expect("a line in time").unwrap().expect("a line")
}

/// Waits until nobody holds the other end of a child's stdout any more.
async fn end_of_output(lines: &mut Lines<BufReader<ChildStdout>>) {
    let end = timeout(LONG, async { while lines.next_line().await.unwrap().is_some() {} });
    end.await.expect("the end of the output in time");
}

async fn exited(process: &Process) {
    timeout(LONG, process.exited()).await.expect("exit in time");
}

fn alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !matches!(stat.rsplit(") ").next().unwrap().as_bytes()[0], b'Z' | b'X'))
}

async fn until(condition: impl Fn() -> bool) {
    let mut ticks = interval(Duration::from_millis(2));
    let wait = timeout(LONG, async {
        while !condition() {
            ticks.tick().await;
        }
    });
    wait.await.expect("the condition in time");
}

fn report(status: ExitStatus) -> ExitReport {
    ExitReport { status, stragglers: 0, timed_out: false, unseen: None }
}

/// Runs one test of this file in a process of its own.
fn again(test: &str, role: &str) -> tokio::process::Command {
    let module = module_path!().split_once("::").unwrap().1;
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("{module}::{test}"), "--nocapture"])
        .env(ROLE, role)
        .kill_on_drop(true);
    command
}

fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

#[tokio::test]
async fn exit_status_and_both_outputs() {
    let (process, mut stdout, mut stderr) =
        spawn(&sh("echo out; echo err >&2; exit 3")).await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    stdout.read_to_string(&mut out).await.unwrap();
    stderr.read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    // Several waiters, and again afterwards.
    tokio::join!(exited(&process), exited(&process), exited(&process));
    exited(&process).await;
    assert_eq!(process.group.exit_status(), Some(ExitStatus::Code(3)));
    let report_ = process.finish(LONG).await;
    assert_eq!(report_, report(ExitStatus::Code(3)));
    assert_eq!(report_.to_string(), "exit status 3");
}

#[tokio::test]
async fn stdin_is_empty() {
    let (process, mut lines) = start("read x; echo $?").await;
    assert_eq!(line(&mut lines).await, "1");
    process.finish(LONG).await;
}

#[tokio::test]
async fn waiting_can_be_dropped() {
    let (process, mut lines) = start("echo up; exec sleep 1000").await;
    line(&mut lines).await;
    {
        let mut waiting = std::pin::pin!(process.exited());
        assert!(futures_pending(waiting.as_mut()).await);
    }
    assert_eq!(process.group.exit_status(), None);
    process.kill_group().unwrap();
    exited(&process).await;
    // The leader is dead but not reaped.
    process.kill_group().unwrap();
    process.terminate().unwrap();
    assert_eq!(process.finish(LONG).await, report(ExitStatus::Signal(9)));
}

async fn futures_pending(mut future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(future.as_mut().poll(context).is_pending())
    })
    .await
}

#[tokio::test]
async fn a_killed_leader_is_reported_by_signal() {
    let (process, _lines) = start("kill -SEGV $$").await;
    exited(&process).await;
    let report = process.finish(LONG).await;
    assert_eq!(report.to_string(), "killed by signal 11 (SIGSEGV)");
}

#[tokio::test]
async fn sigterm_reaches_the_plugin_behind_a_wrapper() {
    // The outer shell passes nothing on. The inner one starts nothing: a signal that
    // comes while dash forks can get lost.
    let script = "trap : TERM; sh -c 'trap \"echo bye; exit 0\" TERM; echo up; while :; do :; done' & wait; wait";
    let (process, mut lines) = start(script).await;
    assert_eq!(line(&mut lines).await, "up");
    process.terminate().unwrap();
    assert_eq!(line(&mut lines).await, "bye");
    exited(&process).await;
    process.finish(LONG).await;
}

#[tokio::test]
async fn a_leader_that_ignores_sigterm_is_killed() {
    let (process, mut lines) = start("trap '' TERM; echo up; while :; do sleep 1000; done").await;
    line(&mut lines).await;
    process.terminate().unwrap();
    let report_ = process.finish(LONG).await;
    assert_eq!(report_, report(ExitStatus::Signal(9)));
    end_of_output(&mut lines).await;
}

#[tokio::test]
async fn a_stopped_leader_is_killed() {
    let (process, mut lines) = start("echo up; kill -STOP $$").await;
    line(&mut lines).await;
    assert_eq!(process.finish(LONG).await, report(ExitStatus::Signal(9)));
}

#[tokio::test]
async fn a_grandchild_in_the_group_dies_with_a_living_leader() {
    let (process, mut lines) = start("sleep 1000 & echo $!; wait").await;
    let grandchild = line(&mut lines).await;
    assert_eq!(process.finish(LONG).await, report(ExitStatus::Signal(9)));
    assert!(!alive(&grandchild));
    end_of_output(&mut lines).await;
}

#[tokio::test]
async fn a_grandchild_in_the_group_dies_after_the_leaders_own_exit() {
    // Even one without any environment.
    let (process, mut lines) = start("env -i sleep 1000 & echo $!; exit 7").await;
    let grandchild = line(&mut lines).await;
    exited(&process).await;
    assert!(alive(&grandchild));
    assert_eq!(process.finish(LONG).await, report(ExitStatus::Code(7)));
    assert!(!alive(&grandchild));
    end_of_output(&mut lines).await;
}

#[tokio::test]
async fn descendants_that_left_the_group_are_swept() {
    let script = "for i in 1 2; do setsid sh -c 'echo $$; trap \"\" TERM HUP; while :; do sleep 1000; done' & done; wait";
    let (process, mut lines) = start(script).await;
    let escaped = [line(&mut lines).await, line(&mut lines).await];
    let other = start("echo up; exec sleep 1000").await;
    let report = process.finish(LONG).await;
    // The shells, and a `sleep` of each that had been started by then.
    assert!((2..=4).contains(&report.stragglers), "{report}");
    assert!(!report.timed_out);
    assert!(report.to_string().contains("processes outside its group killed"), "{report}");
    assert!(!escaped.iter().any(|pid| alive(pid)));
    end_of_output(&mut lines).await;
    // Another launch is left alone.
    assert_eq!(other.0.group.exit_status(), None);
    other.0.finish(LONG).await;
}

#[tokio::test]
async fn a_marker_that_only_begins_alike_is_another() {
    let long = sh("echo up; exec sleep 1000");
    let (other, stdout, _) = spawn(&long).await.unwrap();
    line(&mut BufReader::new(stdout).lines()).await;
    let short = Command::new("/bin/sh", "/", &long.marker[..long.marker.len() - 1]);
    let (process, _, _) = spawn(&short.arg("-c").arg("exit 0")).await.unwrap();
    exited(&process).await;
    assert_eq!(process.finish(LONG).await, report(ExitStatus::Code(0)));
    assert_eq!(other.group.exit_status(), None);
}

#[tokio::test]
async fn dropping_kills_the_group_and_what_left_it() {
    let (process, mut lines) =
        start("setsid sh -c 'echo $$; exec sleep 1000' & wait; sleep 1000").await;
    let (leader, escaped) = (process.pid().to_string(), line(&mut lines).await);
    drop(process);
    until(|| !alive(&escaped) && !fs::exists(format!("/proc/{leader}")).unwrap()).await;
    end_of_output(&mut lines).await;
}

#[tokio::test]
async fn a_dropped_finish_kills_all_the_same() {
    let (process, mut lines) = start("echo up; exec sleep 1000").await;
    line(&mut lines).await;
    let leader = process.pid().to_string();
    {
        let mut finish = std::pin::pin!(async {
            process.finish(LONG).await;
        });
        futures_pending(finish.as_mut()).await;
    }
    until(|| !fs::exists(format!("/proc/{leader}")).unwrap()).await;
}

#[tokio::test]
async fn without_time_to_wait_it_returns_at_once_and_goes_on_in_the_background() {
    let (process, mut lines) = start("echo up; exec sleep 1000").await;
    line(&mut lines).await;
    let leader = process.pid().to_string();
    let report = process.finish(Duration::ZERO).await;
    // Now and then the kernel is that quick.
    assert!(report.timed_out || report.status == ExitStatus::Signal(9), "{report}");
    until(|| !fs::exists(format!("/proc/{leader}")).unwrap()).await;
}

#[tokio::test]
async fn no_deadline_is_too_long() {
    let (process, _lines) = start("exit 0").await;
    exited(&process).await;
    assert_eq!(process.finish(Duration::MAX).await, report(ExitStatus::Code(0)));
}

#[tokio::test]
async fn the_group_is_its_own() {
    let (process, mut lines) = start("ps -o pgid= -p $$; echo done").await;
    assert_eq!(line(&mut lines).await.trim(), process.pid().to_string());
    process.finish(LONG).await;
}

#[tokio::test]
async fn the_environment_given_wins_and_can_be_removed() {
    // PATH is inherited; HOME is, unless the tests run without one.
    let command =
        sh("echo $PATH; echo ${HOME-none}; echo $MATTERMOST_PLUGIN_LAUNCH; echo ${USER-none}")
            .env("PATH", "/ours:/bin:/usr/bin")
            .env_remove("HOME")
            .env("USER", "x")
            .env_remove("USER")
            .env(LAUNCH_MARKER, "not this");
    let (process, stdout, _) = spawn(&command).await.unwrap();
    let mut lines = BufReader::new(stdout).lines();
    assert_eq!(line(&mut lines).await, "/ours:/bin:/usr/bin");
    assert_eq!(line(&mut lines).await, "none");
    assert_eq!(line(&mut lines).await, command.marker);
    assert_eq!(line(&mut lines).await, "none");
    process.finish(LONG).await;
    assert!(!format!("{:?}", command.env("TOKEN", "secret")).contains("secret"));
}

#[tokio::test]
async fn the_child_inherits_no_open_file_and_no_ignored_sigpipe() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let other = start("echo up; exec sleep 1000").await;
    let (process, mut lines) = start("grep SigIgn /proc/$$/status; exec sleep 1000").await;
    let ignored = line(&mut lines).await;
    let mask = u64::from_str_radix(ignored.rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(mask & (1 << 12), 0);

    let open = |pid: &str| {
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        entries.filter_map(|entry| fs::read_link(entry.path()).ok()).collect::<Vec<_>>()
    };
    let (ours, theirs) = (open("self"), open(&process.pid().to_string()));
    assert!(ours.contains(&file.path().to_owned()));
    assert!(theirs.contains(&PathBuf::from("/dev/null")));
    assert!(!theirs.contains(&file.path().to_owned()));
    // Nor the pipes of another plugin.
    let others = fs::read_link(format!("/proc/{}/fd/1", other.0.pid())).unwrap();
    assert!(ours.contains(&others) && !theirs.contains(&others));
    process.finish(LONG).await;
    other.0.finish(LONG).await;
}

async fn refused(command: &Command) -> SpawnError {
    timeout(LONG, spawn(command)).await.expect("an answer in time").map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn refusals_name_the_program_the_directory_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8], mode| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let at = |program: &Path| Command::new(program, dir.path(), marker());

    let error = refused(&at(&dir.path().join("none"))).await;
    assert!(matches!(error, SpawnError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("/none"), "{error}");
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    let error = refused(&at(Path::new("no-such-program-anywhere"))).await;
    assert!(matches!(error, SpawnError::NotFound { .. }), "{error}");

    let error = refused(&at(&file("plain", b"#!/bin/sh\n", 0o644))).await;
    assert!(error.to_string().contains("chmod +x"), "{error}");
    let error = refused(&at(dir.path())).await;
    assert!(matches!(error, SpawnError::NotExecutable { .. }), "{error}");

    let error = refused(&at(&file("orphan", b"#!/no/such/python\n", 0o755))).await;
    assert!(matches!(error, SpawnError::LoaderNotFound { .. }), "{error}");

    let program = file("fine", b"#!/bin/sh\n", 0o755);
    let error = refused(&Command::new(&program, dir.path().join("none"), marker())).await;
    assert!(matches!(error, SpawnError::NoDirectory { .. }), "{error}");
    let error = refused(&Command::new(&program, &program, marker())).await;
    assert!(matches!(error, SpawnError::NoDirectory { .. }), "{error}");

    for (command, part) in [
        (at(Path::new("a\0b")), "program"),
        (at(&program).arg("a\0b"), "argument"),
        (at(&program).env("A", "a\0b"), "value"),
        (at(&program).env("A=B", ""), "name"),
        (at(&program).env_remove(""), "name"),
        (Command::new(&program, "/a\0b", marker()), "directory"),
        (Command::new(&program, "/", ""), "marker"),
    ] {
        let error = refused(&command).await.to_string();
        assert!(error.contains(part) && !error.contains('\0'), "{error}");
    }
    let error = refused(&at(&program).arg("x".repeat(8 << 20))).await;
    assert!(matches!(error, SpawnError::TooLong { .. }), "{error}");
}

#[tokio::test]
async fn a_program_in_a_wrong_format_is_not_given_to_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let mut foreign = fs::read("/bin/sh").unwrap();
    foreign.truncate(64);
    // SPARC.
    (foreign[18], foreign[19]) = (2, 0);
    for (name, content, word) in [
        ("foreign", foreign.as_slice(), "architecture"),
        ("text", b"echo hello".as_slice(), "#!"),
        ("empty", b"".as_slice(), "#!"),
    ] {
        fs::write(dir.path().join(name), content).unwrap();
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
        let error = refused(&Command::new(format!("./{name}"), dir.path(), marker())).await;
        assert!(matches!(error, SpawnError::WrongFormat { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_is_being_written_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    fs::copy("/bin/true", &program).unwrap();
    let command = Command::new(&program, dir.path(), marker());
    let writer = fs::File::options().append(true).open(&program).unwrap();
    let error = refused(&command).await;
    assert!(matches!(error, SpawnError::Busy { .. }), "{error}");

    let mut spawning = std::pin::pin!(async { spawn(&command).await.unwrap().0 });
    let first_pause = timeout(Duration::from_millis(5), spawning.as_mut()).await;
    assert!(first_pause.is_err());
    drop(writer);
    let process = timeout(LONG, spawning).await.unwrap();
    exited(&process).await;
    assert_eq!(process.finish(LONG).await, report(ExitStatus::Code(0)));
}

#[tokio::test]
async fn a_spawn_that_nobody_waits_for_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let command = Command::new("/bin/sh", dir.path(), marker()).arg("-c").arg("exec sleep 1000");
    for _ in 0..20 {
        let mut spawning = std::pin::pin!(async { drop(spawn(&command).await) });
        futures_pending(spawning.as_mut()).await;
    }
    // The requests are served in turn: when this one is, those are over.
    let (process, _, _) = spawn(&sh("exit 0")).await.unwrap();
    process.finish(LONG).await;
    let wanted = format!("{LAUNCH_MARKER}={}", command.marker);
    until(|| {
        !fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
    })
    .await;
}

/// Counts, so it needs a process of its own.
#[tokio::test]
async fn a_hundred_launches_leave_no_zombie_and_no_descriptor() {
    const TEST: &str = "a_hundred_launches_leave_no_zombie_and_no_descriptor";
    if role().is_none() {
        let output = timeout(3 * LONG, again(TEST, "count").output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let children = || {
        fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default())
            .collect::<String>()
    };
    let cycle = async |round: usize| {
        let (process, mut lines) = start("sleep 1000 & echo up; exec sleep 1000").await;
        line(&mut lines).await;
        if round.is_multiple_of(10) {
            drop(process);
            end_of_output(&mut lines).await;
        } else {
            assert!(!process.finish(LONG).await.timed_out);
        }
    };
    cycle(1).await;
    let before = descriptors();
    for round in 0..100 {
        cycle(round).await;
    }
    until(|| children().is_empty()).await;
    assert_eq!(descriptors(), before);
}

/// The plugin dies when the supervisor is killed, though the thread that asked for it went before.
#[tokio::test]
async fn a_plugin_dies_with_its_supervisor_but_not_with_the_thread_that_asked() {
    const TEST: &str = "a_plugin_dies_with_its_supervisor_but_not_with_the_thread_that_asked";
    if role().is_some() {
        // The supervisor: a thread with a runtime of its own spawns, and ends.
        let asking = std::thread::spawn(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (process, mut lines) = start("echo $$; exec sleep 1000").await;
                let pid = line(&mut lines).await;
                (process, pid)
            })
        });
        let (process, pid) = asking.join().unwrap();
        // Its runtime is gone: it is waited for on this one.
        assert!(timeout(Duration::from_millis(50), process.exited()).await.is_err());
        println!("\nplugin {pid}");
        return std::future::pending().await;
    }
    let mut supervisor = again(TEST, "die").stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    let plugin = loop {
        if let Some(pid) = line(&mut lines).await.strip_prefix("plugin ") {
            break pid.to_owned();
        }
    };
    assert!(alive(&plugin));
    supervisor.start_kill().unwrap();
    assert_eq!(supervisor.wait().await.unwrap().signal(), Some(9));
    until(|| !alive(&plugin)).await;
}

#[test]
fn reports_read_as_words() {
    let text = |status, stragglers, timed_out| {
        ExitReport { status, stragglers, timed_out, unseen: None }.to_string()
    };
    assert_eq!(text(ExitStatus::Code(3), 0, false), "exit status 3");
    assert_eq!(text(ExitStatus::Signal(9), 0, false), "killed by signal 9 (SIGKILL)");
    assert_eq!(text(ExitStatus::Signal(63), 0, false), "killed by signal 63");
    assert_eq!(
        text(ExitStatus::Code(0), 1, false),
        "exit status 0, 1 process outside its group killed"
    );
    assert_eq!(
        text(ExitStatus::Unknown, 2, true),
        "exit status unknown, 2 processes outside its group killed, \
         not all of it was dead at the deadline"
    );
    let blind = ExitReport {
        status: ExitStatus::Code(0),
        stragglers: 0,
        timed_out: true,
        unseen: Some(Unseen::ForeignProc),
    };
    assert_eq!(
        blind.to_string(),
        "exit status 0, descendants could not be looked for: /proc belongs to another PID \
         namespace; mount the one of this namespace (unshare --mount-proc)"
    );
    assert!(ExitStatus::Code(0).success() && !ExitStatus::Signal(9).success());
}
