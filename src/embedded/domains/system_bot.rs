//! The bot in whose name the server speaks.

use plugin_proto::v1;

use super::super::store::{Fault, WriteTx};
use super::{bots, users};

const NAME: &str = "system-bot";

/// The bot, which is made when it is needed first. It belongs to a system administrator; without one
/// there is none.
pub(super) fn get(tx: &WriteTx<'_>) -> Result<Option<v1::User>, Fault> {
    if let Some(bot) = users::by_username(tx, NAME)? {
        return Ok(Some(bot));
    }
    let owner: Option<v1::User> = tx.message(
        "SELECT message FROM users WHERE ' ' || roles || ' ' LIKE '% system_admin %'
         ORDER BY username",
        [],
    )?;
    let Some(owner) = owner else { return Ok(None) };
    let bot = v1::Bot {
        username: NAME.to_owned(),
        display_name: "System".to_owned(),
        owner_id: owner.id,
        ..Default::default()
    };
    let bot = bots::insert(tx, bot)?;
    users::find(tx, &bot.user_id)
}
