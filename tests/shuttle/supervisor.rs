//! The real event log, restart policy and keeper, and a plugin that is a number.

#[path = "../../src/supervisor/events.rs"]
mod events;
#[path = "../../src/environment/keeper.rs"]
mod keeper;
#[path = "../../src/environment/restart.rs"]
mod restart;

mod process {
    pub(crate) use plugin_conformance::supervisor::ExitReport;
}

use std::convert::Infallible;

pub(crate) use events::{EventKind, EventLog};
pub(crate) use keeper::{Keeper, KeeperOptions, PluginState};
pub(crate) use restart::{RestartPolicy, Strikes, Verdict};
use tokio_util::sync::CancellationToken;

use crate::sync::{Arc, Mutex, watch, watched};

/// A writer of the log, as the driver is.
pub(crate) fn record(log: &EventLog, pid: u32) {
    log.record(EventKind::Spawned { pid });
}

/// The reason of a stop; nobody reads it here.
pub(crate) const STOP_ASKED: &str = "a stop was asked for";

/// The launch was stopped.
#[derive(Debug)]
pub(crate) struct LaunchError;

impl std::fmt::Display for LaunchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

/// What the lives of a plugin have come to.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    pub(crate) launched: usize,
    pub(crate) alive: usize,
}

/// Launches lives that are numbers; each may be the only one.
#[derive(Debug, Clone)]
pub(crate) struct SupervisorBuilder {
    pub(crate) bundle: &'static str,
    pub(crate) lives: Arc<Mutex<Lives>>,
    /// How many of the first lives end by themselves.
    pub(crate) crashes: usize,
}

impl SupervisorBuilder {
    pub(crate) async fn launch_until(
        &self,
        stop: &CancellationToken,
    ) -> Result<Supervisor, LaunchError> {
        let number = {
            let mut lives = self.lives.lock().unwrap();
            lives.launched += 1;
            lives.alive += 1;
            assert_eq!(lives.alive, 1, "two lives at once");
            lives.launched
        };
        let life = Supervisor { lives: Arc::clone(&self.lives), gone: watched(false) };
        shuttle::future::yield_now().await;
        if stop.is_cancelled() {
            life.end();
            return Err(LaunchError);
        }
        if number <= self.crashes {
            life.end();
        }
        Ok(life)
    }
}

/// A life.
#[derive(Debug)]
pub(crate) struct Supervisor {
    lives: Arc<Mutex<Lives>>,
    gone: watch::Sender<bool>,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) exit: Option<process::ExitReport>,
}

impl Supervisor {
    fn end(&self) {
        let mut lives = self.lives.lock().unwrap();
        if !self.gone.send_replace(true) {
            lives.alive -= 1;
        }
    }

    pub(crate) fn id(&self) -> &str {
        "number"
    }

    pub(crate) async fn ended(&self) -> Ended {
        let mut gone = self.gone.subscribe();
        gone.wait_for(|gone| *gone).await.unwrap();
        Ended { exit: None }
    }

    pub(crate) async fn shutdown_because(&self, _why: &str) -> Ended {
        shuttle::future::yield_now().await;
        self.end();
        self.ended().await
    }

    pub(crate) async fn health_check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}
