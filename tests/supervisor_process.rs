//! What a supervisor leaves of its process over many lives, and what its own end means for a plugin.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Plugin, Tiny, again, alive, children, is_again, passes_again, signal, soon, until};
use plugin_conformance::api::ApiServer;
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, BufReader};

fn descriptors() -> Vec<String> {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut open: Vec<_> = open
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        // The one that reads the folder.
        .filter(|link| !link.ends_with("/fd"))
        .collect();
    open.sort();
    open
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Launch, check, stop, again and again: no process, no file descriptor, no temporary file and no
/// thread more than before. `PLUGIN_CONFORMANCE_CYCLES=200` for the long version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn launch_stop_cycles() {
    // In a process and a TMPDIR of its own, so that nobody else's things are counted.
    if !is_again() {
        let plugin = Plugin::of("well-behaved");
        let temporary = tempfile::tempdir().unwrap();
        let mut command = again("launch_stop_cycles");
        command.env("TMPDIR", temporary.path()).env("TEST_BUNDLE", plugin.dir());
        return passes_again(&mut command).await;
    }
    let cycles = std::env::var("PLUGIN_CONFORMANCE_CYCLES").ok();
    let cycles: usize = cycles.map_or(25, |cycles| cycles.parse().unwrap());
    let bundle = PathBuf::from(std::env::var_os("TEST_BUNDLE").unwrap());
    let temporary = std::env::temp_dir();
    let builder = plugin_conformance::supervisor::Supervisor::builder(&bundle).api(Arc::new(Tiny));
    let mut before = None;
    for cycle in 0..cycles + 2 {
        let unix = cycle % 2 == 1;
        let builder = if unix { builder.clone().api_on_unix_socket() } else { builder.clone() };
        let supervisor = soon(builder.launch()).await.unwrap();
        supervisor.health_check().await.unwrap();
        assert_eq!(children(), [supervisor.pid()]);
        let files = fs::read_dir(&temporary).unwrap().count();
        assert_eq!(files, usize::from(unix), "only the socket's folder is temporary");
        match cycle % 5 {
            3 => soon(supervisor.kill()).await,
            4 => {
                signal(supervisor.pid(), Signal::KILL);
                soon(supervisor.ended()).await
            }
            _ => soon(supervisor.shutdown()).await,
        };
        // Nothing of this is left when the stop returns.
        assert!(children().is_empty(), "cycle {cycle}: {:?}", children());
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "cycle {cycle}");
        drop(supervisor);
        match &mut before {
            // The first two lives start what stays: the runtime's and the spawner's threads.
            None if cycle == 1 => {
                until("the second life is gone", || descriptors().len() < 30).await;
                before = Some(settled().await);
            }
            None => {}
            Some(before) => {
                let no_more = || descriptors().len() <= before.len();
                until("no descriptor more than before", no_more).await;
                // What was on its way out when they settled does not make room for a leak.
                before.truncate(descriptors().len());
            }
        }
    }
    // The runtime's pool of blocking threads may keep some of its own for a while.
    assert!(threads() < 20, "{} threads", threads());
}

/// The descriptors, when they have not changed for a while.
async fn settled() -> Vec<String> {
    let mut last = descriptors();
    let mut same = 0;
    until("the descriptors settle", || {
        let now = descriptors();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == 20
    })
    .await;
    last
}

/// Failed launches leave as little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_launch_cycles() {
    if !is_again() {
        let plugin = Plugin::of("short-handshake");
        let temporary = tempfile::tempdir().unwrap();
        let mut command = again("failed_launch_cycles");
        command.env("TMPDIR", temporary.path()).env("TEST_BUNDLE", plugin.dir());
        return passes_again(&mut command).await;
    }
    let bundle = PathBuf::from(std::env::var_os("TEST_BUNDLE").unwrap());
    let builder = plugin_conformance::supervisor::Supervisor::builder(&bundle).api(Arc::new(Tiny));
    let mut before = None;
    for cycle in 0..12 {
        let unix = cycle % 2 == 1;
        let builder = if unix { builder.clone().api_on_unix_socket() } else { builder.clone() };
        soon(builder.launch()).await.unwrap_err();
        assert!(children().is_empty());
        assert_eq!(fs::read_dir(std::env::temp_dir()).unwrap().count(), 0);
        match &before {
            None if cycle == 1 => before = Some(settled().await),
            None => {}
            Some(before) => {
                until("no descriptor more than before", || descriptors() == *before).await;
            }
        }
    }
}

