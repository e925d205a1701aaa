//! A plugin that is kept running.
//!
//! `s_…` and `i_…` are the lines of the upstream acceptance list.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Plugin, alive, quick_stop, signal, soon};
use plugin_conformance::environment::{Keeper, KeeperOptions, PluginState, RestartPolicy};
use plugin_conformance::supervisor::{EventKind, LaunchFailure, Supervisor, Timeouts};
use rustix::process::Signal;

use PluginState::{FailedToStart, FailedToStayRunning, NotRunning, Running, Starting, Stopping};

/// No health check comes in between.
fn patient() -> KeeperOptions {
    KeeperOptions { interval: Duration::from_secs(600), ..KeeperOptions::default() }
}

/// A check every 50 ms.
fn watchful() -> KeeperOptions {
    KeeperOptions { interval: Duration::from_millis(50), ..KeeperOptions::default() }
}

fn keeper(plugin: &Plugin, options: KeeperOptions) -> Keeper {
    Keeper::new(plugin.builder().timeouts(quick_stop()), options)
}

async fn state(keeper: &Keeper, wanted: PluginState) {
    soon(keeper.states().wait_for(|&state| state == wanted)).await.unwrap();
}

/// Waits for a life other than this one.
async fn next_life(keeper: &Keeper, pid: u32) -> Arc<Supervisor> {
    let mut found = None;
    common::until("the plugin runs again", || {
        found = keeper.current().filter(|life| life.pid() != pid && keeper.is_active());
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// Collects every state that is to be seen, from the present one on.
struct States(Arc<Mutex<Vec<PluginState>>>, tokio::task::JoinHandle<()>);

impl States {
    fn of(keeper: &Keeper) -> Self {
        let mut states = keeper.states();
        let seen = Arc::new(Mutex::new(vec![*states.borrow_and_update()]));
        let write = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while states.changed().await.is_ok() {
                let state = *states.borrow_and_update();
                write.lock().unwrap().push(state);
            }
        });
        Self(seen, task)
    }

    /// All of them; one that lasted no time may be missing, none may be out of order.
    async fn assert_in_order(self, wanted: &[PluginState]) {
        let caught_up = || self.0.lock().unwrap().last() == wanted.last();
        common::until("the last state is seen", caught_up).await;
        self.1.abort();
        let seen = self.0.lock().unwrap().clone();
        let mut rest = wanted.iter();
        for state in &seen {
            assert!(
                rest.any(|wanted| wanted == state),
                "{seen:?} are not among {wanted:?} in order"
            );
        }
    }
}

// Activate, deactivate

#[test]
fn states_have_the_numbers_of_plugin_status() {
    let states = [NotRunning, Starting, Running, FailedToStart, FailedToStayRunning, Stopping];
    assert_eq!(states.map(|state| state as i32), [0, 1, 2, 3, 4, 5]);
    assert_eq!(KeeperOptions::default().interval, Duration::from_secs(30));
    let RestartPolicy { strikes, window } = KeeperOptions::default().restart;
    assert_eq!((strikes, window), (3, Duration::from_secs(3600)));
}

/// S-30 without an API, as its factory yields nil; I-16 to I-19 with one.
#[tokio::test]
async fn s_30_s_31_s_32_s_33_s_34_activate_and_deactivate() {
    for api in [false, true] {
        let plugin = Plugin::good("OnActivate, OnDeactivate", "");
        let builder = if api { plugin.builder() } else { plugin.alone() };
        let keeper = Keeper::new(builder, patient());
        assert_eq!(keeper.state(), NotRunning);
        assert!(!keeper.is_active() && keeper.current().is_none());
        let states = States::of(&keeper);
        // S-30
        assert!(soon(keeper.activate()).await.unwrap());
        // S-31
        assert!(keeper.is_active());
        assert_eq!((keeper.state(), keeper.last_error()), (Running, None));
        // S-32
        let supervisor = keeper.current().unwrap();
        supervisor.health_check().await.unwrap();
        // S-33
        assert!(soon(keeper.deactivate()).await);
        // S-34
        assert!(!keeper.is_active() && keeper.current().is_none());
        assert_eq!((keeper.state(), keeper.last_error()), (NotRunning, None));
        plugin.assert_nothing_left().await;
        assert_eq!(plugin.report().hooks, ["Implemented", "OnActivate", "OnDeactivate"]);
        assert!(!soon(keeper.deactivate()).await, "it does not run any more");
        states.assert_in_order(&[NotRunning, Starting, Running, Stopping, NotRunning]).await;
    }
}

#[tokio::test]
async fn an_active_plugin_is_not_activated_again() {
    let plugin = Plugin::of("well-behaved");
    let keeper = keeper(&plugin, patient());
    assert!(soon(keeper.activate()).await.unwrap());
    let pid = keeper.current().unwrap().pid();
    assert!(!soon(keeper.activate()).await.unwrap());
    assert_eq!(plugin.pids(), [pid]);
    assert!(soon(keeper.deactivate()).await);
}

#[tokio::test]
async fn what_does_not_run_is_not_deactivated() {
    let plugin = Plugin::of("well-behaved");
    let keeper = keeper(&plugin, patient());
    assert!(!soon(keeper.deactivate()).await);
    assert!(plugin.kinds().is_empty());
}

/// Upstream two activations of one id may interleave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activations_and_deactivations_do_not_interleave() {
    let plugin = Plugin::of("well-behaved");
    let keeper = Arc::new(keeper(&plugin, patient()));
    let calls: Vec<_> = (0..12)
        .map(|at| {
            let keeper = Arc::clone(&keeper);
            tokio::spawn(async move {
                match at % 3 {
                    0 => drop(keeper.deactivate().await),
                    1 => drop(keeper.activate().await.unwrap()),
                    _ => keeper.restart().await.unwrap(),
                }
            })
        })
        .collect();
    for call in calls {
        soon(call).await.unwrap();
    }
    soon(keeper.deactivate()).await;
    assert_eq!(keeper.state(), NotRunning);
    // Each life came to its end before the next began.
    let mut running = false;
    for kind in plugin.kinds() {
        match kind {
            EventKind::ApiListening { .. } => assert!(!std::mem::replace(&mut running, true)),
            EventKind::Ended => assert!(std::mem::replace(&mut running, false)),
            _ => {}
        }
    }
    assert!(!running);
    plugin.assert_nothing_left().await;
}

