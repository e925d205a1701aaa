//! What a driver and an interpreter say to each other.

pub mod control;
pub(crate) mod frame;
pub mod hook_control;
