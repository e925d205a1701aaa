//! The real registry of plugins and the turns that calls take at a plugin; the plugins are numbers.

#[path = "../../src/environment/registry.rs"]
mod registry;
#[path = "../../src/environment/turns.rs"]
mod turns;

use std::path::PathBuf;

use registry::Registry;
use shuttle::future::{block_on, spawn, yield_now};

use crate::supervisor::{Keeper, KeeperOptions, LaunchError, Lives, SupervisorBuilder};
use crate::sync::{Arc, AsyncMutex, Mutex};
use crate::{every_order, fails_and_replays, random_orders};

mod entry {
    use std::path::PathBuf;

    use crate::supervisor::Keeper;
    use crate::sync::{Arc, AsyncMutex};

    #[derive(Debug)]
    pub(super) struct Info {
        pub(super) id: &'static str,
        pub(super) bundle: PathBuf,
    }

    impl Info {
        pub(super) fn id(&self) -> &str {
            self.id
        }
    }

    #[derive(Debug)]
    pub(super) struct Entry {
        pub(super) info: Info,
        pub(super) keeper: Keeper,
        pub(super) turn: Arc<AsyncMutex<()>>,
    }
}

use entry::{Entry, Info};

/// The errors that the registry makes.
#[derive(Debug)]
enum EnvironmentError {
    Unknown { plugin_id: String },
    Duplicate { plugin_id: String, first: PathBuf, second: PathBuf },
    ShuttingDown,
    Launch(Box<LaunchError>),
}

impl From<Box<LaunchError>> for EnvironmentError {
    fn from(error: Box<LaunchError>) -> Self {
        Self::Launch(error)
    }
}

type AllLives = Arc<Mutex<Lives>>;

fn plugin(id: &'static str) -> (AllLives, Arc<Entry>) {
    let lives = AllLives::default();
    let lived = Arc::clone(&lives);
    let builder = SupervisorBuilder { bundle: id, lives: lived, crashes: 0, hangs: false };
    let info = Info { id, bundle: PathBuf::from(id) };
    let keeper = Keeper::new(builder, KeeperOptions::default());
    (lives, Arc::new(Entry { info, keeper, turn: Arc::default() }))
}

fn registry(ids: &[&'static str]) -> (Arc<Registry>, Vec<AllLives>) {
    let registry = Arc::new(Registry::default());
    let add = |id: &&'static str| {
        let (lives, entry) = plugin(id);
        registry.add(entry).unwrap();
        lives
    };
    let lives = ids.iter().map(add).collect();
    (registry, lives)
}

/// Two callers at one plugin. `EARLY` gives the turn back before the work is done.
fn two_at_work<const EARLY: bool>() {
    let (registry, _) = registry(&["a"]);
    let busy = Arc::new(Mutex::new(false));
    let work = || {
        let (registry, busy) = (Arc::clone(&registry), Arc::clone(&busy));
        spawn(async move {
            let mut turn = Some(registry.turn("A").await.unwrap());
            if EARLY {
                turn = None;
            }
            assert!(!std::mem::replace(&mut *busy.lock().unwrap(), true), "two at once");
            yield_now().await;
            *busy.lock().unwrap() = false;
            drop(turn);
        })
    };
    [work(), work()].into_iter().for_each(|task| block_on(task).unwrap());
}

#[test]
fn turns_of_one_plugin_never_overlap() {
    // There are 345,746 orders, which take minutes; none of them failed when all were run.
    random_orders(1000, two_at_work::<false>);
}

#[test]
fn a_turn_given_back_too_early_is_found() {
    fails_and_replays(two_at_work::<true>);
}

/// Every order of the steps of `case`, of which there is more than one.
fn exhausted(case: fn()) {
    let orders = every_order(case);
    eprintln!("{orders} orders");
    assert!(orders > 1, "{orders}");
}

