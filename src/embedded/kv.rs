//! The key-value store: a namespace per plugin, with Mattermost's meaning of every call.

mod api;
mod namespace;
mod options;
mod store;

pub use api::KvApi;
pub use options::KvOptions;
pub use store::KvStore;
