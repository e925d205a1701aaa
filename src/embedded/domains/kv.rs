//! The key-value store: a namespace per plugin.
//!
//! An empty value is no value: setting it deletes the key. A key that has expired is as good as
//! missing, but its row stays until it is written again.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use plugin_proto::v1;
use rusqlite::params;
use sha2::{Digest as _, Sha256};

use super::super::ctx::Ctx;
use super::super::limits::runes;
use super::super::refusal::invalid;
use super::super::store::{Fault, Tx, WriteTx};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE kv (
    plugin_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    expire_at INTEGER NOT NULL,
    PRIMARY KEY (plugin_id, key)
) WITHOUT ROWID;
";

/// Longest plugin id, in characters.
const MAX_PLUGIN_ID: usize = 190;
/// Longest key, in characters.
const MAX_KEY: usize = 150;
/// How many keys a page has when the caller asks for none.
const PER_PAGE: i64 = 10;

const SAVE: &str = "app.plugin_store.save.app_error";
const GET: &str = "app.plugin_store.get.app_error";
const DELETE: &str = "app.plugin_store.delete.app_error";
const LIST: &str = "app.plugin_store.list.app_error";

pub(in super::super) async fn kv_set(
    ctx: &Ctx,
    it: v1::KvSetRequest,
) -> Result<v1::KvSetResponse, AppError> {
    set(ctx, Key::of(ctx, it.key)?, it.value, 0).await?;
    Ok(v1::KvSetResponse::default())
}

pub(in super::super) async fn kv_set_with_expiry(
    ctx: &Ctx,
    it: v1::KvSetWithExpiryRequest,
) -> Result<v1::KvSetWithExpiryResponse, AppError> {
    set(ctx, Key::of(ctx, it.key)?, it.value, it.expire_in_seconds).await?;
    Ok(v1::KvSetWithExpiryResponse::default())
}

pub(in super::super) async fn kv_set_with_options(
    ctx: &Ctx,
    it: v1::KvSetWithOptionsRequest,
) -> Result<v1::KvSetWithOptionsResponse, AppError> {
    let options = it.options.unwrap_or_default();
    if !options.atomic && !options.old_value.is_empty() {
        let id = "model.plugin_kvset_options.is_valid.old_value.app_error";
        return Err(invalid(id, "The old value is only for atomic: set atomic as well."));
    }
    let key = Key::of(ctx, it.key)?;
    let success = if options.atomic {
        compare_and_set(ctx, key, options.old_value, it.value, options.expire_in_seconds).await?
    } else {
        set(ctx, key, it.value, options.expire_in_seconds).await?;
        true
    };
    Ok(v1::KvSetWithOptionsResponse { success, error: None })
}

pub(in super::super) async fn kv_compare_and_set(
    ctx: &Ctx,
    it: v1::KvCompareAndSetRequest,
) -> Result<v1::KvCompareAndSetResponse, AppError> {
    let key = Key::of(ctx, it.key)?;
    let success = compare_and_set(ctx, key, it.old_value, it.new_value, 0).await?;
    Ok(v1::KvCompareAndSetResponse { success, error: None })
}

pub(in super::super) async fn kv_compare_and_delete(
    ctx: &Ctx,
    it: v1::KvCompareAndDeleteRequest,
) -> Result<v1::KvCompareAndDeleteResponse, AppError> {
    let success = compare_and_delete(ctx, Key::of(ctx, it.key)?, it.old_value).await?;
    Ok(v1::KvCompareAndDeleteResponse { success, error: None })
}

pub(in super::super) async fn kv_get(
    ctx: &Ctx,
    it: v1::KvGetRequest,
) -> Result<v1::KvGetResponse, AppError> {
    let key = Key::unchecked(ctx, it.key);
    let value = ctx.read(GET, move |tx| match key.value(tx)? {
        // What an old server stored under the key's hash comes second.
        None => Key { key: hashed(&key.key), ..key }.value(tx),
        found => Ok(found),
    });
    let value = value.await?;
    Ok(v1::KvGetResponse { value: value.unwrap_or_default().into(), error: None })
}

pub(in super::super) async fn kv_delete(
    ctx: &Ctx,
    it: v1::KvDeleteRequest,
) -> Result<v1::KvDeleteResponse, AppError> {
    let key = Key::unchecked(ctx, it.key);
    ctx.write(DELETE, move |tx| key.delete(tx)).await?;
    Ok(v1::KvDeleteResponse::default())
}

pub(in super::super) async fn kv_delete_all(
    ctx: &Ctx,
    _: v1::KvDeleteAllRequest,
) -> Result<v1::KvDeleteAllResponse, AppError> {
    let plugin_id = ctx.plugin_id();
    ctx.write(DELETE, move |tx| tx.execute("DELETE FROM kv WHERE plugin_id = ?1", [plugin_id]))
        .await?;
    Ok(v1::KvDeleteAllResponse::default())
}

