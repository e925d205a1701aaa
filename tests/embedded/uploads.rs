//! Uploads in parts.

use bytes::Bytes;
use plugin_proto::v1;

use super::people::{NOBODY, channel, team};
use super::{Api, alone, refused};

const ID: &str = "abcdefghijklmnopqrstuvwxyz";

async fn session(api: &Api, size: i64) -> v1::UploadSession {
    let team = team(api, "team").await;
    let channel = channel(api, &team, "files").await;
    v1::UploadSession {
        id: ID.into(),
        r#type: "attachment".into(),
        user_id: NOBODY.into(),
        channel_id: channel.id,
        filename: "big.bin".into(),
        file_size: size,
        ..Default::default()
    }
}

async fn create(
    api: &Api,
    session: v1::UploadSession,
) -> Result<v1::UploadSession, plugin_conformance::api::AppError> {
    let request = v1::CreateUploadSessionRequest { upload_session: Some(session) };
    api.create_upload_session(request).await.map(|it| it.upload_session.unwrap())
}

async fn got(api: &Api, id: &str) -> Result<v1::UploadSession, plugin_conformance::api::AppError> {
    let request = v1::GetUploadSessionRequest { upload_id: id.into() };
    api.get_upload_session(request).await.map(|it| it.upload_session.unwrap())
}

async fn send(
    api: &Api,
    session: &v1::UploadSession,
    data: Vec<u8>,
) -> Result<Option<v1::FileInfo>, plugin_conformance::api::AppError> {
    let data = Bytes::from(data);
    let request = v1::UploadDataRequest { upload_session: Some(session.clone()), data };
    api.upload_data(request).await.map(|it| it.file_info)
}

#[tokio::test]
async fn parts_become_a_file() {
    let (_server, api) = alone();
    let first = 5 * 1024 * 1024;
    let made = create(&api, session(&api, first as i64 + 3).await).await.unwrap();
    assert_eq!(got(&api, ID).await.unwrap(), made);
    assert!(made.path.ends_with(&format!("/users/{NOBODY}/{ID}/big.bin")), "{}", made.path);
    let small = "app.upload.upload_data.first_part_too_small.app_error";
    refused(send(&api, &made, vec![1; 10]).await, small, 400);
    assert_eq!(send(&api, &made, vec![1; first]).await.unwrap(), None);
    let concurrent = "app.upload.upload_data.concurrent.app_error";
    refused(send(&api, &made, vec![1; 3]).await, concurrent, 400);
    let next = got(&api, ID).await.unwrap();
    assert_eq!(next.file_offset, first as i64);
    // What is too much is cut off.
    let info = send(&api, &next, vec![2; 9]).await.unwrap().unwrap();
    assert_eq!((info.size, &*info.name, &*info.creator_id), (first as i64 + 3, "big.bin", NOBODY));
    assert_eq!(info.channel_id, made.channel_id);
    let data = api.get_file(v1::GetFileRequest { file_id: info.id }).await.unwrap().data;
    assert_eq!((data.len(), data[first - 1], data[first]), (first + 3, 1, 2));
    refused(got(&api, ID).await, "app.upload.get.app_error", 404);
    refused(send(&api, &next, vec![]).await, "app.upload.get.app_error", 404);
}

#[tokio::test]
async fn bad_sessions_are_refused() {
    let (_server, api) = alone();
    let good = session(&api, 3).await;
    let field = |name: &str| format!("model.upload_session.is_valid.{name}.app_error");
    let cases = [
        (v1::UploadSession { id: String::new(), ..good.clone() }, field("id")),
        (v1::UploadSession { r#type: "x".into(), ..good.clone() }, field("type")),
        (v1::UploadSession { user_id: "x".into(), ..good.clone() }, field("user_id")),
        (v1::UploadSession { channel_id: "x".into(), ..good.clone() }, field("channel_id")),
        (v1::UploadSession { filename: String::new(), ..good.clone() }, field("filename")),
        (v1::UploadSession { file_size: 0, ..good.clone() }, field("file_size")),
        (
            v1::UploadSession { channel_id: NOBODY.into(), ..good.clone() },
            "app.upload.create.incorrect_channel_id.app_error".into(),
        ),
    ];
    for (bad, id) in cases {
        refused(create(&api, bad).await, &id, 400);
    }
    create(&api, good.clone()).await.unwrap();
    refused(create(&api, good.clone()).await, "app.upload.create.save.app_error", 500);
    refused(got(&api, "x").await, "app.upload.get.app_error", 500);
    let picture = v1::UploadSession { id: NOBODY.into(), filename: "a.svg".into(), ..good };
    let made = create(&api, picture).await.unwrap();
    let unknown = "app.upload.upload_data.gen_info.app_error";
    refused(send(&api, &made, vec![1; 3]).await, unknown, 500);
}
