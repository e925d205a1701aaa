//! Values: what a target has for a field. Their JSON is not compared with the field's type.

use std::collections::BTreeSet;

use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::super::super::ctx::Ctx;
use super::super::super::limits::{is_id, runes};
use super::super::super::store::{Fault, Tx, WriteTx};
use super::{MAX_CHARACTERS, access, failed, fields, missing, page};
use crate::api::AppError;

/// From so many values of one target on, a guarded group refuses to delete them in one go.
const MAX_GUARDED: usize = 1000;

pub(in super::super::super) async fn create_property_value(
    ctx: &Ctx,
    it: v1::CreatePropertyValueRequest,
) -> Result<v1::CreatePropertyValueResponse, AppError> {
    const CREATE: &str = "app.property_value.create.app_error";
    let mut value = it.value.ok_or_else(|| missing("value"))?;
    if !value.id.is_empty() {
        return Err(failed(CREATE, "a new value has no id yet"));
    }
    let caller = ctx.plugin_id();
    let stored = ctx.write(CREATE, move |tx| {
        value.id = tx.new_id();
        if value.create_at == 0 {
            value.create_at = tx.now();
        }
        value.update_at = value.create_at;
        valid(&value).map_err(|why| failed(CREATE, why))?;
        may_write(tx, &value, &caller)?.map_err(|why| failed(CREATE, why))?;
        insert(tx, &value)?;
        Ok(value)
    });
    Ok(v1::CreatePropertyValueResponse { value: Some(stored.await?), error: None })
}

/// A deleted value is found as well; one that is hidden from the caller is no value and no error.
pub(in super::super::super) async fn get_property_value(
    ctx: &Ctx,
    it: v1::GetPropertyValueRequest,
) -> Result<v1::GetPropertyValueResponse, AppError> {
    const GET: &str = "app.property_value.get.app_error";
    let caller = ctx.plugin_id();
    let value = ctx.read(GET, move |tx| {
        let Some(value) = by_id(tx, &it.group_id, &it.value_id)? else {
            return Err(failed(GET, "there is no such value in the group").into());
        };
        let hidden = hidden(tx, &value, &caller)?.unwrap_or(false);
        Ok((!hidden).then_some(value))
    });
    Ok(v1::GetPropertyValueResponse { value: value.await?, error: None })
}

/// All of them, or none if one is not there or named twice.
pub(in super::super::super) async fn get_property_values(
    ctx: &Ctx,
    it: v1::GetPropertyValuesRequest,
) -> Result<v1::GetPropertyValuesResponse, AppError> {
    const GET: &str = "app.property_value.get_many.app_error";
    let caller = ctx.plugin_id();
    let values = ctx.read(GET, move |tx| {
        let ids: BTreeSet<&String> = it.ids.iter().collect();
        if ids.len() < it.ids.len() {
            return Err(failed(GET, "an id is named twice").into());
        }
        let mut values = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(value) = by_id(tx, &it.group_id, id)? else {
                return Err(failed(GET, format!("there is no value {id:?} in the group")).into());
            };
            if !hidden(tx, &value, &caller)?.unwrap_or(false) {
                values.push(value);
            }
        }
        Ok(values)
    });
    Ok(v1::GetPropertyValuesResponse { values: values.await?, error: None })
}

pub(in super::super::super) async fn update_property_value(
    ctx: &Ctx,
    it: v1::UpdatePropertyValueRequest,
) -> Result<v1::UpdatePropertyValueResponse, AppError> {
    let value = it.value.ok_or_else(|| missing("value"))?;
    let failing = "app.property_value.update.app_error";
    let values = update(ctx, failing, it.group_id, vec![value]).await?;
    Ok(v1::UpdatePropertyValueResponse { value: values.into_iter().next(), error: None })
}

/// All of them or none.
pub(in super::super::super) async fn update_property_values(
    ctx: &Ctx,
    it: v1::UpdatePropertyValuesRequest,
) -> Result<v1::UpdatePropertyValuesResponse, AppError> {
    if it.values.is_empty() {
        return Err(missing("value"));
    }
    let failing = "app.property_value.update_many.app_error";
    let values = update(ctx, failing, it.group_id, it.values).await?;
    Ok(v1::UpdatePropertyValuesResponse { values, error: None })
}

