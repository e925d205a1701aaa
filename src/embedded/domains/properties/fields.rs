//! Fields: what a group knows of its targets.

use std::collections::BTreeSet;

use plugin_proto::v1;
use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Value};
use rusqlite::params;

use super::super::super::ctx::Ctx;
use super::super::super::limits::{is_id, runes};
use super::super::super::refusal::invalid;
use super::super::super::store::{Fault, Tx, WriteTx};
use super::{MAX_CHARACTERS, access, failed, missing, page};
use crate::api::AppError;

const TYPES: [&str; 6] = ["text", "select", "multiselect", "date", "user", "multiuser"];
const UPDATE: &str = "app.property_field.update.app_error";
const GET_EXISTING: &str = "app.property_field.update.get_existing.app_error";

pub(in super::super::super) async fn create_property_field(
    ctx: &Ctx,
    it: v1::CreatePropertyFieldRequest,
) -> Result<v1::CreatePropertyFieldResponse, AppError> {
    const CREATE: &str = "app.property_field.create.app_error";
    let mut field = it.field.ok_or_else(|| missing("field"))?;
    if !field.id.is_empty() {
        return Err(failed(CREATE, "a new field has no id yet"));
    }
    let caller = ctx.plugin_id();
    let stored = ctx.write(CREATE, move |tx| {
        field.id = tx.new_id();
        field.create_at = tx.now();
        field.update_at = field.create_at;
        field.delete_at = 0;
        if access::guarded(tx, &field.group_id)? {
            access::create(&mut field, &caller).map_err(|why| failed(CREATE, why))?;
        }
        complete_options(&mut field, || tx.new_id()).map_err(|why| failed(CREATE, why))?;
        valid(&field)?;
        tx.execute(
            "INSERT INTO property_fields
                 (id, group_id, name, target_type, target_id, create_at, delete_at, message)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)",
            params![
                field.id,
                field.group_id,
                field.name,
                field.target_type,
                field.target_id,
                field.create_at,
                field.encode_to_vec()
            ],
        )?;
        Ok(field)
    });
    Ok(v1::CreatePropertyFieldResponse { field: Some(stored.await?), error: None })
}

/// A deleted field is found as well.
pub(in super::super::super) async fn get_property_field(
    ctx: &Ctx,
    it: v1::GetPropertyFieldRequest,
) -> Result<v1::GetPropertyFieldResponse, AppError> {
    const GET: &str = "app.property_field.get.app_error";
    let caller = ctx.plugin_id();
    let found = ctx.read(GET, move |tx| {
        let found = by_id(tx, &it.group_id, &it.field_id)?;
        found.map(|field| seen(tx, field, &caller)).transpose()
    });
    match found.await? {
        Some(field) => Ok(v1::GetPropertyFieldResponse { field: Some(field), error: None }),
        None => Err(failed(GET, "there is no such field in the group")),
    }
}

/// All of them, or none if one is not there or named twice.
pub(in super::super::super) async fn get_property_fields(
    ctx: &Ctx,
    it: v1::GetPropertyFieldsRequest,
) -> Result<v1::GetPropertyFieldsResponse, AppError> {
    const NOT_ALL: &str = "app.property_field.get_many.fields_not_found.app_error";
    let caller = ctx.plugin_id();
    let fields = ctx.read("app.property_field.get_many.app_error", move |tx| {
        let ids: BTreeSet<&String> = it.ids.iter().collect();
        let mut fields = Vec::with_capacity(ids.len());
        for id in &ids {
            if let Some(field) = by_id(tx, &it.group_id, id)? {
                fields.push(seen(tx, field, &caller)?);
            }
        }
        if fields.len() < it.ids.len() {
            return Err(invalid(NOT_ALL, "Some of the property fields were not found.").into());
        }
        Ok(fields)
    });
    Ok(v1::GetPropertyFieldsResponse { fields: fields.await?, error: None })
}

pub(in super::super::super) async fn update_property_field(
    ctx: &Ctx,
    it: v1::UpdatePropertyFieldRequest,
) -> Result<v1::UpdatePropertyFieldResponse, AppError> {
    let field = it.field.ok_or_else(|| missing("field"))?;
    let fields = update(ctx, it.group_id, vec![field]).await?;
    Ok(v1::UpdatePropertyFieldResponse { field: fields.into_iter().next(), error: None })
}

/// All of them or none.
pub(in super::super::super) async fn update_property_fields(
    ctx: &Ctx,
    it: v1::UpdatePropertyFieldsRequest,
) -> Result<v1::UpdatePropertyFieldsResponse, AppError> {
    if it.fields.is_empty() {
        return Err(missing("field"));
    }
    let fields = update(ctx, it.group_id, it.fields).await?;
    Ok(v1::UpdatePropertyFieldsResponse { fields, error: None })
}

