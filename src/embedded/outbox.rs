//! What leaves the server for somebody else than a plugin: mail, pushes, events, records.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_proto::v1;
use serde_json::{Map, Value};
use tokio::sync::watch;

/// So many entries are kept; older ones are forgotten.
const KEPT: usize = 10_000;

/// An event for the clients that are connected over WebSocket.
#[derive(Debug, Clone, PartialEq)]
pub struct WebSocketEvent {
    /// Its name, such as `posted`.
    pub event: String,
    /// What it says.
    pub data: Map<String, Value>,
    /// Who gets it; without any limit everybody.
    pub broadcast: v1::WebsocketBroadcast,
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The body, as HTML.
    pub html: String,
}

/// A push notification on its way to one session's device.
#[derive(Debug, Clone, PartialEq)]
pub struct Push {
    /// Whose session it is.
    pub user_id: String,
    /// What is sent.
    pub notification: v1::PushNotification,
}

/// A record of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct Audited {
    /// The plugin that wrote it.
    pub plugin_id: String,
    /// The name of the level.
    pub level: String,
    /// The record as it was given, with the server's additions.
    pub record: v1::AuditRecord,
}

/// A line of the server's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// The plugin that wrote it.
    pub plugin_id: String,
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The text.
    pub message: String,
    /// Keys and values in the order given, duplicates included.
    pub fields: Vec<(String, Value)>,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Sent {
    /// An event to the clients.
    WebSocket(WebSocketEvent),
    /// A mail.
    Mail(Mail),
    /// A push notification.
    Push(Box<Push>),
    /// An audit record.
    Audit(Audited),
    /// A line of the log.
    Log(Logged),
    /// An interactive dialog that a user's client is to open.
    Dialog(v1::OpenInteractiveDialogRequest),
    /// An event for the same plugin on the cluster's other nodes.
    ClusterEvent(v1::PublishPluginClusterEventRequest),
}

/// Keeps what the server has sent, in its order, so that tests and people can see it. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<VecDeque<Sent>>,
    /// How many there were in all.
    count: watch::Sender<u64>,
}

impl Outbox {
    /// Adds an entry.
    pub(crate) fn send(&self, sent: Sent) {
        let mut entries = self.lock();
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(sent);
        self.0.count.send_modify(|count| *count += 1);
    }

    /// The last 10,000 entries, oldest first.
    pub fn entries(&self) -> Vec<Sent> {
        self.lock().iter().cloned().collect()
    }

    /// The entries, which are forgotten here.
    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.lock()).into()
    }

    /// The events to clients among the entries.
    pub fn websocket_events(&self) -> Vec<WebSocketEvent> {
        let entries = self.lock();
        let events = entries.iter().filter_map(|sent| match sent {
            Sent::WebSocket(event) => Some(event.clone()),
            _ => None,
        });
        events.collect()
    }

    /// How many entries there were, forgotten ones included; tells of every new one.
    pub fn count(&self) -> watch::Receiver<u64> {
        self.0.count.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sent>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(number: usize) -> Sent {
        Sent::Mail(Mail { to: number.to_string(), subject: String::new(), html: String::new() })
    }

    #[test]
    fn the_oldest_entries_go_first() {
        let outbox = Outbox::default();
        (0..KEPT + 2).for_each(|number| outbox.send(mail(number)));
        assert_eq!(outbox.entries().first(), Some(&mail(2)));
        assert_eq!(outbox.take().len(), KEPT);
        assert_eq!(outbox.entries(), []);
        assert_eq!(*outbox.count().borrow(), KEPT as u64 + 2);
    }
}
