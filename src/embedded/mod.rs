//! Parts of a Mattermost server in memory, for plugins that want more than canned answers.
//!
//! - [`KvStore`] is the key-value store of all plugins; [`KvApi`] answers the nine `KV…` RPCs for
//!   one of them.

mod kv;

pub use kv::{KvApi, KvClock, KvOptions, KvStore};
