//! Several plugins under one roof: their lives.
//!
//! `s_…` and `i_…` are the lines of the upstream acceptance list.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod environment_common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Tiny, alive, quick_stop, signal, soon};
use environment_common::{Apis, Bundles, World, calm, id, script};
use fake_interpreters::characters::Character;
use plugin_conformance::api::Overlay;
use plugin_conformance::embedded::{KvApi, KvStore};
use plugin_conformance::environment::{Environment, EnvironmentError, KeeperOptions, PluginState};
use plugin_conformance::supervisor::{EventKind, LaunchFailure, Timeouts};
use plugin_proto::v1;
use rustix::process::Signal;

fn character(name: &str) -> &'static str {
    Character::by_name(name).unwrap().script
}

/// S-30 to S-34 without an API, as upstream's factory yields none; I-16 to I-19 with one.
#[tokio::test]
async fn s_30_s_31_s_32_s_33_s_34_i_16_i_17_i_18_i_19_activate_and_deactivate() {
    for api in [false, true] {
        let bundles = Bundles::new();
        let builder = match api {
            true => calm(&Apis::default()),
            false => Environment::builder().launch(|_, launch| launch.timeouts(quick_stop())),
        };
        let plugins = builder.build().unwrap();
        let hooks = script("OnActivate, OnConfigurationChange", "");
        let info = plugins.add(bundles.write("one", &hooks)).await.unwrap();
        assert_eq!(info.id(), id("one"));
        assert_eq!(plugins.ids(), [id("one")]);
        assert!(!plugins.is_active(info.id()));
        // S-30, I-16
        assert!(soon(plugins.activate(info.id())).await.unwrap());
        // S-31
        assert!(plugins.is_active(info.id()));
        assert_eq!(plugins.status(info.id()).unwrap().state, PluginState::Running as i32);
        let supervisor = plugins.supervisor(info.id()).unwrap();
        assert_eq!(supervisor.api_target().is_some(), api);
        assert!(!soon(plugins.activate(info.id())).await.unwrap(), "it is not activated again");
        assert_eq!(plugins.supervisor(info.id()).unwrap().pid(), supervisor.pid());
        // S-32, I-17
        plugins.health_check(info.id()).await.unwrap();
        // I-18
        let told = plugins.dispatch().on_configuration_change(Default::default()).await;
        assert_eq!(told.len(), 1);
        told[0].result.as_ref().unwrap();
        let asked = AtomicUsize::new(0);
        let dispatch = plugins.dispatch();
        let whole = dispatch.for_each_implementing("OnConfigurationChange", |plugin, _| {
            assert_eq!(plugin.id(), id("one"));
            asked.fetch_add(1, Ordering::SeqCst);
            async { true }
        });
        assert!(whole.await);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // S-33, I-19
        assert!(soon(plugins.deactivate(info.id())).await);
        // S-34
        assert!(!plugins.is_active(info.id()));
        assert!(plugins.health_check(info.id()).await.is_err());
        assert!(!alive(supervisor.pid()));
        assert!(!soon(plugins.deactivate(info.id())).await);
        soon(plugins.shutdown()).await;
    }
}

#[tokio::test]
async fn s_40_s_41_s_42_s_43_i_20_a_killed_plugin_is_restarted() {
    let world = World::new(&[("killed", character("well-behaved"))]).await;
    let (plugins, id) = (&world.plugins, id("killed"));
    // S-40
    assert!(plugins.is_active(&id));
    plugins.health_check(&id).await.unwrap();
    let first = plugins.supervisor(&id).unwrap();
    assert!(alive(first.pid()));
    // S-41
    signal(first.pid(), Signal::KILL);
    soon(first.ended()).await;
    assert!(plugins.health_check(&id).await.is_err());
    world.state("killed", PluginState::FailedToStayRunning).await;
    assert!(plugins.last_error(&id).unwrap().contains("SIGKILL"));
    assert_eq!(plugins.status(&id).unwrap().state, 4);
    // S-42
    soon(plugins.restart(&id)).await.unwrap();
    assert!(plugins.is_active(&id));
    assert_eq!(plugins.last_error(&id), None);
    // S-43
    plugins.health_check(&id).await.unwrap();
    assert_ne!(plugins.supervisor(&id).unwrap().pid(), first.pid());
    // A plugin that gave up is activated at once, too.
    let second = plugins.supervisor(&id).unwrap();
    signal(second.pid(), Signal::KILL);
    world.state("killed", PluginState::FailedToStayRunning).await;
    assert!(soon(plugins.activate(&id)).await.unwrap());
    assert!(plugins.is_active(&id));
    soon(plugins.shutdown()).await;
}

