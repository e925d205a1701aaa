//! The real keeper, and callers who go away at whatever point; and twins of it that lose something
//! with them.

use shuttle::future::{JoinHandle, block_on, spawn, yield_now};

use crate::supervisor::{
    Keeper, KeeperOptions, Leash, Lives, PluginState, Supervisor, SupervisorBuilder,
};
use crate::sync::{Arc, AsyncMutex, Mutex};
use crate::{fails_and_replays, random_orders};

fn builder(crashes: usize, hangs: bool) -> (Arc<Mutex<Lives>>, SupervisorBuilder) {
    let lives = Arc::new(Mutex::new(Lives::default()));
    let builder = SupervisorBuilder { bundle: "number", lives: Arc::clone(&lives), crashes, hangs };
    (lives, builder)
}

fn keeper(crashes: usize, hangs: bool) -> (Arc<Mutex<Lives>>, Arc<Keeper>) {
    let (lives, builder) = builder(crashes, hangs);
    (lives, Arc::new(Keeper::new(builder, KeeperOptions::default())))
}

/// What can be asked of a keeper, the real one and its twins.
trait Keeps: Send + Sync + 'static {
    fn activate(&self) -> impl Future<Output = ()> + Send;
    fn deactivate(&self) -> impl Future<Output = ()> + Send;
    fn restart(&self) -> impl Future<Output = ()> + Send;
    fn shut_down(&self) -> impl Future<Output = ()> + Send;
}

impl Keeps for Keeper {
    async fn activate(&self) {
        drop(Self::activate(self).await);
    }

    async fn deactivate(&self) {
        Self::deactivate(self).await;
    }

    async fn restart(&self) {
        drop(Self::restart(self).await);
    }

    async fn shut_down(&self) {
        Self::shut_down(self).await;
    }
}

/// A caller, who may be sent away.
fn caller<K: Keeps, F: Future<Output = ()> + Send + 'static>(
    keeper: &Arc<K>,
    call: impl FnOnce(Arc<K>) -> F,
) -> JoinHandle<()> {
    spawn(call(Arc::clone(keeper)))
}

/// Makes a keeper, and what its lives come to.
type Make<K> = fn() -> (Arc<Mutex<Lives>>, Arc<K>);

/// Four callers, three of whom go away at whatever point. Whoever comes then finds no life beside his
/// own, and after the last stop there is none.
fn callers_go_away<K: Keeps>(make: Make<K>) -> Arc<K> {
    let (lives, keeper) = make();
    block_on(keeper.activate());
    let gone = [
        caller(&keeper, |keeper| async move { keeper.deactivate().await }),
        caller(&keeper, |keeper| async move { keeper.activate().await }),
        caller(&keeper, |keeper| async move { keeper.restart().await }),
    ];
    let stays = caller(&keeper, |keeper| async move { keeper.activate().await });
    for gone in gone {
        block_on(yield_now());
        gone.abort();
    }
    block_on(stays).unwrap();
    // The first last stop goes away, too.
    let last = caller(&keeper, |keeper| async move { keeper.shut_down().await });
    block_on(yield_now());
    last.abort();
    block_on(keeper.shut_down());
    assert_eq!(lives.lock().unwrap().alive, 0, "the second last stop came back too early");
    keeper
}

#[test]
fn callers_who_go_away_leave_one_life_or_none() {
    random_orders(600, || {
        let keeper = callers_go_away(|| keeper(1, false));
        assert_eq!(keeper.state(), PluginState::NotRunning);
        assert!(keeper.current().is_none());
    });
}

/// Of a restart whose caller goes away, the stop is brought to its end.
#[test]
fn a_state_is_never_older_than_the_life() {
    random_orders(600, || {
        let (lives, keeper) = keeper(0, false);
        block_on(keeper.activate()).unwrap();
        let restarting =
            caller(&keeper, |keeper| async move { drop(Keeper::restart(&keeper).await) });
        block_on(yield_now());
        restarting.abort();
        // It may be in the midst of a step.
        drop(block_on(restarting));
        block_on(keeper.activate()).unwrap();
        assert_eq!(keeper.state(), PluginState::Running);
        assert_eq!(lives.lock().unwrap().alive, 1);
        assert!(keeper.current().is_some());
        assert!(block_on(keeper.deactivate()));
        assert_eq!((keeper.state(), lives.lock().unwrap().alive), (PluginState::NotRunning, 0));
    });
}

/// A twin that takes its job out of its place before it waits for it: who goes away takes it along.
struct TakesItOut {
    builder: SupervisorBuilder,
    job: AsyncMutex<Option<(Leash, crate::sync::oneshot::Receiver<()>)>>,
}

