//! Files: what is known of them, and how to get at their bytes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plugin_proto::v1;
use prost::Message as _;
use rusqlite::params;
use sha2::{Digest as _, Sha256};

use super::super::ctx::Ctx;
use super::super::paging::Page;
use super::super::refusal::{invalid, not_found, unavailable};
use super::super::store::{Fault, Tx, WriteTx};
use super::file_store::{self, unreadable};
use super::{file_kind, images};
use crate::api::AppError;

pub(super) const SCHEMA: &str = "
CREATE TABLE files (
    id TEXT PRIMARY KEY,
    creator_id TEXT NOT NULL,
    post_id TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    create_at INTEGER NOT NULL,
    delete_at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    path TEXT NOT NULL,
    content TEXT NOT NULL DEFAULT '',
    message BLOB NOT NULL
);
CREATE INDEX files_by_post ON files (post_id) WHERE post_id <> '';
CREATE INDEX files_by_creation ON files (create_at, id);
CREATE INDEX files_by_size ON files (size, id);
";

const GET: &str = "app.file_info.get.app_error";
pub(super) const SAVE: &str = "app.file_info.save.app_error";
const LIST: &str = "app.file_info.get_with_options.app_error";

/// The file and where its bytes are; 404 if there is none, or if it is deleted.
pub(super) fn get(tx: &Tx<'_>, id: &str) -> Result<(v1::FileInfo, String), Fault> {
    let info = tx.message("SELECT message FROM files WHERE id = ?1 AND delete_at = 0", [id])?;
    let path: Option<String> = tx.value("SELECT path FROM files WHERE id = ?1", [id])?;
    match (info, path) {
        (Some(info), Some(path)) => Ok((info, path)),
        _ => Err(not_found(GET, "Unable to get the file info.").into()),
    }
}

/// Stores what is known of a file, or stores it anew.
pub(super) fn save(tx: &WriteTx<'_>, it: &v1::FileInfo, path: &str) -> Result<(), Fault> {
    tx.execute(
        "INSERT INTO files (id, creator_id, post_id, channel_id, create_at, delete_at, size, path,
                            message)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT DO UPDATE SET
             creator_id = excluded.creator_id, post_id = excluded.post_id,
             channel_id = excluded.channel_id, create_at = excluded.create_at,
             delete_at = excluded.delete_at, size = excluded.size, path = excluded.path,
             message = excluded.message",
        params![
            it.id,
            it.creator_id,
            it.post_id,
            it.channel_id,
            it.create_at,
            it.delete_at,
            it.size,
            path,
            it.encode_to_vec(),
        ],
    )
    .map(drop)
}

/// Stores a new file, filled and checked.
pub(super) fn insert(
    tx: &WriteTx<'_>,
    mut it: v1::FileInfo,
    path: &str,
) -> Result<v1::FileInfo, Fault> {
    if it.create_at == 0 {
        it.create_at = tx.now();
    }
    it.update_at = it.update_at.max(it.create_at);
    it.remote_id.get_or_insert_default();
    file_kind::check(&it, path)?;
    save(tx, &it, path)?;
    Ok(it)
}

/// Gives files to a post: those that no post has, and that its author or nobody has uploaded. Answers
/// the ids of these.
pub(super) fn attach(
    tx: &WriteTx<'_>,
    ids: &[String],
    post_id: &str,
    channel_id: &str,
    author: &str,
) -> Result<Vec<String>, Fault> {
    let mut attached = Vec::new();
    for id in ids {
        let Ok((mut info, path)) = get(tx, id) else { continue };
        let free = info.post_id.is_empty();
        if !free || (info.creator_id != author && info.creator_id != file_kind::NO_USER) {
            continue;
        }
        (info.post_id, info.channel_id) = (post_id.to_owned(), channel_id.to_owned());
        save(tx, &info, &path)?;
        attached.push(id.clone());
    }
    Ok(attached)
}

