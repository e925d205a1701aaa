//! The categories in which a user's sidebar shows the channels of a team: how they are stored, made
//! and read.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;
use serde_json::json;

use super::super::ctx::{Ctx, to_user};
use super::super::limits::runes;
use super::super::refusal::{absent, internal, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::channels;
use crate::api::AppError;

/// A category's message has its channels in their order.
pub(super) const SCHEMA: &str = "
CREATE TABLE sidebar_categories (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    sort_order INTEGER NOT NULL,
    type TEXT NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX sidebar_categories_by_user ON sidebar_categories (user_id, team_id, sort_order);
";

pub(super) type Category = v1::SidebarCategoryWithChannels;

pub(super) const FAILING: &str = "app.channel.sidebar_categories.app_error";
pub(super) const FAVORITES: &str = "favorites";
const CHANNELS: &str = "channels";
pub(super) const DIRECT_MESSAGES: &str = "direct_messages";
const CUSTOM: &str = "custom";
/// The number of the sorting by the latest message.
const RECENT: i32 = 2;
/// Between the places of two neighbours.
const DISTANCE: i64 = 10;

/// The user's categories in a team, topmost first, with the channels that were put into them.
pub(super) fn of_user(tx: &Tx<'_>, user_id: &str, team_id: &str) -> Result<Vec<Category>, Fault> {
    tx.messages(
        "SELECT message FROM sidebar_categories WHERE user_id = ?1 AND team_id = ?2
         ORDER BY sort_order, rowid",
        [user_id, team_id],
    )
}

/// Stores a category anew; its place stays.
pub(super) fn save(tx: &WriteTx<'_>, it: &Category) -> Result<(), Fault> {
    tx.execute(
        "UPDATE sidebar_categories SET message = ?2 WHERE id = ?1",
        params![it.id, it.encode_to_vec()],
    )
    .map(drop)
}

fn insert(tx: &WriteTx<'_>, it: &Category, sort_order: i64) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO sidebar_categories (id, user_id, team_id, sort_order, type, message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![it.id, it.user_id, it.team_id, sort_order, it.r#type, it.encode_to_vec()],
    )
    .map(drop)
}

/// Makes the three categories that everybody has, unless the user has some.
pub(super) fn ensure(tx: &WriteTx<'_>, user_id: &str, team_id: &str) -> Result<(), Fault> {
    let has_some = "SELECT 1 FROM sidebar_categories WHERE user_id = ?1 AND team_id = ?2";
    if tx.exists(has_some, [user_id, team_id])? {
        return Ok(());
    }
    let three = [
        (FAVORITES, "Favorites", 0),
        (CHANNELS, "Channels", 0),
        (DIRECT_MESSAGES, "Direct Messages", RECENT),
    ];
    for (place, (kind, display_name, sorting)) in (0..).zip(three) {
        let channel_ids = match kind {
            FAVORITES => favourites(tx, user_id, team_id)?,
            _ => Vec::new(),
        };
        let category = Category {
            id: format!("{kind}_{user_id}_{team_id}"),
            user_id: user_id.to_owned(),
            team_id: team_id.to_owned(),
            display_name: display_name.to_owned(),
            r#type: kind.to_owned(),
            sorting,
            channel_ids,
            ..Default::default()
        };
        insert(tx, &category, place * DISTANCE)?;
    }
    Ok(())
}

/// The channels that the user prefers, of the team or of none.
fn favourites(tx: &Tx<'_>, user_id: &str, team_id: &str) -> Result<Vec<String>, Fault> {
    tx.values(
        "SELECT c.id FROM preferences AS p
         JOIN channels AS c ON c.id = p.name
         JOIN channel_members AS m ON m.channel_id = c.id AND m.user_id = p.user_id
         WHERE p.user_id = ?1 AND p.category = 'favorite_channel' AND p.value = 'true'
             AND c.team_id IN (?2, '')
         ORDER BY c.display_name COLLATE NOCASE",
        [user_id, team_id],
    )
}

/// The user's categories of the team go.
pub(super) fn delete_of(tx: &WriteTx<'_>, user_id: &str, team_id: &str) -> Result<(), Fault> {
    tx.execute(
        "DELETE FROM sidebar_categories WHERE user_id = ?1 AND team_id = ?2",
        [user_id, team_id],
    )
    .map(drop)
}

/// The channel goes out of all the user's categories.
pub(super) fn forget(tx: &WriteTx<'_>, user_id: &str, channel_id: &str) -> Result<(), Fault> {
    let all: Vec<Category> =
        tx.messages("SELECT message FROM sidebar_categories WHERE user_id = ?1", [user_id])?;
    for mut category in all {
        take_out(tx, &mut category, |id| id == channel_id)?;
    }
    Ok(())
}

fn take_out(
    tx: &WriteTx<'_>,
    category: &mut Category,
    goes: impl Fn(&str) -> bool,
) -> Result<(), Fault> {
    let before = category.channel_ids.len();
    category.channel_ids.retain(|id| !goes(id));
    if category.channel_ids.len() < before { save(tx, category) } else { Ok(()) }
}

/// What a changed preference means for the favourites. A channel that does not exist is in none.
pub(super) fn set_favourite(
    tx: &WriteTx<'_>,
    user_id: &str,
    channel_id: &str,
    is_favourite: bool,
) -> Result<(), Fault> {
    let all: Vec<Category> = tx.messages(
        "SELECT message FROM sidebar_categories WHERE user_id = ?1 AND type = 'favorites'",
        [user_id],
    )?;
    let channel = channels::find(tx, channel_id)?;
    for mut category in all {
        if !is_favourite {
            take_out(tx, &mut category, |id| id == channel_id)?;
            continue;
        }
        let of_team = channel
            .as_ref()
            .is_some_and(|it| it.team_id.is_empty() || it.team_id == category.team_id);
        if of_team && !category.channel_ids.iter().any(|id| id == channel_id) {
            for mut other in of_user(tx, user_id, &category.team_id)? {
                take_out(tx, &mut other, |id| id == channel_id)?;
            }
            category.channel_ids.insert(0, channel_id.to_owned());
            save(tx, &category)?;
        }
    }
    Ok(())
}

/// Puts the channels that the user is in and that are in no category where they belong.
pub(super) fn complete(
    tx: &Tx<'_>,
    user_id: &str,
    team_id: &str,
    categories: &mut [Category],
) -> Result<(), Fault> {
    let stored = of_user(tx, user_id, team_id)?;
    let placed: Vec<&String> = stored.iter().flat_map(|it| &it.channel_ids).collect();
    let joined: Vec<v1::Channel> = tx.messages(
        "SELECT c.message FROM channel_members AS m JOIN channels AS c ON c.id = m.channel_id
         WHERE m.user_id = ?1 AND c.team_id IN (?2, '') AND c.delete_at = 0
         ORDER BY c.display_name COLLATE NOCASE, c.id",
        [user_id, team_id],
    )?;
    for channel in joined.into_iter().filter(|channel| !placed.contains(&&channel.id)) {
        let kind = match channel.r#type() {
            v1::ChannelType::Direct | v1::ChannelType::Group => DIRECT_MESSAGES,
            _ => CHANNELS,
        };
        if let Some(category) = categories.iter_mut().find(|it| it.r#type == kind) {
            category.channel_ids.push(channel.id);
        }
    }
    Ok(())
}

