//! Lives a plan with a real process.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_interpreters::characters::Character;
use fake_interpreters::report::Report;
use fake_interpreters::sample;
use plugin_proto::{Method, Service};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio_util::sync::CancellationToken;

use super::super::evidence::{is_alive, left};
use super::super::invariants::{Fact, LifeTrace, Mark, Violation, check, check_facts};
use super::super::{Bundle, BundleError};
use super::Stress;
use super::ask;
use super::ending::Ending;
use super::late;
use super::plan::{Deed, LifePlan};
use super::watch::{Watching, Witness};
use crate::api::{ApiServer, Dynamic};
use crate::environment::{Keeper, KeeperOptions, PluginState};
use crate::hooks::Hooks;
use crate::supervisor::lifecycle::Action;
use crate::supervisor::{
    EventKind, EventLog, Leash, Schedule, SeededSchedule, Supervisor, SupervisorBuilder,
};

/// A call that is given up is given up after this time.
const GIVE_UP: Duration = Duration::from_millis(10);

/// How a life came out.
#[derive(Debug, Clone)]
pub struct Lived {
    /// What was to be.
    pub plan: LifePlan,
    /// What is known of it, in its order.
    pub facts: Vec<Fact>,
    /// The driver's log.
    pub log: Vec<EventKind>,
    /// What is still there and should not be, and what did not come back, in words.
    pub left: Vec<String>,
    /// The launch: `None` if it was dropped, else how it failed.
    pub launch: Option<Result<(), String>>,
    /// How many hooks were fired.
    pub hooks: u64,
    /// How many HTTP requests were sent.
    pub requests: u64,
    /// How many API calls came.
    pub calls: u64,
    /// Where its bundle was.
    pub folder: PathBuf,
}

impl Lived {
    /// The names of the life events, in their order.
    pub fn marks(&self) -> Vec<Mark> {
        self.log.iter().map(Mark::from).collect()
    }

    /// How much there is to read of it: what happened, then what was done, then what disturbed it.
    pub(super) fn length(&self) -> (usize, usize, Duration, bool) {
        (self.facts.len(), self.plan.deeds.len(), self.plan.longest, self.plan.unix)
    }

    /// The first thing that is not as it should be: its rule, and what is to be said of it.
    pub fn violation(&self) -> Option<(&'static str, String)> {
        let broken = self.check_lives().and_then(|()| check(&self.log, true)).err();
        if let Some(broken) = broken {
            return Some((broken.rule, broken.to_string()));
        }
        if !self.left.is_empty() {
            return Some(("nothing-left", self.left.join("; ")));
        }
        if self.plan.ending == Ending::StopLaunch {
            return None;
        }
        let (expected, launch) = (self.plan.role.launches, self.launch.as_ref()?);
        let name = self.plan.role.name;
        match (expected, launch) {
            (true, Err(error)) => {
                Some(("explained", format!("{name} should become active, but: {error}")))
            }
            (false, Ok(())) => {
                Some(("explained", format!("{name} became active and should not have")))
            }
            _ => None,
        }
    }

    /// A keeper's plugin has two lives, of which the second begins when the first is over.
    fn check_lives(&self) -> Result<(), Violation> {
        let starts = |fact: &Fact| *fact == Fact::Begins(Action::StartApi);
        let first = self.facts.iter().position(starts).map_or(0, |at| at + 1);
        let second = self.facts[first..].iter().position(starts).map(|at| first + at);
        let Some(at) = second.filter(|_| self.plan.ending.is_kept()) else {
            return check_facts(&self.facts, true);
        };
        let first: Vec<_> = self.facts[..at].iter().copied().chain([Fact::Quiet]).collect();
        check_facts(&first, true)?;
        check_facts(&self.facts[at..], true)
            .map_err(|violation| Violation { at: at + violation.at, ..violation })
    }
}

