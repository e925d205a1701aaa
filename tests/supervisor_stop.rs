//! Stops: in order, at once, in the middle of a launch, and of plugins that do not want to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Plugin, alive, assert_refused, quick_stop, signal, soon, until};
use fake_interpreters::wire;
use plugin_conformance::api::{AppError, PluginApi, async_trait};
use plugin_conformance::hooks::{HealthError, HookError};
use plugin_conformance::supervisor::lifecycle::{Ending, Phase};
use plugin_conformance::supervisor::{EventKind, ExitStatus, Supervisor, Timeouts};
use plugin_proto::v1::{GetServerVersionRequest, GetServerVersionResponse};
use plugin_proto::{Method, Service};
use rustix::process::Signal;

fn count(plugin: &Plugin, wanted: fn(&EventKind) -> bool) -> usize {
    plugin.kinds().iter().filter(|kind| wanted(kind)).count()
}

const ENDED: fn(&EventKind) -> bool = |kind| *kind == EventKind::Ended;
const STOPPING: fn(&EventKind) -> bool = |kind| matches!(kind, EventKind::Stopping { .. });

// More than one stop

#[tokio::test]
async fn a_second_shutdown_changes_nothing() {
    let plugin = Plugin::of("well-behaved");
    let supervisor = plugin.launch().await;
    let first = soon(supervisor.shutdown()).await;
    let events = plugin.kinds();
    assert_eq!(soon(supervisor.shutdown()).await, first);
    assert_eq!(soon(supervisor.kill()).await, first);
    assert_eq!(soon(supervisor.ended()).await, first);
    assert_eq!(plugin.kinds(), events);
    assert_eq!(first.ending, Ending::Stopped);
    plugin.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_shutdowns_at_once_are_one() {
    let plugin = Plugin::of("well-behaved");
    let supervisor = Arc::new(plugin.launch().await);
    let stops = (0..8).map(|at| {
        let supervisor = Arc::clone(&supervisor);
        tokio::spawn(async move {
            match at {
                7 => supervisor.ended().await,
                _ => supervisor.shutdown().await,
            }
        })
    });
    let stops: Vec<_> = stops.collect();
    let mut ends = Vec::new();
    for stop in stops {
        ends.push(soon(stop).await.unwrap());
    }
    assert!(ends.iter().all(|end| *end == ends[0]));
    assert!(ends[0].exit.as_ref().unwrap().status.success());
    assert_eq!((count(&plugin, ENDED), count(&plugin, STOPPING)), (1, 1));
    assert_eq!(plugin.report().hooks, ["Implemented", "OnActivate", "OnDeactivate"]);
}

#[tokio::test]
async fn a_shutdown_that_nobody_waits_for_goes_on() {
    let plugin = Plugin::of("well-behaved");
    let supervisor = plugin.launch().await;
    assert!(futures::FutureExt::now_or_never(supervisor.shutdown()).is_none());
    plugin.ended().await;
    assert_eq!(supervisor.phase(), Phase::Ended);
    plugin.assert_nothing_left().await;
}

#[tokio::test]
async fn a_dropped_supervisor_stops_its_plugin_in_order() {
    let plugin = Plugin::of("well-behaved");
    drop(plugin.launch().await);
    plugin.ended().await;
    plugin.assert_nothing_left().await;
    let report = plugin.report();
    assert_eq!(report.hooks.last().map(String::as_str), Some("OnDeactivate"));
    assert_eq!(report.exit, Some(0));
}

/// Nobody is left to stop it in order.
#[test]
fn a_runtime_that_ends_takes_its_plugins_with_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let plugin = Plugin::of("ignores-sigterm");
    let supervisor = runtime.block_on(plugin.launch());
    let pid = supervisor.pid();
    assert!(alive(pid));
    runtime.shutdown_timeout(Duration::from_secs(10));
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    other.block_on(async {
        until("the process is gone", || !alive(pid)).await;
        for target in plugin.targets() {
            assert_refused(&target).await;
        }
    });
    drop(supervisor);
}

// Kill