pub(in super::super) async fn create_channel_sidebar_category(
    ctx: &Ctx,
    it: v1::CreateChannelSidebarCategoryRequest,
) -> Result<v1::CreateChannelSidebarCategoryResponse, AppError> {
    let Some(new) = it.new_category else { return Err(absent("new_category")) };
    let (user_id, team_id) = (it.user_id, it.team_id);
    let category = ctx.write(FAILING, move |tx| {
        let mut old = of_user(tx, &user_id, &team_id)?;
        let Some(first) = old.first() else {
            return Err(not_found(FAILING, "The user has no categories in this team.").into());
        };
        let place = usize::from(first.r#type == FAVORITES);
        let category = Category {
            id: tx.new_id(),
            user_id,
            team_id,
            r#type: CUSTOM.to_owned(),
            collapsed: false,
            ..new
        };
        check(&category)?;
        for other in &mut old {
            take_out(tx, other, |id| category.channel_ids.iter().any(|it| it == id))?;
        }
        let places = (0..).map(|at| at * DISTANCE);
        let places: Vec<i64> = places.take(old.len() + 1).collect();
        insert(tx, &category, places[place])?;
        let others = places.iter().enumerate().filter(|(at, _)| *at != place);
        for (other, (_, order)) in old.iter().zip(others) {
            tx.execute(
                "UPDATE sidebar_categories SET sort_order = ?2 WHERE id = ?1",
                params![other.id, order],
            )?;
        }
        Ok(category)
    });
    let category = category.await?;
    let data = json!({ "category_id": category.id });
    let to =
        v1::WebsocketBroadcast { team_id: category.team_id.clone(), ..to_user(&category.user_id) };
    ctx.publish("sidebar_category_created", data, to);
    Ok(v1::CreateChannelSidebarCategoryResponse { category: Some(category), error: None })
}

/// What the database refuses.
pub(super) fn check(it: &Category) -> Result<(), AppError> {
    let mut ids: Vec<&String> = it.channel_ids.iter().collect();
    ids.sort_unstable();
    let twice = ids.windows(2).any(|pair| pair[0] == pair[1]);
    if twice || ids.iter().any(|id| id.len() > 26) || runes(&it.display_name) > 64 {
        return Err(internal(FAILING, "Unable to save the category."));
    }
    Ok(())
}

pub(in super::super) async fn get_channel_sidebar_categories(
    ctx: &Ctx,
    it: v1::GetChannelSidebarCategoriesRequest,
) -> Result<v1::GetChannelSidebarCategoriesResponse, AppError> {
    const CREATE: &str = "app.channel.create_initial_sidebar_categories.internal_error";
    let v1::GetChannelSidebarCategoriesRequest { user_id, team_id } = it;
    let (user, team) = (user_id.clone(), team_id.clone());
    let mut categories = ctx.read(FAILING, move |tx| completed(tx, &user, &team)).await?;
    if categories.is_empty() {
        let made = ctx.write(CREATE, move |tx| {
            ensure(tx, &user_id, &team_id)?;
            completed(tx, &user_id, &team_id)
        });
        categories = made.await?;
    }
    let order = categories.iter().map(|it| it.id.clone()).collect();
    let categories = Some(v1::OrderedSidebarCategories { categories, order });
    Ok(v1::GetChannelSidebarCategoriesResponse { categories, error: None })
}

fn completed(tx: &Tx<'_>, user_id: &str, team_id: &str) -> Result<Vec<Category>, Fault> {
    let mut categories = of_user(tx, user_id, team_id)?;
    complete(tx, user_id, team_id, &mut categories)?;
    Ok(categories)
}