impl Keeps for TakesItOut {
    async fn activate(&self) {
        let mut job = self.job.lock().await;
        if job.is_some() {
            return;
        }
        let (leash, (ended, end)) = (Leash::default(), crate::sync::oneshot::channel());
        let (builder, life) = (self.builder.clone(), leash.clone());
        spawn(async move {
            if let Ok(plugin) = builder.launch_on(&life).await {
                life.stopping().cancelled().await;
                drop(plugin.shutdown_because("").await);
            }
            let _ = ended.send(());
        });
        *job = Some((leash, end));
    }

    async fn deactivate(&self) {
        let mut job = self.job.lock().await;
        if let Some((leash, end)) = job.take() {
            leash.stop();
            drop(end.await);
        }
    }

    async fn restart(&self) {
        self.deactivate().await;
        self.activate().await;
    }

    async fn shut_down(&self) {
        self.deactivate().await;
    }
}

#[test]
fn a_keeper_whose_job_goes_with_its_caller_is_found() {
    fails_and_replays(|| {
        callers_go_away(|| {
            let (lives, builder) = builder(0, false);
            (lives, Arc::new(TakesItOut { builder, job: AsyncMutex::new(None) }))
        });
    });
}

/// A twin whose launches belong to their callers: of one who goes away, a life is left.
struct LaunchesItself {
    builder: SupervisorBuilder,
    life: AsyncMutex<Option<Supervisor>>,
}

impl Keeps for LaunchesItself {
    async fn activate(&self) {
        let mut life = self.life.lock().await;
        if life.is_none() {
            *life = self.builder.launch_on(&Leash::default()).await.ok();
        }
    }

    async fn deactivate(&self) {
        let mut life = self.life.lock().await;
        if let Some(plugin) = &*life {
            drop(plugin.shutdown_because("").await);
        }
        *life = None;
    }

    async fn restart(&self) {
        self.deactivate().await;
        self.activate().await;
    }

    async fn shut_down(&self) {
        self.deactivate().await;
    }
}

#[test]
fn a_launch_that_belongs_to_its_caller_is_found() {
    fails_and_replays(|| {
        callers_go_away(|| {
            let (lives, builder) = builder(0, false);
            (lives, Arc::new(LaunchesItself { builder, life: AsyncMutex::new(None) }))
        });
    });
}

/// A stop that never ends, and then a kill: both come back, and the plugin can be started again.
/// `CURRENT` kills only what is there to be called.
fn a_kill_in_a_stop<const CURRENT: bool>() {
    let (lives, keeper) = keeper(0, true);
    block_on(keeper.activate()).unwrap();
    let stopping = caller(&keeper, |keeper| async move { Keeps::deactivate(&*keeper).await });
    block_on(yield_now());
    match CURRENT {
        true => {
            if let Some(life) = keeper.current() {
                block_on(life.kill());
            }
        }
        false => block_on(keeper.kill()),
    }
    block_on(stopping).unwrap();
    assert_eq!((keeper.state(), lives.lock().unwrap().alive), (PluginState::NotRunning, 0));
    assert!(block_on(keeper.activate()).unwrap());
    block_on(keeper.kill());
    assert_eq!((keeper.state(), lives.lock().unwrap().alive), (PluginState::NotRunning, 0));
}

#[test]
fn a_kill_reaches_a_life_that_is_being_stopped() {
    random_orders(400, a_kill_in_a_stop::<false>);
}

#[test]
fn a_kill_of_what_is_there_to_be_called_is_found() {
    fails_and_replays(a_kill_in_a_stop::<true>);
}

/// A job that has ended is waited for again and again: after a last word that was heard early, and by
/// a launch that then fails.
#[test]
fn a_job_that_has_ended_is_waited_for_again() {
    random_orders(400, || {
        let (lives, keeper) = keeper(usize::MAX, false);
        let mut states = keeper.states();
        block_on(keeper.activate()).unwrap();
        block_on(async {
            states.wait_for(|state| *state == PluginState::FailedToStayRunning).await.unwrap();
        });
        // Goes away while it waits for the job, or in its launch.
        let gone = caller(&keeper, |keeper| async move { drop(Keeper::activate(&keeper).await) });
        block_on(yield_now());
        gone.abort();
        block_on(keeper.deactivate());
        block_on(keeper.deactivate());
        block_on(keeper.shut_down());
        assert!(block_on(keeper.activate()).is_err());
        block_on(keeper.deactivate());
        assert_eq!(lives.lock().unwrap().alive, 0);
    });
}

/// A twin that waits for its job's handle, which a second wait finds used up.
#[test]
fn a_handle_that_is_waited_for_twice_is_found() {
    fails_and_replays(|| {
        let job = Arc::new(AsyncMutex::new(spawn(yield_now())));
        let wait = |job: Arc<AsyncMutex<JoinHandle<()>>>| async move {
            let mut job = job.lock().await;
            drop((&mut *job).await);
        };
        let (first, second) = (spawn(wait(Arc::clone(&job))), spawn(wait(job)));
        block_on(first).unwrap();
        block_on(second).unwrap();
    });
}
