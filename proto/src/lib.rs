//! The wire contract between the Mattermost server and its Python plugins.
//!
//! The `.proto` files under `proto/` are the source. From them come the message types in [`v1`],
//! the [descriptor pool](DESCRIPTORS), and one [catalogue of methods](METHODS) in which each RPC's
//! error channel is a column of `methods.tsv`.
//!
//! ```
//! use plugin_proto::{ErrorChannel, Method};
//!
//! let method = Method::by_path("/mattermost.pluginapi.v1.PluginAPI/GetUser").unwrap();
//! assert_eq!(method.group, "user");
//! assert_eq!(method.error_channel, ErrorChannel::Status);
//! assert_eq!(method.response_descriptor().fields().count(), 2);
//! ```

mod catalogue;
mod codec;
mod codes;
pub mod compare;
pub mod names;
pub mod sample;
mod secrets;

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

pub use catalogue::{ErrorChannel, MESSAGES, METHODS, MessageType, Method, Service};
pub use codec::RawCodec;
pub use codes::{code_by_name, code_name, code_names};
pub use prost;
pub use prost_reflect;
pub use prost_types;
pub use secrets::{REDACTED, SECRET_FIELDS, is_secret, redact};

/// The types of package `mattermost.pluginapi.v1`, as prost generates them.
///
/// Maps are sorted, so encoding a value twice gives the same bytes; `bytes` fields are
/// [`bytes::Bytes`].
#[allow(missing_docs, clippy::doc_markdown, clippy::large_enum_variant)]
#[allow(rustdoc::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/mattermost.pluginapi.v1.rs"));
}

/// The package of both services and of every message.
pub const PACKAGE: &str = "mattermost.pluginapi.v1";

/// The encoded `FileDescriptorSet` of the contract and of the Google types it imports.
pub static FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The contract's descriptors, for reflection: JSON, generated values, field-by-field comparison.
#[allow(clippy::expect_used)] // the bytes are this build's own; a test decodes them
pub static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build's own descriptor set decodes")
});
