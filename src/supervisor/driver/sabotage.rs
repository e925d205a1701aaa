//! The larger of the faults that a driver can be told to have: for tests of the tests.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::super::error::LaunchFailure;
use super::super::lifecycle::{Event, Phase};
use super::super::process;
use super::super::schedule::Fault;
use super::actions::{failed, outcome};
use super::{Driver, Outcome};
use crate::api::{Listen, TARGET_VARIABLE};

impl Driver {
    /// Chooses a port, and listens there some time later.
    pub(super) fn start_api_late(&self) -> BoxFuture<'static, Outcome> {
        let (builder, started) = (self.config.api_builder(), Arc::clone(&self.started));
        async move {
            let chosen = std::net::TcpListener::bind(("127.0.0.1", 0));
            let address = chosen.and_then(|listener| listener.local_addr());
            let (Some(builder), Ok(address)) = (builder, address) else {
                return failed(LaunchFailure::NoPhase(Phase::StartingApi));
            };
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                if let Ok(api) = builder.listen(Listen::Tcp(address)).start().await {
                    started.lock().unwrap_or_else(PoisonError::into_inner).replace(api);
                }
            });
            outcome(Event::ApiListening, move |driver| {
                driver.late_target = Some(address.to_string());
            })
        }
        .boxed()
    }

    /// The command with the fault that the schedule asks for.
    pub(super) fn sabotaged(&self, command: process::Command) -> process::Command {
        let faults: [(Fault, &[&str]); 6] = [
            (Fault::NoCookie, &["MATTERMOST_PLUGIN"]),
            (Fault::NoProtocolVersions, &["PLUGIN_PROTOCOL_VERSIONS"]),
            (Fault::NoPorts, &["PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT"]),
            (Fault::NoPluginId, &["MATTERMOST_PLUGIN_ID"]),
            (Fault::NoPluginPath, &["MATTERMOST_PLUGIN_PATH"]),
            (Fault::NoTarget, &[TARGET_VARIABLE]),
        ];
        let forgotten = faults.iter().filter(|(fault, _)| self.pace.has(*fault));
        let mut command = forgotten
            .flat_map(|(_, names)| names.iter())
            .fold(command, |command, name| command.env_remove(name));
        if self.pace.has(Fault::NoEnvironment) {
            command = std::env::vars_os().fold(command, |command, (name, _)| command.forget(name));
        }
        if let Some(inherited) = std::env::var_os(TARGET_VARIABLE)
            && self.pace.has(Fault::InheritedTarget)
        {
            command = command.env(TARGET_VARIABLE, inherited);
        }
        if self.pace.has(Fault::ExtraArgument) {
            command = command.arg("--serve");
        }
        if self.pace.has(Fault::OtherFolder) {
            command = command.folder("/");
        }
        if self.pace.has(Fault::SystemPython)
            && let Ok(python) = which::which("python3")
        {
            command = command.other_program(python);
        }
        command
    }
}
