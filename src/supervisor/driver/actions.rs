//! What the driver does for each action, and what comes of it.

use std::ffi::OsStr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::super::active::Active;
use super::super::error::LaunchFailure;
use super::super::events::EventKind;
use super::super::handshake::{Handshake, HandshakeAddress, HandshakeError};
use super::super::lifecycle::{Action, Ending, Event, Phase};
use super::super::process;
use super::super::pump::{FirstLine, Pumps};
use super::super::schedule::Fault;
use super::{Driver, Outcome};
use crate::api::{ApiServer, ListenError, TOKEN_VARIABLE};
use crate::error_chain::chain_with_remedy;
use crate::hooks::{self, Hooks, HooksConfig};

pub(super) fn outcome(event: Event, change: impl FnOnce(&mut Driver) + Send + 'static) -> Outcome {
    (event, Box::new(change))
}

pub(super) fn failed(failure: impl Into<LaunchFailure>) -> Outcome {
    let failure = failure.into();
    outcome(Event::Failed, |driver| {
        driver.failure.get_or_insert(failure);
    })
}

impl Driver {
    pub(super) fn begin(&mut self, action: Action) -> BoxFuture<'static, Outcome> {
        match action {
            Action::StartApi => self.start_api(),
            Action::Spawn => self.spawn(),
            Action::ReadHandshake => self.read_handshake(),
            Action::Connect => self.connect(),
            Action::CheckHealth => self.check_health(),
            Action::AskHooks => self.ask_hooks(),
            Action::Activate => self.activate(),
            Action::Announce => self.announce(),
            Action::Deactivate => self.deactivate(),
            Action::AskToLeave => self.ask_to_leave(),
            Action::AwaitLeave => grace(self.config.timeouts.leave),
            Action::Terminate => self.terminate(),
            Action::Reap => self.reap(),
            Action::StopApi => self.stop_api(),
            Action::Finish => futures::future::pending().boxed(),
        }
    }

    fn start_api(&self) -> BoxFuture<'static, Outcome> {
        if self.pace.has(Fault::ApiLate) {
            return self.start_api_late();
        }
        let (builder, token) = (self.config.api_builder(), self.config.launch_token());
        let started = Arc::clone(&self.started);
        async move {
            let Some(mut builder) = builder else {
                return failed(LaunchFailure::NoPhase(Phase::StartingApi));
            };
            let token = match token {
                Ok(token) => token,
                Err(error) => return failed(ListenError::from(error)),
            };
            if let Some(token) = token.clone() {
                builder = builder.token(token);
            }
            match builder.start().await {
                Ok(api) => {
                    started.lock().unwrap_or_else(PoisonError::into_inner).replace(api);
                    outcome(Event::ApiListening, |driver| {
                        driver.api = driver.take_started();
                        if let Some(api) = &driver.api {
                            let target = api.target().to_owned();
                            driver.record(EventKind::ApiListening { target });
                        }
                        driver.api_token = token;
                    })
                }
                Err(error) => failed(error),
            }
        }
        .boxed()
    }

    pub(super) fn take_started(&self) -> Option<ApiServer> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn spawn(&self) -> BoxFuture<'static, Outcome> {
        if self.pace.has(Fault::NeverStarts) {
            return async { failed(LaunchFailure::NoPhase(Phase::Spawning)) }.boxed();
        }
        let target = self.api.as_ref().map(ApiServer::target);
        let target = target.or(self.late_target.as_deref());
        let mut command = self.plan.command(target, &self.config.environment);
        command = self.sabotaged(command);
        // An outer host's token, inherited, would be none of this plugin's business.
        if let Some(token) = &self.api_token {
            command = command.env(TOKEN_VARIABLE, token.secret());
        } else if !self.config.environment.contains_key(OsStr::new(TOKEN_VARIABLE)) {
            command = command.env_remove(TOKEN_VARIABLE);
        }
        let (plugin_id, log) = (self.plan.plugin_id.clone(), Arc::clone(&self.config.log));
        let tail = Arc::clone(&self.tail);
        async move {
            match process::spawn(&command).await {
                Ok((process, stdout, stderr)) => outcome(Event::Spawned, move |driver| {
                    driver.pid = process.pid();
                    driver.record(EventKind::Spawned { pid: process.pid() });
                    driver.process = Some(process);
                    driver.pumps = Some(Pumps::start(stdout, stderr, plugin_id, log, tail));
                }),
                Err(error) => failed(error),
            }
        }
        .boxed()
    }

    fn read_handshake(&mut self) -> BoxFuture<'static, Outcome> {
        let line = self.pumps.as_mut().and_then(Pumps::first_line);
        let (mut after, bundle) = (self.config.timeouts.handshake, self.plan.bundle.clone());
        if self.pace.has(Fault::PatientHandshake) {
            after = Duration::from_secs(60);
        } else if self.pace.has(Fault::HastyHandshake) {
            after = Duration::from_secs(3);
        }
        async move {
            let Some(line) = line else {
                return failed(LaunchFailure::NoPhase(Phase::Handshaking));
            };
            let parsed = match tokio::time::timeout(after, line).await {
                Err(_) => Err(HandshakeError::Timeout { after }),
                Ok(Ok(FirstLine::Line(line))) => Handshake::parse(&line),
                Ok(Ok(FirstLine::TooLong { limit })) => Err(HandshakeError::LineTooLong { limit }),
                Ok(Ok(FirstLine::None) | Err(_)) => Err(HandshakeError::NoLine { status: None }),
            };
            match parsed {
                Ok(handshake) => outcome(Event::Handshaken, move |driver| {
                    let address = match handshake.address {
                        // A relative path is relative to the plugin's working directory.
                        HandshakeAddress::Unix(path) => HandshakeAddress::Unix(bundle.join(path)),
                        address => address,
                    };
                    driver.record(EventKind::Handshaken { address: address.to_string() });
                    driver.address = Some(address);
                }),
                Err(error) => failed(error),
            }
        }
        .boxed()
    }

    fn connect(&self) -> BoxFuture<'static, Outcome> {
        let address = self.address.clone();
        let (after, limits) = (self.config.timeouts.connect, self.config.hook_limits);
        let config = HooksConfig {
            plugin_id: self.plan.plugin_id.clone(),
            deadline: self.config.timeouts.hook,
            stopping: self.controls.stopping.clone(),
            gone: self.controls.gone.clone(),
            crashed: self.controls.crashed.clone(),
            layers: self.config.hook_layers.clone(),
            limits,
        };
        async move {
            let Some(address) = address else {
                return failed(LaunchFailure::NoPhase(Phase::Connecting));
            };
            if let HandshakeAddress::Tcp { host, port } = &address {
                let lookup = tokio::net::lookup_host((host.as_str(), *port));
                let reason = match tokio::time::timeout(after, lookup).await {
                    Ok(Ok(_)) => None,
                    Ok(Err(error)) => Some(chain_with_remedy(&error)),
                    Err(_) => Some(format!("no answer within {after:?}")),
                };
                if let Some(reason) = reason {
                    let addr = format!("{host}:{port}");
                    return failed(HandshakeError::Unresolvable { addr, reason });
                }
            }
            let unreachable = |reason: String| {
                let address = address.to_string();
                failed(LaunchFailure::Unreachable { address, reason })
            };
            match tokio::time::timeout(after, hooks::connect(&address, &limits)).await {
                Err(_) => unreachable(format!("no answer within {after:?}")),
                Ok(Err(error)) => unreachable(chain_with_remedy(&error)),
                Ok(Ok(channel)) => outcome(Event::Connected, move |driver| {
                    driver.hooks = Some(Hooks::new(channel, address, config));
                }),
            }
        }
        .boxed()
    }

    /// An action on the plugin's gRPC server.
    fn with_hooks<F, Fut>(&self, action: F) -> BoxFuture<'static, Outcome>
    where
        F: FnOnce(Hooks) -> Fut,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        match self.hooks.clone() {
            Some(hooks) => action(hooks).boxed(),
            None => {
                let phase = self.life.phase();
                async move { failed(LaunchFailure::NoPhase(phase)) }.boxed()
            }
        }
    }

    fn check_health(&self) -> BoxFuture<'static, Outcome> {
        let each = self.config.timeouts.health;
        if self.pace.has(Fault::NoHealthCheck) {
            return async { outcome(Event::Healthy, |_| ()) }.boxed();
        }
        let any = self.pace.has(Fault::AnyHealth);
        self.with_hooks(move |hooks| async move {
            match hooks.check_health(each).await {
                Ok(()) => outcome(Event::Healthy, |driver| driver.record(EventKind::Healthy)),
                Err(_) if any => outcome(Event::Healthy, |_| ()),
                Err(error) => failed(error),
            }
        })
    }

    fn ask_hooks(&self) -> BoxFuture<'static, Outcome> {
        let pace = self.pace.clone();
        self.with_hooks(|mut hooks| async move {
            match hooks.learn().await {
                Err(_) if pace.has(Fault::ImplementedMayFail) => {
                    let event = Event::HooksKnown { activate: false, deactivate: false };
                    outcome(event, |driver| driver.hooks = Some(hooks))
                }
                Err(error) => failed(LaunchFailure::Implemented(error)),
                Ok(named) => {
                    let event = Event::HooksKnown {
                        activate: hooks.implements("OnActivate")
                            && !pace.has(Fault::NeverActivates),
                        deactivate: hooks.implements("OnDeactivate")
                            && !pace.has(Fault::NeverDeactivates),
                    };
                    outcome(event, |driver| {
                        driver.record(EventKind::HooksKnown { hooks: named });
                        driver.hooks = Some(hooks);
                    })
                }
            }
        })
    }

    fn activate(&self) -> BoxFuture<'static, Outcome> {
        let may_fail = self.pace.has(Fault::ActivateMayFail);
        self.with_hooks(move |hooks| async move {
            match hooks.on_activate(Default::default()).await.decision {
                Err(_) if may_fail => outcome(Event::Activated, |_| ()),
                Ok(()) => outcome(Event::Activated, |_| ()),
                Err(error) => failed(LaunchFailure::OnActivate(error)),
            }
        })
    }

    fn announce(&mut self) -> BoxFuture<'static, Outcome> {
        self.record(EventKind::Active);
        if let (Some(ready), Some(hooks)) = (self.ready.take(), self.hooks.clone()) {
            let target = self.api.as_ref().map(|api| api.target().to_owned());
            let api_address = self.api.as_ref().and_then(ApiServer::tcp_address);
            let active = Active { hooks, target, api_address, pid: self.pid };
            if ready.send(Ok(active)).is_err() {
                // The caller has gone away before it had a handle to stop the plugin with.
                self.controls.leash.stop();
            }
        }
        if self.pace.has(Fault::StopsSoon) {
            self.controls.leash.stop();
        }
        futures::future::pending().boxed()
    }

    /// `OnDeactivate` goes to the plugin although, for everybody else, the stop has begun.
    fn deactivate(&mut self) -> BoxFuture<'static, Outcome> {
        let mut deadline = self.config.timeouts.deactivate;
        if self.pace.has(Fault::HastyDeactivate) {
            deadline = Duration::from_millis(200);
        } else if self.pace.has(Fault::PatientDeactivate) {
            deadline = Duration::from_secs(600);
        }
        let early = self.pace.has(Fault::ApiBeforeDeactivate).then(|| self.api.take()).flatten();
        let Some(hooks) = self.hooks.clone() else {
            return async { outcome(Event::Deactivated, |_| ()) }.boxed();
        };
        let hooks = hooks.for_the_end(deadline);
        async move {
            if let Some(api) = early {
                api.stop(Duration::ZERO).await;
            }
            let error = hooks.on_deactivate(Default::default()).await.decision.err();
            let error = error.map(|error| error.to_string());
            outcome(Event::Deactivated, |driver| {
                if let Some(error) = &error {
                    tracing::warn!(plugin_id = driver.plan.plugin_id, error, "OnDeactivate failed");
                }
                driver.record(EventKind::Deactivated { error });
            })
        }
        .boxed()
    }

    fn ask_to_leave(&self) -> BoxFuture<'static, Outcome> {
        let (hooks, deadline) = (self.hooks.clone(), self.config.timeouts.controller);
        async move {
            let agreed = match hooks {
                Some(hooks) => hooks.ask_to_leave(deadline).await,
                None => false,
            };
            outcome(Event::LeaveAnswered(agreed), move |driver| {
                driver.record(EventKind::AskedToLeave { agreed });
            })
        }
        .boxed()
    }

    fn terminate(&self) -> BoxFuture<'static, Outcome> {
        if self.pace.has(Fault::KillsAtOnce) {
            return grace(Duration::ZERO);
        }
        self.record(EventKind::Terminating);
        if let Some(process) = &self.process
            && let Err(error) = process.terminate()
        {
            tracing::warn!(plugin_id = self.plan.plugin_id, %error, "SIGTERM could not be sent");
        }
        grace(self.config.timeouts.grace)
    }

    fn reap(&mut self) -> BoxFuture<'static, Outcome> {
        // No connection outlives the process.
        self.hooks = None;
        let (process, pumps) = (self.process.take(), self.pumps.take());
        let (reap, output) = (self.config.timeouts.reap, self.config.timeouts.output);
        let too_early = self.pace.has(Fault::ApiFirst).then(|| self.api.take()).flatten();
        if !self.exited {
            self.record(EventKind::Killing);
        }
        async move {
            if let Some(api) = too_early {
                api.stop(Duration::ZERO).await;
            }
            let report = match process {
                Some(process) => Some(process.finish(reap).await),
                None => None,
            };
            if let Some(pumps) = pumps {
                pumps.finish(output).await;
            }
            outcome(Event::Reaped, move |driver| {
                driver.controls.gone.cancel();
                if let Some(report) = report {
                    driver.record(EventKind::Exited { report: report.clone() });
                    driver.exit = Some(report);
                }
            })
        }
        .boxed()
    }

    fn stop_api(&mut self) -> BoxFuture<'static, Outcome> {
        let api = self.api.take().or_else(|| self.take_started());
        let drain = self.config.timeouts.api_drain;
        let never = self.pace.has(Fault::NeverEnds) && self.life.ending() == Some(Ending::Stopped);
        async move {
            if never {
                futures::future::pending::<()>().await;
            }
            let forced = match api {
                Some(api) => {
                    let stop = api.stop(drain).await;
                    stop.forced + stop.stuck
                }
                None => 0,
            };
            outcome(Event::ApiStopped, move |driver| {
                if driver.pace.has(Fault::ReleaseTwice) {
                    driver.record(EventKind::ApiStopped { forced });
                }
                driver.record(EventKind::ApiStopped { forced });
            })
        }
        .boxed()
    }
}

fn grace(period: Duration) -> BoxFuture<'static, Outcome> {
    async move {
        tokio::time::sleep(period).await;
        outcome(Event::GraceOver, |_| ())
    }
    .boxed()
}
