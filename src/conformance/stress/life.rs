//! Lives a plan with a real process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fake_interpreters::characters::Character;
use fake_interpreters::report::Report;
use fake_interpreters::sample;
use http_body_util::{BodyExt as _, Empty};
use plugin_proto::{Method, Service, v1};
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

use super::super::invariants::{Fact, LifeTrace, Mark, check, check_facts};
use super::super::subject::left;
use super::super::{Bundle, BundleError, Interpreter};
use super::plan::{Deed, Ending, LifePlan};
use super::watch::{Watching, Witness};
use crate::api::{ApiServer, Dynamic};
use crate::supervisor::{EventKind, EventLog, Hooks, Schedule, SeededSchedule, Supervisor};

/// A life that takes longer has not ended.
const PATIENCE: Duration = Duration::from_secs(40);
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
}

impl Lived {
    /// The names of the life events, in their order.
    pub fn marks(&self) -> Vec<Mark> {
        self.log.iter().map(Mark::from).collect()
    }

    /// The first thing that is not as it should be: its rule, and what is to be said of it.
    pub fn violation(&self) -> Option<(&'static str, String)> {
        let broken = check_facts(&self.facts, true).and_then(|()| check(&self.log, true)).err();
        if let Some(broken) = broken {
            return Some((broken.rule, broken.to_string()));
        }
        if !self.left.is_empty() {
            return Some(("nothing-left", self.left.join("; ")));
        }
        let (expected, launch) = (self.plan.role.launches?, self.launch.as_ref()?);
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
}

/// Lives the plan, in a new folder at `dir`, which is removed afterwards.
pub(super) async fn live(
    plan: &LifePlan,
    dir: &Path,
    interpreter: &Interpreter,
) -> Result<Lived, BundleError> {
    // Roles are characters: `Role::by_name` and a test see to that.
    let script = Character::by_name(plan.role.name).map_or("", |character| character.script);
    let bundle = Bundle::write(dir, plan.role.name, script, interpreter)?;
    let log = EventLog::default();
    let (trace, held) = (LifeTrace::new(&log), CancellationToken::new());
    let calls = Arc::new(AtomicU64::new(0));
    let watching: Arc<dyn Schedule> = Arc::new(Watching {
        delays: SeededSchedule::new(plan.delays, plan.longest),
        trace: trace.clone(),
        hold: plan.hold(),
        held: held.clone(),
    });
    let (witnessed, counted) = (trace.clone(), Arc::clone(&calls));
    let mut builder = Supervisor::builder(&bundle.dir)
        .events(&log)
        .log(Arc::new(|_| ()))
        .timeouts(plan.role.timeouts())
        .schedule(Arc::clone(&watching))
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
    };
    let story = async {
        let cut = async {
            match plan.ending {
                Ending::CutLaunch => held.cancelled().await,
                _ => std::future::pending().await,
            }
        };
        let launched = tokio::select! {
            launched = builder.launch() => Some(launched),
            () = cut => None,
        };
        match launched {
            None => trace.add_all(|_| [Fact::CallerGone, Fact::StopAsked]),
            Some(Err(error)) => {
                trace.add(Fact::Answered);
                lived.launch = Some(Err(error.to_string()));
            }
            Some(Ok(plugin)) => {
                trace.add(Fact::Answered);
                lived.launch = Some(Ok(()));
                let under_way = act(plan, &plugin, &mut lived).await;
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
    if tokio::time::timeout(PATIENCE, story).await.is_err() {
        lived.left.push(format!("the life, or a call in it, did not end within {PATIENCE:?}"));
    }
    trace.add(Fact::Quiet);
    lived.facts = trace.facts();
    lived.log = log.kinds();
    let report = Report::read(&bundle.report()).ok();
    lived.left.extend(gone(&lived.log, report.as_ref()).await);
    lived.calls = calls.load(Ordering::Relaxed);
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
            Deed::Http { path, cancelled } => {
                lived.requests += 1;
                if let Err(error) = get(plugin.hooks(), path, cancelled).await {
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

async fn get(hooks: &Hooks, path: &str, cancelled: bool) -> Result<(), String> {
    let init = v1::ServeHttpRequestInit {
        method: "GET".to_owned(),
        url: path.to_owned(),
        content_length: 0,
        ..Default::default()
    };
    let reply = hooks.serve_http(init, Empty::<Bytes>::new()).await;
    let reply = reply.map_err(|error| error.to_string())?;
    if !cancelled {
        reply.body.collect().await.map_err(|error| error.to_string())?;
    }
    Ok(())
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
        Ending::ByItself => drop(plugin.ended().await),
    }
}
