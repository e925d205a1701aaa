//! Direct and group messages between people who have no team in common, where these are not wanted.

use plugin_proto::v1;

use super::super::config::Config;
use super::super::store::{Fault, Tx};

/// Whether nothing may be written in the channel any more.
pub(super) fn is_restricted(
    tx: &Tx<'_>,
    config: &Config,
    channel: &v1::Channel,
) -> Result<bool, Fault> {
    let private_talk = matches!(channel.r#type(), v1::ChannelType::Direct | v1::ChannelType::Group);
    if !private_talk || config.text("TeamSettings", "RestrictDirectMessage") != "team" {
        return Ok(false);
    }
    let common = tx.exists(
        "SELECT 1 FROM team_members
         WHERE delete_at = 0
             AND user_id IN (SELECT user_id FROM channel_members WHERE channel_id = ?1)
         GROUP BY team_id
         HAVING COUNT(*) = (SELECT COUNT(*) FROM channel_members WHERE channel_id = ?1)",
        [&channel.id],
    )?;
    Ok(!common)
}
