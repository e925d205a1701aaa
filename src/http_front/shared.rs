//! What every request needs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::exchange::ExchangeObserver;
use super::limits::FrontLimits;
use super::sessions::Sessions;
use crate::api::tasks::Tasks;
use crate::hooks::Hooks;

/// Finds the hooks of an active plugin.
pub trait FindHooks: Send + Sync + 'static {
    /// The hooks of the plugin with this id, which is in lower case; `None` when there is no such
    /// plugin or it is not active.
    fn find(&self, plugin_id: &str) -> Option<Hooks>;
}

/// What every request needs.
pub(super) struct Shared {
    pub(super) plugins: Arc<dyn FindHooks>,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) first_message_limit: Option<Duration>,
    pub(super) read_on: Duration,
    pub(super) observer: Option<ExchangeObserver>,
    pub(super) limits: FrontLimits,
    /// Uploads that may yet begin.
    pub(super) uploads: Arc<Semaphore>,
    pub(super) tasks: Tasks,
}
