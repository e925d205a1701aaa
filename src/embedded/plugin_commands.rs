//! Slash commands that plugins have registered. They live as long as the server, not longer.

use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_proto::v1;

/// A command of a plugin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PluginCommand {
    pub(crate) plugin_id: String,
    /// Trigger, team and what completes it; nothing else of a registration is kept.
    pub(crate) command: v1::Command,
}

/// All of them, in the order of their registration.
#[derive(Debug, Default)]
pub(crate) struct PluginCommands(Mutex<Vec<PluginCommand>>);

impl PluginCommands {
    /// Registers a command. The same plugin's command of this trigger and team keeps its place.
    pub(crate) fn register(&self, new: PluginCommand) {
        let mut all = self.lock();
        let same = |old: &&mut PluginCommand| {
            old.plugin_id == new.plugin_id
                && old.command.team_id == new.command.team_id
                && old.command.trigger == new.command.trigger
        };
        match all.iter_mut().find(same) {
            Some(old) => *old = new,
            None => all.push(new),
        }
    }

    /// Forgets the commands of this trigger and exactly this team, whoever registered them.
    pub(crate) fn unregister(&self, team_id: &str, trigger: &str) {
        self.lock().retain(|it| it.command.team_id != team_id || it.command.trigger != trigger);
    }

    /// Forgets a plugin's commands.
    pub(crate) fn forget(&self, plugin_id: &str) {
        self.lock().retain(|it| it.plugin_id != plugin_id);
    }

    /// The commands of a team and those of all teams.
    pub(crate) fn of_team(&self, team_id: &str) -> Vec<PluginCommand> {
        let all = self.lock();
        let of_team =
            |it: &&PluginCommand| it.command.team_id.is_empty() || it.command.team_id == team_id;
        all.iter().filter(of_team).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PluginCommand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
