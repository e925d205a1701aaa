//! `host-for-checks`: the kit's own supervisor as a command for `check supervisor`, honest or with one
//! fault switched on, by which the checks are proven to be able to fail.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use plugin_conformance::conformance::{DEFAULT_VERSION, GeneratedApi};
use plugin_conformance::supervisor::{Fault, Moment, Schedule, Supervisor};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, out};

/// Launch one plugin, and stop it on SIGTERM.
#[derive(Debug, Args)]
pub(crate) struct HostArguments {
    /// The bundle
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// The fault to have
    #[arg(long, value_name = "NAME")]
    fault: Option<String>,
}

/// A life with one fault, and no delays.
struct Sabotage(Option<Fault>);

impl Schedule for Sabotage {
    fn delay(&self, _: &Moment<'_>) -> Duration {
        Duration::ZERO
    }

    fn fault(&self) -> Option<Fault> {
        self.0
    }
}

/// The faults of the supervisor, by name.
const FAULTS: &[(&str, Fault)] = &[
    ("never-starts", Fault::NeverStarts),
    ("system-python", Fault::SystemPython),
    ("extra-argument", Fault::ExtraArgument),
    ("other-folder", Fault::OtherFolder),
    ("no-cookie", Fault::NoCookie),
    ("no-protocol-versions", Fault::NoProtocolVersions),
    ("no-ports", Fault::NoPorts),
    ("no-environment", Fault::NoEnvironment),
    ("no-plugin-id", Fault::NoPluginId),
    ("no-plugin-path", Fault::NoPluginPath),
    ("no-target", Fault::NoTarget),
    ("inherited-target", Fault::InheritedTarget),
    ("api-late", Fault::ApiLate),
    ("never-activates", Fault::NeverActivates),
    ("stops-soon", Fault::StopsSoon),
    ("no-health-check", Fault::NoHealthCheck),
    ("any-health", Fault::AnyHealth),
    ("never-deactivates", Fault::NeverDeactivates),
    ("kills-at-once", Fault::KillsAtOnce),
    ("api-before-deactivate", Fault::ApiBeforeDeactivate),
    ("never-ends", Fault::NeverEnds),
    ("implemented-may-fail", Fault::ImplementedMayFail),
    ("activate-may-fail", Fault::ActivateMayFail),
    ("hasty-deactivate", Fault::HastyDeactivate),
    ("patient-deactivate", Fault::PatientDeactivate),
    ("patient-handshake", Fault::PatientHandshake),
    ("hasty-handshake", Fault::HastyHandshake),
];

/// Faults of the host around it.
const NO_VERSION: &str = "no-version";
const BAD_STATUS: &str = "bad-status";

pub(super) async fn host(arguments: HostArguments) -> Result<ExitCode, Failure> {
    let name = arguments.fault.as_deref().unwrap_or_default();
    let fault = FAULTS.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault);
    if fault.is_none() && !["", NO_VERSION, BAD_STATUS].contains(&name) {
        let all: Vec<_> = FAULTS.iter().map(|(name, _)| *name).collect();
        let all = all.join(", ");
        return Err(format!(
            "there is no fault {name:?}; give one of {all}, {NO_VERSION}, {BAD_STATUS}"
        )
        .into());
    }
    let mut asked = signal(SignalKind::terminate())?;
    let api = GeneratedApi::answering(if name == NO_VERSION { "" } else { DEFAULT_VERSION });
    let builder = Supervisor::builder(&arguments.dir).api(api).schedule(Arc::new(Sabotage(fault)));
    let plugin = tokio::select! {
        launched = builder.launch() => launched?,
        _ = asked.recv() => return Ok(ExitCode::SUCCESS),
    };
    tokio::select! {
        _ = asked.recv() => {}
        ended = plugin.ended() => {
            out::say(&format!("the plugin has ended: {:?}", ended.ending));
            return Ok(ExitCode::from(3));
        }
    }
    plugin.shutdown().await;
    Ok(if name == BAD_STATUS { ExitCode::from(4) } else { ExitCode::SUCCESS })
}