/// Writes value and deletion; target, field, group and creation stay what they are.
async fn update(
    ctx: &Ctx,
    failing: &'static str,
    group_id: String,
    mut values: Vec<v1::PropertyValue>,
) -> Result<Vec<v1::PropertyValue>, AppError> {
    let caller = ctx.plugin_id();
    let updated = ctx.write(failing, move |tx| {
        let now = tx.now();
        let mut ids = BTreeSet::new();
        for value in &mut values {
            value.update_at = now;
            valid(value).map_err(|why| failed(failing, why))?;
            let Some(mut stored) = by_id(tx, &group_id, &value.id)? else {
                return Err(failed(failing, "there is no such value in the group").into());
            };
            if !ids.insert(value.id.clone()) {
                return Err(failed(failing, "an id is named twice").into());
            }
            let asked = v1::PropertyValue { group_id: stored.group_id.clone(), ..value.clone() };
            may_write(tx, &asked, &caller)?.map_err(|why| failed(failing, why))?;
            stored.value.clone_from(&value.value);
            stored.delete_at = value.delete_at;
            stored.update_at = now;
            store(tx, &stored)?;
        }
        Ok(values)
    });
    updated.await
}

pub(in super::super::super) async fn upsert_property_value(
    ctx: &Ctx,
    it: v1::UpsertPropertyValueRequest,
) -> Result<v1::UpsertPropertyValueResponse, AppError> {
    let value = it.value.ok_or_else(|| missing("value"))?;
    let values = upsert(ctx, "app.property_value.upsert.app_error", vec![value]).await?;
    Ok(v1::UpsertPropertyValueResponse { value: values.into_iter().next(), error: None })
}

/// All of them or none, in order.
pub(in super::super::super) async fn upsert_property_values(
    ctx: &Ctx,
    it: v1::UpsertPropertyValuesRequest,
) -> Result<v1::UpsertPropertyValuesResponse, AppError> {
    const UPSERT: &str = "app.property_value.upsert_many.app_error";
    let Some(first) = it.values.first() else {
        return Err(missing("value"));
    };
    if it.values.iter().any(|value| value.group_id != first.group_id) {
        return Err(failed(UPSERT, "the values are of different groups"));
    }
    let values = upsert(ctx, UPSERT, it.values).await?;
    Ok(v1::UpsertPropertyValuesResponse { values, error: None })
}

/// A living value of the same target and field is overwritten, and keeps its id; a deleted one is
/// left alone. The answer is what is stored.
async fn upsert(
    ctx: &Ctx,
    failing: &'static str,
    values: Vec<v1::PropertyValue>,
) -> Result<Vec<v1::PropertyValue>, AppError> {
    let caller = ctx.plugin_id();
    let stored = ctx.write(failing, move |tx| {
        let now = tx.now();
        let mut all = Vec::with_capacity(values.len());
        for mut value in values {
            if value.id.is_empty() {
                value.id = tx.new_id();
            }
            if value.create_at == 0 {
                value.create_at = now;
            }
            value.update_at = now;
            valid(&value).map_err(|why| failed(failing, why))?;
            may_write(tx, &value, &caller)?.map_err(|why| failed(failing, why))?;
            let living: Option<v1::PropertyValue> = tx.message(
                "SELECT message FROM property_values
                 WHERE group_id = ?1 AND target_id = ?2 AND field_id = ?3 AND delete_at = 0",
                params![value.group_id, value.target_id, value.field_id],
            )?;
            match living {
                Some(mut living) if value.delete_at == 0 => {
                    living.value = value.value;
                    living.update_at = now;
                    store(tx, &living)?;
                    all.push(living);
                }
                _ => {
                    insert(tx, &value)?;
                    all.push(value);
                }
            }
        }
        Ok(all)
    });
    stored.await
}