#[tokio::test]
async fn a_failed_activation_is_told_and_can_be_repeated() {
    let plugin = Plugin::of("crash-before-handshake");
    let keeper = keeper(&plugin, patient());
    let states = States::of(&keeper);
    let error = soon(keeper.activate()).await.unwrap_err();
    assert_eq!(keeper.state(), FailedToStart);
    assert!(!keeper.is_active() && keeper.current().is_none());
    assert_eq!(keeper.last_error(), Some(error.to_string()));
    assert!(error.to_string().contains("ModuleNotFoundError"), "{error}");
    plugin.assert_nothing_left().await;
    assert!(!soon(keeper.deactivate()).await);

    let good = fake_interpreters::Character::by_name("well-behaved").unwrap().script;
    std::fs::write(plugin.dir().join("plugin.py"), good).unwrap();
    assert!(soon(keeper.activate()).await.unwrap());
    assert_eq!((keeper.state(), keeper.last_error()), (Running, None));
    assert!(soon(keeper.deactivate()).await);
    states
        .assert_in_order(&[
            NotRunning,
            Starting,
            FailedToStart,
            Starting,
            Running,
            Stopping,
            NotRunning,
        ])
        .await;
}

#[tokio::test]
async fn restart_is_a_new_life() {
    let plugin = Plugin::of("well-behaved");
    let keeper = keeper(&plugin, patient());
    // Of a plugin that does not run, it is a start.
    soon(keeper.restart()).await.unwrap();
    // Not a failure: five of them are no strike.
    for life in 1..=5 {
        let before = keeper.current().unwrap();
        soon(keeper.restart()).await.unwrap();
        let after = keeper.current().unwrap();
        assert_ne!(before.pid(), after.pid());
        assert!(!alive(before.pid()) && alive(after.pid()));
        assert!(keeper.is_active());
        assert_eq!(plugin.pids().len(), life + 1);
    }
    assert!(soon(keeper.deactivate()).await);
    plugin.assert_nothing_left().await;
}

