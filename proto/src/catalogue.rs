//! The catalogue of methods: what is known of each RPC before it is called.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use prost::{DecodeError, Message};
use prost_reflect::MessageDescriptor;

use crate::{DESCRIPTORS, v1};

include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// One of the two services of the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Plugin → server: 236 RPCs, all unary.
    PluginAPI,
    /// Server → plugin: 42 RPCs, all unary but the bidirectional stream `ServeHTTP`.
    PluginHooks,
}

impl Service {
    /// The full name, as it stands in a path and in gRPC health and reflection.
    pub const fn full_name(self) -> &'static str {
        match self {
            Self::PluginAPI => "mattermost.pluginapi.v1.PluginAPI",
            Self::PluginHooks => "mattermost.pluginapi.v1.PluginHooks",
        }
    }

    /// The service's methods, in the order of the .proto file.
    pub fn methods(self) -> impl Iterator<Item = &'static Method> {
        METHODS.iter().filter(move |method| method.service == self)
    }
}

/// How a failure (an AppError) of an RPC travels to the caller. Source: `methods.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorChannel {
    /// As a gRPC status; there is no response message.
    Status,
    /// In the response's field `error`, with gRPC status OK.
    Embedded,
    /// The call cannot fail.
    None,
    /// The failure of the whole call as a gRPC status, those of its parts inside the response.
    Mixed,
}

impl fmt::Display for ErrorChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Status => "status",
            Self::Embedded => "embedded",
            Self::None => "none",
            Self::Mixed => "mixed",
        })
    }
}

/// What is known of one RPC.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    /// Place in [`METHODS`].
    pub index: usize,
    /// The service that serves it.
    pub service: Service,
    /// Name in the .proto file, for example `GetUser`.
    pub name: &'static str,
    /// HTTP/2 path, for example `/mattermost.pluginapi.v1.PluginAPI/GetUser`.
    pub path: &'static str,
    /// Topic, for example `user` or `kv`.
    pub group: &'static str,
    /// Full name of the request message.
    pub request: &'static str,
    /// Full name of the response message.
    pub response: &'static str,
    /// Whether the caller sends a stream.
    pub client_streaming: bool,
    /// Whether the answer is a stream.
    pub server_streaming: bool,
    /// How a failure travels.
    pub error_channel: ErrorChannel,
    /// The comment of the .proto file.
    pub doc: &'static str,
}

impl Method {
    /// The method with this HTTP/2 path.
    pub fn by_path(path: &str) -> Option<&'static Self> {
        static BY_PATH: LazyLock<HashMap<&'static str, &'static Method>> =
            LazyLock::new(|| METHODS.iter().map(|method| (method.path, method)).collect());
        BY_PATH.get(path).copied()
    }

    /// The method of `service` with this name.
    pub fn by_name(service: Service, name: &str) -> Option<&'static Self> {
        service.methods().find(|method| method.name == name)
    }

    /// Whether both directions carry exactly one message.
    pub const fn is_unary(&self) -> bool {
        !self.client_streaming && !self.server_streaming
    }

    /// The descriptor of the request message.
    pub fn request_descriptor(&self) -> MessageDescriptor {
        descriptor(self.request)
    }

    /// The descriptor of the response message.
    pub fn response_descriptor(&self) -> MessageDescriptor {
        descriptor(self.response)
    }
}

#[allow(clippy::expect_used)] // names and descriptors come from the same build
fn descriptor(name: &str) -> MessageDescriptor {
    let found = DESCRIPTORS.get_message_by_name(name);
    found.expect("the catalogue names messages of its own descriptor set")
}

/// One message of the contract, with its generated type behind a function.
#[derive(Debug)]
pub struct MessageType {
    /// Full name, for example `mattermost.pluginapi.v1.User`.
    pub full_name: &'static str,
    reencode: fn(&[u8]) -> Result<Vec<u8>, DecodeError>,
}

impl MessageType {
    /// The message with this full name.
    pub fn by_name(full_name: &str) -> Option<&'static Self> {
        let at = MESSAGES.binary_search_by(|message| message.full_name.cmp(full_name));
        at.ok().map(|at| &MESSAGES[at])
    }

    /// Decodes `bytes` as this message and encodes the value again: fields in the order of their
    /// numbers, map entries sorted by key, unknown fields gone.
    ///
    /// # Errors
    /// What prost says of bytes that are no such message.
    pub fn reencode(&self, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        (self.reencode)(bytes)
    }

    /// The message's descriptor.
    pub fn descriptor(&self) -> MessageDescriptor {
        descriptor(self.full_name)
    }
}

fn reencode<M: Message + Default>(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    M::decode(bytes).map(|message| message.encode_to_vec())
}
