//! The calls about plugins, answered by a server that runs none.

use std::io::Write as _;

use plugin_conformance::api::AppError;
use plugin_proto::v1;
use serde_json::json;

use super::{Api, PLUGIN, alone, refused};

const MISSING: &str = "app.plugin.not_installed.app_error";

async fn status(api: &Api, id: &str) -> Result<v1::PluginStatus, AppError> {
    let answer = api.get_plugin_status(v1::GetPluginStatusRequest { id: id.into() }).await;
    answer.map(|answer| answer.status.unwrap())
}

async fn ids(api: &Api) -> Vec<String> {
    let all = api.get_plugins(v1::GetPluginsRequest {}).await.unwrap().manifests;
    all.into_iter().map(|manifest| manifest.id).collect()
}

async fn disable(api: &Api, id: &str) -> Result<(), AppError> {
    api.disable_plugin(v1::DisablePluginRequest { id: id.into() }).await.map(drop)
}

async fn enable(api: &Api, id: &str) -> Result<(), AppError> {
    api.enable_plugin(v1::EnablePluginRequest { id: id.into() }).await.map(drop)
}

async fn remove(api: &Api, id: &str) -> Result<(), AppError> {
    api.remove_plugin(v1::RemovePluginRequest { id: id.into() }).await.map(drop)
}

async fn install(api: &Api, bytes: Vec<u8>, replace: bool) -> Result<v1::Manifest, AppError> {
    let request = v1::InstallPluginRequest { file_data: bytes.into(), replace };
    api.install_plugin(request).await.map(|answer| answer.manifest.unwrap())
}

async fn save(api: &Api, plugin_settings: serde_json::Value) {
    let config_json = json!({ "PluginSettings": plugin_settings }).to_string().into();
    api.save_config(v1::SaveConfigRequest { config_json }).await.unwrap();
}

fn archive(name: &str, text: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test]
async fn a_plugin_knows_itself_and_others() {
    let (server, api) = alone();
    let own = api.get_plugin_id(v1::GetPluginIdRequest {}).await.unwrap().plugin_id;
    assert_eq!(own, PLUGIN);
    let path = api.get_bundle_path(v1::GetBundlePathRequest {}).await.unwrap().path;
    let expected = std::env::current_dir().unwrap().join("plugins").join(PLUGIN);
    assert_eq!(path, expected.display().to_string());

    server.install(&json!({ "id": "A.first", "name": "First", "version": "1.2.3" }));
    server.install(&json!({ "id": "z.last" }));
    assert_eq!(ids(&api).await, [PLUGIN, "a.first", "z.last"]);
    let first = status(&api, "a.first").await.unwrap();
    let expected = v1::PluginStatus {
        plugin_id: "a.first".into(),
        plugin_path: "plugins/a.first".into(),
        name: "First".into(),
        version: "1.2.3".into(),
        ..Default::default()
    };
    assert_eq!(first, expected);
    assert_eq!(status(&api, PLUGIN).await.unwrap().state, 2);
    for id in ["", "unknown", "A.first"] {
        refused(status(&api, id).await, MISSING, 404);
    }
}

#[tokio::test]
async fn plugins_are_switched_off_and_on() {
    let (server, api) = alone();
    server.install(&json!({ "id": "com.example.b", "webapp": {} }));
    let other = server.api_of("com.example.b");
    let command = v1::Command { trigger: "b".into(), ..Default::default() };
    let request = v1::RegisterCommandRequest { command: Some(command) };
    other.register_command(request).await.unwrap();

    disable(&api, "COM.example.b").await.unwrap();
    assert_eq!(status(&api, "com.example.b").await.unwrap().state, 0);
    let commands = v1::ListPluginCommandsRequest::default();
    assert_eq!(api.list_plugin_commands(commands).await.unwrap().commands, []);
    enable(&api, "com.example.b").await.unwrap();
    assert_eq!(status(&api, "com.example.b").await.unwrap().state, 2);
    let events = server.outbox().websocket_events();
    let names: Vec<_> = events.iter().map(|it| it.event.as_str()).collect();
    let off = ["config_changed", "plugin_disabled", "plugin_statuses_changed"];
    let on = ["config_changed", "plugin_enabled", "plugin_statuses_changed"];
    assert_eq!(names, [off, on].concat());
    assert_eq!(events[4].data["manifest"]["id"], "com.example.b");

    server.install(&json!({ "id": "not.served" }));
    enable(&api, "not.served").await.unwrap();
    assert_eq!(status(&api, "not.served").await.unwrap().state, 3, "nobody starts it");

    refused(remove(&api, "Com.Example.B").await, MISSING, 404);
    assert_eq!(status(&api, "com.example.b").await.unwrap().state, 0, "yet disabled");
    remove(&api, "com.example.b").await.unwrap();
    for answer in [
        disable(&api, "com.example.b").await,
        enable(&api, "com.example.b").await,
        remove(&api, "com.example.b").await,
    ] {
        refused(answer, MISSING, 404);
    }

    save(&api, json!({ "Enable": false })).await;
    let off = "app.plugin.disabled.app_error";
    refused(enable(&api, PLUGIN).await, off, 501);
    refused(status(&api, PLUGIN).await, off, 501);
    refused(api.get_plugins(v1::GetPluginsRequest {}).await, off, 501);
}

#[tokio::test]
async fn archives_are_installed_if_that_is_allowed() {
    let (_server, api) = alone();
    let good = || archive("b/plugin.json", r#"{ "id": "Com.Example.B", "name": "B" }"#);
    refused(install(&api, good(), false).await, "app.plugin.upload_disabled.app_error", 501);
    save(&api, json!({ "EnableUploads": true })).await;
    let cases = [
        (b"no archive".to_vec(), "extract"),
        (archive("readme", "{}"), "manifest"),
        (archive("plugin.json", "{"), "manifest"),
        (archive("plugin.json", r#"{ "id": "b" }"#), "invalid_id"),
    ];
    for (bytes, what) in cases {
        let id = format!("app.plugin.{what}.app_error");
        refused(install(&api, bytes, false).await, &id, 400);
    }
    let manifest = install(&api, good(), false).await.unwrap();
    assert_eq!((manifest.id.as_str(), manifest.name.as_str()), ("com.example.b", "B"));
    assert_eq!(status(&api, "com.example.b").await.unwrap().state, 0);
    refused(install(&api, good(), false).await, "app.plugin.install_id.app_error", 400);
    let newer = archive("plugin.yaml", "id: com.example.b\nversion: 2.0.0\n");
    assert_eq!(install(&api, newer, true).await.unwrap().version, "2.0.0");
}
