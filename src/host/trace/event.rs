//! One event of a trace.

use serde::{Deserialize, Serialize};

/// One thing that happened, as it stands on a line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// When it began, in microseconds since the trace did.
    pub at_us: u64,
    /// How long it took, in microseconds; absent if it has no length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// What kind of thing it is.
    pub category: Category,
    /// The plugin's id; empty for the run itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub plugin: String,
    /// The life event, the hook, the RPC, or the HTTP method and path.
    pub name: String,
    /// The gRPC code by name, or the HTTP status; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// Everything else: sizes in bytes, process ids, addresses.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// The run itself.
    Run,
    /// The life of a plugin: launch, handshake, stop.
    Life,
    /// A call of the server to the plugin.
    Hook,
    /// A call of the plugin to the server.
    Api,
    /// A request over HTTP.
    Http,
}

impl Category {
    /// Its word in the files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Life => "life",
            Self::Hook => "hook",
            Self::Api => "api",
            Self::Http => "http",
        }
    }
}

impl TraceEvent {
    /// The event as a line, with its newline.
    pub(super) fn to_line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_else(|error| {
            // Maps with keys that are no strings: none of the fields has such.
            format!("{{\"category\":\"run\",\"name\":\"unwritable\",\"detail\":\"{error}\"}}")
        });
        line.push('\n');
        line
    }
}