/// Two hold the turns of two plugins at the same time, whatever the order. `ONE_TURN` is a registry
/// whose plugins share a turn.
fn two_plugins<const ONE_TURN: bool>() {
    let (registry, _) = registry(&["a"]);
    let (_, mut entry) = plugin("b");
    if ONE_TURN {
        let turn = Arc::clone(&registry.find("a").unwrap().turn);
        entry = Arc::new(Entry { turn, ..Arc::into_inner(entry).unwrap() });
    }
    registry.add(entry).unwrap();
    let both = Arc::new(Mutex::new(0));
    let hold = |id: &'static str| {
        let (registry, both) = (Arc::clone(&registry), Arc::clone(&both));
        spawn(async move {
            let _turn = registry.turn(id).await.unwrap();
            *both.lock().unwrap() += 1;
            // Until the other one has its turn, too.
            for _ in 0..20 {
                if *both.lock().unwrap() == 2 {
                    return;
                }
                yield_now().await;
            }
            panic!("one plugin waits for the other");
        })
    };
    [hold("a"), hold("b")].into_iter().for_each(|task| block_on(task).unwrap());
}

#[test]
fn plugins_do_not_block_each_other() {
    random_orders(1000, two_plugins::<false>);
}

#[test]
fn plugins_that_share_a_turn_are_found() {
    fails_and_replays(two_plugins::<true>);
}

/// One replaces the plugin while another waits for its turn. `STALE` does not look whether the entry
/// that it waited for is still the one in the list.
fn replaced_meanwhile<const STALE: bool>() {
    let (registry, _) = registry(&["a"]);
    let other = Arc::clone(&registry);
    let replacing = spawn(async move {
        let (old, _turn) = other.turn("a").await.unwrap();
        let new = Entry { turn: Arc::clone(&old.turn), ..Arc::into_inner(plugin("a").1).unwrap() };
        yield_now().await;
        other.replace(&old, Arc::new(new)).unwrap();
    });
    let (entry, turn) = if STALE {
        let entry = registry.find("a").unwrap();
        let turn = block_on(Arc::clone(&entry.turn).lock_owned());
        (entry, turn)
    } else {
        block_on(registry.turn("a")).unwrap()
    };
    assert!(registry.holds(&entry), "the turn of a plugin that was replaced");
    drop(turn);
    block_on(replacing).unwrap();
}

#[test]
fn a_turn_is_never_that_of_a_replaced_plugin() {
    exhausted(replaced_meanwhile::<false>);
}

#[test]
fn a_turn_without_a_second_look_is_found() {
    fails_and_replays(replaced_meanwhile::<true>);
}

/// Two add the same id. `APART` looks for it and adds it in two steps.
fn added_twice<const APART: bool>() {
    let registry = Arc::new(Registry::default());
    let ids = Arc::new(Mutex::new(Vec::new()));
    let add = || {
        let (registry, ids) = (Arc::clone(&registry), Arc::clone(&ids));
        shuttle::thread::spawn(move || {
            if APART {
                let known = ids.lock().unwrap().contains(&"a");
                if !known {
                    ids.lock().unwrap().push("a");
                }
            } else if registry.add(plugin("a").1).is_ok() {
                ids.lock().unwrap().push("a");
            }
        })
    };
    [add(), add()].into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(ids.lock().unwrap().len(), 1);
}

#[test]
fn an_id_is_added_once() {
    exhausted(added_twice::<false>);
}

#[test]
fn an_add_in_two_steps_is_found() {
    fails_and_replays(added_twice::<true>);
}

/// All calls at one plugin, and one who lists meanwhile: no two lives, none left, no turn held.
/// `WITHOUT_TURN` takes it off the list without waiting for its turn.
fn calls_at_one_plugin<const WITHOUT_TURN: bool>() {
    let (registry, lives) = registry(&["a", "b"]);
    let [one, two, three, four] = [(); 4].map(|()| Arc::clone(&registry));
    let entry = registry.find("a").unwrap();
    let tasks = [
        spawn(async move { drop(one.activate("a").await) }),
        spawn(async move { drop(two.restart("a").await) }),
        spawn(async move { drop(three.deactivate("a").await) }),
        spawn(async move {
            if WITHOUT_TURN {
                let entry = four.find("a").unwrap();
                entry.keeper.deactivate().await;
                four.remove(&entry);
            } else {
                drop(four.forget("a").await.unwrap());
            }
        }),
    ];
    let listed: Vec<_> = registry.all().iter().map(|entry| entry.info.id).collect();
    assert!(listed == ["a", "b"] || listed == ["b"], "{listed:?}");
    tasks.into_iter().for_each(|task| block_on(task).unwrap());
    assert_eq!(lives[0].lock().unwrap().alive, 0);
    assert!(!registry.holds(&entry));
    assert!(entry.turn.try_lock().is_ok(), "a turn is held for ever");
    assert!(matches!(registry.find("a"), Err(EnvironmentError::Unknown { .. })));
}

