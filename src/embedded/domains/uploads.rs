//! Uploads in several parts.

use bytes::Bytes;
use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;

use super::super::ctx::Ctx;
use super::super::hook_sink::Will;
use super::super::limits::is_id;
use super::super::refusal::{absent, internal, invalid, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use super::file_kind::{self, PictureFault};
use super::file_uploads::{self as ends, size};
use super::{channels, file_store, files, restricted_dms};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE upload_sessions (
    id TEXT PRIMARY KEY,
    message BLOB NOT NULL
);
";

/// The first part has at least so many bytes, unless it is all.
const MIN_FIRST_PART: i64 = 5 * 1024 * 1024;
const GET: &str = "app.upload.get.app_error";
const SAVE: &str = "app.upload.create.save.app_error";
const UPDATE: &str = "app.upload.upload_data.update.app_error";
const CONCURRENT: &str = "app.upload.upload_data.concurrent.app_error";
const WRITE: &str = "api.file.write_file.app_error";

fn get(tx: &Tx<'_>, id: &str) -> Result<v1::UploadSession, Fault> {
    if !is_id(id) {
        return Err(internal(GET, "Failed to get the upload: this is no id.").into());
    }
    let found = tx.message("SELECT message FROM upload_sessions WHERE id = ?1", [id])?;
    found.ok_or_else(|| not_found(GET, "Failed to get the upload.").into())
}

fn save(tx: &WriteTx<'_>, it: &v1::UploadSession) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO upload_sessions (id, message) VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET message = excluded.message",
        params![it.id, it.encode_to_vec()],
    )
    .map(drop)
}

fn check(it: &v1::UploadSession) -> Result<(), AppError> {
    let refused = |field: &str| {
        let id = format!("model.upload_session.is_valid.{field}.app_error");
        Err(invalid(&id, &format!("Invalid value for {field}.")).detail(format!("id={}", it.id)))
    };
    if !is_id(&it.id) {
        return refused("id");
    }
    if it.r#type != "attachment" && it.r#type != "import" {
        return refused("type");
    }
    if !is_id(&it.user_id) && it.user_id != file_kind::NO_USER {
        return refused("user_id");
    }
    if it.r#type == "attachment" && !is_id(&it.channel_id) {
        return refused("channel_id");
    }
    if it.create_at == 0 {
        return refused("create_at");
    }
    if it.filename.is_empty() {
        return refused("filename");
    }
    if it.file_size <= 0 {
        return refused("file_size");
    }
    if it.file_offset < 0 || it.file_offset > it.file_size {
        return refused("file_offset");
    }
    if it.path.is_empty() {
        return refused("path");
    }
    Ok(())
}

/// The id is the caller's; the offset, the time and the path are the server's.
pub(in super::super) async fn create_upload_session(
    ctx: &Ctx,
    it: v1::CreateUploadSessionRequest,
) -> Result<v1::CreateUploadSessionResponse, AppError> {
    let Some(mut session) = it.upload_session else { return Err(absent("upload_session")) };
    let config = ctx.config();
    session.file_offset = 0;
    session.create_at = ctx.now();
    let name = file_kind::base_name(&session.filename);
    session.path = match &*session.r#type {
        "import" => {
            let folder = config.text("ImportSettings", "Directory");
            format!("{}/{}_{name}", folder.trim_start_matches("./"), session.id)
        }
        _ => file_kind::upload_path(
            session.create_at,
            &session.channel_id,
            &session.user_id,
            &session.id,
            name,
        ),
    };
    check(&session)?;
    let created = ctx.write(SAVE, move |tx| {
        if session.r#type == "attachment" {
            let Some(channel) = channels::find(tx, &session.channel_id)? else {
                let id = "app.upload.create.incorrect_channel_id.app_error";
                return Err(invalid(id, "There is no such channel.").into());
            };
            if channel.delete_at > 0 {
                let id = "app.upload.create.cannot_upload_to_deleted_channel.app_error";
                return Err(invalid(id, "The channel is archived.").into());
            }
            if restricted_dms::is_restricted(tx, &config, &channel)? {
                let id = "app.upload.create.cannot_upload_to_restricted_dm.error";
                return Err(invalid(id, "Its members have no team in common.").into());
            }
        }
        if tx.exists("SELECT 1 FROM upload_sessions WHERE id = ?1", [&session.id])? {
            return Err(internal(SAVE, "Failed to save the upload: the id is taken.").into());
        }
        save(tx, &session)?;
        Ok(session)
    });
    let upload_session = Some(created.await?);
    Ok(v1::CreateUploadSessionResponse { upload_session, error: None })
}

pub(in super::super) async fn get_upload_session(
    ctx: &Ctx,
    it: v1::GetUploadSessionRequest,
) -> Result<v1::GetUploadSessionResponse, AppError> {
    let session = ctx.read(GET, move |tx| get(tx, &it.upload_id)).await?;
    Ok(v1::GetUploadSessionResponse { upload_session: Some(session), error: None })
}

/// Where the bytes are while they come in.
fn path_of_parts(it: &v1::UploadSession) -> String {
    match &*it.r#type {
        "import" => format!("{}.tmp", it.path),
        _ => it.path.clone(),
    }
}

