//! What HTTP in front of the plugins needs to know.

use std::collections::BTreeMap;

use crate::environment::Environment;
use crate::hooks::Hooks;
use crate::http_front::{FindHooks, Sessions};

/// Finds the plugins that run.
pub(super) struct Plugins(pub(super) Environment);

impl FindHooks for Plugins {
    fn find(&self, plugin_id: &str) -> Option<Hooks> {
        self.0.hooks(plugin_id).ok()
    }
}

/// Users by their tokens.
pub(super) struct UserSessions(pub(super) BTreeMap<String, String>);

impl Sessions for UserSessions {
    fn user_of(&self, token: &str) -> Option<String> {
        self.0.get(token).cloned()
    }
}
