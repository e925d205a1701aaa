//! Changing the categories of a sidebar, and what that means for favourites and muted channels.

use std::collections::BTreeMap;

use plugin_proto::v1;
use serde_json::json;

use super::super::ctx::{Ctx, to_user};
use super::super::refusal::internal;
use super::super::store::{Fault, WriteTx};
use super::channel_members as members;
use super::event_json;
use super::sidebar_categories::{self as sidebar, Category, DIRECT_MESSAGES, FAILING, FAVORITES};
use crate::api::AppError;

/// All or none. A category is known by its id, whosever it is.
pub(in super::super) async fn update_channel_sidebar_categories(
    ctx: &Ctx,
    it: v1::UpdateChannelSidebarCategoriesRequest,
) -> Result<v1::UpdateChannelSidebarCategoriesResponse, AppError> {
    let v1::UpdateChannelSidebarCategoriesRequest { user_id, team_id, categories } = it;
    let user = user_id.clone();
    let changed = ctx.write(FAILING, move |tx| {
        let mut pairs = Vec::with_capacity(categories.len());
        for sent in categories {
            pairs.push(update(tx, &user, sent)?);
        }
        let muted = mute(tx, &user, &pairs)?;
        let mut updated: Vec<Category> = pairs.into_iter().map(|(_, new)| new).collect();
        sidebar::complete(tx, &user, &team_id, &mut updated)?;
        Ok((updated, muted))
    });
    let (categories, muted) = changed.await?;
    let data = json!({ "updatedCategories": event_json::categories(&categories) });
    ctx.publish("sidebar_category_updated", data, to_user(&user_id));
    muted.iter().for_each(|member| members::publish_updated(ctx, member));
    Ok(v1::UpdateChannelSidebarCategoriesResponse { categories, error: None })
}

/// The category as it was and as it is.
fn update(tx: &WriteTx<'_>, user_id: &str, sent: Category) -> Result<(Category, Category), Fault> {
    let find = "SELECT message FROM sidebar_categories WHERE id = ?1";
    let Some(old) = tx.message::<Category>(find, [&sent.id])? else {
        return Err(internal(FAILING, "Unable to find the category.").into());
    };
    let mut new = Category {
        sorting: if (0..=3).contains(&sent.sorting) { sent.sorting } else { 0 },
        collapsed: sent.collapsed,
        ..old.clone()
    };
    if old.r#type == "custom" {
        new.display_name = sent.display_name;
    }
    if old.r#type != DIRECT_MESSAGES {
        new.muted = sent.muted;
    }
    if sent.r#type != DIRECT_MESSAGES {
        new.channel_ids = sent.channel_ids;
        prefer(tx, user_id, &old, &new, &sent.r#type)?;
    }
    sidebar::check(&new)?;
    sidebar::save(tx, &new)?;
    Ok((old, new))
}

/// Preferences say which channels are favourites, as the categories do.
fn prefer(
    tx: &WriteTx<'_>,
    user_id: &str,
    old: &Category,
    new: &Category,
    kind: &str,
) -> Result<(), Fault> {
    let gone = if kind == FAVORITES { &old.channel_ids } else { &new.channel_ids };
    for id in gone {
        tx.execute(
            "DELETE FROM preferences
             WHERE user_id = ?1 AND category = 'favorite_channel' AND name = ?2",
            [user_id, id],
        )?;
    }
    if kind == FAVORITES {
        let favourite = |id: &String| v1::Preference {
            user_id: user_id.to_owned(),
            category: "favorite_channel".to_owned(),
            name: id.clone(),
            value: "true".to_owned(),
        };
        super::preferences::save(tx, new.channel_ids.iter().map(favourite).collect())?;
    }
    Ok(())
}

/// Mutes the channels of categories that are muted now, and of those that they were moved to.
fn mute(
    tx: &WriteTx<'_>,
    user_id: &str,
    pairs: &[(Category, Category)],
) -> Result<Vec<v1::ChannelMember>, Fault> {
    let mut was = BTreeMap::new();
    for (old, new) in pairs {
        was.extend(old.channel_ids.iter().map(|id| (id, old.muted)));
        if old.muted != new.muted {
            was.extend(new.channel_ids.iter().map(|id| (id, old.muted)));
        }
    }
    let mut changed = Vec::new();
    for (_, new) in pairs {
        for id in &new.channel_ids {
            if was.get(id).is_none_or(|was| *was == new.muted) {
                continue;
            }
            let Some(mut member) = members::find(tx, id, user_id)? else { continue };
            let level = if new.muted { "mention" } else { "all" };
            let settings = BTreeMap::from([("mark_unread".to_owned(), level.to_owned())]);
            members::merge(tx, &mut member, settings)?;
            changed.push(member);
        }
    }
    Ok(changed)
}
