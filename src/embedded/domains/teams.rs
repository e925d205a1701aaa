//! Teams: how they are stored, created, found and changed.

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;
use serde_json::json;

use super::super::config::Config;
use super::super::ctx::{Ctx, to_team};
use super::super::limits::{is_id, runes, without_blocked_characters};
use super::super::refusal::{absent, internal, invalid, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::user_rules::is_bare_address;
use super::{channels, event_json};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE teams (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    delete_at INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE INDEX teams_by_display_name ON teams (display_name COLLATE NOCASE);
";

const SAVE: &str = "app.team.save.app_error";
const UPDATE: &str = "app.team.update.updating.app_error";
const RESERVED: [&str; 17] = [
    "admin",
    "api",
    "channel",
    "claim",
    "error",
    "files",
    "help",
    "landing",
    "login",
    "mfa",
    "oauth",
    "plug",
    "plugins",
    "post",
    "signup",
    "boards",
    "playbooks",
];

/// The team of this id, deleted or not.
pub(super) fn find(tx: &Tx<'_>, id: &str) -> Result<Option<v1::Team>, Fault> {
    tx.message("SELECT message FROM teams WHERE id = ?1", [id])
}

/// The same; 404 if there is none.
pub(super) fn get(tx: &Tx<'_>, id: &str) -> Result<v1::Team, Fault> {
    find(tx, id)?.ok_or_else(|| missing().into())
}

/// The team of this name, deleted or not; 404 if there is none.
pub(super) fn by_name(tx: &Tx<'_>, name: &str) -> Result<v1::Team, Fault> {
    let team = tx.message("SELECT message FROM teams WHERE name = ?1", [name])?;
    team.ok_or_else(|| {
        not_found("app.team.get_by_name.missing.app_error", "Unable to find the team.").into()
    })
}

/// There is no such team.
pub(super) fn missing() -> AppError {
    not_found("app.team.get.find.app_error", "Unable to find the team.")
}

/// Stores a team, or stores it anew.
pub(super) fn save(tx: &WriteTx<'_>, it: &v1::Team) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO teams (id, name, display_name, delete_at, message)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, display_name = excluded.display_name,
             delete_at = excluded.delete_at, message = excluded.message",
        params![it.id, it.name, it.display_name, it.delete_at, it.encode_to_vec()],
    )
    .map(drop)
}

fn check(it: &v1::Team) -> Result<(), AppError> {
    let email = it.email.len() <= 128
        && (it.email.is_empty()
            || (it.email == it.email.to_lowercase() && is_bare_address(&it.email)));
    let rules = [
        ("id", is_id(&it.id)),
        ("create_at", it.create_at != 0),
        ("update_at", it.update_at != 0),
        ("email", email),
        ("name", (1..=64).contains(&runes(&it.display_name))),
        ("url", it.name.len() <= 64),
        ("description", it.description.len() <= 255),
        ("invite_id", !it.invite_id.is_empty()),
        ("reserved", !is_reserved(&it.name)),
        ("characters", is_name(&it.name)),
        ("type", it.r#type() != v1::TeamType::Unspecified),
        ("company", it.company_name.len() <= 64),
        ("domains", it.allowed_domains.len() <= 500),
    ];
    match rules.into_iter().find(|(_, kept)| !kept) {
        Some((field, _)) => {
            let id = format!("model.team.is_valid.{field}.app_error");
            Err(invalid(&id, &format!("Invalid team: {field}.")))
        }
        None => Ok(()),
    }
}

fn is_reserved(name: &str) -> bool {
    let name = name.to_lowercase();
    RESERVED.iter().any(|word| name.starts_with(word))
}

/// Letters, digits and hyphens within; or two words joined by two underscores.
fn is_name(name: &str) -> bool {
    let word = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    let bytes = name.as_bytes();
    let ([first, .., last], true) = (bytes, bytes.len() >= 2) else { return false };
    if !word(*first) || !word(*last) {
        return false;
    }
    match name.split_once("__") {
        Some((left, right)) => left.bytes().all(word) && right.bytes().all(word),
        None => bytes.iter().all(|&it| word(it) || it == b'-'),
    }
}

pub(in super::super) async fn create_team(
    ctx: &Ctx,
    it: v1::CreateTeamRequest,
) -> Result<v1::CreateTeamResponse, AppError> {
    let Some(team) = it.team else { return Err(absent("team")) };
    let config = ctx.config();
    // The team stays if one of its channels cannot be made.
    let (team, channels) = ctx
        .write(SAVE, move |tx| {
            let team = created(tx, team)?;
            let channels = default_channels(&config).try_for_each(|(name, shown)| {
                channels::create_default(tx, &config, &team.id, name, shown)
            });
            match channels {
                Ok(()) => Ok((team, Ok(()))),
                Err(Fault::App(error)) => Ok((team, Err(error))),
                Err(fault) => Err(fault),
            }
        })
        .await?;
    channels.map_err(|error| *error)?;
    Ok(v1::CreateTeamResponse { team: Some(team), error: None })
}

fn created(tx: &WriteTx<'_>, mut team: v1::Team) -> Result<v1::Team, Fault> {
    const EXISTING: &str = "store.sql_team.save_team.existing.app_error";
    if !team.id.is_empty() {
        return Err(invalid(EXISTING, "A new team cannot have an id.").into());
    }
    (team.id, team.invite_id) = (tx.new_id(), tx.new_id());
    team.create_at = tx.now();
    team.update_at = team.create_at;
    clean(&mut team);
    check(&team)?;
    if tx.exists("SELECT 1 FROM teams WHERE name = ?1", [&team.name])? {
        return Err(invalid(EXISTING, "A team with that name already exists.").into());
    }
    if team.scheme_id.as_ref().is_some_and(|id| id.len() > 26) {
        return Err(internal(SAVE, "Unable to save the team: scheme_id is too long.").into());
    }
    save(tx, &v1::Team { policy_id: None, ..team.clone() })?;
    Ok(team)
}

fn clean(team: &mut v1::Team) {
    let names =
        [&mut team.name, &mut team.display_name, &mut team.description, &mut team.company_name];
    for name in names {
        *name = without_blocked_characters(name);
    }
}

/// The names of the channels that every team has, and how they are shown.
pub(super) fn default_channels(config: &Config) -> impl Iterator<Item = (&str, &str)> {
    let configured = config.get("TeamSettings", "ExperimentalDefaultChannels");
    let configured = configured.as_array().map(Vec::as_slice).unwrap_or_default();
    let off_topic = configured.is_empty().then_some(("off-topic", "Off-Topic"));
    let names = configured.iter().filter_map(|name| name.as_str());
    let others = names.filter(|&name| name != TOWN_SQUARE).map(|name| (name, name));
    std::iter::once((TOWN_SQUARE, "Town Square")).chain(off_topic).chain(others)
}

/// The channel that everybody is in.
pub(super) const TOWN_SQUARE: &str = "town-square";

pub(in super::super) async fn delete_team(
    ctx: &Ctx,
    it: v1::DeleteTeamRequest,
) -> Result<v1::DeleteTeamResponse, AppError> {
    let team = ctx.write(UPDATE, move |tx| {
        let mut team = get(tx, &it.team_id)?;
        team.delete_at = tx.now();
        team.update_at = team.delete_at;
        check(&team)?;
        save(tx, &team)?;
        Ok(team)
    });
    publish(ctx, "delete_team", &team.await?);
    Ok(v1::DeleteTeamResponse::default())
}

/// Tells the members of a team about it.
pub(super) fn publish(ctx: &Ctx, event: &str, team: &v1::Team) {
    ctx.publish(event, json!({ "team": event_json::sanitised_team(team) }), to_team(&team.id));
}

pub(in super::super) async fn get_teams(
    ctx: &Ctx,
    _: v1::GetTeamsRequest,
) -> Result<v1::GetTeamsResponse, AppError> {
    let teams = ctx.read("app.team.get_all.app_error", |tx| {
        tx.messages("SELECT message FROM teams ORDER BY display_name COLLATE NOCASE", [])
    });
    Ok(v1::GetTeamsResponse { teams: teams.await?, error: None })
}

pub(in super::super) async fn get_team(
    ctx: &Ctx,
    it: v1::GetTeamRequest,
) -> Result<v1::GetTeamResponse, AppError> {
    let team = ctx.read("app.team.get.finding.app_error", move |tx| get(tx, &it.team_id)).await?;
    Ok(v1::GetTeamResponse { team: Some(team), error: None })
}

pub(in super::super) async fn get_team_by_name(
    ctx: &Ctx,
    it: v1::GetTeamByNameRequest,
) -> Result<v1::GetTeamByNameResponse, AppError> {
    let failing = ("app.team.get_by_name.app_error", 404);
    let team = ctx.read(failing, move |tx| by_name(tx, &it.name)).await?;
    Ok(v1::GetTeamByNameResponse { team: Some(team), error: None })
}

pub(in super::super) async fn update_team(
    ctx: &Ctx,
    it: v1::UpdateTeamRequest,
) -> Result<v1::UpdateTeamResponse, AppError> {
    let Some(sent) = it.team else { return Err(absent("team")) };
    let config = ctx.config();
    let team = ctx.write(UPDATE, move |tx| {
        let old = get(tx, &sent.id)?;
        let domains = config.text("TeamSettings", "RestrictCreationToDomains");
        if !are_of_domains(&sent.allowed_domains, domains) {
            let id = "api.team.update_restricted_domains.mismatch.app_error";
            return Err(invalid(id, "An allowed domain is not one of the server's.").into());
        }
        let mut team = v1::Team {
            display_name: sent.display_name,
            description: sent.description,
            allow_open_invite: sent.allow_open_invite,
            company_name: sent.company_name,
            allowed_domains: sent.allowed_domains,
            last_team_icon_update: sent.last_team_icon_update,
            group_constrained: sent.group_constrained,
            update_at: tx.now(),
            ..old
        };
        clean(&mut team);
        check(&team)?;
        save(tx, &team)?;
        Ok(team)
    });
    let team = team.await?;
    publish(ctx, "update_team", &team);
    Ok(v1::UpdateTeamResponse { team: Some(team), error: None })
}

/// Whether all of `domains` are among `allowed`; none allowed means all are.
fn are_of_domains(domains: &str, allowed: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let text = text.to_lowercase().replace(['@', ','], " ");
        text.split_whitespace().map(str::to_owned).collect()
    };
    let allowed = words(allowed);
    allowed.is_empty() || words(domains).iter().all(|domain| allowed.contains(domain))
}

/// Deleted teams and those by invitation are found as well.
pub(in super::super) async fn search_teams(
    ctx: &Ctx,
    it: v1::SearchTeamsRequest,
) -> Result<v1::SearchTeamsResponse, AppError> {
    let term = it.term.replace('\\', "").to_lowercase();
    let teams = ctx.read("app.team.search_all_team.app_error", move |tx| {
        let all: Vec<v1::Team> =
            tx.messages("SELECT message FROM teams ORDER BY display_name COLLATE NOCASE", [])?;
        let hit = |team: &v1::Team| {
            team.name.contains(&term) || team.display_name.to_lowercase().contains(&term)
        };
        Ok(all.into_iter().filter(hit).collect())
    });
    Ok(v1::SearchTeamsResponse { teams: teams.await?, error: None })
}

pub(in super::super) async fn get_teams_for_user(
    ctx: &Ctx,
    it: v1::GetTeamsForUserRequest,
) -> Result<v1::GetTeamsForUserResponse, AppError> {
    let teams = ctx.read("app.team.get_all.app_error", move |tx| {
        tx.messages(
            "SELECT teams.message FROM team_members AS m JOIN teams ON teams.id = m.team_id
             WHERE m.user_id = ?1 AND m.delete_at = 0 AND teams.delete_at = 0
             ORDER BY teams.display_name COLLATE NOCASE",
            [it.user_id],
        )
    });
    Ok(v1::GetTeamsForUserResponse { teams: teams.await?, error: None })
}

/// Counts memberships, whether the team exists or not.
pub(in super::super) async fn get_team_stats(
    ctx: &Ctx,
    it: v1::GetTeamStatsRequest,
) -> Result<v1::GetTeamStatsResponse, AppError> {
    let team_id = it.team_id.clone();
    let stats = ctx.read("app.team.get_member_count.app_error", move |tx| {
        let total: Option<i64> = tx.value(
            "SELECT COUNT(*) FROM team_members WHERE team_id = ?1 AND delete_at = 0",
            [&team_id],
        )?;
        Ok(v1::TeamStats {
            total_member_count: total.unwrap_or(0),
            active_member_count: super::team_members::active_count(tx, &team_id)?,
            team_id,
        })
    });
    Ok(v1::GetTeamStatsResponse { team_stats: Some(stats.await?), error: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_hyphens() {
        for good in ["ab", "a-b", "a--b", "a__b", "0x", "abc-def-1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a", "-a", "a-", "a_b", "a__b__c", "a-b__c", "__a", "a__", "Ab", "a b", "ä"]
        {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn reserved_words_are_prefixes() {
        assert!(["posters", "helpdesk", "ADMINS"].into_iter().all(is_reserved));
        assert!(!is_reserved("myapi"));
    }
}
