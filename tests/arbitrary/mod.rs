//! Generated messages, an API that answers with them, and the oracle that says whether a call
//! crossed the boundary unharmed. Shared by the property tests and the mutants.

#![allow(dead_code, unreachable_pub, unused_imports, clippy::unwrap_used, clippy::expect_used)]

pub mod faults;
pub mod messages;
pub mod oracle;
pub mod scripted;

pub use faults::{Faults, fixed, hex, runner, seed};
pub use messages::Messages;
pub use oracle::{Answer, Case, fault};
pub use scripted::Scripted;

use plugin_proto::MessageType;
use plugin_proto::prost_reflect::MessageDescriptor;

/// The descriptor of Mattermost's AppError.
pub fn app_error() -> MessageDescriptor {
    MessageType::by_name("mattermost.pluginapi.v1.AppError").unwrap().descriptor()
}

/// A number that belongs to a text (FNV-1a).
pub fn hash(text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