async fn update(
    ctx: &Ctx,
    group_id: String,
    mut fields: Vec<v1::PropertyField>,
) -> Result<Vec<v1::PropertyField>, AppError> {
    let caller = ctx.plugin_id();
    let updated = ctx.write(UPDATE, move |tx| {
        let mut ids = BTreeSet::new();
        let mut before = Vec::with_capacity(fields.len());
        for field in &fields {
            match by_id(tx, &group_id, &field.id)? {
                Some(old) if ids.insert(&field.id) => before.push(old),
                _ => return Err(failed(GET_EXISTING, format!("field {:?}", field.id)).into()),
            }
        }
        let now = tx.now();
        for (field, old) in fields.iter_mut().zip(&before) {
            field.update_at = now;
            if access::guarded(tx, &old.group_id)? {
                access::update(old, field, &caller).map_err(|why| failed(UPDATE, why))?;
            }
            complete_options(field, || tx.new_id()).map_err(|why| failed(UPDATE, why))?;
            valid(field).map_err(|error| failed(UPDATE, error.detailed_error))?;
            let stored = v1::PropertyField {
                group_id: old.group_id.clone(),
                create_at: old.create_at,
                ..field.clone()
            };
            store(tx, &stored)?;
        }
        Ok(fields)
    });
    updated.await
}

/// Its values in the group go with it.
pub(in super::super::super) async fn delete_property_field(
    ctx: &Ctx,
    it: v1::DeletePropertyFieldRequest,
) -> Result<v1::DeletePropertyFieldResponse, AppError> {
    const DELETE: &str = "app.property_field.delete.app_error";
    const EXISTING: &str = "app.property_field.delete.get_existing.app_error";
    let caller = ctx.plugin_id();
    ctx.write(DELETE, move |tx| {
        let Some(mut field) = by_id(tx, &it.group_id, &it.field_id)? else {
            return Err(failed(EXISTING, "there is no such field in the group").into());
        };
        if access::guarded(tx, &field.group_id)? {
            access::may_delete(&field, &caller).map_err(|why| failed(DELETE, why))?;
        }
        super::values::delete_of_field(tx, &field.group_id, &field.id)?;
        field.delete_at = tx.now();
        store(tx, &field)
    })
    .await?;
    Ok(v1::DeletePropertyFieldResponse::default())
}

pub(in super::super::super) async fn search_property_fields(
    ctx: &Ctx,
    it: v1::SearchPropertyFieldsRequest,
) -> Result<v1::SearchPropertyFieldsResponse, AppError> {
    const SEARCH: &str = "app.property_field.search.app_error";
    let opts = it.opts.unwrap_or_default();
    let Some((limit, offset)) = page(opts.page, opts.per_page) else {
        return Err(failed(SEARCH, "a page has at least one entry, and the first is page 0"));
    };
    let caller = ctx.plugin_id();
    let fields = ctx.read(SEARCH, move |tx| {
        let found: Vec<v1::PropertyField> = tx.messages(
            "SELECT message FROM property_fields
             WHERE (?1 = '' OR group_id = ?1) AND (?2 = '' OR target_type = ?2)
                 AND (?3 = '' OR target_id = ?3) AND (?4 OR delete_at = 0)
             ORDER BY create_at, id LIMIT ?5 OFFSET ?6",
            params![
                it.group_id,
                opts.target_type,
                opts.target_id,
                opts.include_deleted,
                limit,
                offset
            ],
        )?;
        found.into_iter().map(|field| seen(tx, field, &caller)).collect()
    });
    Ok(v1::SearchPropertyFieldsResponse { fields: fields.await?, error: None })
}

pub(in super::super::super) async fn count_property_fields(
    ctx: &Ctx,
    it: v1::CountPropertyFieldsRequest,
) -> Result<v1::CountPropertyFieldsResponse, AppError> {
    let count = ctx.read("app.property_field.count_for_group.app_error", move |tx| {
        tx.value(
            "SELECT count(*) FROM property_fields WHERE group_id = ?1 AND (?2 OR delete_at = 0)",
            params![it.group_id, it.include_deleted],
        )
    });
    Ok(v1::CountPropertyFieldsResponse { count: count.await?.unwrap_or(0), error: None })
}

/// Empty texts are matched as they are.
pub(in super::super::super) async fn count_property_fields_for_target(
    ctx: &Ctx,
    it: v1::CountPropertyFieldsForTargetRequest,
) -> Result<v1::CountPropertyFieldsForTargetResponse, AppError> {
    let count = ctx.read("app.property_field.count_for_target.app_error", move |tx| {
        tx.value(
            "SELECT count(*) FROM property_fields
             WHERE group_id = ?1 AND target_type = ?2 AND target_id = ?3
                 AND (?4 OR delete_at = 0)",
            params![it.group_id, it.target_type, it.target_id, it.include_deleted],
        )
    });
    Ok(v1::CountPropertyFieldsForTargetResponse { count: count.await?.unwrap_or(0), error: None })
}