/// The supervisor is killed without a word: its plugin does not outlive it.
#[tokio::test]
async fn a_plugin_dies_with_its_supervisor() {
    if is_again() {
        let plugin = Plugin::of("ignores-sigterm");
        let supervisor = plugin.launch().await;
        println!("\nplugin {} {}", supervisor.pid(), supervisor.api_target().unwrap());
        return std::future::pending().await;
    }
    let folder = tempfile::tempdir().unwrap();
    // Nobody is left to remove its bundle but this test.
    let mut command = again("a_plugin_dies_with_its_supervisor");
    command.stdout(Stdio::piped()).env("TMPDIR", folder.path());
    let mut supervisor = command.spawn().unwrap();
    let mut lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    let (pid, target) = soon(async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it launches");
            if let Some(plugin) = line.strip_prefix("plugin ") {
                let (pid, target) = plugin.split_once(' ').unwrap();
                break (pid.parse().unwrap(), target.to_owned());
            }
        }
    })
    .await;
    assert!(alive(pid));
    assert!(common::answers(&target).await);
    supervisor.start_kill().unwrap();
    soon(supervisor.wait()).await.unwrap();
    until("the plugin is gone", || !alive(pid)).await;
    common::assert_refused(&target).await;
}

/// On Linux a child dies with the thread that forked it. A caller's thread may end long before the
/// plugin is to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_outlives_the_thread_that_asked_for_it() {
    let plugin = Plugin::of("well-behaved");
    let builder = plugin.builder();
    let runtime = tokio::runtime::Handle::current();
    let asking = std::thread::spawn(move || runtime.block_on(builder.launch()).unwrap());
    let supervisor = tokio::task::spawn_blocking(|| asking.join().unwrap()).await.unwrap();
    assert!(alive(supervisor.pid()));
    supervisor.health_check().await.unwrap();
    let ended = soon(supervisor.shutdown()).await;
    assert!(ended.exit.unwrap().status.success());
}

/// The same for the runtime's own thread on which the launch ran.
#[test]
fn a_plugin_outlives_the_worker_that_launched_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_keep_alive(Duration::from_millis(1))
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let plugin = Plugin::of("well-behaved");
        // Every poll of the launch happens on the only worker; the API is made on it, too.
        let worker = Arc::new(Mutex::new(PathBuf::new()));
        let note = Arc::clone(&worker);
        let builder = plugin.alone().api_server(move || {
            *note.lock().unwrap() = fs::read_link("/proc/thread-self").unwrap();
            ApiServer::builder(Arc::new(Tiny))
        });
        let launch = tokio::spawn(async move { builder.launch().await.unwrap() });
        let supervisor = soon(launch).await.unwrap();
        let worker = fs::canonicalize("/proc").unwrap().join(&*worker.lock().unwrap());
        assert!(worker.exists() && worker.parent().unwrap().ends_with("task"), "{worker:?}");

        // Another thread takes the worker's place while it blocks, and then it has nothing to do.
        let (taken, is_taken) = std::sync::mpsc::channel();
        let blocking = tokio::spawn(async move {
            tokio::spawn(async move { taken.send(()) });
            tokio::task::block_in_place(|| is_taken.recv().unwrap());
        });
        soon(blocking).await.unwrap();
        until("the thread is gone", || !worker.exists()).await;

        assert!(alive(supervisor.pid()));
        supervisor.health_check().await.unwrap();
        let ended = soon(supervisor.shutdown()).await;
        assert!(ended.exit.unwrap().status.success());
    });
}