#[tokio::test]
async fn a_dropped_keeper_stops_its_plugin() {
    let plugin = Plugin::of("well-behaved");
    let keeper = keeper(&plugin, patient());
    soon(keeper.activate()).await.unwrap();
    drop(keeper);
    plugin.ended().await;
    plugin.assert_nothing_left().await;
    assert_eq!(plugin.report().exit, Some(0));
}

/// The caller of `activate` goes away: the launch is undone, and the state does not say otherwise.
#[tokio::test]
async fn an_activation_that_is_dropped_is_undone() {
    let plugin = Plugin::of("hang-in-on-activate");
    let keeper = keeper(&plugin, patient());
    let known = plugin.event(|kind| matches!(kind, EventKind::HooksKnown { .. }));
    tokio::select! {
        () = known => {}
        activated = keeper.activate() => panic!("{activated:?}"),
    }
    plugin.ended().await;
    plugin.assert_nothing_left().await;
    assert_eq!(keeper.state(), NotRunning);
    assert!(!soon(keeper.deactivate()).await);
}

// Crashes

/// S-40 to S-43, I-20: the health check of the killed life fails, the plugin is restarted without
/// being asked, at once and not at the next check, and is healthy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_40_s_41_s_42_s_43_a_killed_plugin_runs_again() {
    let plugin = Plugin::of("well-behaved");
    let keeper = keeper(&plugin, patient());
    soon(keeper.activate()).await.unwrap();
    let states = States::of(&keeper);
    // S-40
    let first = keeper.current().unwrap();
    assert!(keeper.is_active());
    first.health_check().await.unwrap();
    // S-41
    let start = Instant::now();
    signal(first.pid(), Signal::KILL);
    soon(first.ended()).await;
    assert!(first.health_check().await.is_err());
    // S-42, by itself
    let second = next_life(&keeper, first.pid()).await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // S-43
    second.health_check().await.unwrap();
    assert_ne!(first.api_target(), second.api_target());
    assert_eq!(keeper.last_error(), None);
    states.assert_in_order(&[Running, Stopping, NotRunning, Starting, Running]).await;
    // S-42, asked for
    soon(keeper.restart()).await.unwrap();
    let third = keeper.current().unwrap();
    third.health_check().await.unwrap();
    assert!(soon(keeper.deactivate()).await);
    assert_eq!(plugin.pids(), [first.pid(), second.pid(), third.pid()]);
    plugin.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_third_failure_within_the_window_is_the_last() {
    let plugin = Plugin::of("well-behaved");
    let keeper = keeper(&plugin, patient());
    soon(keeper.activate()).await.unwrap();
    let states = States::of(&keeper);
    let mut life = keeper.current().unwrap();
    for _ in 0..2 {
        signal(life.pid(), Signal::KILL);
        life = next_life(&keeper, life.pid()).await;
    }
    signal(life.pid(), Signal::KILL);
    state(&keeper, FailedToStayRunning).await;
    plugin.assert_nothing_left().await;
    assert_eq!(plugin.pids().len(), 3);
    assert!(!keeper.is_active() && keeper.current().is_none());
    let error = keeper.last_error().unwrap();
    assert!(error.contains("ended by itself") && error.contains("SIGKILL"), "{error}");
    states
        .assert_in_order(&[
            Running,
            Stopping,
            NotRunning,
            Starting,
            Running,
            Stopping,
            NotRunning,
            Starting,
            Running,
            Stopping,
            FailedToStayRunning,
        ])
        .await;
    assert!(!soon(keeper.deactivate()).await);

    // Somebody may start it again, and the count begins anew.
    assert!(soon(keeper.activate()).await.unwrap());
    let life = keeper.current().unwrap();
    signal(life.pid(), Signal::KILL);
    next_life(&keeper, life.pid()).await;
    assert!(soon(keeper.deactivate()).await);
    plugin.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_further_apart_than_the_window_do_not_count() {
    let plugin = Plugin::of("well-behaved");
    // Every failure is the first in a window of no length.
    let restart = RestartPolicy { strikes: 2, window: Duration::ZERO };
    let keeper = keeper(&plugin, KeeperOptions { restart, ..patient() });
    soon(keeper.activate()).await.unwrap();
    let mut life = keeper.current().unwrap();
    for _ in 0..4 {
        signal(life.pid(), Signal::KILL);
        life = next_life(&keeper, life.pid()).await;
    }
    assert!(soon(keeper.deactivate()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_strike_may_be_enough() {
    let plugin = Plugin::of("well-behaved");
    let restart = RestartPolicy { strikes: 1, ..RestartPolicy::default() };
    let keeper = keeper(&plugin, KeeperOptions { restart, ..patient() });
    soon(keeper.activate()).await.unwrap();
    signal(keeper.current().unwrap().pid(), Signal::KILL);
    state(&keeper, FailedToStayRunning).await;
    assert_eq!(plugin.pids().len(), 1);
    plugin.assert_nothing_left().await;
}

/// A restart that fails is not tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_fails_is_the_end() {
    let plugin = Plugin::of("well-behaved");
    let keeper = keeper(&plugin, watchful());
    soon(keeper.activate()).await.unwrap();
    let life = keeper.current().unwrap();
    std::fs::write(plugin.dir().join("plugin.py"), "life:\n  - exit: 9\n").unwrap();
    signal(life.pid(), Signal::KILL);
    state(&keeper, FailedToStart).await;
    let error = keeper.last_error().unwrap();
    assert!(error.contains("unable to start plugin") && error.contains("exit status 9"), "{error}");
    assert!(!keeper.is_active() && keeper.current().is_none());
    plugin.assert_nothing_left().await;
    assert_eq!(plugin.pids().len(), 2);
    assert!(!soon(keeper.deactivate()).await);
    let error = soon(keeper.activate()).await.unwrap_err();
    assert!(matches!(error.failure, LaunchFailure::ExitedDuring(_) | LaunchFailure::Handshake(_)));
}

/// Deactivated while it is being restarted: that launch is undone by the time it returns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deactivate_in_the_middle_of_a_restart_leaves_nothing() {
    let plugin = Plugin::of("well-behaved");
    let keeper = keeper(&plugin, patient());
    soon(keeper.activate()).await.unwrap();
    let life = keeper.current().unwrap();
    let hangs = fake_interpreters::Character::by_name("hang-in-on-activate").unwrap().script;
    std::fs::write(plugin.dir().join("plugin.py"), hangs).unwrap();
    signal(life.pid(), Signal::KILL);
    let mut lives = 0;
    plugin
        .event(|kind| {
            lives += usize::from(matches!(kind, EventKind::HooksKnown { .. }));
            lives == 2
        })
        .await;
    assert_eq!(keeper.state(), Starting);
    soon(keeper.deactivate()).await;
    assert_eq!(keeper.state(), NotRunning);
    assert_eq!(plugin.kinds().last(), Some(&EventKind::Ended), "{:?}", plugin.kinds());
    plugin.assert_nothing_left().await;
}

// Hung plugins

/// Its event loop is blocked from inside a hook.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_plugin_is_restarted_by_the_health_job() {
    let plugin = Plugin::good(
        "OnActivate, OnDeactivate, UserHasJoinedChannel",
        "on: {UserHasJoinedChannel: [block_thread]}\n",
    );
    let timeouts = Timeouts { health: Duration::from_secs(2), ..quick_stop() };
    let keeper = Keeper::new(plugin.builder().timeouts(timeouts), watchful());
    soon(keeper.activate()).await.unwrap();
    let first = keeper.current().unwrap();
    let hasty = first.hooks().clone().with_deadline(Duration::from_millis(100));
    hasty.user_has_joined_channel(Default::default()).await.answer().unwrap_err();
    let start = Instant::now();
    let second = next_life(&keeper, first.pid()).await;
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    assert!(!alive(first.pid()));
    second.health_check().await.unwrap();
    assert!(soon(keeper.deactivate()).await);
    plugin.assert_nothing_left().await;
}

/// One that always hangs is given up at the third strike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_always_hangs_is_given_up() {
    let plugin = Plugin::of("blocks-thread");
    let short = Duration::from_millis(200);
    let timeouts = Timeouts {
        health: short,
        deactivate: short,
        controller: short,
        grace: short,
        ..quick_stop()
    };
    // Long enough for the first check, which is part of the launch.
    let timeouts = Timeouts { health: short * 2, ..timeouts };
    let keeper = Keeper::new(plugin.builder().timeouts(timeouts), watchful());
    soon(keeper.activate()).await.unwrap();
    state(&keeper, FailedToStayRunning).await;
    assert_eq!(plugin.pids().len(), 3);
    plugin.assert_nothing_left().await;
    let error = keeper.last_error().unwrap();
    assert!(error.contains("did not answer a health check"), "{error}");
}