/// A living field; the target's type plays no part.
pub(in super::super::super) async fn get_property_field_by_name(
    ctx: &Ctx,
    it: v1::GetPropertyFieldByNameRequest,
) -> Result<v1::GetPropertyFieldByNameResponse, AppError> {
    const GET: &str = "app.property_field.get_by_name.app_error";
    let caller = ctx.plugin_id();
    let found = ctx.read(GET, move |tx| {
        let found = tx.message(
            "SELECT message FROM property_fields
             WHERE group_id = ?1 AND target_id = ?2 AND name = ?3 AND delete_at = 0",
            params![it.group_id, it.target_id, it.name],
        )?;
        found.map(|field| seen(tx, field, &caller)).transpose()
    });
    match found.await? {
        Some(field) => Ok(v1::GetPropertyFieldByNameResponse { field: Some(field), error: None }),
        None => Err(failed(GET, "there is no living field of this name")),
    }
}

/// The field with this id, deleted or not; an empty group is any.
pub(super) fn by_id(
    tx: &Tx<'_>,
    group_id: &str,
    id: &str,
) -> Result<Option<v1::PropertyField>, Fault> {
    tx.message(
        "SELECT message FROM property_fields WHERE id = ?1 AND (?2 = '' OR group_id = ?2)",
        params![id, group_id],
    )
}

fn seen(tx: &Tx<'_>, field: v1::PropertyField, caller: &str) -> Result<v1::PropertyField, Fault> {
    let guarded = access::guarded(tx, &field.group_id)?;
    Ok(if guarded { access::seen(field, caller) } else { field })
}

fn store(tx: &WriteTx<'_>, field: &v1::PropertyField) -> Result<(), Fault> {
    tx.execute(
        "UPDATE property_fields
         SET name = ?2, target_type = ?3, target_id = ?4, delete_at = ?5, message = ?6
         WHERE id = ?1",
        params![
            field.id,
            field.name,
            field.target_type,
            field.target_id,
            field.delete_at,
            field.encode_to_vec()
        ],
    )
    .map(drop)
}

/// Gives an id to each option of a field with options that has none.
fn complete_options(
    field: &mut v1::PropertyField,
    mut new_id: impl FnMut() -> String,
) -> Result<(), String> {
    if !matches!(field.r#type.as_str(), "select" | "multiselect") {
        return Ok(());
    }
    let Some(options) = field.attrs.as_mut().and_then(|attrs| attrs.fields.get_mut("options"))
    else {
        return Ok(());
    };
    let list = match &mut options.kind {
        Some(Kind::ListValue(list)) => list,
        None | Some(Kind::NullValue(_)) => {
            options.kind = Some(Kind::ListValue(ListValue::default()));
            return Ok(());
        }
        _ => return Err("options is a list of objects".to_owned()),
    };
    for (number, option) in list.values.iter_mut().enumerate() {
        let Some(Kind::StructValue(option)) = &mut option.kind else {
            return Err(format!("options[{number}] is no object"));
        };
        let id = option.fields.get("id").and_then(|id| id.kind.as_ref());
        if !matches!(id, Some(Kind::StringValue(id)) if !id.is_empty()) {
            let id = Value { kind: Some(Kind::StringValue(new_id())) };
            option.fields.insert("id".to_owned(), id);
        }
    }
    Ok(())
}

fn valid(field: &v1::PropertyField) -> Result<(), AppError> {
    const ID: &str = "model.property_field.is_valid.app_error";
    let rules = [
        (is_id(&field.id), "id: is no id"),
        (is_id(&field.group_id), "group_id: is no id"),
        (!field.name.is_empty(), "name: is empty"),
        (runes(&field.name) <= MAX_CHARACTERS, "name: is over 255 characters"),
        (runes(&field.target_type) <= MAX_CHARACTERS, "target_type: is over 255 characters"),
        (runes(&field.target_id) <= MAX_CHARACTERS, "target_id: is over 255 characters"),
        (TYPES.contains(&field.r#type.as_str()), "type: is not a type of property fields"),
        (field.create_at != 0, "create_at: is 0"),
        (field.update_at != 0, "update_at: is 0"),
    ];
    let Some((_, problem)) = rules.iter().find(|(holds, _)| !holds) else {
        return Ok(());
    };
    Err(invalid(ID, &format!("The property field is not valid: {problem}.")).detail(*problem))
}
