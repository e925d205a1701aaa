//! Audit records. Mattermost writes them where `ExperimentalAuditSettings` say, by default nowhere;
//! here they always go to the outbox.

use plugin_proto::v1;
use prost_types::value::Kind;

use super::super::ctx::Ctx;
use super::super::outbox::{Audited, Sent};
use crate::api::AppError;

/// The level of records that name none.
const DEFAULT_LEVEL: &str = "audit-cli";
/// The numbers that the server has for its levels.
const LEVELS: [(&str, &str); 4] = [
    ("100", "audit-api"),
    ("101", "audit-content"),
    ("102", "audit-permissions"),
    ("103", DEFAULT_LEVEL),
];

pub(in super::super) async fn log_audit_rec(
    ctx: &Ctx,
    it: v1::LogAuditRecRequest,
) -> Result<v1::LogAuditRecResponse, AppError> {
    log(ctx, it.record, DEFAULT_LEVEL);
    Ok(v1::LogAuditRecResponse::default())
}

pub(in super::super) async fn log_audit_rec_with_level(
    ctx: &Ctx,
    it: v1::LogAuditRecWithLevelRequest,
) -> Result<v1::LogAuditRecWithLevelResponse, AppError> {
    log(ctx, it.record, &it.level);
    Ok(v1::LogAuditRecWithLevelResponse::default())
}

/// A record that is absent is ignored. The caller's id takes the place of one that the plugin gave;
/// nothing else is filled in.
fn log(ctx: &Ctx, record: Option<v1::AuditRecord>, level: &str) {
    let Some(mut record) = record else { return };
    let plugin_id = ctx.plugin_id().to_string();
    let caller = prost_types::Value { kind: Some(Kind::StringValue(plugin_id.clone())) };
    record.meta.get_or_insert_default().fields.insert("plugin_id".to_owned(), caller);
    let level = match level {
        "" => DEFAULT_LEVEL,
        number => LEVELS.iter().find(|it| it.0 == number).map_or(number, |it| it.1),
    };
    ctx.outbox().send(Sent::Audit(Audited { plugin_id, level: level.to_owned(), record }));
}
