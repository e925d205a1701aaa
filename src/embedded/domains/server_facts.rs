//! What the server says about itself. There is no licence: it is a Team Edition.

use plugin_proto::v1;
use rusqlite::Connection;

use super::super::ctx::Ctx;
use super::super::refusal::internal;
use super::super::store::Source;
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE systems (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
";

const INSTALLED: &str = "InstallationDate";
const SERVER_ID: &str = "DiagnosticId";

/// What is made once, at the first start.
pub(super) fn first_rows(connection: &Connection, source: &Source) -> rusqlite::Result<()> {
    let is_there =
        |name: &str| connection.prepare("SELECT 1 FROM systems WHERE name = ?1")?.exists([name]);
    let put = |name: &str, value: String| {
        connection.execute("INSERT INTO systems (name, value) VALUES (?1, ?2)", [name, &value])
    };
    if !is_there(INSTALLED)? {
        put(INSTALLED, source.clock.now().to_string())?;
    }
    if !is_there(SERVER_ID)? {
        put(SERVER_ID, source.ids.next_id())?;
    }
    Ok(())
}

/// No licence: no bytes.
pub(in super::super) async fn get_license(
    _: &Ctx,
    _: v1::GetLicenseRequest,
) -> Result<v1::GetLicenseResponse, AppError> {
    Ok(v1::GetLicenseResponse::default())
}

pub(in super::super) async fn is_enterprise_ready(
    _: &Ctx,
    _: v1::IsEnterpriseReadyRequest,
) -> Result<v1::IsEnterpriseReadyResponse, AppError> {
    Ok(v1::IsEnterpriseReadyResponse { is_enterprise_ready: false, error: None })
}

pub(in super::super) async fn get_server_version(
    ctx: &Ctx,
    _: v1::GetServerVersionRequest,
) -> Result<v1::GetServerVersionResponse, AppError> {
    Ok(v1::GetServerVersionResponse { version: ctx.version().to_owned(), error: None })
}

pub(in super::super) async fn get_system_install_date(
    ctx: &Ctx,
    _: v1::GetSystemInstallDateRequest,
) -> Result<v1::GetSystemInstallDateResponse, AppError> {
    const GET: &str = "app.system.get_by_name.app_error";
    let Some(date) = system_value(ctx, INSTALLED, GET).await? else {
        return Err(internal(GET, "Unable to find the system variable."));
    };
    let Ok(install_date) = date.parse() else {
        let id = "app.system_install_date.parse_int.app_error";
        return Err(internal(id, "Failed to parse the installation date."));
    };
    Ok(v1::GetSystemInstallDateResponse { install_date, error: None })
}

/// The same as `GetTelemetryId`.
pub(in super::super) async fn get_diagnostic_id(
    ctx: &Ctx,
    _: v1::GetDiagnosticIdRequest,
) -> Result<v1::GetDiagnosticIdResponse, AppError> {
    Ok(v1::GetDiagnosticIdResponse { diagnostic_id: server_id(ctx).await, error: None })
}

pub(in super::super) async fn get_telemetry_id(
    ctx: &Ctx,
    _: v1::GetTelemetryIdRequest,
) -> Result<v1::GetTelemetryIdResponse, AppError> {
    Ok(v1::GetTelemetryIdResponse { telemetry_id: server_id(ctx).await, error: None })
}

/// Empty if it cannot be read.
async fn server_id(ctx: &Ctx) -> String {
    let id = system_value(ctx, SERVER_ID, "app.system.get_by_name.app_error").await;
    id.ok().flatten().unwrap_or_default()
}

async fn system_value(
    ctx: &Ctx,
    name: &'static str,
    failing: &'static str,
) -> Result<Option<String>, AppError> {
    ctx.read(failing, move |tx| tx.value("SELECT value FROM systems WHERE name = ?1", [name])).await
}
