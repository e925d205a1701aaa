//! Files that come in one piece, and what every upload ends with.

use bytes::Bytes;
use plugin_proto::v1;

use super::super::ctx::{Ctx, plugin_context};
use super::super::hook_sink::Will;
use super::super::refusal::invalid;
use super::super::store::{Fault, WriteTx};
use super::file_kind::{self, PictureFault};
use super::images::{self, Smaller};
use super::{channels, file_store, files};
use crate::api::AppError;

const WRITE: &str = "api.file.write_file.app_error";

pub(in super::super) async fn upload_file(
    ctx: &Ctx,
    it: v1::UploadFileRequest,
) -> Result<v1::UploadFileResponse, AppError> {
    let channel_id = it.channel_id;
    if !channel_id.is_empty() {
        let id = channel_id.clone();
        let channel = ctx.read("app.channel.get.find.app_error", move |tx| channels::find(tx, &id));
        if channel.await?.is_none() {
            let id = "api.file.upload_file.incorrect_channelId.app_error";
            return Err(invalid(id, "Unable to upload the file: there is no such channel."));
        }
    }
    let name = file_kind::base_name(&it.filename);
    let now = ctx.now();
    let mut info = v1::FileInfo {
        id: ctx.new_id(),
        creator_id: file_kind::NO_USER.to_owned(),
        create_at: now,
        update_at: now,
        size: size(&it.data),
        ..file_kind::named(name)
    };
    let path = file_kind::upload_path(now, &channel_id, file_kind::NO_USER, &info.id, name);
    let data: Bytes = it.data;
    if file_kind::is_picture(&info) {
        info = measured(ctx, info, data.clone()).await?;
    }
    let (info, data) = match asked(ctx, &info, data.clone()).await {
        Will::Pass((answered, bytes)) => {
            let bytes = if bytes.is_empty() { data } else { bytes };
            (v1::FileInfo { size: size(&bytes), ..answered }, bytes)
        }
        Will::Reject { reason } => return Err(rejected(&reason)),
        Will::Dismiss => return Err(rejected("")),
    };
    let smaller = smaller_of(&info, data.clone()).await;
    let (to, bytes) = (path.clone(), data);
    let stored = ctx.write(WRITE, move |tx| {
        file_store::write(tx, &to, &bytes)?;
        write_smaller(tx, &to, smaller)
    });
    stored.await?;
    let info = ctx.write(files::SAVE, move |tx| files::insert(tx, info, &path)).await?;
    Ok(v1::UploadFileResponse { file_info: Some(info), error: None })
}

/// In bytes.
pub(super) fn size(data: &[u8]) -> i64 {
    i64::try_from(data.len()).unwrap_or(i64::MAX)
}

fn rejected(reason: &str) -> AppError {
    invalid(&format!("File rejected by plugin. {reason}"), "")
}

/// Asks the plugins about a file.
pub(super) async fn asked(
    ctx: &Ctx,
    info: &v1::FileInfo,
    file_content: Bytes,
) -> Will<(v1::FileInfo, Bytes)> {
    let request = v1::FileWillBeUploadedRequest {
        context: None,
        plugin_context: plugin_context(),
        file_info: Some(info.clone()),
        file_content,
    };
    ctx.hooks().file_will_be_uploaded(request).await
}

/// With the picture's size. What no one can read stays without.
async fn measured(ctx: &Ctx, info: v1::FileInfo, data: Bytes) -> Result<v1::FileInfo, AppError> {
    let (info, outcome) = measure(ctx, info, data).await;
    match outcome {
        Ok(()) | Err(PictureFault::Unreadable) => Ok(info),
        Err(PictureFault::BadGif) => {
            Err(invalid("app.file_info.get.gif.app_error", "Could not decode the GIF."))
        }
        Err(PictureFault::TooLarge { width, height }) => {
            let id = "api.file.upload_file.large_image.app_error";
            let message = format!("The picture is too large: {width} by {height} pixels.");
            Err(invalid(id, &message))
        }
    }
}

/// Measures a picture away from the async threads.
pub(super) async fn measure(
    ctx: &Ctx,
    info: v1::FileInfo,
    data: Bytes,
) -> (v1::FileInfo, Result<(), PictureFault>) {
    let most = ctx.config().number("FileSettings", "MaxImageResolution");
    let fallback = info.clone();
    let measured = tokio::task::spawn_blocking(move || {
        let mut info = info;
        let outcome = file_kind::measure(&mut info, &data, most);
        (info, outcome)
    });
    measured.await.unwrap_or((fallback, Err(PictureFault::Unreadable)))
}

/// The preview and the thumbnail of a picture that could be measured.
pub(super) async fn smaller_of(info: &v1::FileInfo, data: Bytes) -> Option<(bool, Smaller)> {
    if !file_kind::is_picture(info) || info.width == 0 {
        return None;
    }
    let png = info.mime_type == "image/png";
    let made = tokio::task::spawn_blocking(move || images::smaller(&data, png));
    made.await.ok().flatten().map(|smaller| (png, smaller))
}

/// Stores a preview and a thumbnail beside their file.
pub(super) fn write_smaller(
    tx: &WriteTx<'_>,
    path: &str,
    smaller: Option<(bool, Smaller)>,
) -> Result<(), Fault> {
    let Some((png, smaller)) = smaller else { return Ok(()) };
    let (preview, thumbnail) = file_kind::smaller_paths(path, png);
    file_store::write(tx, &preview, &smaller.preview)?;
    file_store::write(tx, &thumbnail, &smaller.thumbnail)
}
