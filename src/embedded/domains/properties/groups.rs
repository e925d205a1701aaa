//! Groups of properties.

use plugin_proto::v1;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::super::ctx::Ctx;
use super::super::super::limits::runes;
use super::super::super::store::Source;
use super::{access, failed};
use crate::api::AppError;

/// Longest name, in characters.
const MAX_NAME_CHARACTERS: usize = 64;

/// Names the same group at every call, whoever calls.
pub(in super::super::super) async fn register_property_group(
    ctx: &Ctx,
    it: v1::RegisterPropertyGroupRequest,
) -> Result<v1::RegisterPropertyGroupResponse, AppError> {
    const REGISTER: &str = "app.property_group.register.app_error";
    let name = it.name;
    if name.is_empty() || runes(&name) > MAX_NAME_CHARACTERS {
        return Err(failed(REGISTER, "the name of a group has 1 to 64 characters"));
    }
    let group = ctx.write(REGISTER, move |tx| {
        let id = tx.new_id();
        tx.execute(
            "INSERT INTO property_groups (id, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![id, name],
        )?;
        let found = tx.value("SELECT id FROM property_groups WHERE name = ?1", [&name])?;
        Ok(v1::PropertyGroup { id: found.unwrap_or(id), name })
    });
    Ok(v1::RegisterPropertyGroupResponse { group: Some(group.await?), error: None })
}

pub(in super::super::super) async fn get_property_group(
    ctx: &Ctx,
    it: v1::GetPropertyGroupRequest,
) -> Result<v1::GetPropertyGroupResponse, AppError> {
    const GET: &str = "app.property_group.get.app_error";
    let name = it.name;
    let group = ctx.read(GET, move |tx| {
        let id = tx.value("SELECT id FROM property_groups WHERE name = ?1", [&name])?;
        Ok(id.map(|id| v1::PropertyGroup { id, name }))
    });
    match group.await? {
        Some(group) => Ok(v1::GetPropertyGroupResponse { group: Some(group), error: None }),
        None => Err(failed(GET, "there is no group of this name")),
    }
}

/// The built-in groups. The fields of the second are there for plugins that review flagged posts.
pub(super) fn first_rows(connection: &Connection, source: &Source) -> rusqlite::Result<()> {
    for name in [access::GROUP, "content_flagging"] {
        let found: Option<String> = connection
            .query_row("SELECT id FROM property_groups WHERE name = ?1", [name], |row| row.get(0))
            .optional()?;
        if found.is_some() {
            continue;
        }
        let group_id = source.ids.next_id();
        connection.execute(
            "INSERT INTO property_groups (id, name) VALUES (?1, ?2)",
            params![group_id, name],
        )?;
        if name == access::GROUP {
            continue;
        }
        for &(name, kind, attribute) in CONTENT_FLAGGING {
            let now = source.clock.now();
            let attrs = match attribute {
                Attribute::None => None,
                Attribute::Statuses => Some(options(source)),
                Attribute::Time => Some(attr("subType", Kind::StringValue("timestamp".to_owned()))),
                Attribute::Editable => Some(attr("editable", Kind::BoolValue(true))),
            };
            let field = v1::PropertyField {
                id: source.ids.next_id(),
                group_id: group_id.clone(),
                name: name.to_owned(),
                r#type: kind.to_owned(),
                attrs,
                create_at: now,
                update_at: now,
                ..Default::default()
            };
            connection.execute(
                "INSERT INTO property_fields
                     (id, group_id, name, target_type, target_id, create_at, delete_at, message)
                 VALUES (?1, ?2, ?3, '', '', ?4, 0, ?5)",
                params![field.id, field.group_id, field.name, now, field.encode_to_vec()],
            )?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Attribute {
    None,
    Statuses,
    Time,
    Editable,
}

const CONTENT_FLAGGING: &[(&str, &str, Attribute)] = &[
    ("flagged_post_id", "text", Attribute::None),
    ("status", "select", Attribute::Statuses),
    ("reporting_user_id", "user", Attribute::None),
    ("reporting_reason", "select", Attribute::None),
    ("reporting_comment", "text", Attribute::None),
    ("reporting_time", "text", Attribute::Time),
    ("reviewer_user_id", "user", Attribute::Editable),
    ("actor_user_id", "user", Attribute::None),
    ("actor_comment", "text", Attribute::None),
    ("action_time", "text", Attribute::Time),
    ("content_flagging_managed", "text", Attribute::None),
];

fn attr(key: &str, kind: Kind) -> Struct {
    Struct { fields: [(key.to_owned(), Value { kind: Some(kind) })].into() }
}

fn options(source: &Source) -> Struct {
    let statuses = [
        ("Pending", "light_grey"),
        ("Assigned", "dark_blue"),
        ("Removed", "dark_red"),
        ("Retained", "light_blue"),
    ];
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let option = |(name, color): (&str, &str)| Value {
        kind: Some(Kind::StructValue(Struct {
            fields: [
                ("id".to_owned(), text(&source.ids.next_id())),
                ("name".to_owned(), text(name)),
                ("color".to_owned(), text(color)),
            ]
            .into(),
        })),
    };
    attr(
        "options",
        Kind::ListValue(ListValue { values: statuses.into_iter().map(option).collect() }),
    )
}
