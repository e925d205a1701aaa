//! Slash commands: those that plugins register, stored ones ("custom commands"), and built-in ones.

mod builtin;
mod checks;

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::super::ctx::Ctx;
use super::super::plugin_commands::PluginCommand;
use super::super::refusal::{absent, internal, invalid, plain};
use super::super::store::{Fault, Tx, WriteTx};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE commands (
    id TEXT PRIMARY KEY,
    team_id TEXT NOT NULL,
    command_trigger TEXT NOT NULL,
    delete_at INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX commands_by_team ON commands (team_id) WHERE delete_at = 0;
";

/// Only the trigger is checked, and only for being there.
pub(in super::super) async fn register_command(
    ctx: &Ctx,
    it: v1::RegisterCommandRequest,
) -> Result<v1::RegisterCommandResponse, AppError> {
    let given = it.command.ok_or_else(|| absent("command"))?;
    if given.trigger.is_empty() {
        return Err(plain("invalid command"));
    }
    let command = v1::Command {
        trigger: given.trigger.to_lowercase(),
        team_id: given.team_id,
        auto_complete: given.auto_complete,
        auto_complete_desc: given.auto_complete_desc,
        auto_complete_hint: given.auto_complete_hint,
        display_name: given.display_name,
        ..Default::default()
    };
    let plugin_id = ctx.plugin_id().to_string();
    ctx.commands().register(PluginCommand { plugin_id, command });
    Ok(v1::RegisterCommandResponse::default())
}

/// A command that is not there is no error.
pub(in super::super) async fn unregister_command(
    ctx: &Ctx,
    it: v1::UnregisterCommandRequest,
) -> Result<v1::UnregisterCommandResponse, AppError> {
    ctx.commands().unregister(&it.team_id, &it.trigger.to_lowercase());
    Ok(v1::UnregisterCommandResponse::default())
}

/// Stores a command, which becomes the calling plugin's.
pub(in super::super) async fn create_command(
    ctx: &Ctx,
    it: v1::CreateCommandRequest,
) -> Result<v1::CreateCommandResponse, AppError> {
    const FAILED: &str = "app.command.createcommand.internal_error";
    let mut command = it.cmd.ok_or_else(|| absent("cmd"))?;
    command.trigger = command.trigger.to_lowercase();
    command.creator_id = String::new();
    command.plugin_id = ctx.plugin_id().to_string();
    let command = ctx.write(FAILED, move |tx| {
        unique(tx, &command, "")?;
        if !command.id.is_empty() {
            return Err(internal(FAILED, "A new command has no id: leave it out.").into());
        }
        command.id = tx.new_id();
        if command.token.is_empty() {
            command.token = tx.new_id();
        }
        command.create_at = tx.now();
        command.update_at = command.create_at;
        checks::check(&command)?;
        save(tx, &command)?;
        Ok(command)
    });
    Ok(v1::CreateCommandResponse { command: Some(command.await?), error: None })
}

/// Commands of plugins, built-in ones and stored ones; doubles stay.
pub(in super::super) async fn list_commands(
    ctx: &Ctx,
    it: v1::ListCommandsRequest,
) -> Result<v1::ListCommandsResponse, AppError> {
    let mut commands = plugin_commands(ctx, &it.team_id);
    commands.extend(builtin::list(&ctx.config()));
    commands.extend(custom_commands(ctx, it.team_id).await?);
    Ok(v1::ListCommandsResponse { commands, error: None })
}

pub(in super::super) async fn list_custom_commands(
    ctx: &Ctx,
    it: v1::ListCustomCommandsRequest,
) -> Result<v1::ListCustomCommandsResponse, AppError> {
    let commands = custom_commands(ctx, it.team_id).await?;
    Ok(v1::ListCustomCommandsResponse { commands, error: None })
}

/// In the order of registration, one per trigger.
pub(in super::super) async fn list_plugin_commands(
    ctx: &Ctx,
    it: v1::ListPluginCommandsRequest,
) -> Result<v1::ListPluginCommandsResponse, AppError> {
    let commands = plugin_commands(ctx, &it.team_id);
    Ok(v1::ListPluginCommandsResponse { commands, error: None })
}

pub(in super::super) async fn list_built_in_commands(
    ctx: &Ctx,
    _: v1::ListBuiltInCommandsRequest,
) -> Result<v1::ListBuiltInCommandsResponse, AppError> {
    let commands = builtin::list(&ctx.config());
    Ok(v1::ListBuiltInCommandsResponse { commands, error: None })
}

pub(in super::super) async fn get_command(
    ctx: &Ctx,
    it: v1::GetCommandRequest,
) -> Result<v1::GetCommandResponse, AppError> {
    let failing = "app.command.getcommand.internal_error";
    let command = ctx.read(failing, move |tx| stored(tx, &it.command_id));
    Ok(v1::GetCommandResponse { command: Some(command.await?), error: None })
}

/// Any plugin may change any command, and becomes its owner. Nothing is merged, except the team.
pub(in super::super) async fn update_command(
    ctx: &Ctx,
    it: v1::UpdateCommandRequest,
) -> Result<v1::UpdateCommandResponse, AppError> {
    let mut command = it.updated_cmd.ok_or_else(|| absent("updated_cmd"))?;
    let plugin_id = ctx.plugin_id().to_string();
    let command = ctx.write("app.command.updatecommand.internal_error", move |tx| {
        let old = stored(tx, &it.command_id)?;
        command.trigger = command.trigger.to_lowercase();
        command.id = old.id;
        command.token = old.token;
        command.create_at = old.create_at;
        command.delete_at = old.delete_at;
        command.update_at = tx.now();
        command.plugin_id = plugin_id;
        if command.team_id.is_empty() {
            command.team_id = old.team_id;
        }
        unique(tx, &command, &command.id)?;
        checks::check(&command)?;
        save(tx, &command)?;
        Ok(command)
    });
    Ok(v1::UpdateCommandResponse { command: Some(command.await?), error: None })
}

/// Never fails: not for a command that is not there, and not for want of a database.
pub(in super::super) async fn delete_command(
    ctx: &Ctx,
    it: v1::DeleteCommandRequest,
) -> Result<v1::DeleteCommandResponse, AppError> {
    let deleted = ctx.write("app.command.deletecommand.internal_error", move |tx| {
        let found: Option<v1::Command> =
            tx.message("SELECT message FROM commands WHERE id = ?1", [&it.command_id])?;
        let Some(mut command) = found else { return Ok(()) };
        command.delete_at = tx.now();
        command.update_at = command.delete_at;
        save(tx, &command)
    });
    // The store has logged why.
    let _ = deleted.await;
    Ok(v1::DeleteCommandResponse::default())
}

fn plugin_commands(ctx: &Ctx, team_id: &str) -> Vec<v1::Command> {
    let mut commands: Vec<v1::Command> = Vec::new();
    for PluginCommand { command, .. } in ctx.commands().of_team(team_id) {
        if commands.iter().all(|it| it.trigger != command.trigger) {
            commands.push(command);
        }
    }
    commands
}

async fn custom_commands(ctx: &Ctx, team_id: String) -> Result<Vec<v1::Command>, AppError> {
    ctx.read("app.command.listteamcommands.internal_error", move |tx| {
        tx.messages(
            "SELECT message FROM commands WHERE team_id = ?1 AND delete_at = 0 ORDER BY rowid",
            [team_id],
        )
    })
    .await
}

/// A command that is not deleted.
fn stored(tx: &Tx<'_>, id: &str) -> Result<v1::Command, Fault> {
    let found = tx.message("SELECT message FROM commands WHERE id = ?1 AND delete_at = 0", [id])?;
    Ok(found.ok_or_else(|| plain(&format!("resource \"Command\" not found, id: {id}")))?)
}

/// No built-in command and no other one of the team has this trigger.
fn unique(tx: &Tx<'_>, command: &v1::Command, own_id: &str) -> Result<(), Fault> {
    let taken = builtin::is_trigger(&command.trigger)
        || tx.exists(
            "SELECT 1 FROM commands
             WHERE team_id = ?1 AND command_trigger = ?2 AND delete_at = 0 AND id <> ?3",
            [&command.team_id, &command.trigger, own_id],
        )?;
    match taken {
        false => Ok(()),
        true => {
            let message = "This trigger word is already in use. Please choose another word.";
            Err(invalid("api.command.duplicate_trigger.app_error", message).into())
        }
    }
}

fn save(tx: &WriteTx<'_>, it: &v1::Command) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO commands (id, team_id, command_trigger, delete_at, message)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET
             team_id = excluded.team_id, command_trigger = excluded.command_trigger,
             delete_at = excluded.delete_at, message = excluded.message",
        params![it.id, it.team_id, it.trigger, it.delete_at, it.encode_to_vec()],
    )
    .map(drop)
}