/// Upstream one hung plugin ends the checks of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_plugin_delays_no_other_plugin() {
    let (hung, other) = (Plugin::of("well-behaved"), Plugin::of("well-behaved"));
    let timeouts = Timeouts { health: Duration::from_secs(60), ..quick_stop() };
    let hung_keeper = Keeper::new(hung.builder().timeouts(timeouts), watchful());
    let timeouts = Timeouts { health: Duration::from_secs(2), ..quick_stop() };
    let other_keeper = Keeper::new(other.builder().timeouts(timeouts), watchful());
    soon(hung_keeper.activate()).await.unwrap();
    soon(other_keeper.activate()).await.unwrap();

    let hung_life = hung_keeper.current().unwrap();
    signal(hung_life.pid(), Signal::STOP);
    // Its check hangs from now on, for a minute. The other one's fails and is acted upon.
    let first = other_keeper.current().unwrap();
    signal(first.pid(), Signal::STOP);
    let second = next_life(&other_keeper, first.pid()).await;
    second.health_check().await.unwrap();
    assert_eq!(hung_keeper.state(), Running, "still being checked");
    assert_eq!(hung_keeper.current().unwrap().pid(), hung_life.pid());

    // And a check that hangs holds up no stop.
    let start = Instant::now();
    assert!(soon(hung_keeper.deactivate()).await);
    assert!(start.elapsed() < quick_stop().longest_stop());
    assert!(soon(other_keeper.deactivate()).await);
    hung.assert_nothing_left().await;
    other.assert_nothing_left().await;
}