/// Marks files of a post as deleted: all of them, or those of these ids.
pub(super) fn delete_of_post(
    tx: &WriteTx<'_>,
    post_id: &str,
    only: Option<&[String]>,
) -> Result<(), Fault> {
    let now = tx.now();
    let ids: Vec<String> =
        tx.values("SELECT id FROM files WHERE post_id = ?1 AND delete_at = 0", [post_id])?;
    for id in ids.iter().filter(|&id| only.is_none_or(|only| only.contains(id))) {
        let (mut info, path) = get(tx, id)?;
        info.delete_at = now;
        save(tx, &info, &path)?;
    }
    Ok(())
}

/// The copies have rows of their own and share the bytes. Those made before an id that fails stay.
pub(in super::super) async fn copy_file_infos(
    ctx: &Ctx,
    it: v1::CopyFileInfosRequest,
) -> Result<v1::CopyFileInfosResponse, AppError> {
    let now = ctx.now();
    let mut file_ids = Vec::new();
    for id in it.file_ids {
        let (info, path) = ctx.read(GET, move |tx| get(tx, &id)).await?;
        let copy = v1::FileInfo {
            id: ctx.new_id(),
            creator_id: it.user_id.clone(),
            create_at: now,
            update_at: now,
            post_id: String::new(),
            channel_id: String::new(),
            ..info
        };
        file_ids.push(copy.id.clone());
        ctx.write(SAVE, move |tx| insert(tx, copy, &path)).await?;
    }
    Ok(v1::CopyFileInfosResponse { file_ids, error: None })
}

/// Pictures get their mini preview when they are first asked for.
pub(in super::super) async fn get_file_info(
    ctx: &Ctx,
    it: v1::GetFileInfoRequest,
) -> Result<v1::GetFileInfoResponse, AppError> {
    let (info, path) = ctx.read(GET, move |tx| get(tx, &it.file_id)).await?;
    let info = with_mini_preview(ctx, info, path).await;
    Ok(v1::GetFileInfoResponse { file_info: Some(info), error: None })
}

/// Failures are logged: the file is answered without it.
async fn with_mini_preview(ctx: &Ctx, info: v1::FileInfo, path: String) -> v1::FileInfo {
    if !file_kind::is_picture(&info) || info.mini_preview.is_some() {
        return info;
    }
    let id = info.id.clone();
    let bytes_at = path.clone();
    let bytes = ctx.read(GET, move |tx| file_store::read(tx, &bytes_at)).await;
    let made = match bytes {
        Ok(Some(bytes)) => {
            tokio::task::spawn_blocking(move || images::mini_preview(&bytes)).await.ok().flatten()
        }
        _ => None,
    };
    let Some(mini_preview) = made else {
        tracing::debug!(file_id = id, "no mini preview can be made of a file");
        return info;
    };
    let seen = v1::FileInfo { mini_preview: Some(mini_preview.clone().into()), ..info };
    let stored = ctx.write(SAVE, move |tx| {
        // The file may have been attached or deleted meanwhile.
        let (mut info, path) = get(tx, &id)?;
        info.mini_preview = Some(mini_preview.into());
        save(tx, &info, &path)
    });
    if let Err(error) = stored.await {
        tracing::debug!(id = error.id, "a mini preview could not be stored");
    }
    seen
}

/// The text by which people find a file. No RPC answers it.
pub(in super::super) async fn set_file_searchable_content(
    ctx: &Ctx,
    it: v1::SetFileSearchableContentRequest,
) -> Result<v1::SetFileSearchableContentResponse, AppError> {
    let failing = "app.file_info.set_searchable_content.app_error";
    let set = ctx.write(failing, move |tx| {
        get(tx, &it.file_id)?;
        tx.execute("UPDATE files SET content = ?2 WHERE id = ?1", [it.file_id, it.content])
    });
    set.await?;
    Ok(v1::SetFileSearchableContentResponse::default())
}