#[tokio::test]
async fn kill_asks_nobody() {
    let plugin = Plugin::of("well-behaved");
    let supervisor = plugin.launch().await;
    plugin.report_where(|report| report.hooks.len() == 2).await;
    let ended = soon(supervisor.kill()).await;
    assert_eq!(ended.ending, Ending::Stopped);
    assert_eq!(ended.exit.unwrap().status, ExitStatus::Signal(9));
    let kinds = plugin.kinds();
    assert!(kinds.contains(&EventKind::Killing) && !kinds.contains(&EventKind::Terminating));
    assert!(!kinds.iter().any(|kind| matches!(kind, EventKind::Deactivated { .. })));
    assert_eq!(plugin.report().hooks, ["Implemented", "OnActivate"]);
    plugin.assert_nothing_left().await;
}

#[tokio::test]
async fn kill_cuts_an_orderly_stop_short() {
    for (character, wanted) in [
        ("ignores-sigterm", (|kind| *kind == EventKind::Terminating) as fn(&EventKind) -> bool),
        ("hang-in-on-deactivate", STOPPING),
        ("controller-blocked", |kind| matches!(kind, EventKind::Deactivated { .. })),
    ] {
        let plugin = Plugin::of(character);
        let far = Duration::from_secs(60);
        let patient = Timeouts { deactivate: far, controller: far, grace: far, ..quick_stop() };
        let supervisor = soon(plugin.builder().timeouts(patient).launch()).await.unwrap();
        assert!(futures::FutureExt::now_or_never(supervisor.shutdown()).is_none());
        plugin.event(wanted).await;
        let ended = soon(supervisor.kill()).await;
        assert_eq!(ended.exit.unwrap().status, ExitStatus::Signal(9), "{character}");
        plugin.assert_nothing_left().await;
    }
}

// While it stops and after

#[tokio::test]
async fn from_the_stop_on_no_hook_is_called() {
    let plugin = Plugin::of("hang-in-on-deactivate");
    let supervisor = soon(plugin.builder().timeouts(quick_stop()).launch()).await.unwrap();
    let hooks = supervisor.hooks().clone();
    assert!(futures::FutureExt::now_or_never(supervisor.shutdown()).is_none());
    plugin.event(STOPPING).await;
    let stopping = hooks.on_activate(Default::default()).await.answer().unwrap_err();
    assert!(matches!(stopping, HookError::Stopping { hook: "OnActivate" }), "{stopping}");
    let health = supervisor.health_check().await.unwrap_err();
    assert!(matches!(health, HealthError::NotRunning), "{health}");
    soon(supervisor.shutdown()).await;
    let gone = hooks.on_activate(Default::default()).await.answer().unwrap_err();
    assert!(matches!(gone, HookError::Stopping { .. }), "{gone}");
    let hooks = plugin.report().hooks;
    assert_eq!(hooks, ["Implemented", "OnActivate", "OnDeactivate"]);
}

#[tokio::test]
async fn calls_of_the_api_are_answered_to_the_last() {
    let plugin = Plugin::of("calls-while-stopping");
    let supervisor = plugin.launch().await;
    let ended = soon(supervisor.shutdown()).await;
    assert!(ended.exit.unwrap().status.success());
    let calls: Vec<_> =
        plugin.report().calls.into_iter().map(|call| (call.rpc, call.code)).collect();
    // The server has no LogInfo, and says so.
    let version = || ("GetServerVersion".to_owned(), "OK".to_owned());
    assert_eq!(calls, [version(), ("LogInfo".into(), "INTERNAL".into()), version()]);
}

// Plugins that do not want to

