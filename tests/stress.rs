//! `stress`, by short runs: clean ones, the same one twice, and faults that it has to find.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::fake_python;
use plugin_conformance::conformance::Interpreter;
use plugin_conformance::conformance::invariants::{Fact, Mark, Resource};
use plugin_conformance::conformance::stress::{
    Ending, ROLES, Role, Stage, Stress, Summary, Until, memory_leak,
};
use plugin_conformance::supervisor::Fault;
use plugin_conformance::supervisor::lifecycle::Action;

fn stress(seed: u64, cycles: u64) -> Stress {
    let mut stress = Stress::new(Interpreter::Link(fake_python()), seed);
    stress.until = Until::Cycles(cycles);
    stress.longest = Duration::from_millis(5);
    stress
}

/// By plugin and cycle: what was decided, and the order of life events.
type Seen = BTreeMap<(u64, u64), (String, Vec<Mark>)>;

async fn seen(seed: u64) -> (Summary, Seen) {
    let (mut stress, seen) = (stress(seed, 60), Arc::new(Mutex::new(Seen::new())));
    let into = Arc::clone(&seen);
    stress.observe = Some(Arc::new(move |lived| {
        let plan = &lived.plan;
        into.lock().unwrap().insert((plan.plugin, plan.cycle), (plan.to_string(), lived.marks()));
    }));
    let summary = stress.run().await.unwrap();
    let seen = seen.lock().unwrap().clone();
    (summary, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_gives_the_same_decisions_and_the_same_order() {
    let (summary, first) = seen(7).await;
    assert!(summary.is_success(), "{summary:#?}");
    assert_eq!(summary.lives, 60);
    let (again, second) = seen(7).await;
    assert!(again.is_success(), "{again:#?}");
    assert_eq!(first, second);
    assert_eq!(summary.digest, again.digest);
}

/// A fault in a well-behaved plugin's life: what is found.
async fn found(
    fault: impl Fn(&mut plugin_conformance::conformance::stress::Lived) + Send + Sync + 'static,
) -> Summary {
    let mut stress = stress(1, 8);
    stress.plugins = 1;
    stress.roles = vec![Role::by_name("well-behaved").unwrap()];
    stress.sabotage = Some(Arc::new(fault));
    stress.run().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_life_is_found_shortened_and_named() {
    let early = found(|lived| {
        // The API server is let go before the process is reaped.
        if let Some(at) = lived.facts.iter().position(|fact| *fact == Fact::Logged(Mark::Spawned)) {
            lived.facts.insert(at + 1, Fact::Released(Resource::Api));
        }
    })
    .await;
    assert_eq!(early.broken[0].rule, "api-outlives-process");
    let shorter = early.broken.iter().filter(|broken| broken.shorter.is_some());
    assert!(shorter.count() > 0, "{early:#?}");

    let twice = found(|lived| lived.facts.insert(0, Fact::Released(Resource::Api))).await;
    assert_eq!(twice.broken[0].rule, "released-once");

    let lost = found(|lived| {
        lived.facts = vec![Fact::StopAsked, Fact::Quiet];
    })
    .await;
    assert_eq!(lost.broken[0].rule, "stop-ends");

    let left = found(|lived| lived.left.push("process 7 still lives".to_owned())).await;
    assert_eq!(left.broken[0].rule, "nothing-left");

    let unexplained = found(|lived| lived.launch = Some(Err("no".to_owned()))).await;
    assert_eq!(unexplained.broken[0].rule, "explained");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn each_leak_is_found() {
    fn leaks(summary: &Summary) -> Vec<&str> {
        summary.leaks.iter().filter_map(|leak| leak.split(':').next()).collect()
    }
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let fds = found(move |_| {
        keep.lock().unwrap().push(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    });
    assert_eq!(leaks(&fds.await), ["fds", "sockets"]);

    let zombies = found(|_| {
        // Nobody waits for it.
        drop(Command::new("true").spawn().unwrap());
    });
    assert_eq!(leaks(&zombies.await), ["children", "zombies"]);

    let files = found(|lived| {
        std::fs::write(lived.folder.with_extension("forgotten"), "").unwrap();
    });
    assert_eq!(leaks(&files.await), ["files"]);

    // Not a child of ours: its parent, the shell, has gone.
    let pids = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&pids);
    let orphans = found(move |lived| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 600 >/dev/null 2>&1 & echo $!"]).env("OF", &lived.folder);
        let text = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        into.lock().unwrap().push(text.trim().parse::<i32>().unwrap());
    })
    .await;
    for pid in pids.lock().unwrap().drain(..) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    assert_eq!(leaks(&orphans), ["descendants"]);

    let tasks = found(|_| drop(tokio::spawn(std::future::pending::<()>())));
    assert_eq!(leaks(&tasks.await), ["tasks"]);
}

/// A driver with a fault: found, by a seed that finds it again.
async fn found_in_the_driver(fault: Fault, rule: &str) {
    let mut stress = stress(5, 40);
    stress.roles = vec![Role::by_name("well-behaved").unwrap()];
    (stress.fault, stress.patience) = (Some(fault), Duration::from_secs(3));
    let summary = stress.run().await.unwrap();
    let broken = summary.broken.first().unwrap_or_else(|| panic!("{fault:?}: {summary:#?}"));
    assert_eq!(broken.rule, rule, "{fault:?}: {broken:#?}");
    let plan = stress.plan(broken.plugin, broken.cycle).unwrap();
    let again = stress.live(&plan).await.unwrap();
    assert_eq!(again.violation().map(|(rule, _)| rule), Some(rule), "{plan}");
    // Without the fault the same life is a good one.
    stress.fault = None;
    stress.patience = Duration::from_secs(20);
    assert_eq!(stress.live(&plan).await.unwrap().violation(), None, "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_goes_before_its_process_is_found() {
    found_in_the_driver(Fault::ApiFirst, "api-outlives-process").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_is_done_twice_is_found() {
    found_in_the_driver(Fault::ReleaseTwice, "released-once").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_is_lost_is_found() {
    found_in_the_driver(Fault::StopLost, "stop-ends").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_is_let_through_after_the_stop_has_begun_is_found() {
    found_in_the_driver(Fault::HooksGoOn, "no-call-after-stop").await;
}

/// Found by a run of 10,000: a server that was started, but not heard of, went in the background.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_was_not_heard_of_is_gone_before_the_end() {
    let stress = stress(1, 0);
    let well = Role::by_name("well-behaved").unwrap();
    let mut plan = stress.plan(0, 0).unwrap();
    (plan.role, plan.ending, plan.cut) = (well, Ending::StopLaunch, Action::StartApi);
    (plan.stage, plan.deeds) = (Stage::Done, Vec::new());
    for (delays, unix) in (0..40).flat_map(|delays| [(delays, false), (delays, true)]) {
        (plan.delays, plan.unix) = (delays, unix);
        assert_eq!(stress.live(&plan).await.unwrap().violation(), None, "{plan}");
    }
}

#[test]
fn memory_that_grows_with_the_lives_is_a_leak() {
    assert_eq!(memory_leak(&[(100, 9000), (600, 9000), (1200, 9100)]), None);
    assert!(memory_leak(&[(100, 9000), (600, 9000), (1200, 12_000)]).is_some());
    assert_eq!(memory_leak(&[(5, 9000), (10, 12_000)]), None);
}

#[test]
fn every_role_is_a_character_and_every_ending_is_played() {
    for role in ROLES {
        assert_eq!(Role::by_name(role.name), Ok(role));
    }
    let stress = stress(3, 0);
    let endings: std::collections::BTreeSet<Ending> =
        (0..300).map(|cycle| stress.plan(0, cycle).unwrap().ending).collect();
    assert_eq!(endings.len(), 12);
}

fn program(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plugin-conformance"));
    let output = command.arg("stress").args(arguments).env_remove("RUST_LOG").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn one_life_is_replayed() {
    let (code, text) = program(&["--seed", "7", "--characters", "well-behaved", "--only", "2:3"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("plugin 2, cycle 3: well-behaved"), "{text}");
    assert!(text.contains("Logged(Ended)") && text.contains("no rule is broken"), "{text}");
}

#[test]
fn bad_arguments_are_told_with_the_remedy() {
    for (arguments, wanted) in [
        (&["--characters", "well-behavd"][..], "did you mean well-behaved?"),
        (&["--characters", "silent"], "has no part in a stress run"),
        (&["--duration", "60"], "for example 60s"),
        (&["--only", "3"], "for example 2:31"),
        (&["--plugins", "0"], "1..=64"),
    ] {
        let (code, text) = program(arguments);
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(text.contains(wanted), "{arguments:?}: {text}");
    }
}
