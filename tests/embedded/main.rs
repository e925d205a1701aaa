//! The embedded Mattermost, called as its plugins call it, in this process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use plugin_conformance::api::{AppError, PluginApi};
use plugin_conformance::embedded::{Clock, Embedded, HookSink, Ids, Notice};

mod bots;
mod channels;
mod commands;
mod configuration;
mod files;
mod kv;
mod people;
mod pictures;
mod plugins;
mod posts;
mod preferences;
mod properties;
mod reactions;
mod server;
mod sidebar;
mod small;
mod team_changes;
mod teams;
mod uploads;
mod user_changes;
mod user_lists;
mod users;

/// The API of one plugin.
type Api = Arc<dyn PluginApi>;

/// A plugin's id.
const PLUGIN: &str = "com.example.a";

/// An empty server whose times and ids are the same in every run.
fn fresh() -> Embedded {
    let builder = Embedded::builder().clock(Clock::ticking(1_700_000_000_000)).ids(Ids::seeded(1));
    builder.start().unwrap()
}

/// A plugin of an empty server, and the server.
fn alone() -> (Embedded, Api) {
    let server = fresh();
    let api = server.api_of(PLUGIN);
    (server, api)
}

/// Remembers what plugins are told.
#[derive(Default)]
struct Told(Mutex<Vec<Notice>>);

impl HookSink for Told {
    fn tell(&self, notice: Notice) {
        self.0.lock().unwrap().push(notice);
    }
}

impl Told {
    /// From now on.
    fn by(server: &Embedded) -> Arc<Self> {
        let told = Arc::new(Self::default());
        server.set_hooks(Arc::clone(&told) as Arc<dyn HookSink>);
        told
    }

    /// What was told since the last look.
    fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The call was refused so.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, AppError>, id: &str, status_code: i32) {
    let error = answer.unwrap_err();
    assert_eq!((error.id.as_str(), error.status_code), (id, status_code), "{error:?}");
}
