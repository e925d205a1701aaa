//! Life events in the trace.

use serde_json::{Value, json};

use super::{Category, Trace};
use crate::supervisor::{EventKind, LifeEvent};

impl Trace {
    /// Writes an event of a plugin's life.
    pub fn life(&self, plugin: &str, event: &LifeEvent) {
        let (name, detail) = words(&event.kind);
        self.write(Category::Life, plugin, name, "", event.at, None, detail);
    }
}

/// The event's name and what belongs to it.
fn words(kind: &EventKind) -> (&'static str, Value) {
    match kind {
        EventKind::ApiListening { target } => ("api_listening", json!({ "target": target })),
        EventKind::Spawned { pid } => ("spawned", json!({ "pid": pid })),
        EventKind::Handshaken { address } => ("handshaken", json!({ "address": address })),
        EventKind::Healthy => ("healthy", Value::Null),
        EventKind::HooksKnown { hooks } => ("hooks_known", json!({ "hooks": hooks })),
        EventKind::Active => ("active", Value::Null),
        EventKind::Stopping { reason } => ("stopping", json!({ "reason": reason })),
        EventKind::Deactivated { error } => ("deactivated", json!({ "error": error })),
        EventKind::AskedToLeave { agreed } => ("asked_to_leave", json!({ "agreed": agreed })),
        EventKind::Terminating => ("terminating", Value::Null),
        EventKind::Killing => ("killing", Value::Null),
        EventKind::Exited { report } => ("exited", json!({ "status": report.to_string() })),
        EventKind::ApiStopped { forced } => ("api_stopped", json!({ "forced": forced })),
        EventKind::Ended => ("ended", Value::Null),
    }
}