/// The offset is computed before `per_page` gets its default, so that every page of 0 keys is the
/// first one of 10.
pub(in super::super) async fn kv_list(
    ctx: &Ctx,
    it: v1::KvListRequest,
) -> Result<v1::KvListResponse, AppError> {
    let plugin_id = ctx.plugin_id();
    let offset = (i64::from(it.page) * i64::from(it.per_page)).max(0);
    let limit = if it.per_page > 0 { it.per_page.into() } else { PER_PAGE };
    let keys = ctx.read(LIST, move |tx| {
        tx.values(
            "SELECT key FROM kv WHERE plugin_id = ?1 AND (expire_at = 0 OR expire_at > ?2)
             ORDER BY key LIMIT ?3 OFFSET ?4",
            params![plugin_id, tx.now(), limit, offset],
        )
    });
    Ok(v1::KvListResponse { keys: keys.await?, error: None })
}

async fn set(ctx: &Ctx, key: Key, value: Bytes, seconds: i64) -> Result<(), AppError> {
    ctx.write(SAVE, move |tx| {
        if value.is_empty() {
            return key.delete(tx);
        }
        key.put(tx, &value, seconds)
    })
    .await
}

async fn compare_and_set(
    ctx: &Ctx,
    key: Key,
    old: Bytes,
    new: Bytes,
    seconds: i64,
) -> Result<bool, AppError> {
    if new.is_empty() {
        return compare_and_delete(ctx, key, old).await;
    }
    ctx.write(SAVE, move |tx| {
        let present = key.value(tx)?;
        // An empty old value asks that nothing be there.
        let expected = (!old.is_empty()).then_some(old.as_ref());
        let is_due = present.as_deref() == expected;
        if is_due {
            key.put(tx, &new, seconds)?;
        }
        key.delete_hashed(tx)?;
        Ok(is_due)
    })
    .await
}

async fn compare_and_delete(ctx: &Ctx, key: Key, old: Bytes) -> Result<bool, AppError> {
    ctx.write(DELETE, move |tx| {
        // No value is empty, so an empty old value is never the present one.
        let is_due = key.value(tx)?.is_some_and(|present| present == old);
        if is_due {
            key.delete(tx)?;
        }
        key.delete_hashed(tx)?;
        Ok(is_due)
    })
    .await
}

/// A key of one plugin.
struct Key {
    plugin_id: Arc<str>,
    key: String,
}

impl Key {
    /// A key that can be written.
    fn of(ctx: &Ctx, key: String) -> Result<Self, AppError> {
        let refused = |field: &str, most: usize, has: usize| {
            let id = format!("model.plugin_key_value.is_valid.{field}.app_error");
            let message = format!("Invalid {field}: it must have 1 to {most} characters.");
            Err(invalid(&id, &message).detail(format!("it has {has} characters")))
        };
        let key = Self::unchecked(ctx, key);
        match (runes(&key.plugin_id), runes(&key.key)) {
            (id, _) if !(1..=MAX_PLUGIN_ID).contains(&id) => {
                refused("plugin_id", MAX_PLUGIN_ID, id)
            }
            (_, has) if !(1..=MAX_KEY).contains(&has) => refused("key", MAX_KEY, has),
            _ => Ok(key),
        }
    }

    /// A key that may be too long to be there: it is read and deleted without a check.
    fn unchecked(ctx: &Ctx, key: String) -> Self {
        Self { plugin_id: ctx.plugin_id(), key }
    }

    /// The value, unless it has expired.
    fn value(&self, tx: &Tx<'_>) -> Result<Option<Vec<u8>>, Fault> {
        tx.value(
            "SELECT value FROM kv
             WHERE plugin_id = ?1 AND key = ?2 AND (expire_at = 0 OR expire_at > ?3)",
            params![self.plugin_id, self.key, tx.now()],
        )
    }

    fn put(&self, tx: &WriteTx<'_>, value: &[u8], seconds: i64) -> Result<(), Fault> {
        let expire_at = match seconds {
            0 => 0,
            // A time in the past is stored as well: the key is there, and expired.
            seconds => tx.now().saturating_add(seconds.saturating_mul(1000)),
        };
        tx.execute(
            "INSERT INTO kv (plugin_id, key, value, expire_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET value = excluded.value, expire_at = excluded.expire_at",
            params![self.plugin_id, self.key, value, expire_at],
        )?;
        self.delete_hashed(tx)
    }

    fn delete(&self, tx: &WriteTx<'_>) -> Result<(), Fault> {
        self.delete_row(tx, &self.key)?;
        self.delete_hashed(tx)
    }

    /// Removes what an old server stored under the key's hash.
    fn delete_hashed(&self, tx: &WriteTx<'_>) -> Result<(), Fault> {
        self.delete_row(tx, &hashed(&self.key))
    }

    fn delete_row(&self, tx: &WriteTx<'_>, key: &str) -> Result<(), Fault> {
        tx.execute("DELETE FROM kv WHERE plugin_id = ?1 AND key = ?2", params![self.plugin_id, key])
            .map(drop)
    }
}

/// The key under which servers before version 5.6 kept a value.
fn hashed(key: &str) -> String {
    STANDARD.encode(Sha256::digest(key))
}
