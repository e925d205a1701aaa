//! Properties: what plugins attach to posts, users and anything else that has an id.
//!
//! A group (`groups.rs`) has fields (`fields.rs`), and a field has a value for each target
//! (`values.rs`). No plugin owns a group: whoever knows its id reads and writes it. Only the group
//! `custom_profile_attributes` has rules of access (`access.rs`).
//!
//! Nearly every failure is 500 with the id of its RPC, "not found" included.

mod access;
mod fields;
mod groups;
mod values;

pub(in super::super) use fields::*;
pub(in super::super) use groups::*;
pub(in super::super) use values::*;

use rusqlite::Connection;

use super::super::refusal::{internal, refused};
use super::super::store::Source;
use crate::api::AppError;

/// The tables of groups, fields and values.
pub(super) const SCHEMA: &str = "
CREATE TABLE property_groups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) WITHOUT ROWID;
CREATE TABLE property_fields (
    id TEXT PRIMARY KEY,
    group_id TEXT NOT NULL,
    name TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_id TEXT NOT NULL,
    create_at INTEGER NOT NULL,
    delete_at INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE UNIQUE INDEX property_fields_by_name
    ON property_fields (group_id, target_id, name) WHERE delete_at = 0;
CREATE INDEX property_fields_in_order ON property_fields (group_id, create_at, id);
CREATE TABLE property_values (
    id TEXT PRIMARY KEY,
    group_id TEXT NOT NULL,
    field_id TEXT NOT NULL,
    target_type TEXT NOT NULL,
    target_id TEXT NOT NULL,
    create_at INTEGER NOT NULL,
    delete_at INTEGER NOT NULL,
    message BLOB NOT NULL
);
CREATE UNIQUE INDEX property_values_of_target
    ON property_values (group_id, target_id, field_id) WHERE delete_at = 0;
CREATE INDEX property_values_of_field ON property_values (field_id, group_id);
CREATE INDEX property_values_in_order ON property_values (group_id, create_at, id);
";

/// Longest name, target type and target id, in characters.
const MAX_CHARACTERS: usize = 255;

/// The groups that every server has, and the fields of one of them.
pub(super) fn first_rows(connection: &Connection, source: &Source) -> rusqlite::Result<()> {
    groups::first_rows(connection, source)
}

/// 400: the request lacks what it is about.
fn missing(kind: &str) -> AppError {
    let id = format!("app.property_{kind}.invalid_input.app_error");
    refused(&id, 400, &format!("The request has no property {kind}."))
}

/// 500 with the RPC's own id.
fn failed(id: &str, why: impl Into<String>) -> AppError {
    internal(id, "The property call failed.").detail(why)
}

/// `LIMIT` and `OFFSET`; `None` unless there is at least one row to a page and no page before the
/// first.
fn page(page: i32, per_page: i32) -> Option<(i64, i64)> {
    let (page, per_page) = (i64::from(page), i64::from(per_page));
    (page >= 0 && per_page > 0).then(|| (per_page, page * per_page))
}
