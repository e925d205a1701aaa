//! What a supervisor is asked to do with a bundle, and the kit's own, which does it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use fake_interpreters::report::Report;
use fake_interpreters::sample;
use plugin_proto::{Method, Service};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::super::super::evidence::{Ask, HookSeen, Observation, left};
use crate::api::ApiServerBuilder;
use crate::hooks::{BoxHookService, Cause, HookCall, HookLayer, HookVerdict, Hooks};
use crate::supervisor::{EventLog, Leash, Supervisor, Timeouts};

/// What a supervisor is to do with a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Launch it and, if that succeeds, stop it.
    LaunchAndStop,
    /// Launch it and wait until it ends by itself.
    LaunchAndWait,
    /// Launch it, check its health, stop it.
    LaunchCheckAndStop,
    /// Launch it, fire every unary hook with its generated request, stop it.
    FireHooksAndStop,
    /// Launch it, ask it over HTTP, one request after the other, stop it.
    AskHttpAndStop(&'static [Ask]),
}

/// A wait of the supervisor that ends by its limit only: the plugin lets it run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For the handshake.
    Handshake,
    /// For a health check.
    Health,
    /// For a hook, `Implemented` and `OnActivate` included.
    Hook,
    /// For `OnDeactivate`.
    Deactivate,
    /// For go-plugin's controller.
    Controller,
    /// From SIGTERM to SIGKILL.
    Grace,
}

/// What a supervisor is given for one life, besides the bundle.
#[derive(Clone)]
pub struct Offer {
    /// Makes the server, with its layers; where it listens is the supervisor's choice.
    pub server: Arc<dyn Fn() -> ApiServerBuilder + Send + Sync>,
    /// On a Unix socket instead of TCP.
    pub unix: bool,
    /// Wraps the hooks, for saboteurs; a supervisor without a place for it ignores it.
    pub hooks: HookLayer,
    /// What the plugin lets run out. A supervisor may set short limits here, to save time, and
    /// only here: a plugin on a busy machine is slow, and still well.
    pub runs_out: &'static [Wait],
    /// Cancelled when the run ends early: the life then ends at once, and nothing is left of it.
    pub stop: CancellationToken,
}

/// A supervisor under test, in this process.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// Lives `story` with the bundle and says what was seen.
    async fn live(&self, bundle: &Path, offer: Offer, story: Story) -> Observation;
}

/// The kit's own supervisor.
#[derive(Debug, Clone)]
pub struct KitSupervisor {
    /// Its time limits, but for those that a plugin lets run out.
    pub timeouts: Timeouts,
}

impl Default for KitSupervisor {
    /// A busy machine has all the time it needs.
    fn default() -> Self {
        let timeouts = Timeouts {
            handshake: Duration::from_secs(30),
            connect: Duration::from_secs(15),
            health: Duration::from_secs(15),
            grace: Duration::from_secs(15),
            controller: Duration::from_secs(5),
            leave: Duration::from_secs(5),
            ..Timeouts::default()
        };
        Self { timeouts }
    }
}

impl KitSupervisor {
    fn timeouts(&self, runs_out: &[Wait]) -> Timeouts {
        let mut timeouts = self.timeouts;
        for wait in runs_out {
            let (limit, short) = match wait {
                Wait::Handshake => (&mut timeouts.handshake, 2),
                Wait::Health => (&mut timeouts.health, 2),
                Wait::Hook => (&mut timeouts.hook, 3),
                Wait::Deactivate => (&mut timeouts.deactivate, 1),
                Wait::Controller => (&mut timeouts.controller, 1),
                Wait::Grace => (&mut timeouts.grace, 1),
            };
            *limit = Duration::from_secs(short).min(*limit);
        }
        timeouts
    }
}