/// Again on a deleted value, its time of deletion moves.
pub(in super::super::super) async fn delete_property_value(
    ctx: &Ctx,
    it: v1::DeletePropertyValueRequest,
) -> Result<v1::DeletePropertyValueResponse, AppError> {
    const DELETE: &str = "app.property_value.delete.app_error";
    let caller = ctx.plugin_id();
    ctx.write(DELETE, move |tx| {
        let Some(mut value) = by_id(tx, &it.group_id, &it.value_id)? else {
            if access::guarded(tx, &it.group_id)? {
                return Ok(());
            }
            return Err(failed(DELETE, "there is no such value in the group").into());
        };
        may_write(tx, &value, &caller)?.map_err(|why| failed(DELETE, why))?;
        value.delete_at = tx.now();
        store(tx, &value)
    })
    .await?;
    Ok(v1::DeletePropertyValueResponse::default())
}

pub(in super::super::super) async fn search_property_values(
    ctx: &Ctx,
    it: v1::SearchPropertyValuesRequest,
) -> Result<v1::SearchPropertyValuesResponse, AppError> {
    const SEARCH: &str = "app.property_value.search.app_error";
    let opts = it.opts.unwrap_or_default();
    let Some((limit, offset)) = page(opts.page, opts.per_page) else {
        return Err(failed(SEARCH, "a page has at least one entry, and the first is page 0"));
    };
    let caller = ctx.plugin_id();
    let values = ctx.read(SEARCH, move |tx| {
        let found: Vec<v1::PropertyValue> = tx.messages(
            "SELECT message FROM property_values
             WHERE (?1 = '' OR group_id = ?1) AND (?2 = '' OR target_type = ?2)
                 AND (?3 = '' OR target_id = ?3) AND (?4 = '' OR field_id = ?4)
                 AND (?5 OR delete_at = 0)
             ORDER BY create_at, id LIMIT ?6 OFFSET ?7",
            params![
                it.group_id,
                opts.target_type,
                opts.target_id,
                opts.field_id,
                opts.include_deleted,
                limit,
                offset
            ],
        )?;
        let mut values = Vec::with_capacity(found.len());
        for value in found {
            match hidden(tx, &value, &caller)? {
                Ok(false) => values.push(value),
                Ok(true) => {}
                Err(why) => return Err(failed(SEARCH, why).into()),
            }
        }
        Ok(values)
    });
    Ok(v1::SearchPropertyValuesResponse { values: values.await?, error: None })
}

/// For good, deleted ones as well.
pub(in super::super::super) async fn delete_property_values_for_target(
    ctx: &Ctx,
    it: v1::DeletePropertyValuesForTargetRequest,
) -> Result<v1::DeletePropertyValuesForTargetResponse, AppError> {
    const DELETE: &str = "app.property_value.delete_for_target.app_error";
    let caller = ctx.plugin_id();
    ctx.write(DELETE, move |tx| {
        if access::guarded(tx, &it.group_id)? {
            let living: Vec<v1::PropertyValue> = tx.messages(
                "SELECT message FROM property_values
                 WHERE group_id = ?1 AND target_type = ?2 AND target_id = ?3 AND delete_at = 0",
                params![it.group_id, it.target_type, it.target_id],
            )?;
            if living.is_empty() {
                return Ok(());
            }
            if living.len() >= MAX_GUARDED {
                return Err(failed(DELETE, "the target has too many values").into());
            }
            for value in &living {
                may_write(tx, value, &caller)?.map_err(|why| failed(DELETE, why))?;
            }
        }
        if it.target_type.is_empty() || it.target_id.is_empty() {
            return Err(failed(DELETE, "target_type and target_id must be given").into());
        }
        tx.execute(
            "DELETE FROM property_values
             WHERE (?1 = '' OR group_id = ?1) AND target_type = ?2 AND target_id = ?3",
            params![it.group_id, it.target_type, it.target_id],
        )
        .map(drop)
    })
    .await?;
    Ok(v1::DeletePropertyValuesForTargetResponse::default())
}

