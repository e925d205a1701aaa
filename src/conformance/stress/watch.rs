//! Sees what the driver begins, and when the API server is let go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fake_interpreters::sample;
use plugin_proto::prost::Message as _;
use plugin_proto::{Method, v1};
use tokio_util::sync::CancellationToken;

use super::super::DEFAULT_VERSION;
use super::super::evidence::is_alive;
use super::super::invariants::{Fact, LifeTrace, Resource};
use crate::api::{AppError, DynamicApi};
#[cfg(feature = "sabotage")]
use crate::supervisor::Fault;
use crate::supervisor::lifecycle::Action;
use crate::supervisor::{EventKind, Moment, Point, Schedule, SeededSchedule};

use super::plan::Stage;

/// Longer than any life: what is held so long is interrupted.
const HOLD: Duration = Duration::from_secs(60);

/// A schedule that writes down what the driver begins, and holds it at one moment.
pub(super) struct Watching {
    pub(super) delays: SeededSchedule,
    pub(super) trace: LifeTrace,
    pub(super) hold: Option<Point>,
    /// The driver is at that moment.
    pub(super) held: CancellationToken,
    /// When a stop is asked for, by the driver itself, so that it comes exactly then.
    pub(super) cut: Option<(Action, Stage)>,
    pub(super) stop: CancellationToken,
    /// The action that was begun last.
    pub(super) last: Mutex<Option<Action>>,
    #[cfg(feature = "sabotage")]
    pub(super) fault: Option<Fault>,
}

impl Watching {
    fn stop_at(&self, point: Point) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (action, stage) = match point {
            Point::Begun(action) => (Some(action), Stage::Begun),
            Point::Done(action) => (Some(action), Stage::Done),
            Point::Heard(_) => (*last, Stage::Heard),
        };
        *last = action;
        let now = action.map(|action| (action, stage));
        if self.cut.is_some() && self.cut == now && !self.stop.is_cancelled() {
            self.trace.add(Fact::StopAsked);
            self.stop.cancel();
        }
    }
}

impl Schedule for Watching {
    fn delay(&self, moment: &Moment<'_>) -> Duration {
        if let Point::Begun(action) = moment.point {
            self.trace.add(Fact::Begins(action));
        }
        self.stop_at(moment.point);
        if self.hold == Some(moment.point) {
            self.held.cancel();
            return HOLD;
        }
        self.delays.delay(moment)
    }

    fn over(&self, _: &str, _: u64, action: Action) {
        self.trace.add(Fact::Over(action));
    }

    #[cfg(feature = "sabotage")]
    fn fault(&self) -> Option<Fault> {
        self.fault
    }
}

/// An API that counts, and is dropped when the last task of its server is gone.
pub(super) struct Witness {
    trace: LifeTrace,
    calls: Arc<AtomicU64>,
}

impl Witness {
    pub(super) fn new(trace: &LifeTrace, calls: &Arc<AtomicU64>) -> Self {
        trace.add(Fact::Acquired(Resource::Api));
        Self { trace: trace.clone(), calls: Arc::clone(calls) }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.trace.add_all(|log| {
            // The log may say that the process is gone; the kernel knows.
            let spawned = log.kinds().into_iter().find_map(|kind| match kind {
                EventKind::Spawned { pid } => Some(pid),
                _ => None,
            });
            let lives = spawned.filter(|pid| is_alive(*pid));
            let lives = lives.map(|_| Fact::Acquired(Resource::Process));
            lives.into_iter().chain([Fact::Released(Resource::Api)])
        });
    }
}

#[async_trait]
impl DynamicApi for Witness {
    async fn call(&self, method: &'static Method, _: Bytes) -> Result<Bytes, AppError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if method.name == "GetServerVersion" {
            let version = DEFAULT_VERSION.to_owned();
            let response = v1::GetServerVersionResponse { version, ..Default::default() };
            return Ok(response.encode_to_vec().into());
        }
        Ok(sample::response(method))
    }
}
