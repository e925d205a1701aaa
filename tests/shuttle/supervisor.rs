//! The real event log, restart policy and keeper, and a plugin that is a number.

#[path = "../../src/supervisor/events.rs"]
mod events;
#[path = "../../src/environment/keeper.rs"]
mod keeper;
#[path = "../../src/supervisor/leash.rs"]
mod leash;
#[path = "../../src/environment/restart.rs"]
mod restart;

mod process {
    pub(crate) use plugin_conformance::supervisor::ExitReport;
}

use std::convert::Infallible;

pub(crate) use events::{EventKind, EventLog};
pub(crate) use keeper::{Keeper, KeeperOptions, PluginState};
pub(crate) use leash::Leash;
pub(crate) use restart::{RestartPolicy, Strikes, Verdict};

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
    /// An orderly stop never ends: only a kill does.
    pub(crate) hangs: bool,
}

impl SupervisorBuilder {
    pub(crate) async fn launch_on(&self, leash: &Leash) -> Result<Supervisor, LaunchError> {
        if leash.is_pulled() {
            return Err(LaunchError);
        }
        let number = {
            let mut lives = self.lives.lock().unwrap();
            lives.launched += 1;
            lives.alive += 1;
            assert_eq!(lives.alive, 1, "two lives at once");
            lives.launched
        };
        let (leash, gone) = (leash.child(), watched(false));
        // Dropped before its end, it is a life that nobody ends: a second one meets it.
        let life = Supervisor { lives: Arc::clone(&self.lives), gone, leash, hangs: self.hangs };
        shuttle::future::yield_now().await;
        if life.leash.is_pulled() {
            shuttle::future::yield_now().await;
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
    leash: Leash,
    hangs: bool,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) exit: Option<process::ExitReport>,
    pub(crate) error: Option<String>,
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
        Ended { exit: None, error: None }
    }

    pub(crate) async fn shutdown_because(&self, _why: &str) -> Ended {
        if self.hangs {
            self.leash.killing().cancelled().await;
        }
        shuttle::future::yield_now().await;
        self.end();
        self.ended().await
    }

    pub(crate) async fn kill(&self) -> Ended {
        self.leash.kill();
        self.end();
        self.ended().await
    }

    pub(crate) async fn health_check(&self) -> Result<(), Infallible> {
        Ok(())
    }
}