pub(in super::super::super) async fn delete_property_values_for_field(
    ctx: &Ctx,
    it: v1::DeletePropertyValuesForFieldRequest,
) -> Result<v1::DeletePropertyValuesForFieldResponse, AppError> {
    const DELETE: &str = "app.property_value.delete_for_field.app_error";
    let caller = ctx.plugin_id();
    ctx.write(DELETE, move |tx| {
        if access::guarded(tx, &it.group_id)?
            && let Some(field) = fields::by_id(tx, &it.group_id, &it.field_id)?
        {
            access::may_write(&field, &caller).map_err(|why| failed(DELETE, why))?;
        }
        delete_of_field(tx, &it.group_id, &it.field_id)
    })
    .await?;
    Ok(v1::DeletePropertyValuesForFieldResponse::default())
}

/// Marks all values that a field has in a group as deleted.
pub(super) fn delete_of_field(
    tx: &WriteTx<'_>,
    group_id: &str,
    field_id: &str,
) -> Result<(), Fault> {
    let values: Vec<v1::PropertyValue> = tx.messages(
        "SELECT message FROM property_values
         WHERE field_id = ?2 AND (?1 = '' OR group_id = ?1)",
        params![group_id, field_id],
    )?;
    let now = tx.now();
    for mut value in values {
        value.delete_at = now;
        store(tx, &value)?;
    }
    Ok(())
}

/// The value with this id, deleted or not; an empty group is any.
fn by_id(tx: &Tx<'_>, group_id: &str, id: &str) -> Result<Option<v1::PropertyValue>, Fault> {
    tx.message(
        "SELECT message FROM property_values WHERE id = ?1 AND (?2 = '' OR group_id = ?2)",
        params![id, group_id],
    )
}

/// Whether `caller` may write this value. Outside the guarded group everybody may, and the field
/// need not exist.
fn may_write(
    tx: &Tx<'_>,
    value: &v1::PropertyValue,
    caller: &str,
) -> Result<Result<(), String>, Fault> {
    if !access::guarded(tx, &value.group_id)? {
        return Ok(Ok(()));
    }
    Ok(match fields::by_id(tx, &value.group_id, &value.field_id)? {
        Some(field) => access::may_write(&field, caller),
        None => Err(format!("there is no field {:?} in the group", value.field_id)),
    })
}

/// Whether the value is hidden from `caller`; an error if that cannot be told for want of its field.
fn hidden(
    tx: &Tx<'_>,
    value: &v1::PropertyValue,
    caller: &str,
) -> Result<Result<bool, String>, Fault> {
    if !access::guarded(tx, &value.group_id)? {
        return Ok(Ok(false));
    }
    Ok(match fields::by_id(tx, &value.group_id, &value.field_id)? {
        Some(field) => Ok(access::hidden(&field, caller)),
        None => Err(format!("there is no field {:?} in the group", value.field_id)),
    })
}

fn insert(tx: &WriteTx<'_>, value: &v1::PropertyValue) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO property_values
             (id, group_id, field_id, target_type, target_id, create_at, delete_at, message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            value.id,
            value.group_id,
            value.field_id,
            value.target_type,
            value.target_id,
            value.create_at,
            value.delete_at,
            value.encode_to_vec()
        ],
    )
    .map(drop)
}

fn store(tx: &WriteTx<'_>, value: &v1::PropertyValue) -> Result<(), Fault> {
    tx.execute(
        "UPDATE property_values SET delete_at = ?2, message = ?3 WHERE id = ?1",
        params![value.id, value.delete_at, value.encode_to_vec()],
    )
    .map(drop)
}

fn valid(value: &v1::PropertyValue) -> Result<(), String> {
    let rules = [
        (is_id(&value.id), "id: is no id"),
        (is_id(&value.target_id), "target_id: is no id"),
        (!value.target_type.is_empty(), "target_type: is empty"),
        (runes(&value.target_type) <= MAX_CHARACTERS, "target_type: is over 255 characters"),
        (is_id(&value.group_id), "group_id: is no id"),
        (is_id(&value.field_id), "field_id: is no id"),
        (value.create_at != 0, "create_at: is 0"),
        (value.update_at != 0, "update_at: is 0"),
        (value.value.is_some(), "value: is not given"),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, problem)) => Err((*problem).to_owned()),
        None => Ok(()),
    }
}