#[tokio::test]
async fn s_44_s_45_s_46_s_47_s_48_s_49_s_50_s_51_hooks() {
    let hooks = script("OnActivate, OnDeactivate, MessageHasBeenPosted", "");
    let world = World::new(&[("hooks", &hooks)]).await;
    // S-44
    let hooks = world.plugins.hooks(&id("hooks")).unwrap();
    world.plugins.health_check(&id("hooks")).await.unwrap();
    // S-45
    let mut named = hooks.implemented(Default::default()).await.decision.unwrap();
    named.sort();
    assert_eq!(named, ["MessageHasBeenPosted", "OnActivate", "OnDeactivate"]);
    // S-46, S-47, S-48
    assert!(hooks.implements("OnDeactivate"));
    assert!(hooks.implements("MessageHasBeenPosted"));
    assert!(!hooks.implements("ChannelHasBeenCreated"));
    // S-49, S-50
    hooks.on_activate(Default::default()).await.decision.unwrap();
    hooks.on_deactivate(Default::default()).await.decision.unwrap();
    // S-51
    let post = v1::Post { id: "post".into(), ..Default::default() };
    let request =
        v1::MessageHasBeenPostedRequest { context: None, plugin_context: None, post: Some(post) };
    let told = soon(world.plugins.dispatch().message_has_been_posted(request)).await;
    assert!(told[0].result.is_ok(), "{told:?}");
    soon(world.plugins.shutdown()).await;
    assert_eq!(world.report("hooks").hooks[5..], ["MessageHasBeenPosted", "OnDeactivate"]);
}

#[tokio::test]
async fn i_21_i_22_only_what_is_implemented_is_asked() {
    let some = script("OnActivate, MessageHasBeenPosted, UserHasJoinedChannel", "");
    let world = World::new(&[("some", &some)]).await;
    let hooks = world.plugins.hooks(&id("some")).unwrap();
    for hook in ["MessageHasBeenPosted", "UserHasJoinedChannel"] {
        assert!(hooks.implements(hook), "I-21 {hook}");
    }
    for hook in ["OnDeactivate", "ServeHTTP", "ExecuteCommand", "ChannelHasBeenCreated"] {
        assert!(!hooks.implements(hook), "I-22 {hook}");
    }
    let dispatch = world.plugins.dispatch();
    assert_eq!(dispatch.user_has_joined_channel(Default::default()).await.len(), 1);
    assert_eq!(dispatch.channel_has_been_created(Default::default()).await.len(), 0);
    soon(world.plugins.shutdown()).await;
    let hooks = world.report("some").hooks;
    assert_eq!(hooks, ["Implemented", "OnActivate", "UserHasJoinedChannel"]);
}

#[tokio::test]
async fn unknown_plugins_are_told_apart() {
    let plugins = calm(&Apis::default()).build().unwrap();
    let unknown = |error| matches!(error, EnvironmentError::Unknown { plugin_id } if plugin_id == "com.example.none");
    let none = "com.example.none";
    assert!(unknown(plugins.activate(none).await.unwrap_err()));
    assert!(unknown(plugins.restart(none).await.unwrap_err()));
    assert!(unknown(plugins.remove(none).await.unwrap_err()));
    assert!(unknown(plugins.hooks(none).unwrap_err()));
    assert!(!plugins.deactivate(none).await);
    assert!(!plugins.is_active(none));
    assert!(plugins.status(none).is_none() && plugins.supervisor(none).is_none());
    assert!(plugins.health_check(none).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_added_is_named() {
    let bundles = Bundles::new();
    let plugins = calm(&Apis::default()).server_version("10.5.0").build().unwrap();
    let add = |name: &str, manifest: &str| {
        let dir = bundles.write(name, &script("", ""));
        std::fs::write(dir.join("plugin.json"), manifest).unwrap();
        plugins.add(dir)
    };
    let needs = |id: &str, version: &str| {
        format!(
            r#"{{"id": "{id}", "min_server_version": "{version}", "description": "for tests"}}"#
        )
    };
    add("first", &needs("com.example.a", "10.5.0")).await.unwrap();
    let status = plugins.status("COM.example.A").unwrap();
    assert_eq!(status.description, "for tests");
    assert_eq!(status.plugin_path, bundles.path("first").display().to_string());
    assert_eq!(status.state, 0);

    let error = add("second", &needs("com.example.a", "10.5.0")).await.unwrap_err().to_string();
    assert!(error.contains("/first") && error.contains("/second"), "{error}");
    let error = add("newer", &needs("com.example.b", "10.10.0")).await.unwrap_err().to_string();
    assert!(error.contains("10.10.0") && error.contains("10.5.0"), "{error}");
    let error = add("odd", &needs("com.example.c", "ten")).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::BadVersion { .. }), "{error}");
    let error = plugins.add(bundles.path("missing")).await.unwrap_err();
    assert!(matches!(error, EnvironmentError::Manifest(_)), "{error}");
    assert_eq!(plugins.ids(), ["com.example.a"]);
}