/// A healthy plugin is checked many times and left alone.
#[tokio::test]
async fn a_healthy_plugin_is_left_alone() {
    let plugin = Plugin::of("well-behaved");
    let keeper = Keeper::new(
        plugin.builder(),
        KeeperOptions { interval: Duration::from_millis(1), ..KeeperOptions::default() },
    );
    soon(keeper.activate()).await.unwrap();
    let life = keeper.current().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..30 {
        ticks.tick().await;
        assert!(keeper.is_active());
    }
    assert_eq!(keeper.current().unwrap().pid(), life.pid());
    assert!(soon(keeper.deactivate()).await);
}

// Ends that overlap

/// A kill reaches a life that is being stopped, and the plugin can be started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_cuts_a_deactivation_short() {
    let plugin = Plugin::of("hang-in-on-deactivate");
    let timeouts = Timeouts { deactivate: Duration::from_secs(600), ..quick_stop() };
    let keeper = Keeper::new(plugin.builder().timeouts(timeouts), patient());
    soon(keeper.activate()).await.unwrap();
    // Its caller goes away; the stop goes on.
    tokio::select! {
        () = plugin.event(|kind| matches!(kind, EventKind::Stopping { .. })) => {}
        ended = keeper.deactivate() => panic!("{ended}"),
    }
    assert_eq!(keeper.state(), Stopping);
    soon(keeper.kill()).await;
    assert_eq!(keeper.state(), NotRunning);
    plugin.assert_nothing_left().await;
    soon(keeper.activate()).await.unwrap();
    soon(keeper.kill()).await;
    plugin.assert_nothing_left().await;
}