/// All but the id and the offset is believed from the request.
pub(in super::super) async fn upload_data(
    ctx: &Ctx,
    it: v1::UploadDataRequest,
) -> Result<v1::UploadDataResponse, AppError> {
    let Some(session) = it.upload_session else { return Err(absent("upload_session")) };
    let Some(_claim) = ctx.in_flight().claim(format!("upload {}", session.id)) else {
        return Err(invalid(CONCURRENT, "Another part of the upload is coming in."));
    };
    let (id, offset) = (session.id.clone(), session.file_offset);
    ctx.read(GET, move |tx| {
        if get(tx, &id)?.file_offset != offset {
            let message = "Another part of the upload has come in.";
            return Err(invalid(CONCURRENT, message).detail("FileOffset mismatch").into());
        }
        Ok(())
    })
    .await?;
    let data: Bytes = it.data;
    let session = ctx.write(WRITE, move |tx| store_part(tx, session, &data)).await?;
    if session.file_offset != session.file_size {
        return Ok(v1::UploadDataResponse::default());
    }
    let file_info = Some(completed(ctx, session).await?);
    Ok(v1::UploadDataResponse { file_info, error: None })
}

fn store_part(
    tx: &WriteTx<'_>,
    mut session: v1::UploadSession,
    data: &[u8],
) -> Result<v1::UploadSession, Fault> {
    let missing = session.file_size.saturating_sub(session.file_offset).max(0);
    let data = &data[..usize::try_from(missing).map_or(data.len(), |most| most.min(data.len()))];
    let path = path_of_parts(&session);
    let written = size(data);
    if session.file_offset == 0 {
        if written < MIN_FIRST_PART && written != session.file_size {
            let id = "app.upload.upload_data.first_part_too_small.app_error";
            let message =
                format!("The first part of an upload has at least {MIN_FIRST_PART} bytes.");
            return Err(invalid(id, &message).into());
        }
        if path.is_empty() {
            return Err(internal(WRITE, "Unable to write the file: it has no path.").into());
        }
        file_store::write(tx, &path, data)?;
    } else if missing > 0 && !file_store::append(tx, &path, data)? {
        let id = "api.file.append_file.app_error";
        return Err(internal(id, "Unable to append to the file.").into());
    }
    if written > 0 {
        session.file_offset += written;
        if let Err(error) = check(&session) {
            let message = "Failed to update the upload.";
            return Err(internal(UPDATE, message).detail(error.id).into());
        }
        save(tx, &session)?;
    }
    Ok(session)
}

/// All bytes are there: they become a file.
async fn completed(ctx: &Ctx, session: v1::UploadSession) -> Result<v1::FileInfo, AppError> {
    const READ: &str = "app.upload.upload_data.read_file.app_error";
    let path = path_of_parts(&session);
    let at = path.clone();
    let bytes = ctx.read(READ, move |tx| {
        let bytes = file_store::read(tx, &at)?;
        bytes.ok_or_else(|| internal(READ, "Failed to read the uploaded file.").into())
    });
    let data = Bytes::from(bytes.await?);
    let (info, data) =
        let_pass(ctx, &session, described(ctx, &session, &data).await?, data, &path).await?;
    let smaller = ends::smaller_of(&info, data.clone()).await;
    let saved = ctx.write("app.upload.upload_data.save.app_error", move |tx| {
        file_store::write(tx, &path, &data)?;
        ends::write_smaller(tx, &session.path, smaller)?;
        if path != session.path && !file_store::rename(tx, &path, &session.path)? {
            let id = "app.upload.upload_data.move_file.app_error";
            return Err(internal(id, "Failed to move the uploaded file.").into());
        }
        let info = files::insert(tx, info, &session.path)?;
        tx.execute("DELETE FROM upload_sessions WHERE id = ?1", [&session.id])?;
        Ok(info)
    });
    saved.await
}

/// The file that an upload becomes.
async fn described(
    ctx: &Ctx,
    session: &v1::UploadSession,
    data: &Bytes,
) -> Result<v1::FileInfo, AppError> {
    let id = match &*session.req_file_id {
        "" => ctx.new_id(),
        requested => requested.to_owned(),
    };
    let info = v1::FileInfo {
        id,
        creator_id: session.user_id.clone(),
        channel_id: session.channel_id.clone(),
        size: session.file_size,
        remote_id: Some(session.remote_id.clone()),
        ..file_kind::named(&session.filename)
    };
    if !info.mime_type.starts_with("image") {
        return Ok(info);
    }
    let (info, outcome) = ends::measure(ctx, info, data.clone()).await;
    match outcome {
        Err(PictureFault::Unreadable | PictureFault::BadGif) => {
            let id = "app.upload.upload_data.gen_info.app_error";
            Err(internal(id, "Failed to tell what the uploaded file is."))
        }
        // The limit comes after the plugins.
        Ok(()) | Err(PictureFault::TooLarge { .. }) => {
            Ok(v1::FileInfo { has_preview_image: false, ..info })
        }
    }
}

/// Asks the plugins, who may give other bytes, and holds the limit of pictures.
async fn let_pass(
    ctx: &Ctx,
    session: &v1::UploadSession,
    mut info: v1::FileInfo,
    data: Bytes,
    path: &str,
) -> Result<(v1::FileInfo, Bytes), AppError> {
    let name = session.filename.clone();
    let reason = match ends::asked(ctx, &info, data.clone()).await {
        Will::Pass((_, bytes)) => {
            let bytes = if bytes.is_empty() { data } else { bytes };
            info.size = size(&bytes);
            let most = ctx.config().number("FileSettings", "MaxImageResolution");
            let (width, height) = (info.width, info.height);
            if file_kind::is_picture(&info) && i64::from(width) * i64::from(height) > most {
                let id = "app.upload.upload_data.large_image.app_error";
                let message = format!("{name} is too large: {width} by {height} pixels.");
                return Err(invalid(id, &message));
            }
            return Ok((info, bytes));
        }
        Will::Reject { reason } => reason,
        Will::Dismiss => String::new(),
    };
    let path = path.to_owned();
    ctx.write(WRITE, move |tx| file_store::remove(tx, &path)).await?;
    let message = format!("Unable to upload {name}: a plugin has rejected it. {reason}");
    Err(invalid("app.upload.run_plugins_hook.rejected", &message))
}