/// A hung plugin delays neither the hooks nor the health of another, nor its restarts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_plugin_delays_nobody() {
    let hung =
        script("OnActivate, MessageHasBeenPosted", "  MessageHasBeenPosted: [block_thread]\n");
    let good = script("OnActivate, MessageHasBeenPosted", "");
    let world = World::with(&[("hung", &hung), ("good", &good)], |builder| {
        let health = Duration::from_secs(30);
        builder
            .keeper(KeeperOptions { interval: Duration::from_millis(50), ..Default::default() })
            .launch(move |_, plugin| plugin.timeouts(Timeouts { health, ..Default::default() }))
    })
    .await;
    // From now on the first plugin answers neither hooks nor pings.
    let dispatch = world.plugins.dispatch();
    let told = tokio::spawn(async move {
        dispatch.message_has_been_posted(v1::MessageHasBeenPostedRequest::default()).await
    });
    let report = || world.report("hung").hooks;
    common::until("the hook hangs", || report().contains(&"MessageHasBeenPosted".to_owned())).await;
    common::until("the other is told", || {
        world.report("good").hooks.contains(&"MessageHasBeenPosted".to_owned())
    })
    .await;
    assert!(!told.is_finished(), "the first plugin does not hang");

    let start = Instant::now();
    world.plugins.health_check(&id("good")).await.unwrap();
    let first = world.plugins.supervisor(&id("good")).unwrap().pid();
    signal(first, Signal::KILL);
    common::until("the other is restarted", || {
        world.plugins.supervisor(&id("good")).is_some_and(|life| life.pid() != first)
    })
    .await;
    world.plugins.health_check(&id("good")).await.unwrap();
    // A ping of the hung plugin alone takes 30 s.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let pid = world.plugins.supervisor(&id("hung")).unwrap().pid();
    signal(pid, Signal::KILL);
    let told = soon(told).await.unwrap();
    let ids: Vec<_> = told.iter().map(|told| told.plugin_id.clone()).collect();
    assert_eq!(ids, [id("hung"), id("good")]);
    assert!(told[0].result.is_err() && told[1].result.is_ok(), "{told:?}");
    soon(world.plugins.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_hangs_in_its_launch_delays_no_other_and_no_shutdown() {
    let hung = character("hang-in-on-activate");
    let world = World::idle(&[("hung", hung), ("good", character("well-behaved"))], |it| it).await;
    let plugins = world.plugins.clone();
    let launch = tokio::spawn(async move { plugins.activate(&id("hung")).await });
    world.state("hung", PluginState::Starting).await;
    let events = world.plugins.events(&id("hung")).unwrap();
    soon(events.wait_for(|kind| matches!(kind, EventKind::HooksKnown { .. }))).await;
    assert!(soon(world.plugins.activate(&id("good"))).await.unwrap());
    assert_eq!(world.plugins.statuses().len(), 2);
    let pid = world.plugins.supervisor(&id("good")).unwrap().pid();

    let start = Instant::now();
    soon(world.plugins.shutdown()).await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let error = soon(launch).await.unwrap().unwrap_err();
    assert!(matches!(error, EnvironmentError::ShuttingDown), "{error}");
    soon(events.wait_for(|kind| *kind == EventKind::Ended)).await;
    assert!(!alive(pid));
    // Again, and nothing starts any more.
    soon(world.plugins.shutdown()).await;
    for activated in
        [world.plugins.activate(&id("good")).await, world.plugins.activate(&id("hung")).await]
    {
        assert!(matches!(activated, Err(EnvironmentError::ShuttingDown)), "{activated:?}");
    }
    let added = world.plugins.add(world.bundles.write("late", &script("", ""))).await;
    assert!(matches!(added, Err(EnvironmentError::ShuttingDown)), "{added:?}");
    assert_eq!(world.plugins.status(&id("good")).unwrap().state, PluginState::NotRunning as i32);
}

/// Four plugins whose stop takes 300 ms each are stopped at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_stops_all_plugins_at_once() {
    let slow = character("hang-in-on-deactivate");
    let world = World::new(&[("a", slow), ("b", slow), ("c", slow), ("d", slow)]).await;
    let pids: Vec<_> = ["a", "b", "c", "d"]
        .map(|name| world.plugins.supervisor(&id(name)).unwrap().pid())
        .to_vec();
    soon(futures::future::join(world.plugins.shutdown(), world.plugins.shutdown())).await;
    assert!(pids.iter().all(|&pid| !alive(pid)));
    let stopping = ["a", "b", "c", "d"].map(|name| {
        let events = world.plugins.events(&id(name)).unwrap().events();
        let at = |wanted: fn(&EventKind) -> bool| {
            events.iter().find(|event| wanted(&event.kind)).unwrap().at
        };
        (
            at(|kind| matches!(kind, EventKind::Stopping { .. })),
            at(|kind| *kind == EventKind::Ended),
        )
    });
    let last_begin = stopping.iter().map(|(begin, _)| *begin).max().unwrap();
    let first_end = stopping.iter().map(|(_, end)| *end).min().unwrap();
    assert!(last_begin < first_end, "one plugin was stopped before another's stop began");
}

