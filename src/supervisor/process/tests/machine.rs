//! A machine that is in a bad way, each in a process of its own.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::{Resource, Rlimit, Signal, WaitId, WaitIdOptions, setrlimit, waitid};

use super::fuse::Fuse;
use super::*;

/// Nobody in particular.
const OTHER_USER: u32 = 65_533;

/// Runs a test of this file once more behind a program that changes the machine for it; skipped with
/// the reason where that program is refused.
async fn behind(program: &[&str], test: &str) {
    if std::process::Command::new(program[0])
        .args(&program[1..])
        .arg("true")
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        let mut command = tokio::process::Command::new(program[0]);
        command.args(&program[1..]).arg(std::env::current_exe().unwrap());
        passes(arguments(&mut command, test)).await;
    } else {
        println!("skipped: {} is refused here", program.join(" "));
    }
}

fn arguments<'a>(
    command: &'a mut tokio::process::Command,
    test: &str,
) -> &'a mut tokio::process::Command {
    let module = module_path!().split_once("::").unwrap().1;
    command
        .args(["--exact", &format!("{module}::{test}"), "--nocapture"])
        .env(ROLE, "inside")
        .kill_on_drop(true)
}

async fn passes(command: &mut tokio::process::Command) {
    let output = timeout(6 * LONG, command.output()).await.expect("it ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "no such test: {stdout}");
    for line in stdout.lines().filter(|line| line.contains("skipped: ")) {
        println!("{line}");
    }
}

fn is_inside() -> bool {
    role().is_some()
}

async fn finished(process: Process) -> ExitReport {
    timeout(LONG, process.finish(LONG)).await.expect("the end in time")
}

fn mounted(fuse: io::Result<Fuse>) -> Option<Fuse> {
    fuse.inspect_err(|error| println!("skipped: no file system in user space: {error}")).ok()
}

fn has_python() -> bool {
    let python = std::process::Command::new("python3").arg("--version").output();
    python.is_ok() || {
        println!("skipped: there is no python3");
        false
    }
}

const MOUNTS: [&str; 4] = ["unshare", "--mount", "--propagation", "private"];

/// One program on a disk that does not answer, and one whose interpreter is there: they fail by
/// themselves, in time and by name. Nothing of them stays, and whatever is started meanwhile is started.
#[tokio::test]
async fn a_start_that_is_stuck_fails_no_other() {
    if !is_inside() {
        return behind(&MOUNTS, "a_start_that_is_stuck_fails_no_other").await;
    }
    let dir = tempfile::tempdir().unwrap();
    // One disk for each: who waits in the kernel for another who waits cannot even be killed.
    let (dead, other) = (dir.path().join("dead"), dir.path().join("other"));
    fs::create_dir(&dead).unwrap();
    fs::create_dir(&other).unwrap();
    let Some(fuse) = mounted(Fuse::silent(&dead)) else { return };
    let Some(other_fuse) = mounted(Fuse::silent(&other)) else { return };
    let script = dir.path().join("script");
    fs::write(&script, format!("#!{}/python\n", other.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let stuck = [dead.join("python"), script].map(|program| {
        let command = Command::new(program, dir.path(), marker());
        tokio::spawn(async move { spawn(&command).await.map(|_| ()).unwrap_err() })
    });
    for _ in 0..3 {
        let (process, mut lines) = timeout(LONG / 4, start("echo up; sleep 1000")).await.unwrap();
        assert_eq!(line(&mut lines).await, "up");
        assert!(!finished(process).await.timed_out);
    }
    assert!(!stuck.iter().any(|stuck| stuck.is_finished()), "the good ones had to wait for them");
    for stuck in stuck {
        let error = timeout(LONG, stuck).await.unwrap().unwrap();
        assert!(matches!(error, SpawnError::TimedOut { .. }), "{error}");
        assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    }
    let children = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        tasks
            .map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default())
            .collect::<String>()
    };
    until(|| children().is_empty()).await;
    drop((fuse, other_fuse));
}

/// A descendant that is being given its program has no environment until then.
#[tokio::test]
async fn a_process_in_the_middle_of_exec_is_not_taken_for_a_stranger() {
    const TEST: &str = "a_process_in_the_middle_of_exec_is_not_taken_for_a_stranger";
    if !is_inside() {
        return behind(&MOUNTS, TEST).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = fs::File::open(std::env::current_exe().unwrap()).unwrap();
    // Its headers are read, and not its data.
    let Some(fuse) = mounted(Fuse::of(dir.path(), program, 1 << 20)) else { return };
    let script = format!("setsid {}/program & echo $!; sleep 1000", dir.path().display());
    let (process, mut lines) = start(&script).await;
    let pid = line(&mut lines).await;
    let environ = format!("/proc/{pid}/environ");
    let group = process.pid().to_string();
    until(|| {
        let group_of = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let group_of = group_of.rsplit(") ").next().unwrap().split(' ').nth(2).map(str::to_owned);
        group_of.is_some_and(|of| of != group) && fs::read(&environ).is_ok_and(|it| it.is_empty())
    })
    .await;
    let report = finished(process).await;
    assert_eq!(report.unseen, Some(Unseen::Starting { pid: pid.parse().unwrap() }), "{report}");
    assert!(report.timed_out);
    drop(fuse);
}

/// It has a zombie for its first thread, and lives.
#[tokio::test]
async fn a_descendant_whose_main_thread_has_ended_is_swept() {
    if !has_python() {
        return;
    }
    let python = "import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=[1000]).start()
os.write(1, str(os.getpid()).encode() + bytes([10]))
ctypes.CDLL(None).pthread_exit(None)";
    let command = sh("setsid python3 -c \"$0\" & sleep 1000").arg(python);
    let (process, stdout, _) = spawn(&command).await.unwrap();
    let pid = line(&mut BufReader::new(stdout).lines()).await;
    until(|| !alive(&pid)).await;
    assert!(fs::exists(format!("/proc/{pid}/stat")).unwrap());
    let report = finished(process).await;
    assert_eq!((report.stragglers, report.timed_out), (1, false), "{report}");
    until(|| !fs::exists(format!("/proc/{pid}")).unwrap()).await;
}

/// Starts a descendant in another session, and stops.
async fn blind_stop() -> ExitReport {
    let (process, mut lines) = start("setsid sh -c 'echo $$; exec sleep 1000' & wait").await;
    line(&mut lines).await;
    finished(process).await
}

#[tokio::test]
async fn without_proc_a_stop_says_that_it_could_not_look() {
    if !is_inside() {
        return behind(&MOUNTS, "without_proc_a_stop_says_that_it_could_not_look").await;
    }
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("none", "/proc", "tmpfs", flags, None).unwrap();
    let report = blind_stop().await;
    assert_eq!((report.unseen, report.timed_out), (Some(Unseen::NoProc), true));
}

/// Its numbers are those of other processes.
#[tokio::test]
async fn with_the_proc_of_another_namespace_nobody_is_killed() {
    if !is_inside() {
        let namespace = ["unshare", "--pid", "--fork", "--kill-child"];
        return behind(&namespace, "with_the_proc_of_another_namespace_nobody_is_killed").await;
    }
    let report = blind_stop().await;
    assert_eq!((report.unseen, report.timed_out), (Some(Unseen::ForeignProc), true));
}

/// Group, session, daemon; a stop and a drop.
#[tokio::test]
async fn the_first_process_of_a_container_keeps_no_zombies() {
    if !is_inside() {
        let container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
        return behind(&container, "the_first_process_of_a_container_keeps_no_zombies").await;
    }
    assert_eq!(std::process::id(), 1);
    let others = || {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let numbers = entries.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
        numbers.filter(|number| *number != 1).count()
    };
    let script = "sleep 1000 & setsid sh -c 'sleep 1000 & wait' & (setsid sleep 1000 &) ; \
                  echo up; wait";
    for dropped in [false, true] {
        let (process, mut lines) = start(script).await;
        line(&mut lines).await;
        if dropped {
            drop(process);
            until(|| others() == 0).await;
        } else {
            let report = finished(process).await;
            assert!(!report.timed_out, "{report}");
            assert_eq!(others(), 0);
        }
    }
}

/// The kernel reaps the leader, or another part of this process does.
#[tokio::test]
async fn a_leader_that_somebody_else_reaps_takes_its_group_along() {
    const TEST: &str = "a_leader_that_somebody_else_reaps_takes_its_group_along";
    let ignoring = ["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"];
    match role().as_deref() {
        None => {
            behind(&ignoring, TEST).await;
            let mut looping = tokio::process::Command::new(std::env::current_exe().unwrap());
            return passes(arguments(&mut looping, TEST).env(ROLE, "loop")).await;
        }
        Some("loop") => {
            std::thread::spawn(|| {
                loop {
                    if waitid(WaitId::All, WaitIdOptions::EXITED).is_err() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
        }
        Some(_) => {
            let error = refused(&Command::new("/no/such/program", "/", marker())).await;
            assert!(error.to_string().contains("/no/such/program"), "{error}");
        }
    }
    let script = "sleep 1000 & echo $!; env -i sleep 1000 & echo $!; \
                  setsid sh -c 'echo $$; exec sleep 1000' & read x <&-; ";
    for end in ["exit 3", "sleep 1000"] {
        let (process, mut lines) = start(&format!("{script}{end}")).await;
        let children = [line(&mut lines).await, line(&mut lines).await, line(&mut lines).await];
        if end == "exit 3" {
            exited(&process).await;
        }
        let asked = Instant::now();
        let report = finished(process).await;
        assert!(asked.elapsed() < LONG / 4, "{:?}", asked.elapsed());
        assert_eq!((report.stragglers, report.timed_out), (1, false), "{report}");
        assert!(!children.iter().any(|pid| alive(pid)), "{children:?}");
    }
}

/// A copy of this program that everybody may run, as another user.
fn as_other_user(test: &str) -> Option<(tempfile::TempDir, tokio::process::Command)> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new(program);
    command.uid(OTHER_USER).gid(OTHER_USER).current_dir("/").env("TMPDIR", "/tmp");
    let mut command = tokio::process::Command::from(command);
    arguments(&mut command, test);
    Some((folder, command))
}

/// Not another thread or process may be started: what is needed for a stop is there.
#[tokio::test]
async fn at_the_limit_of_threads_a_stop_is_a_whole_one() {
    if !is_inside() {
        let command = as_other_user("at_the_limit_of_threads_a_stop_is_a_whole_one");
        let Some((_folder, mut command)) = command else { return };
        return passes(&mut command).await;
    }
    let script = "setsid sh -c 'echo $$; exec sleep 1000' & wait";
    let (stopped, mut lines) = start(script).await;
    let (dropped, mut others) = start(script).await;
    let escaped = [line(&mut lines).await, line(&mut others).await];
    setrlimit(Resource::Nproc, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    assert!(std::thread::Builder::new().spawn(|| ()).is_err());
    let report = finished(stopped).await;
    assert_eq!((report.stragglers, report.timed_out), (1, false), "{report}");
    drop(dropped);
    until(|| !escaped.iter().any(|pid| alive(pid))).await;
    let error = refused(&sh("exit 0")).await;
    assert!(error.to_string().contains("ulimit -u"), "{error}");
}

#[tokio::test]
async fn where_other_users_processes_are_hidden_our_own_are_swept() {
    const TEST: &str = "where_other_users_processes_are_hidden_our_own_are_swept";
    match role().as_deref() {
        None => return behind(&MOUNTS, TEST).await,
        Some("inside") if rustix::process::geteuid().is_root() => {
            let flags = rustix::mount::MountFlags::empty();
            if let Err(error) = rustix::mount::mount("proc", "/proc", "proc", flags, c"hidepid=2") {
                println!("skipped: no /proc with hidepid: {error}");
                return;
            }
            let Some((_folder, mut command)) = as_other_user(TEST) else { return };
            return passes(&mut command).await;
        }
        Some(_) => {}
    }
    assert!(!fs::exists("/proc/1").unwrap());
    let report = blind_stop().await;
    assert_eq!((report.stragglers, report.timed_out, report.unseen), (1, false, None));
}

/// The rules of a container may refuse what is newer than they are.
#[tokio::test]
async fn where_pidfds_are_refused_descendants_are_killed_by_number() {
    if !is_inside() {
        return behind(&["env"], "where_pidfds_are_refused_descendants_are_killed_by_number").await;
    }
    let number: i64 = 434;
    for errno in [1, 38] {
        let filter = seccompiler::SeccompFilter::new(
            [(number, Vec::new())].into(),
            seccompiler::SeccompAction::Allow,
            seccompiler::SeccompAction::Errno(errno),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
        // The last one that is laid over the others wins only if it is stricter: both refuse.
        seccompiler::apply_filter_all_threads(&program).unwrap();
        let refused = rustix::process::pidfd_open(
            rustix::process::getpid(),
            rustix::process::PidfdFlags::empty(),
        );
        assert!(refused.is_err());
        let report = blind_stop().await;
        assert_eq!((report.stragglers, report.timed_out, report.unseen), (1, false, None));
    }
}

/// Whatever is to outlive the plugin is started without the variable, in a session of its own.
#[tokio::test]
async fn a_child_without_the_variable_is_let_go() {
    let script = "for value in -u 'LAUNCH='; do case $value in \
                  -u) set -- -u MATTERMOST_PLUGIN_LAUNCH;; *) set -- MATTERMOST_PLUGIN_LAUNCH=;; esac; \
                  env \"$@\" setsid sh -c 'echo $$; exec sleep 1000' & done; wait";
    let (process, mut lines) = start(script).await;
    let let_go = [line(&mut lines).await, line(&mut lines).await];
    let report = finished(process).await;
    assert_eq!((report.stragglers, report.timed_out), (0, false), "{report}");
    let living = let_go.iter().filter(|pid| alive(pid)).count();
    for pid in &let_go {
        let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }
    assert_eq!(living, 2);
}
