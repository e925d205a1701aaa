//! Lists of users.

use plugin_proto::v1;
use rusqlite::params;
use serde_json::json;

use super::super::ctx::Ctx;
use super::super::paging::Page;
use super::super::refusal::{internal, invalid};
use super::super::store::{Fault, Tx};
use super::user_view as view;
use crate::api::AppError;

const GET: &str = "app.user.get_profiles.app_error";

/// Roles by which a list can be limited; other names are no limit.
const LISTED_ROLES: [&str; 6] = [
    "system_user",
    "system_guest",
    "system_admin",
    "system_user_manager",
    "system_read_only_admin",
    "system_manager",
];

fn page_of(page: i32, per_page: i32) -> Result<Page, AppError> {
    Page::of(page, per_page)
        .ok_or_else(|| internal(GET, "Unable to get the users: a page and its size are 0 or more."))
}

fn light(users: Vec<v1::User>) -> Vec<v1::User> {
    users.into_iter().map(view::light).collect()
}

/// Limited by activity, roles and restrictions only: the other options have no effect on this path.
pub(in super::super) async fn get_users(
    ctx: &Ctx,
    it: v1::GetUsersRequest,
) -> Result<v1::GetUsersResponse, AppError> {
    let page = page_of(it.page, it.per_page)?;
    let activity = match (it.inactive, it.active) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    };
    let roles: Vec<&String> = match it.roles.first() {
        Some(first) if !first.is_empty() => {
            it.roles.iter().filter(|role| LISTED_ROLES.contains(&role.as_str())).collect()
        }
        _ => Vec::new(),
    };
    let restrictions = it.view_restrictions.unwrap_or_default();
    let (roles, teams, channels) = (
        json!(roles).to_string(),
        json!(restrictions.teams).to_string(),
        json!(restrictions.channels).to_string(),
    );
    let by_change = it.sort == "update_at_asc";
    let role = it.role.to_lowercase();
    let users = ctx.read(GET, move |tx| {
        tx.messages(
            "SELECT message FROM users AS u
             WHERE (?1 = 0 OR (?1 = 1) = (u.delete_at = 0))
                 AND (?2 = '' OR instr(u.roles, ?2) > 0)
                 AND (?3 = '[]' OR EXISTS (
                     SELECT 1 FROM json_each(?3) AS r
                     WHERE CASE r.value WHEN 'system_user' THEN u.roles = 'system_user'
                           ELSE instr(u.roles, r.value) > 0 END))
                 AND (?4 = '[]' OR EXISTS (
                     SELECT 1 FROM team_members AS m WHERE m.user_id = u.id AND m.delete_at = 0
                         AND m.team_id IN (SELECT value FROM json_each(?4))))
                 AND (?5 = '[]' OR EXISTS (
                     SELECT 1 FROM channel_members AS m WHERE m.user_id = u.id
                         AND m.channel_id IN (SELECT value FROM json_each(?5))))
             ORDER BY CASE WHEN ?6 THEN u.update_at ELSE 0 END, u.username LIMIT ?7 OFFSET ?8",
            params![activity, role, roles, teams, channels, by_change, page.limit, page.offset],
        )
    });
    Ok(v1::GetUsersResponse { users: light(users.await?), error: None })
}

/// With everything, secrets included, by id.
pub(in super::super) async fn get_users_by_ids(
    ctx: &Ctx,
    it: v1::GetUsersByIdsRequest,
) -> Result<v1::GetUsersByIdsResponse, AppError> {
    let ids = json!(it.user_ids).to_string();
    let users = ctx.read("app.user.get.app_error", move |tx| {
        tx.messages(
            "SELECT message FROM users WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY id",
            [ids],
        )
    });
    Ok(v1::GetUsersByIdsResponse { users: users.await?, error: None })
}

/// Names are taken as they are: one in upper case is nobody's.
pub(in super::super) async fn get_users_by_usernames(
    ctx: &Ctx,
    it: v1::GetUsersByUsernamesRequest,
) -> Result<v1::GetUsersByUsernamesResponse, AppError> {
    let names = json!(it.usernames).to_string();
    let users: Vec<v1::User> = ctx
        .read(GET, move |tx| {
            tx.messages(
                "SELECT message FROM users WHERE username IN (SELECT value FROM json_each(?1))
                 ORDER BY username",
                [names],
            )
        })
        .await?;
    let users = users.into_iter().map(view::for_admins).collect();
    Ok(v1::GetUsersByUsernamesResponse { users, error: None })
}