/// Every way to hold up a stop that the upstream behaviour names, and some more: the stop comes to
/// its end, within what it promises, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stop_comes_to_its_end() {
    let serve = |serve: &str| {
        let hooks = "hooks: [OnActivate, OnDeactivate]";
        format!("life:\n  - serve: {{{hooks}{serve}}}\n  - handshake\n  - wait\n")
    };
    let of = |name| Plugin::of(name);
    let cases = [
        // The event loop is blocked: no Shutdown is answered, no signal heard.
        (of("blocks-thread"), true),
        (of("hang-in-on-deactivate"), false),
        (of("ignores-sigterm"), true),
        (of("controller-blocked"), false),
        (Plugin::new("controller-ignores", &serve(", controller: ignores")), false),
        // Stdout and stderr stay open although the plugin is gone.
        (of("grandchild-holds-stdout"), false),
        (of("grandchild-new-session"), false),
        (of("leaks-open-call"), false),
        (
            Plugin::new(
                "crashes",
                &format!("{}on: {{OnDeactivate: [{{crash: SIGKILL}}]}}", serve("")),
            ),
            false,
        ),
        (Plugin::new("exits", &format!("{}on: {{OnDeactivate: [{{exit: 0}}]}}", serve(""))), false),
        (Plugin::new("hangs", &format!("{}on: {{stop: [hang]}}", serve(""))), true),
        (Plugin::new("blocks", &format!("{}on: {{stop: [block_thread]}}", serve(""))), true),
    ];
    let lives = cases.iter().map(async |(plugin, killed)| {
        let name = &plugin.bundle.id;
        let supervisor = soon(plugin.builder().timeouts(quick_stop()).launch()).await.unwrap();
        let start = Instant::now();
        let ended = soon(supervisor.shutdown()).await;
        assert!(start.elapsed() < quick_stop().longest_stop(), "{name}: {:?}", start.elapsed());
        assert_eq!(plugin.kinds().contains(&EventKind::Killing), *killed, "{name}");
        if *killed {
            assert_eq!(ended.exit.unwrap().status, ExitStatus::Signal(9), "{name}");
        }
        plugin.assert_nothing_left().await;
        for pid in plugin.report().grandchildren {
            assert!(!alive(pid), "{name}: its descendant {pid} is left");
        }
    });
    futures::future::join_all(lives).await;
}

#[tokio::test]
async fn a_stopped_process_is_stopped() {
    let plugin = Plugin::of("well-behaved");
    let supervisor = soon(plugin.builder().timeouts(quick_stop()).launch()).await.unwrap();
    signal(supervisor.pid(), Signal::STOP);
    let ended = soon(supervisor.shutdown()).await;
    assert_eq!(ended.exit.unwrap().status, ExitStatus::Signal(9));
    let kinds = plugin.kinds();
    let failed = |kind: &EventKind| matches!(kind, EventKind::Deactivated { error: Some(_) });
    assert!(kinds.iter().any(failed), "{kinds:?}");
    assert!(kinds.contains(&EventKind::AskedToLeave { agreed: false }));
    plugin.assert_nothing_left().await;
}

/// An open call on a connection that outlives the process, e.g. a forked child's, holds upstream's
/// stop for ever.
#[tokio::test]
async fn an_open_call_from_elsewhere_is_cut_off_after_the_drain() {
    let plugin = Plugin::of("no-api");
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    struct Tells(tokio::sync::mpsc::UnboundedSender<()>);
    #[async_trait]
    impl PluginApi for Tells {
        async fn get_server_version(
            &self,
            _: GetServerVersionRequest,
        ) -> Result<GetServerVersionResponse, AppError> {
            let _ = self.0.send(());
            std::future::pending().await
        }
    }
    let builder = plugin.alone().api(Arc::new(Tells(begun))).timeouts(quick_stop());
    let supervisor = soon(builder.launch()).await.unwrap();
    let channel = wire::connect(supervisor.api_target().unwrap()).unwrap();
    let method = Method::by_name(Service::PluginAPI, "GetServerVersion").unwrap();
    let open = tokio::spawn(async move { wire::unary(&channel, method, Bytes::new(), None).await });
    soon(has_begun.recv()).await.unwrap();
    let start = Instant::now();
    soon(supervisor.shutdown()).await;
    assert!(start.elapsed() >= quick_stop().api_drain);
    assert!(start.elapsed() < quick_stop().longest_stop());
    let forced = |kind: &EventKind| matches!(kind, EventKind::ApiStopped { forced } if *forced > 0);
    assert!(plugin.kinds().iter().any(forced), "{:?}", plugin.kinds());
    assert!(soon(open).await.unwrap().is_err());
}

// By itself

