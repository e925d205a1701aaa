//! What a handler works with.

use std::sync::Arc;

use plugin_proto::v1;
use serde_json::{Map, Value};

use super::config::Config;
use super::hook_sink::{HookSink, Notice};
use super::in_flight::InFlight;
use super::installed::Installed;
use super::outbox::{Outbox, Sent, WebSocketEvent};
use super::plugin_commands::PluginCommands;
use super::server::Shared;
use super::store::{Failing, Fault, Source, Tx, WriteTx};
use crate::api::AppError;

/// One call's view of the server: its database, its effects, and who calls. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Ctx {
    shared: Arc<Shared>,
    plugin_id: Arc<str>,
}

impl Ctx {
    pub(super) fn new(shared: Arc<Shared>, plugin_id: Arc<str>) -> Self {
        Self { shared, plugin_id }
    }

    /// The calling plugin.
    pub(crate) fn plugin_id(&self) -> Arc<str> {
        Arc::clone(&self.plugin_id)
    }

    /// Runs `f` on a snapshot of the database. A failure of the database is an AppError with the id
    /// (and, as a pair, the status) in `failing`; one that `f` answers is passed on.
    pub(crate) async fn read<T, F>(&self, failing: impl Into<Failing>, f: F) -> Result<T, AppError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.shared.store.read(failing, f).await
    }

    /// The same in a transaction that writes: all of it, or nothing if `f` fails. Hooks come before or
    /// after it, never within.
    pub(crate) async fn write<T, F>(&self, failing: impl Into<Failing>, f: F) -> Result<T, AppError>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.shared.store.write(failing, f).await
    }

    /// Milliseconds since 1970. Within a transaction, `tx.now()`.
    pub(crate) fn now(&self) -> i64 {
        self.shared.store.source().clock.now()
    }

    /// A new id. Within a transaction, `tx.new_id()`.
    pub(crate) fn new_id(&self) -> String {
        self.shared.store.source().ids.next_id()
    }

    /// The server's configuration as it is now.
    pub(crate) fn config(&self) -> Config {
        self.shared.config()
    }

    /// Replaces it; only within [`saving`](Self::saving).
    pub(crate) fn set_config(&self, config: Config) {
        self.shared.set_config(config);
    }

    /// Whoever has this may replace the configuration. No plugin is asked meanwhile.
    pub(crate) async fn saving(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.saving.lock().await
    }

    /// Times and ids.
    pub(crate) fn source(&self) -> &Source {
        self.shared.store.source()
    }

    /// The plugins that the server knows of.
    pub(crate) fn installed(&self) -> &Installed {
        &self.shared.installed
    }

    /// The slash commands that plugins have registered.
    pub(crate) fn commands(&self) -> &PluginCommands {
        &self.shared.commands
    }

    /// What the server says its version is.
    pub(crate) fn version(&self) -> &str {
        &self.shared.version
    }

    /// The active plugins, to be asked.
    pub(crate) fn hooks(&self) -> Arc<dyn HookSink> {
        self.shared.hooks()
    }

    /// Tells the active plugins what has happened.
    pub(crate) fn tell(&self, notice: impl Into<Notice>) {
        self.hooks().tell(notice.into());
    }

    /// What is being done right now.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.shared.in_flight
    }

    /// Keeps what leaves the server.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.shared.outbox
    }

    /// Sends an event to the clients: `ctx.publish("preferences_changed", json!({…}), to_user(id))`.
    /// `data` is a JSON object.
    pub(crate) fn publish(
        &self,
        event: impl Into<String>,
        data: Value,
        broadcast: v1::WebsocketBroadcast,
    ) {
        let data = match data {
            Value::Object(data) => data,
            Value::Null => Map::new(),
            other => Map::from_iter([("data".to_owned(), other)]),
        };
        let event = WebSocketEvent { event: event.into(), data, broadcast };
        self.outbox().send(Sent::WebSocket(event));
    }
}

/// To everybody.
pub(crate) fn to_all() -> v1::WebsocketBroadcast {
    v1::WebsocketBroadcast::default()
}

/// To the connections of one user.
pub(crate) fn to_user(user_id: &str) -> v1::WebsocketBroadcast {
    v1::WebsocketBroadcast { user_id: user_id.to_owned(), ..Default::default() }
}

/// To the members of a channel.
pub(crate) fn to_channel(channel_id: &str) -> v1::WebsocketBroadcast {
    v1::WebsocketBroadcast { channel_id: channel_id.to_owned(), ..Default::default() }
}

/// To the members of a team.
pub(crate) fn to_team(team_id: &str) -> v1::WebsocketBroadcast {
    v1::WebsocketBroadcast { team_id: team_id.to_owned(), ..Default::default() }
}

/// The context of a hook that a plugin's call causes: there is no session and no request.
#[expect(clippy::unnecessary_wraps, reason = "it is the value of an optional field")]
pub(crate) fn plugin_context() -> Option<v1::PluginContext> {
    Some(v1::PluginContext::default())
}