/// Upstream two calls for one id may interleave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_for_one_plugin_never_interleave() {
    let world = World::idle(&[("one", character("well-behaved"))], |it| it).await;
    let calls: Vec<_> = (0..12)
        .map(|at| {
            let plugins = world.plugins.clone();
            tokio::spawn(async move {
                match at % 3 {
                    0 => drop(plugins.deactivate(&id("one")).await),
                    1 => drop(plugins.activate(&id("one")).await.unwrap()),
                    _ => plugins.restart(&id("one")).await.unwrap(),
                }
            })
        })
        .collect();
    // A caller that goes away leaves nothing half done.
    calls[5].abort();
    for (at, call) in calls.into_iter().enumerate() {
        let ended = soon(call).await;
        assert!(at == 5 || ended.is_ok());
    }
    let events = world.plugins.events(&id("one")).unwrap();
    soon(world.plugins.shutdown()).await;
    let mut running = false;
    for kind in events.kinds() {
        match kind {
            EventKind::ApiListening { .. } => assert!(!std::mem::replace(&mut running, true)),
            EventKind::Ended => assert!(std::mem::replace(&mut running, false)),
            _ => {}
        }
    }
    assert!(!running);
}

#[tokio::test]
async fn a_failed_activation_keeps_its_error() {
    let world = World::idle(&[("bad", character("crash-before-handshake"))], |it| it).await;
    let error = soon(world.plugins.activate(&id("bad"))).await.unwrap_err();
    assert!(
        matches!(&error, EnvironmentError::Launch(launch) if matches!(launch.failure, LaunchFailure::Handshake(_) | LaunchFailure::ExitedDuring(_))),
        "{error}"
    );
    assert_eq!(world.plugins.last_error(&id("bad")).unwrap(), error.to_string());
    let state = world.plugins.status(&id("bad")).unwrap().state;
    assert_eq!(state, PluginState::FailedToStart as i32);
    assert!(world.plugins.hooks(&id("bad")).is_err());
}

/// Each launch has an API of its own; what it stores outlives the restart, and is the plugin's
/// alone.
#[tokio::test]
async fn each_plugin_has_its_own_api_and_its_own_keys() {
    let good = character("well-behaved");
    let made = Arc::new(AtomicUsize::new(0));
    let (store, count) = (KvStore::default(), Arc::clone(&made));
    let world = World::with(&[("a", good), ("b", good)], |builder| {
        builder.api(move |plugin| {
            count.fetch_add(1, Ordering::SeqCst);
            let below = Overlay::over(Arc::new(Tiny));
            Arc::new(KvApi::over(&store, plugin.id(), Arc::new(below)))
        })
    })
    .await;
    let get = |name: &str| {
        let api = world.apis.of(name);
        async move { api.kv_get(v1::KvGetRequest { key: "key".into() }).await.unwrap().value }
    };
    let request = v1::KvSetRequest { key: "key".into(), value: "value".into() };
    world.apis.of("a").kv_set(request).await.unwrap();
    soon(world.plugins.restart(&id("a"))).await.unwrap();
    assert_eq!(get("a").await, "value");
    assert_eq!(get("b").await, "");
    assert_eq!(made.load(Ordering::SeqCst), 3);
    let name = |name: &str| {
        let api = world.apis.of(name);
        async move { api.get_plugin_id(v1::GetPluginIdRequest {}).await.unwrap().plugin_id }
    };
    assert_eq!([name("a").await, name("b").await], [id("a"), id("b")]);
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn a_dropped_environment_stops_its_plugins() {
    let world = World::new(&[("one", character("well-behaved"))]).await;
    let events = world.plugins.events(&id("one")).unwrap();
    let api = world.apis.of("one");
    let World { plugins, .. } = world;
    drop(plugins);
    soon(events.wait_for(|kind| *kind == EventKind::Ended)).await;
    let error = api.get_plugins(v1::GetPluginsRequest {}).await.unwrap_err();
    assert_eq!(error.status_code, 503);
}