/// S-41, and better: the exit is noticed at once, not at the next health check.
#[tokio::test]
async fn s_41_a_process_killed_behind_our_back_is_unhealthy_at_once() {
    let plugin = Plugin::of("well-behaved");
    let supervisor = plugin.launch().await;
    supervisor.health_check().await.unwrap();
    let start = Instant::now();
    signal(supervisor.pid(), Signal::KILL);
    // Whether or not the exit has been noticed: no check passes, none hangs.
    until_unhealthy(&supervisor).await;
    let ended = soon(supervisor.ended()).await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(ended.ending, Ending::Crashed);
    assert_eq!(ended.exit.as_ref().unwrap().status, ExitStatus::Signal(9));
    let health = supervisor.health_check().await.unwrap_err();
    assert!(matches!(health, HealthError::NotRunning), "{health}");
    let hook = supervisor.hooks().on_activate(Default::default()).await.answer().unwrap_err();
    assert!(matches!(hook, HookError::Stopping { .. }), "{hook}");
    assert_eq!(soon(supervisor.shutdown()).await, ended);
    let kinds = plugin.kinds();
    assert!(
        kinds.contains(&EventKind::Stopping { reason: "the process exited by itself".into() }),
        "{kinds:?}"
    );
    assert!(!kinds.contains(&EventKind::Terminating) && !kinds.contains(&EventKind::Killing));
    plugin.assert_nothing_left().await;
}