/// Limits that are as good as none panic nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_centuries_are_limits() {
    let all = Duration::MAX;
    let timeouts = Timeouts {
        handshake: all,
        connect: all,
        health: all,
        hook: all,
        deactivate: all,
        controller: all,
        leave: all,
        grace: all,
        reap: all,
        output: all,
        api_drain: all,
    };
    assert_eq!(timeouts.longest_stop(), all);
    let plugin = Plugin::of("well-behaved");
    let life = soon(plugin.builder().timeouts(timeouts).launch()).await.unwrap();
    soon(life.health_check()).await.unwrap();
    assert_eq!(soon(life.shutdown()).await.error, None);
    plugin.assert_nothing_left().await;
}

/// A hook layer and an API factory that panic fail their launch, which is undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_of_the_host_that_panics_fails_the_launch() {
    for layer in [true, false] {
        let plugin = Plugin::of("well-behaved");
        let builder = match layer {
            true => plugin.builder().hook_layer(|_| panic!("a layer's fault")),
            false => plugin.alone().api_server(|| panic!("a factory's fault")),
        };
        let error = soon(builder.timeouts(quick_stop()).launch()).await.unwrap_err();
        assert!(matches!(error.failure, LaunchFailure::Panicked { .. }), "{error}");
        assert!(error.to_string().contains("'s fault"), "{error}");
        plugin.ended().await;
        plugin.assert_nothing_left().await;
    }
}

/// Panics while the plugin is active.
struct Breaks;

impl plugin_conformance::supervisor::Schedule for Breaks {
    fn delay(&self, moment: &plugin_conformance::supervisor::Moment<'_>) -> Duration {
        use plugin_conformance::supervisor::{Point, lifecycle::Action};
        assert_ne!(moment.point, Point::Begun(Action::Announce), "the schedule's fault");
        Duration::ZERO
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_that_panics_ends_its_life() {
    let plugin = Plugin::of("well-behaved");
    let builder = plugin.builder().timeouts(quick_stop()).schedule(Arc::new(Breaks));
    let error = soon(builder.launch()).await.unwrap_err();
    assert!(error.to_string().contains("the schedule's fault"), "{error}");
    plugin.assert_nothing_left().await;
    assert_eq!(plugin.kinds().last(), Some(&EventKind::Ended));
}

/// Who calls a hook after a crash is told of it, and not that somebody stops the plugin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_under_way_in_a_crash_is_told_of_the_crash() {
    let plugin = Plugin::good(
        "OnActivate, UserHasJoinedChannel",
        "on: {UserHasJoinedChannel: [block_thread]}\n",
    );
    let life = soon(plugin.builder().timeouts(quick_stop()).launch()).await.unwrap();
    let hooks = life.hooks().clone();
    let call = tokio::spawn(async move { hooks.user_has_joined_channel(Default::default()).await });
    plugin
        .report_where(|report| report.hooks.iter().any(|hook| hook == "UserHasJoinedChannel"))
        .await;
    signal(life.pid(), Signal::KILL);
    let error = soon(call).await.unwrap().answer().unwrap_err();
    assert!(matches!(error, plugin_conformance::hooks::HookError::Disconnected { .. }), "{error}");
    soon(life.ended()).await;
}