macro_rules! list_by {
    ($order:literal) => {
        concat!(
            "SELECT message, path FROM files
             WHERE (?1 = '' OR creator_id = ?1) AND (?2 = '' OR channel_id = ?2)
                 AND (?3 OR delete_at = 0)
             ORDER BY ",
            $order,
            ", id LIMIT ?4 OFFSET ?5"
        )
    };
}

pub(in super::super) async fn get_file_infos(
    ctx: &Ctx,
    it: v1::GetFileInfosRequest,
) -> Result<v1::GetFileInfosResponse, AppError> {
    let Some(page) = Page::of(it.page, it.per_page) else {
        return Err(invalid(LIST, "Unable to get the files: a page and its size are 0 or more."));
    };
    if page.limit == 0 {
        return Ok(v1::GetFileInfosResponse::default());
    }
    let options = it.options.unwrap_or_default();
    let descending = options.sort_order.eq_ignore_ascii_case("desc");
    let sql = match (options.sort_by.as_str(), descending) {
        ("" | "CreateAt", false) => list_by!("create_at"),
        ("" | "CreateAt", true) => list_by!("create_at DESC"),
        ("Size", false) => list_by!("size"),
        ("Size", true) => list_by!("size DESC"),
        _ => return Err(invalid(LIST, "Unable to get the files: unknown order.")),
    };
    let found = ctx.read(LIST, move |tx| {
        let values = params![
            options.user_id,
            options.channel_id,
            options.include_deleted,
            page.limit,
            page.offset
        ];
        tx.rows(sql, values, |row| {
            let message: Vec<u8> = row.get(0)?;
            Ok((v1::FileInfo::decode(&*message)?, row.get::<_, String>(1)?))
        })
    });
    let mut file_infos = Vec::new();
    for (info, path) in found.await? {
        file_infos.push(with_mini_preview(ctx, info, path).await);
    }
    Ok(v1::GetFileInfosResponse { file_infos, error: None })
}

pub(in super::super) async fn get_file(
    ctx: &Ctx,
    it: v1::GetFileRequest,
) -> Result<v1::GetFileResponse, AppError> {
    let data = ctx.read(GET, move |tx| {
        let (_, path) = get(tx, &it.file_id)?;
        file_store::read(tx, &path)?.ok_or_else(|| unreadable().into())
    });
    Ok(v1::GetFileResponse { data: data.await?.into(), error: None })
}

pub(in super::super) async fn get_file_link(
    ctx: &Ctx,
    it: v1::GetFileLinkRequest,
) -> Result<v1::GetFileLinkResponse, AppError> {
    let config = ctx.config();
    if !config.flag("FileSettings", "EnablePublicLink") {
        let id = "plugin_api.get_file_link.disabled.app_error";
        return Err(unavailable(id, "Public links have been disabled."));
    }
    let (info, _) = ctx.read(GET, move |tx| get(tx, &it.file_id)).await?;
    if info.post_id.is_empty() {
        let id = "plugin_api.get_file_link.no_post.app_error";
        let message = "Unable to get a public link for a file that is not attached to a post.";
        return Err(invalid(id, message).detail(format!("file_id={}", info.id)));
    }
    let salted = format!("{}{}", config.text("FileSettings", "PublicLinkSalt"), info.id);
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(salted));
    let site = config.text("ServiceSettings", "SiteURL");
    let link = format!("{site}/files/{}/public?h={hash}", info.id);
    Ok(v1::GetFileLinkResponse { link, error: None })
}

/// The bytes at a path of the file store.
pub(in super::super) async fn read_file(
    ctx: &Ctx,
    it: v1::ReadFileRequest,
) -> Result<v1::ReadFileResponse, AppError> {
    let failing = "api.file.read_file.app_error";
    let data = ctx.read(failing, move |tx| {
        file_store::read(tx, &it.path)?.ok_or_else(|| unreadable().into())
    });
    Ok(v1::ReadFileResponse { data: data.await?.into(), error: None })
}
