//! One life of an interpreter: what its deeds share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::driver::Driver;
use super::outgoing::Outgoing;
use crate::report::{Reporter, StopReport};
use crate::script::Script;
use crate::wire::{self, API_TARGET, Target};

/// How long the start and the stop look whether the API is there.
const LOOK: Duration = Duration::from_secs(1);

/// What the deeds of one life share.
pub(crate) struct Life {
    pub(crate) script: Script,
    /// Where the script stands.
    pub(crate) dir: PathBuf,
    /// The channel to the API, or why there is none.
    pub(crate) api: Result<Channel, String>,
    target: Option<Target>,
    pub(crate) report: Reporter,
    /// The connections of its own server.
    pub(crate) outgoing: Outgoing,
    /// Who decides the answers of the hooks, besides the script.
    pub(crate) driver: Mutex<Option<Arc<Driver>>>,
    /// Cancelled when the plugin has been asked to stop.
    pub(crate) stop: CancellationToken,
}

impl Life {
    /// A life yet to be lived. Must be called inside a tokio runtime.
    pub(crate) fn new(
        script: Script,
        dir: PathBuf,
        report: Reporter,
        target: Option<&str>,
    ) -> Arc<Self> {
        let api = match target {
            Some(target) => wire::connect(target).map_err(|error| error.to_string()),
            None => Err(format!("{API_TARGET} is not set")),
        };
        Arc::new(Self {
            script,
            dir,
            api,
            target: target.and_then(|target| Target::parse(target).ok()),
            report,
            outgoing: Outgoing::new(),
            driver: Mutex::new(None),
            stop: CancellationToken::new(),
        })
    }

    /// Whether somebody listens at the API's target.
    pub(crate) async fn is_api_reachable(&self) -> bool {
        match &self.target {
            Some(target) => target.is_reachable(LOOK).await,
            None => false,
        }
    }

    /// Notes the first request to stop.
    pub(crate) async fn asked_to_stop(&self, signal: Option<&str>) {
        let api_reachable = self.is_api_reachable().await;
        let stop = StopReport { signal: signal.map(str::to_owned), api_reachable };
        self.report.update(|report| {
            report.stop.get_or_insert(stop);
        });
    }
}
