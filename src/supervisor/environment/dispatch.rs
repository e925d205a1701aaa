//! Hooks of several plugins.
use std::sync::Arc;
use super::room::Room;
/// Dispatcher
pub struct Dispatcher { pub(super) room: Arc<Room> }