#[async_trait]
impl Launcher for KitSupervisor {
    async fn live(&self, bundle: &Path, offer: Offer, story: Story) -> Observation {
        let events = EventLog::default();
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = Arc::clone(&log);
        let Offer { server, unix, hooks: fault, runs_out, stop } = offer;
        let timeouts = self.timeouts(runs_out);
        let answers = Answers::default();
        let seen = answers.clone();
        let mut builder = Supervisor::builder(bundle)
            .api_server(move || server())
            .timeouts(timeouts)
            .hook_layer(move |inner| fault(inner))
            .hook_layer(move |inner| seen.around(inner))
            .events(&events)
            .log(Arc::new(move |record| {
                if let Ok(mut log) = sink.lock() {
                    log.push(record);
                }
            }));
        if unix {
            builder = builder.api_on_unix_socket();
        }
        let start = Instant::now();
        let launched = builder.launch_on(&Leash::stopped_by(&stop)).await;
        let launch_time = start.elapsed();
        let (mut health, mut hooks, mut http) = (None, Vec::new(), Vec::new());
        let (launch, exit) = match &launched {
            Err(error) => (Err(error.to_string()), error.exit.as_ref().map(ToString::to_string)),
            Ok(plugin) => {
                if story == Story::LaunchCheckAndStop {
                    health = Some(plugin.health_check().await.map_err(|error| error.to_string()));
                }
                if let Story::AskHttpAndStop(asks) = story {
                    for ask in asks {
                        http.push(ask.of(plugin.hooks()).await);
                    }
                }
                if story == Story::FireHooksAndStop {
                    hooks = fire_all(plugin.hooks(), &answers).await;
                }
                let ended = match story {
                    Story::LaunchAndWait => {
                        let patience = timeouts.hook;
                        let ended = tokio::time::timeout(patience, plugin.ended()).await;
                        match ended {
                            Ok(ended) => ended,
                            Err(_) => plugin.shutdown().await,
                        }
                    }
                    Story::LaunchAndStop
                    | Story::LaunchCheckAndStop
                    | Story::FireHooksAndStop
                    | Story::AskHttpAndStop(_) => plugin.shutdown().await,
                };
                (Ok(()), ended.exit.map(|exit| exit.to_string()))
            }
        };
        let stop_time = start.elapsed().saturating_sub(launch_time);
        let report = Report::read(&bundle.join("report.json")).map_err(|error| error.to_string());
        let left = left(&events.kinds(), report.as_ref().ok()).await;
        let log = log.lock().map(|log| log.clone()).unwrap_or_default();
        Observation {
            bundle: bundle.to_owned(),
            launch,
            health,
            hooks,
            http,
            events: events.kinds(),
            exit,
            launch_time,
            stop_time,
            report,
            log,
            left,
            folder: None,
        }
    }
}

/// Fires every unary hook, one after the other.
async fn fire_all(hooks: &Hooks, answers: &Answers) -> Vec<HookSeen> {
    let mut seen = Vec::new();
    for hook in Service::PluginHooks.methods().filter(|hook| hook.is_unary()) {
        let fired = hooks.fire(hook, sample::request(hook)).await;
        let answer = answers.take(hook);
        seen.push(match fired {
            Err(error) => HookSeen {
                hook: hook.name,
                answer: Err(error.to_string()),
                decision: String::new(),
                failure: Some(error.to_string()),
            },
            Ok(fired) => {
                let (decision, refusal) = match fired.verdict {
                    HookVerdict::Error(error) => ("error".to_owned(), Some(error)),
                    verdict => match fired.value {
                        Some(value) => (format!("{verdict} {value}"), None),
                        None => (verdict.to_string(), None),
                    },
                };
                let failure = match fired.cause {
                    Cause::Failed(error) => Some(error.to_string()),
                    Cause::Answered | Cause::NotImplemented => refusal,
                };
                HookSeen { hook: hook.name, answer, decision, failure }
            }
        });
    }
    seen
}

/// The last answer of each hook, as it is handed to the typed methods.
#[derive(Debug, Clone, Default)]
struct Answers(Arc<Mutex<BTreeMap<&'static str, Result<Bytes, String>>>>);

impl Answers {
    fn around(&self, inner: BoxHookService) -> BoxHookService {
        let answers = self.clone();
        BoxHookService::new(tower::service_fn(move |call: HookCall| {
            let (answers, inner, hook) = (answers.clone(), inner.clone(), call.method.name);
            async move {
                let answer = inner.oneshot(call).await;
                let kept = answer.clone().map_err(|status| status.to_string());
                answers.lock().insert(hook, kept);
                answer
            }
        }))
    }

    fn take(&self, hook: &Method) -> Result<Bytes, String> {
        let answer = self.lock().remove(hook.name);
        answer.unwrap_or_else(|| Err("no call was made".to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Result<Bytes, String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
