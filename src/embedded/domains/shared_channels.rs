//! Shared channels. A plugin can register itself as a remote; the service that would share anything
//! with it needs a licence.

use plugin_proto::v1;
use rusqlite::params;
use sha2::{Digest as _, Sha256};

use super::super::ctx::Ctx;
use super::super::ids::id_of_bytes;
use super::super::refusal::{invalid, plain};
use super::super::store::{Fault, WriteTx};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE remote_clusters (
    plugin_id TEXT PRIMARY KEY,
    remote_id TEXT NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT NOT NULL,
    create_at INTEGER NOT NULL,
    delete_at INTEGER NOT NULL
) WITHOUT ROWID;
";

const MAX_NAME_BYTES: usize = 64;

macro_rules! licensed {
    ($($method:ident $request:ident $response:ident;)*) => {
        $(
            pub(in super::super) async fn $method(
                _: &Ctx,
                _: v1::$request,
            ) -> Result<v1::$response, AppError> {
                let message = "Shared Channels Service is disabled: Team Edition has no licence.";
                Err(invalid("api.command_share.service_disabled", message))
            }
        )*
    };
}

licensed! {
    share_channel ShareChannelRequest ShareChannelResponse;
    update_shared_channel UpdateSharedChannelRequest UpdateSharedChannelResponse;
    unshare_channel UnshareChannelRequest UnshareChannelResponse;
    sync_shared_channel SyncSharedChannelRequest SyncSharedChannelResponse;
    invite_remote_to_channel InviteRemoteToChannelRequest InviteRemoteToChannelResponse;
    uninvite_remote_from_channel UninviteRemoteFromChannelRequest UninviteRemoteFromChannelResponse;
}

/// The remote's id follows from the plugin's, so it survives a registration. Only a first one is
/// checked. The contract has no field for the creator that Mattermost demands; here none is asked for.
pub(in super::super) async fn register_plugin_for_shared_channels(
    ctx: &Ctx,
    it: v1::RegisterPluginForSharedChannelsRequest,
) -> Result<v1::RegisterPluginForSharedChannelsResponse, AppError> {
    let mut opts = it.opts.unwrap_or_default();
    if opts.plugin_id.is_empty() {
        opts.plugin_id = ctx.plugin_id().to_string();
    }
    let remote_id = ctx.write("app.insert_error", move |tx| register(tx, &opts)).await?;
    Ok(v1::RegisterPluginForSharedChannelsResponse { remote_id, error: None })
}

fn register(tx: &WriteTx<'_>, opts: &v1::RegisterPluginOpts) -> Result<String, Fault> {
    let known = tx.value::<String>(
        "SELECT remote_id FROM remote_clusters WHERE plugin_id = ?1",
        [&opts.plugin_id],
    )?;
    if let Some(remote_id) = known {
        tx.execute(
            "UPDATE remote_clusters SET display_name = ?2, description = ?3, delete_at = 0
             WHERE plugin_id = ?1",
            [&opts.plugin_id, &opts.display_name, &opts.description],
        )?;
        return Ok(remote_id);
    }
    let name = opts.display_name.to_lowercase();
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b".-_".contains(&it);
    if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(allowed) {
        let message = "display_name has 1 to 64 letters, digits, dots, hyphens or underscores.";
        return Err(invalid("model.cluster.is_valid.name.app_error", message).into());
    }
    let remote_id = id_of_bytes(&Sha256::digest(opts.plugin_id.as_bytes()));
    let v1::RegisterPluginOpts { plugin_id, display_name, description } = opts;
    tx.execute(
        "INSERT INTO remote_clusters
             (plugin_id, remote_id, name, display_name, description, create_at, delete_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
        params![plugin_id, remote_id, name, display_name, description, tx.now()],
    )?;
    Ok(remote_id)
}

/// Twice is no error.
pub(in super::super) async fn unregister_plugin_for_shared_channels(
    ctx: &Ctx,
    it: v1::UnregisterPluginForSharedChannelsRequest,
) -> Result<v1::UnregisterPluginForSharedChannelsResponse, AppError> {
    let found = ctx.write("api.remote_cluster.delete.app_error", move |tx| {
        tx.execute(
            "UPDATE remote_clusters SET delete_at = iif(delete_at = 0, ?2, delete_at)
             WHERE plugin_id = ?1",
            params![it.plugin_id, tx.now()],
        )
    });
    if found.await? == 0 {
        return Err(plain(
            "failed to find remote cluster of the plugin: sql: no rows in result set",
        ));
    }
    Ok(v1::UnregisterPluginForSharedChannelsResponse::default())
}

/// The service is not asked for, but without it there is no link whose cursor could be set.
pub(in super::super) async fn update_shared_channel_cursor(
    _: &Ctx,
    it: v1::UpdateSharedChannelCursorRequest,
) -> Result<v1::UpdateSharedChannelCursorResponse, AppError> {
    Err(plain(&format!(
        "cursor update failed - cannot fetch shared channel remote: \
         resource \"SharedChannelRemote\" not found, id: channel_id={}, remote_id={}",
        it.channel_id, it.remote_id
    )))
}
