//! Hooks of several plugins: who is asked, in which order, and what comes of it.
//!
//! Only plugins that run and named the hook in `Implemented` are asked, in the order in which they
//! were added. [`DISPATCH`] says of each hook how it is dispatched:
//!
//! - `notify.rs`: all plugins are notified at the same time.
//! - `filter.rs`: one after the other, each sees what those before it left.
//! - `collect.rs`: everybody is asked, and the answers are put together.
//! - `single.rs`: one plugin is asked, whom the caller names.

mod ask;
mod chain;
mod collect;
mod filter;
mod notify;
mod result;
mod single;
mod table;

use std::fmt;
use std::sync::Arc;

pub use collect::{Retention, SupportData};
pub use result::{Asked, Chained, Decided, Refused, Told};
pub use table::{DISPATCH, HookDispatch};

use super::PluginInfo;
use super::inner::Inner;
use crate::supervisor::Supervisor;

/// Calls hooks of an environment's plugins. Made by
/// [`Environment::dispatch`](super::Environment::dispatch).
///
/// ```no_run
/// # use plugin_conformance::environment::Environment;
/// # use plugin_conformance::environment::dispatch::Decided;
/// # use plugin_proto::v1;
/// # async fn example(plugins: Environment, post: v1::Post) {
/// let request = v1::MessageWillBePostedRequest { post: Some(post), ..Default::default() };
/// let filtered = plugins.dispatch().message_will_be_posted(request).await;
/// for asked in filtered.failures() {
///     println!("{} let it pass unseen: {:?}", asked.plugin_id, asked.cause);
/// }
/// match filtered.decided {
///     Decided::Passed(post) => println!("to be stored: {post:?}"),
///     Decided::Rejected { plugin_id, reason } => println!("{plugin_id} rejects it: {reason}"),
///     Decided::Dismissed { plugin_id } => println!("{plugin_id} dismisses it"),
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Dispatcher {
    pub(super) inner: Arc<Inner>,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

/// A plugin that is to be asked.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    pub(super) info: PluginInfo,
    pub(super) plugin: Arc<Supervisor>,
}

impl Dispatcher {
    /// The plugins that run and implement `hook`, now.
    fn implementing(&self, hook: &str) -> Vec<Listener> {
        let entries = self.inner.plugins.all();
        let running = entries.iter().filter_map(|entry| {
            let plugin = entry.running()?;
            let asked = plugin.hooks().implements(hook);
            asked.then(|| Listener { info: entry.info.clone(), plugin })
        });
        running.collect()
    }

    /// Calls `f` with each plugin that runs and implements `hook`, one after the other, until it
    /// answers false. True if it never did.
    pub async fn for_each_implementing<F, A>(&self, hook: &str, mut f: F) -> bool
    where
        F: FnMut(PluginInfo, Arc<Supervisor>) -> A,
        A: Future<Output = bool>,
    {
        for Listener { info, plugin } in self.implementing(hook) {
            if !f(info, plugin).await {
                return false;
            }
        }
        true
    }
}
