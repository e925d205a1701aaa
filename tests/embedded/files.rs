//! Files and pictures.

use std::io::Cursor;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use plugin_conformance::embedded::{HookSink, Will};
use plugin_proto::v1;

use super::people::NOBODY;
use super::{Api, alone, refused};

const MISSING: &str = "app.file_info.get.app_error";

/// A picture in PNG.
pub(super) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(width, height, image::Rgb([200, 10, 10]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub(super) async fn upload(api: &Api, name: &str, data: &[u8]) -> v1::FileInfo {
    let data = Bytes::copy_from_slice(data);
    let request = v1::UploadFileRequest { data, filename: name.into(), ..Default::default() };
    api.upload_file(request).await.unwrap().file_info.unwrap()
}

async fn info(
    api: &Api,
    id: &str,
) -> Result<v1::GetFileInfoResponse, plugin_conformance::api::AppError> {
    api.get_file_info(v1::GetFileInfoRequest { file_id: id.into() }).await
}

#[tokio::test]
async fn what_is_uploaded_is_read_back() {
    let (_server, api) = alone();
    let made = upload(&api, "folder/notes.TXT", b"hello").await;
    assert_eq!((&*made.name, &*made.extension, made.size), ("notes.TXT", "txt", 5));
    assert_eq!(made.mime_type, "text/plain; charset=utf-8");
    assert_eq!((&*made.creator_id, &*made.channel_id, &*made.post_id), ("nouser", "", ""));
    assert_eq!((made.remote_id.as_deref(), made.create_at), (Some(""), made.update_at));
    let got = info(&api, &made.id).await.unwrap().file_info;
    assert_eq!(got, Some(made.clone()));
    let request = v1::GetFileRequest { file_id: made.id.clone() };
    assert_eq!(api.get_file(request).await.unwrap().data, &b"hello"[..]);
    let path = format!("20231114/teams/noteam/channels//users/nouser/{}/notes.TXT", made.id);
    let read = api.read_file(v1::ReadFileRequest { path }).await.unwrap();
    assert_eq!(read.data, &b"hello"[..]);
    assert_eq!(upload(&api, "", b"").await.name, ".");
}

#[tokio::test]
async fn pictures_have_a_size_and_smaller_pictures() {
    let (_server, api) = alone();
    let made = upload(&api, "wide.png", &png(300, 30)).await;
    assert_eq!((made.width, made.height, made.has_preview_image), (300, 30, true));
    assert_eq!((&*made.mime_type, made.mini_preview.clone()), ("image/png", None));
    let path = format!("20231114/teams/noteam/channels//users/nouser/{}/wide_thumb.png", made.id);
    let thumbnail = api.read_file(v1::ReadFileRequest { path }).await.unwrap().data;
    let thumbnail = image::load_from_memory(&thumbnail).unwrap();
    assert_eq!((thumbnail.width(), thumbnail.height()), (120, 12));
    let got = info(&api, &made.id).await.unwrap().file_info.unwrap();
    let mini = image::load_from_memory(&got.mini_preview.unwrap()).unwrap();
    assert_eq!((mini.width(), mini.height()), (16, 16));
    // What is no picture has none, whatever its name.
    let other = upload(&api, "no.png", b"no picture").await;
    assert_eq!((other.width, other.has_preview_image), (0, false));
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let (_server, api) = alone();
    for id in ["", NOBODY] {
        refused(info(&api, id).await, MISSING, 404);
        let answer = api.get_file(v1::GetFileRequest { file_id: id.into() }).await;
        refused(answer, MISSING, 404);
        let request =
            v1::SetFileSearchableContentRequest { file_id: id.into(), ..Default::default() };
        refused(api.set_file_searchable_content(request).await, MISSING, 404);
        let answer = api.read_file(v1::ReadFileRequest { path: id.into() }).await;
        refused(answer, "api.file.read_file.app_error", 500);
        let answer = api.get_file_link(v1::GetFileLinkRequest { file_id: id.into() }).await;
        refused(answer, "plugin_api.get_file_link.disabled.app_error", 501);
    }
    let request = v1::UploadFileRequest { channel_id: NOBODY.into(), ..Default::default() };
    let answer = api.upload_file(request).await;
    refused(answer, "api.file.upload_file.incorrect_channelId.app_error", 400);
    let data = Bytes::from_static(b"GIF89a\x01\x00\x01\x00\x00\x00\x00broken");
    let request = v1::UploadFileRequest { data, filename: "a.gif".into(), ..Default::default() };
    refused(api.upload_file(request).await, "app.file_info.get.gif.app_error", 400);
}

#[tokio::test]
async fn copies_share_the_bytes() {
    let (_server, api) = alone();
    let made = upload(&api, "a.bin", b"1").await;
    api.set_file_searchable_content(v1::SetFileSearchableContentRequest {
        file_id: made.id.clone(),
        content: "words".into(),
    })
    .await
    .unwrap();
    let copy = |user_id: &str, ids: &[&str]| v1::CopyFileInfosRequest {
        user_id: user_id.into(),
        file_ids: ids.iter().map(|&id| id.to_owned()).collect(),
    };
    let ids = api.copy_file_infos(copy(NOBODY, &[&made.id, &made.id])).await.unwrap().file_ids;
    assert_eq!(ids.len(), 2);
    let copied = info(&api, &ids[0]).await.unwrap().file_info.unwrap();
    assert_eq!((&*copied.creator_id, &*copied.name), (NOBODY, "a.bin"));
    let data = api.get_file(v1::GetFileRequest { file_id: ids[1].clone() }).await.unwrap().data;
    assert_eq!(data, &b"1"[..]);
    refused(api.copy_file_infos(copy(NOBODY, &["x"])).await, MISSING, 404);
    let answer = api.copy_file_infos(copy("x", &[&made.id])).await;
    refused(answer, "model.file_info.is_valid.user_id.app_error", 400);
}

#[tokio::test]
async fn files_are_listed_by_time_or_size() {
    let (_server, api) = alone();
    let mut ids = Vec::new();
    for data in [&b"333"[..], b"1", b"22"] {
        ids.push(upload(&api, "x", data).await.id);
    }
    let list = async |page, per_page, sort_by: &str, sort_order: &str| {
        let options = Some(v1::GetFileInfosOptions {
            sort_by: sort_by.into(),
            sort_order: sort_order.into(),
            ..Default::default()
        });
        let answer = api.get_file_infos(v1::GetFileInfosRequest { page, per_page, options }).await;
        answer.map(|it| it.file_infos.into_iter().map(|info| info.id).collect::<Vec<_>>())
    };
    assert_eq!(list(0, 10, "", "").await.unwrap(), ids);
    assert_eq!(list(1, 2, "CreateAt", "").await.unwrap(), [ids[2].clone()]);
    let by_size = [ids[0].clone(), ids[2].clone(), ids[1].clone()];
    assert_eq!(list(0, 9, "Size", "desc").await.unwrap(), by_size);
    assert_eq!(list(0, 0, "x", "").await.unwrap(), Vec::<String>::new());
    let wrong = "app.file_info.get_with_options.app_error";
    refused(list(0, 1, "x", "").await, wrong, 400);
    refused(list(-1, 1, "", "").await, wrong, 400);
    refused(list(0, -1, "", "").await, wrong, 400);
}

/// Gives other bytes to files called `swap`, and refuses those called `no`.
struct Censor;

#[async_trait]
impl HookSink for Censor {
    async fn file_will_be_uploaded(
        &self,
        request: v1::FileWillBeUploadedRequest,
    ) -> Will<(v1::FileInfo, Bytes)> {
        let info = request.file_info.unwrap();
        match &*info.name {
            "no" => Will::Reject { reason: "because".into() },
            "swap" => Will::Pass((info, Bytes::from_static(b"other bytes"))),
            _ => Will::Pass((info, request.file_content)),
        }
    }
}

#[tokio::test]
async fn plugins_are_asked_about_files() {
    let (server, api) = alone();
    server.set_hooks(Arc::new(Censor));
    let made = upload(&api, "swap", b"mine").await;
    assert_eq!(made.size, 11);
    let data = api.get_file(v1::GetFileRequest { file_id: made.id }).await.unwrap().data;
    assert_eq!(data, &b"other bytes"[..]);
    let request = v1::UploadFileRequest { filename: "no".into(), ..Default::default() };
    refused(api.upload_file(request).await, "File rejected by plugin. because", 400);
}

#[tokio::test]
async fn an_emoji_that_is_not_there_has_no_picture() {
    let (_server, api) = alone();
    let answer = api.get_emoji_image(v1::GetEmojiImageRequest::default()).await;
    refused(answer, "app.emoji.get.no_result", 404);
}