async fn until_unhealthy(supervisor: &Supervisor) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    soon(async {
        while supervisor.health_check().await.is_ok() {
            ticks.tick().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_plugin_that_exits_by_itself_is_told_with_its_status() {
    let more = "on:\n  UserHasJoinedChannel:\n    - log: goodbye\n    - exit: 42\n";
    let plugin = Plugin::good("UserHasJoinedChannel", more);
    let supervisor = plugin.launch().await;
    let answer = soon(supervisor.hooks().user_has_joined_channel(Default::default())).await;
    assert!(answer.failure().is_some());
    let ended = soon(supervisor.ended()).await;
    assert_eq!(ended.ending, Ending::Crashed);
    assert_eq!(ended.exit.unwrap().status, ExitStatus::Code(42));
    assert_eq!(ended.stderr.trim_end(), "goodbye");
    plugin.assert_nothing_left().await;
}

/// Its children go with it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crash_leaves_no_descendant() {
    for new_session in [false, true] {
        let plugin = Plugin::good(
            "OnActivate",
            &format!(
                "on: {{OnActivate: [grandchild: {{holds_output: true, new_session: {new_session}}}]}}\n"
            ),
        );
        let supervisor = soon(plugin.builder().timeouts(quick_stop()).launch()).await.unwrap();
        let report = plugin.report_where(|report| !report.grandchildren.is_empty()).await;
        assert!(alive(report.grandchildren[0]));
        signal(supervisor.pid(), Signal::KILL);
        let ended = soon(supervisor.ended()).await;
        assert_eq!(ended.exit.unwrap().stragglers, usize::from(new_session));
        assert!(!alive(report.grandchildren[0]));
    }
}

// Health

/// Upstream waits for ever.
#[tokio::test]
async fn a_health_check_without_an_answer_ends() {
    let plugin = Plugin::of("well-behaved");
    let limit = Duration::from_secs(1);
    let timeouts = Timeouts { health: limit, ..quick_stop() };
    let supervisor = soon(plugin.builder().timeouts(timeouts).launch()).await.unwrap();
    signal(supervisor.pid(), Signal::STOP);
    let start = Instant::now();
    let health = soon(supervisor.health_check()).await.unwrap_err();
    assert!(matches!(health, HealthError::Timeout { after } if after == limit), "{health}");
    assert!(start.elapsed() >= limit && start.elapsed() < Duration::from_secs(15));
    assert_eq!(supervisor.phase(), Phase::Active, "a check changes nothing");
    signal(supervisor.pid(), Signal::CONT);
    soon(supervisor.health_check()).await.unwrap();
    soon(supervisor.shutdown()).await;
}

#[tokio::test]
async fn a_blocked_event_loop_is_unhealthy() {
    let plugin = Plugin::of("blocks-thread");
    let timeouts = Timeouts { health: Duration::from_secs(2), ..quick_stop() };
    let supervisor = soon(plugin.builder().timeouts(timeouts).launch()).await.unwrap();
    let health = soon(supervisor.health_check()).await.unwrap_err();
    assert!(matches!(health, HealthError::Timeout { .. }), "{health}");
    soon(supervisor.kill()).await;
}

// In the middle of a launch

/// The launch's future is dropped at this event, while a plugin of this character goes no further.
async fn dropped_at(character: &str, unix: bool, wanted: fn(&EventKind) -> bool) {
    let plugin = Plugin::of(character);
    let mut builder = plugin.builder().timeouts(quick_stop());
    if unix {
        builder = builder.api_on_unix_socket();
    }
    {
        let launch = builder.launch();
        let event = plugin.events.wait_for(wanted);
        let first = async {
            tokio::select! {
                biased;
                _ = event => {}
                launched = launch => panic!("{character}: {launched:?}"),
            }
        };
        soon(first).await;
    }
    plugin.ended().await;
    plugin.assert_nothing_left().await;
    assert_eq!((count(&plugin, ENDED), count(&plugin, STOPPING)), (1, 1), "{:?}", plugin.kinds());
    let reason = EventKind::Stopping { reason: "a stop was asked for".into() };
    assert!(plugin.kinds().contains(&reason), "{:?}", plugin.kinds());
    // Only a process that has not begun to run is killed without a word.
    let spawned = plugin.kinds().iter().position(|kind| matches!(kind, EventKind::Spawned { .. }));
    let killed = plugin.kinds().iter().position(|kind| *kind == EventKind::Killing);
    assert!(killed.is_none_or(|at| at == spawned.unwrap() + 2), "{:?}", plugin.kinds());
}

#[tokio::test]
async fn a_launch_dropped_after_api_listening_is_undone() {
    for unix in [false, true] {
        dropped_at("silent", unix, |kind| matches!(kind, EventKind::ApiListening { .. })).await;
    }
}

#[tokio::test]
async fn a_launch_dropped_after_spawned_is_undone() {
    for unix in [false, true] {
        dropped_at("silent", unix, |kind| matches!(kind, EventKind::Spawned { .. })).await;
    }
}

#[tokio::test]
async fn a_launch_dropped_after_handshaken_is_undone() {
    for unix in [false, true] {
        let handshaken = |kind: &EventKind| matches!(kind, EventKind::Handshaken { .. });
        dropped_at("blocks-health", unix, handshaken).await;
        dropped_at("hang-in-on-activate", unix, handshaken).await;
    }
}

#[tokio::test]
async fn a_launch_dropped_after_healthy_is_undone() {
    dropped_at("hang-in-implemented", true, |kind| *kind == EventKind::Healthy).await;
}

#[tokio::test]
async fn a_launch_dropped_in_on_activate_is_undone() {
    let known = |kind: &EventKind| matches!(kind, EventKind::HooksKnown { .. });
    dropped_at("hang-in-on-activate", false, known).await;
}

/// The plugin is active, but its caller has gone away before it heard of it.
#[tokio::test]
async fn a_launch_dropped_at_its_very_end_is_undone() {
    dropped_at("well-behaved", false, |kind| *kind == EventKind::Active).await;
}

/// The same with the driver on another thread, at no particular moment of each phase.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn launches_dropped_at_any_time_are_undone() {
    for after in (0..30_u64).step_by(2) {
        let plugin = Plugin::of("well-behaved");
        let builder = plugin.builder();
        let limit = Duration::from_millis(after);
        let launched = tokio::time::timeout(limit, builder.launch()).await;
        drop(launched);
        if plugin.kinds().is_empty() {
            // Dropped before the driver had begun, or about to begin.
            continue;
        }
        plugin.ended().await;
        plugin.assert_nothing_left().await;
    }
}

/// Dropped before anything was started: nothing ever is, and the next launch is the first.
#[tokio::test]
async fn a_launch_dropped_at_once_starts_nothing() {
    let plugin = Plugin::of("well-behaved");
    let builder = plugin.builder();
    drop(builder.launch());
    assert!(futures::FutureExt::now_or_never(builder.launch()).is_none());
    let supervisor = soon(builder.launch()).await.unwrap();
    assert_eq!(plugin.pids(), [supervisor.pid()]);
    soon(supervisor.shutdown()).await;
}