#[test]
fn calls_at_one_plugin_leave_nothing_behind() {
    random_orders(400, calls_at_one_plugin::<false>);
}

#[test]
fn a_removal_without_a_turn_is_found() {
    fails_and_replays(calls_at_one_plugin::<true>);
}

/// A shutdown in the midst of launches leaves no life and lets none begin. `LEFT_OPEN` stops the
/// plugins without closing the list.
fn shutdown_against_launches<const LEFT_OPEN: bool>() {
    let (registry, lives) = registry(&["a", "b"]);
    let launch = |id: &'static str| {
        let registry = Arc::clone(&registry);
        spawn(async move { drop(registry.activate(id).await) })
    };
    let tasks = [launch("a"), launch("b")];
    if LEFT_OPEN {
        for id in ["a", "b"] {
            drop(block_on(registry.deactivate(id)));
        }
    } else {
        block_on(registry.shut_down());
    }
    tasks.into_iter().for_each(|task| block_on(task).unwrap());
    assert!(lives.iter().all(|lives| lives.lock().unwrap().alive == 0), "a life is left");
    if !LEFT_OPEN {
        assert!(matches!(block_on(registry.activate("a")), Err(EnvironmentError::ShuttingDown)));
        assert!(matches!(registry.add(plugin("c").1), Err(EnvironmentError::ShuttingDown)));
    }
}

#[test]
fn shutdown_against_activations() {
    random_orders(400, shutdown_against_launches::<false>);
}

#[test]
fn a_shutdown_that_leaves_the_list_open_is_found() {
    fails_and_replays(shutdown_against_launches::<true>);
}

/// A shutdown that hangs, whose caller goes away at whatever point, and then a kill: nothing lives.
/// `STOPS` asks for another orderly stop instead.
fn kill_after_a_shutdown<const STOPS: bool>() {
    let registry = Arc::new(Registry::default());
    let lives = ["a", "b"].map(|id| {
        let lives = AllLives::default();
        let lived = Arc::clone(&lives);
        let builder = SupervisorBuilder { bundle: id, lives: lived, crashes: 0, hangs: true };
        let info = Info { id, bundle: PathBuf::from(id) };
        let keeper = Keeper::new(builder, KeeperOptions::default());
        registry.add(Arc::new(Entry { info, keeper, turn: Arc::default() })).unwrap();
        lives
    });
    let none_lives = || lives.iter().all(|lives| lives.lock().unwrap().alive == 0);
    block_on(registry.activate("a")).unwrap();
    let [launched, stopped] = [(); 2].map(|()| Arc::clone(&registry));
    let launching = spawn(async move { drop(launched.activate("b").await) });
    let stopping = spawn(async move { stopped.shut_down().await });
    block_on(yield_now());
    stopping.abort();
    match STOPS {
        true => block_on(registry.shut_down()),
        false => block_on(registry.kill()),
    }
    assert!(none_lives(), "a life is left");
    block_on(launching).unwrap();
    assert!(none_lives(), "a life has begun");
    assert!(matches!(block_on(registry.activate("a")), Err(EnvironmentError::ShuttingDown)));
}

#[test]
fn a_kill_reaches_what_is_being_launched_or_stopped() {
    random_orders(400, kill_after_a_shutdown::<false>);
}

#[test]
fn a_kill_that_only_asks_for_an_orderly_stop_is_found() {
    fails_and_replays(kill_after_a_shutdown::<true>);
}