/// Lives the plan, in a new folder at `dir`, which is removed afterwards.
pub(super) async fn live(
    stress: &Stress,
    plan: &LifePlan,
    dir: &Path,
) -> Result<Lived, BundleError> {
    // Roles are characters: `Role::by_name` and a test see to that.
    let script = Character::by_name(plan.role.name).map_or("", |character| character.script);
    let bundle = Bundle::write(dir, plan.role.name, script, &stress.interpreter)?;
    let log = EventLog::default();
    let (trace, held) = (LifeTrace::new(&log), CancellationToken::new());
    let calls = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let watching: Arc<dyn Schedule> = Arc::new(Watching {
        delays: SeededSchedule::new(plan.delays, plan.longest),
        trace: trace.clone(),
        hold: plan.hold(),
        held: held.clone(),
        cut: (plan.ending == Ending::StopLaunch).then_some((plan.cut, plan.stage)),
        stop: stop.clone(),
        last: Mutex::default(),
        #[cfg(feature = "sabotage")]
        fault: stress.fault,
    });
    let (witnessed, counted) = (trace.clone(), Arc::clone(&calls));
    let mut builder = Supervisor::builder(&bundle.dir)
        .events(&log)
        .log(Arc::new(|_| ()))
        .timeouts(plan.role.timeouts())
        .schedule(Arc::clone(&watching))
        .hook_layer({
            let trace = trace.clone();
            move |inner| late::layer(&trace, inner)
        })
        .api_server(move || {
            ApiServer::builder(Arc::new(Dynamic(Witness::new(&witnessed, &counted))))
        });
    if plan.unix {
        builder = builder.api_on_unix_socket();
    }
    let mut lived = Lived {
        plan: plan.clone(),
        facts: Vec::new(),
        log: Vec::new(),
        left: Vec::new(),
        launch: None,
        hooks: 0,
        requests: 0,
        calls: 0,
        folder: dir.to_owned(),
    };
    let story = async {
        let cut = async {
            match plan.ending {
                Ending::CutLaunch => held.cancelled().await,
                _ => std::future::pending().await,
            }
        };
        let leash = Leash::stopped_by(&stop);
        let launched = match plan.ending.is_kept() {
            true => {
                keep(plan, builder.clone(), (&log, &trace), &mut lived).await;
                None
            }
            false => Some(tokio::select! {
                launched = builder.launch_on(&leash) => Some(launched),
                () = cut => None,
            }),
        };
        match launched {
            None => {}
            Some(None) => trace.add_all(|_| [Fact::CallerGone, Fact::StopAsked]),
            Some(Some(Err(error))) => {
                trace.add(Fact::Answered);
                lived.launch = Some(Err(error.to_string()));
            }
            Some(Some(Ok(plugin))) => {
                trace.add(Fact::Answered);
                lived.launch = Some(Ok(()));
                let late = late::caller(plugin.hooks().clone(), &log, &trace);
                let mut under_way = match plan.ending {
                    // It ends already.
                    Ending::StopLaunch => Vec::new(),
                    _ => act(plan, &plugin, &mut lived).await,
                };
                under_way.push(late);
                end(plan, plugin, &trace, &held).await;
                for call in under_way {
                    let _ = call.await;
                }
            }
        }
        drop(builder);
        // The driver holds the schedule as long as there is anything to do.
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        while Arc::strong_count(&watching) > 1 {
            ticks.tick().await;
        }
    };
    if tokio::time::timeout(stress.patience, story).await.is_err() {
        let patience = stress.patience;
        lived.left.push(format!("the life, or a call in it, did not end within {patience:?}"));
    }
    trace.add(Fact::Quiet);
    lived.facts = trace.facts();
    lived.log = log.kinds();
    let report = Report::read(&bundle.report()).ok();
    lived.left.extend(gone(&lived.log, report.as_ref()).await);
    lived.calls = calls.load(Ordering::Relaxed);
    // Whatever is wrong was noted: no process stays behind on the machine.
    for kind in &lived.log {
        if let EventKind::Spawned { pid } = kind
            && is_alive(*pid)
            && let Some(group) = Pid::from_raw(pid.cast_signed())
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    // What could not be removed is counted as a leak.
    let _ = std::fs::remove_dir_all(dir);
    Ok(lived)
}

/// What is left. A TCP port that was given back may at once be another plugin's: only a port that
/// is still answered after a while is ours.
async fn gone(log: &[EventKind], report: Option<&Report>) -> Vec<String> {
    let mut still = left(log, report).await;
    for _ in 0..100 {
        let foreign =
            |line: &String| line.contains("accepts connections") && !line.contains("unix:");
        if still.is_empty() || !still.iter().all(foreign) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        still = left(log, report).await;
    }
    still
}

/// Does what the plan says; gives the calls that are still under way.
async fn act(
    plan: &LifePlan,
    plugin: &Supervisor,
    lived: &mut Lived,
) -> Vec<tokio::task::JoinHandle<()>> {
    let mut under_way = Vec::new();
    for deed in &plan.deeds {
        match *deed {
            // An answer of "not healthy" is an answer: none of the roles is judged by it.
            Deed::Health => drop(plugin.health_check().await),
            Deed::Hook { name, cancelled } => {
                lived.hooks += 1;
                let call = fire(plugin.hooks().clone(), name);
                match cancelled {
                    true => drop(tokio::time::timeout(GIVE_UP, call).await),
                    false => call.await,
                }
            }
            Deed::UnderWay { name } => {
                lived.hooks += 1;
                under_way.push(tokio::spawn(fire(plugin.hooks().clone(), name)));
            }
            Deed::Http { path, cancelled, front } => {
                lived.requests += 1;
                let asked = match front {
                    true => ask::front(plugin, path, cancelled).await,
                    false => ask::plugin(plugin.hooks(), path, cancelled).await,
                };
                if let Err(error) = asked {
                    lived.left.push(format!("GET {path}: {error}"));
                }
            }
        }
    }
    under_way
}

async fn fire(hooks: Hooks, name: &'static str) {
    if let Some(hook) = Method::by_name(Service::PluginHooks, name) {
        // What becomes of it is the matter of other tests; here it must come back.
        let _ = hooks.fire(hook, sample::request(hook)).await;
    }
}

/// Launches the plugin by a keeper, restarts it by the plan's ending, and stops it for good.
async fn keep(
    plan: &LifePlan,
    builder: SupervisorBuilder,
    (log, trace): (&EventLog, &LifeTrace),
    lived: &mut Lived,
) {
    let keeper = Keeper::new(builder, KeeperOptions::default());
    let launched = keeper.activate().await;
    trace.add(Fact::Answered);
    lived.launch = Some(launched.map(drop).map_err(|error| error.to_string()));
    let Some(plugin) = keeper.current() else { return };
    let late = late::caller(plugin.hooks().clone(), log, trace);
    let mut under_way = act(plan, &plugin, lived).await;
    under_way.push(late);
    let pid = plugin.pid();
    drop(plugin);
    if plan.ending == Ending::Restart {
        trace.add(Fact::StopAsked);
        if let Err(error) = keeper.restart().await {
            lived.left.push(format!("the keeper's restart failed: {error}"));
        }
    } else {
        trace.add(Fact::Exits);
        if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let mut states = keeper.states();
        // Until it runs again, or will not.
        let again = states.wait_for(|state| match state {
            PluginState::Running => keeper.current().is_some_and(|plugin| plugin.pid() != pid),
            PluginState::FailedToStart | PluginState::FailedToStayRunning => true,
            _ => false,
        });
        let _ = again.await;
        if !keeper.is_active() {
            let error = keeper.last_error().unwrap_or_default();
            lived.left.push(format!("the keeper did not launch it again: {error}"));
        }
    }
    trace.add_all(|_| [Fact::Answered, Fact::StopAsked]);
    keeper.shut_down().await;
    for call in under_way {
        let _ = call.await;
    }
}

async fn end(plan: &LifePlan, plugin: Supervisor, trace: &LifeTrace, held: &CancellationToken) {
    let crash = || {
        trace.add(Fact::Exits);
        if let Some(pid) = Pid::from_raw(plugin.pid().cast_signed()) {
            // An error means that it has exited by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    };
    match plan.ending {
        Ending::Stop => {
            trace.add(Fact::StopAsked);
            plugin.shutdown().await;
        }
        Ending::TwoStops => {
            trace.add(Fact::StopAsked);
            tokio::join!(plugin.shutdown(), plugin.shutdown());
        }
        Ending::Kill => {
            trace.add(Fact::KillAsked);
            plugin.kill().await;
        }
        Ending::Crash => {
            crash();
            plugin.ended().await;
        }
        Ending::KillInStop => {
            trace.add(Fact::StopAsked);
            let kill = async {
                held.cancelled().await;
                trace.add(Fact::KillAsked);
                plugin.kill().await
            };
            tokio::join!(plugin.shutdown(), kill);
        }
        Ending::CrashInStop => {
            trace.add(Fact::StopAsked);
            let crash = async {
                held.cancelled().await;
                crash();
            };
            tokio::join!(plugin.shutdown(), crash);
        }
        Ending::Drop | Ending::CutLaunch => {
            trace.add(Fact::StopAsked);
            drop(plugin);
        }
        Ending::ByItself | Ending::StopLaunch => drop(plugin.ended().await),
        // These have a keeper.
        Ending::Restart | Ending::CrashKept => {}
    }
}