pub(in super::super) async fn get_users_in_team(
    ctx: &Ctx,
    it: v1::GetUsersInTeamRequest,
) -> Result<v1::GetUsersInTeamResponse, AppError> {
    let page = page_of(it.page, it.per_page)?;
    let users = ctx.read(GET, move |tx| {
        tx.messages(
            "SELECT u.message FROM team_members AS m JOIN users AS u ON u.id = m.user_id
             WHERE m.team_id = ?1 AND m.delete_at = 0
             ORDER BY u.username LIMIT ?2 OFFSET ?3",
            params![it.team_id, page.limit, page.offset],
        )
    });
    Ok(v1::GetUsersInTeamResponse { users: light(users.await?), error: None })
}

pub(in super::super) async fn get_users_in_channel(
    ctx: &Ctx,
    it: v1::GetUsersInChannelRequest,
) -> Result<v1::GetUsersInChannelResponse, AppError> {
    let by_status = match it.sort_by.as_str() {
        "username" => false,
        "status" => true,
        _ => {
            let message = "sort_by is \"username\" or \"status\".";
            return Err(invalid("plugin.api.get_users_in_channel", message));
        }
    };
    let page = page_of(it.page, it.per_page)?;
    let users = ctx.read(GET, move |tx| {
        tx.messages(
            "SELECT u.message FROM channel_members AS m JOIN users AS u ON u.id = m.user_id
             LEFT JOIN statuses AS s ON s.user_id = u.id
             WHERE m.channel_id = ?1
             ORDER BY CASE WHEN NOT ?2 THEN 0
                      ELSE CASE s.status WHEN 'online' THEN 1 WHEN 'away' THEN 2 WHEN 'dnd' THEN 3
                           ELSE 4 END END,
                 u.username LIMIT ?3 OFFSET ?4",
            params![it.channel_id, by_status, page.limit, page.offset],
        )
    });
    Ok(v1::GetUsersInChannelResponse { users: light(users.await?), error: None })
}

/// By username and nickname within the first scope that is given.
pub(in super::super) async fn search_users(
    ctx: &Ctx,
    it: v1::SearchUsersRequest,
) -> Result<v1::SearchUsersResponse, AppError> {
    let limit = usize::try_from(it.limit).map_err(|_| {
        internal("app.user.search.app_error", "Unable to search: the limit is 0 or more.")
    })?;
    let words: Vec<String> = it
        .term
        .split_whitespace()
        .map(|word| word.replace('*', "").trim_start_matches('@').to_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    let users = ctx.read("app.user.search.app_error", move |tx| {
        let found = in_scope(tx, &it)?.into_iter().filter(|user| {
            let nickname = user.nickname.to_lowercase();
            let hit = |word: &String| {
                user.username.contains(word.as_str())
                    || nickname.contains(word.as_str())
                    || user.id == *word
            };
            (it.allow_inactive || user.delete_at == 0) && words.iter().all(hit)
        });
        Ok(found.take(limit).map(view::for_admins).collect())
    });
    Ok(v1::SearchUsersResponse { users: users.await?, error: None })
}

fn in_scope(tx: &Tx<'_>, it: &v1::SearchUsersRequest) -> Result<Vec<v1::User>, Fault> {
    if it.without_team {
        return tx.messages(
            "SELECT message FROM users AS u WHERE NOT EXISTS (
                 SELECT 1 FROM team_members AS m WHERE m.user_id = u.id AND m.delete_at = 0)
             ORDER BY username",
            [],
        );
    }
    let in_team = |team_id: &str| {
        tx.messages(
            "SELECT message FROM users AS u WHERE ?1 = '' OR EXISTS (
                 SELECT 1 FROM team_members AS m
                 WHERE m.user_id = u.id AND m.team_id = ?1 AND m.delete_at = 0)
             ORDER BY username",
            [team_id],
        )
    };
    if !it.in_channel_id.is_empty() {
        return tx.messages(
            "SELECT u.message FROM channel_members AS m JOIN users AS u ON u.id = m.user_id
             WHERE m.channel_id = ?1 ORDER BY u.username",
            [&it.in_channel_id],
        );
    }
    if !it.not_in_channel_id.is_empty() {
        return tx.messages(
            "SELECT message FROM users AS u WHERE NOT EXISTS (
                 SELECT 1 FROM channel_members AS m WHERE m.user_id = u.id AND m.channel_id = ?1)
                 AND (?2 = '' OR EXISTS (
                     SELECT 1 FROM team_members AS t
                     WHERE t.user_id = u.id AND t.team_id = ?2 AND t.delete_at = 0))
             ORDER BY username",
            [&it.not_in_channel_id, &it.team_id],
        );
    }
    if !it.not_in_team_id.is_empty() {
        return tx.messages(
            "SELECT message FROM users AS u WHERE NOT EXISTS (
                 SELECT 1 FROM team_members AS m
                 WHERE m.user_id = u.id AND m.team_id = ?1 AND m.delete_at = 0)
             ORDER BY username",
            [&it.not_in_team_id],
        );
    }
    in_team(&it.team_id)
}
