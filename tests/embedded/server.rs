//! What the server says about itself, and how it starts and ends.

use plugin_conformance::api::AppError;
use plugin_conformance::embedded::{Clock, Embedded, Ids, Logged, Sent, StoreError};
use plugin_proto::v1;
use prost_types::value::Kind;
use serde_json::json;

use super::{PLUGIN, alone};

#[tokio::test]
async fn it_is_a_team_edition() {
    let (_server, api) = alone();
    let licence = api.get_license(v1::GetLicenseRequest {}).await.unwrap();
    assert!(licence.license_json.is_empty());
    let ready = api.is_enterprise_ready(v1::IsEnterpriseReadyRequest {}).await.unwrap();
    assert!(!ready.is_enterprise_ready);
    let version = api.get_server_version(v1::GetServerVersionRequest {}).await.unwrap().version;
    assert_eq!(version, "11.6.0");
}

#[tokio::test]
async fn its_id_and_its_birthday_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    let about = |server: Embedded| async move {
        let api = server.api_of(PLUGIN);
        let date = api.get_system_install_date(v1::GetSystemInstallDateRequest {}).await.unwrap();
        let id = api.get_telemetry_id(v1::GetTelemetryIdRequest {}).await.unwrap().telemetry_id;
        let same = api.get_diagnostic_id(v1::GetDiagnosticIdRequest {}).await.unwrap();
        assert_eq!(same.diagnostic_id, id);
        server.close().await;
        (date.install_date, id)
    };
    let server = |start, seed| {
        let builder = Embedded::builder().clock(Clock::ticking(start)).ids(Ids::seeded(seed));
        builder.data(&file).start().unwrap()
    };
    let first = about(server(1000, 1)).await;
    assert_eq!((first.0, first.1.len()), (1000, 26));
    assert_eq!(about(server(2000, 2)).await, first);
}

#[tokio::test]
async fn two_servers_do_not_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    let first = Embedded::builder().data(&file).start().unwrap();
    let second = Embedded::builder().data(&file).start().unwrap_err();
    assert_eq!(second, StoreError::Locked { file: file.display().to_string() });
    first.close().await;
    Embedded::builder().data(&file).start().unwrap().close().await;
}

#[tokio::test]
async fn a_closed_server_says_so() {
    let (server, api) = alone();
    server.close().await;
    let error = api.kv_get(v1::KvGetRequest { key: "key".into() }).await.unwrap_err();
    assert_eq!(error.id, "app.plugin_store.get.app_error");
    assert!(error.detailed_error.contains("closed"), "{error:?}");
}

#[tokio::test]
async fn an_rpc_is_either_implemented_or_501() {
    let (_server, api) = alone();
    let implemented: Vec<_> = Embedded::rpcs().map(|method| method.name).collect();
    assert!(implemented.contains(&"KVSet") && implemented.contains(&"GetServerVersion"));
    let missing = |answer: Result<_, AppError>| matches!(answer, Err(it) if it.status_code == 501);
    let no_user = api.get_user(v1::GetUserRequest::default()).await;
    assert_eq!(missing(no_user), !implemented.contains(&"GetUser"));
}

#[tokio::test]
async fn logs_go_to_the_outbox() {
    let (server, api) = alone();
    let pair = |key: &str, kind| v1::KeyValuePair {
        key: key.into(),
        value: Some(prost_types::Value { kind: Some(kind) }),
    };
    let pairs = vec![
        pair("count", Kind::NumberValue(2.5)),
        pair("count", Kind::StringValue("again".into())),
        v1::KeyValuePair { key: String::new(), value: None },
    ];
    let request = v1::LogWarnRequest { msg: "careful".into(), key_value_pairs: pairs };
    api.log_warn(request).await.unwrap();
    api.log_debug(v1::LogDebugRequest::default()).await.unwrap();
    let fields = vec![
        ("count".to_owned(), json!(2.5)),
        ("count".to_owned(), json!("again")),
        (String::new(), json!(null)),
    ];
    let logged = |level, message: &str, fields| {
        let (plugin_id, message) = (PLUGIN.to_owned(), message.to_owned());
        Sent::Log(Logged { plugin_id, level, message, fields })
    };
    let expected = [logged("warn", "careful", fields), logged("debug", "", Vec::new())];
    assert_eq!(server.outbox().take(), expected);
}

#[tokio::test]
async fn there_are_no_custom_emoji_at_first() {
    let (_server, api) = alone();
    let list = |page, per_page| {
        api.get_emoji_list(v1::GetEmojiListRequest { sort_by: "name".into(), page, per_page })
    };
    assert_eq!(list(0, 10).await.unwrap().emojis, []);
    super::refused(list(-1, 10).await, "app.emoji.get_list.internal_error", 500);
    let by_name = api.get_emoji_by_name(v1::GetEmojiByNameRequest { name: "smile".into() }).await;
    super::refused(by_name, "app.emoji.get_by_name.no_result", 404);
    let by_id = api.get_emoji(v1::GetEmojiRequest::default()).await;
    super::refused(by_id, "app.emoji.get.no_result", 404);
}
