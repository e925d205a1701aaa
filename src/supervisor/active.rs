//! What a launch gives.

use std::net::SocketAddr;

use crate::hooks::Hooks;

/// What an active plugin has.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) hooks: Hooks,
    pub(super) target: Option<String>,
    pub(super) api_address: Option<SocketAddr>,
    pub(super) pid: u32,
}
