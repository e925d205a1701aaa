//! The configuration.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use plugin_conformance::api::AppError;
use plugin_conformance::embedded::{Embedded, HookSink};
use plugin_proto::v1;
use serde_json::{Value, json};

use super::{Api, PLUGIN, alone, refused};

const HIDDEN: &str = "********************************";

async fn config(api: &Api) -> Value {
    let answer = api.get_config(v1::GetConfigRequest {}).await.unwrap();
    serde_json::from_slice(&answer.config_json).unwrap()
}

async fn unsanitized(api: &Api) -> Value {
    let answer = api.get_unsanitized_config(v1::GetUnsanitizedConfigRequest {}).await.unwrap();
    serde_json::from_slice(&answer.config_json).unwrap()
}

async fn save(api: &Api, config: &Value) -> Result<(), AppError> {
    let config_json = config.to_string().into();
    api.save_config(v1::SaveConfigRequest { config_json }).await.map(drop)
}

async fn loaded(api: &Api) -> Value {
    let request = v1::LoadPluginConfigurationRequest {};
    let answer = api.load_plugin_configuration(request).await.unwrap();
    serde_json::from_slice(&answer.config_json).unwrap()
}

async fn own(api: &Api) -> prost_types::Struct {
    api.get_plugin_config(v1::GetPluginConfigRequest {}).await.unwrap().config.unwrap()
}

async fn save_own(api: &Api, config: prost_types::Struct) {
    let config = Some(config);
    api.save_plugin_config(v1::SavePluginConfigRequest { config }).await.unwrap();
}

fn values(fields: &[(&str, prost_types::value::Kind)]) -> prost_types::Struct {
    let value = |kind: &prost_types::value::Kind| prost_types::Value { kind: Some(kind.clone()) };
    let fields = fields.iter().map(|(key, kind)| ((*key).to_owned(), value(kind)));
    prost_types::Struct { fields: fields.collect() }
}

fn text(text: &str) -> prost_types::value::Kind {
    prost_types::value::Kind::StringValue(text.to_owned())
}

/// Counts what plugins hear of the configuration, and has a say in it.
#[derive(Default)]
struct Plugins {
    heard: Mutex<Vec<&'static str>>,
    site_name: Mutex<Option<Result<&'static str, AppError>>>,
}

impl Plugins {
    fn of(server: &Embedded) -> Arc<Self> {
        let plugins = Arc::new(Self::default());
        server.set_hooks(Arc::clone(&plugins) as Arc<dyn HookSink>);
        plugins
    }

    fn heard(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

#[async_trait]
impl HookSink for Plugins {
    async fn on_configuration_change(&self) {
        self.heard.lock().unwrap().push("changed");
    }

    async fn configuration_will_be_saved(
        &self,
        config: v1::ConfigJson,
    ) -> Result<v1::ConfigJson, AppError> {
        self.heard.lock().unwrap().push("will be saved");
        match self.site_name.lock().unwrap().clone() {
            None => Ok(config),
            Some(Err(error)) => Err(error),
            Some(Ok(name)) => {
                let mut json: Value = serde_json::from_slice(&config.config_json).unwrap();
                json["TeamSettings"]["SiteName"] = json!(name);
                Ok(v1::ConfigJson { config_json: json.to_string().into() })
            }
        }
    }
}

#[tokio::test]
async fn a_fresh_one_has_defaults_and_hides_secrets() {
    let (_server, api) = alone();
    let shown = config(&api).await;
    assert_eq!(shown["TeamSettings"]["MaxUsersPerTeam"], 50);
    assert_eq!(shown["ServiceSettings"]["SessionLengthWebInDays"], 30);
    assert_eq!(shown["SqlSettings"]["DataSource"], HIDDEN);
    assert_eq!(shown["ServiceSettings"]["SplitKey"], HIDDEN, "even if there is none");
    assert_eq!(shown["EmailSettings"]["SMTPPassword"], "", "only if there is one");
    let real = unsanitized(&api).await;
    let salt = real["FileSettings"]["PublicLinkSalt"].as_str().unwrap();
    assert!(salt.len() == 32 && salt != HIDDEN);
    assert!(real["SqlSettings"]["DataSource"].as_str().unwrap().starts_with("postgres://"));
}

#[tokio::test]
async fn saving_replaces_all_and_tells() {
    let (server, api) = alone();
    let plugins = Plugins::of(&server);
    let salt = unsanitized(&api).await["FileSettings"]["PublicLinkSalt"].clone();
    let mut changed = config(&api).await;
    changed["TeamSettings"]["SiteName"] = json!("Ours");
    changed["ServiceSettings"]["SiteURL"] = json!("https://chat.example.com//");
    changed["FileSettings"]["Directory"] = json!("./files");
    changed["LocalizationSettings"]["DefaultServerLocale"] = json!("xx");
    changed["FeatureFlags"]["AppsEnabled"] = json!(true);
    changed["NoSuchSettings"] = json!({ "A": 1 });
    save(&api, &changed).await.unwrap();
    assert_eq!(plugins.heard(), ["will be saved", "changed"]);
    let events = server.outbox().websocket_events();
    assert_eq!((events.len(), events[0].event.as_str()), (1, "config_changed"));
    assert_eq!(events[0].data["config"]["SiteName"], "Ours");

    let real = unsanitized(&api).await;
    assert_eq!(real["TeamSettings"]["SiteName"], "Ours");
    assert_eq!(real["ServiceSettings"]["SiteURL"], "https://chat.example.com");
    assert_eq!(real["FileSettings"]["Directory"], "./files/");
    assert_eq!(real["LocalizationSettings"]["DefaultServerLocale"], "en");
    assert_eq!(real["FeatureFlags"]["AppsEnabled"], false);
    assert_eq!(real["NoSuchSettings"], Value::Null);
    assert_eq!(real["FileSettings"]["PublicLinkSalt"], salt, "the placeholder is replaced");
    assert_eq!(real["CacheSettings"]["RedisPassword"], HIDDEN, "this one is not");

    save(&api, &real).await.unwrap();
    assert_eq!(plugins.heard(), ["will be saved"], "nothing has changed");
    assert_eq!(server.outbox().websocket_events().len(), 1);

    save(&api, &json!({ "teamsettings": { "SITENAME": "x", "MaxUsersPerTeam": null } }))
        .await
        .unwrap();
    let real = unsanitized(&api).await;
    assert_eq!(real["TeamSettings"]["SiteName"], "x");
    assert_eq!(real["TeamSettings"]["MaxUsersPerTeam"], 50);
    assert_eq!(real["ServiceSettings"]["SiteURL"], "");
    assert_ne!(real["FileSettings"]["PublicLinkSalt"], salt);

    save(&api, &json!({ "ServiceSettings": { "SiteURL": "" } })).await.unwrap();
    let real = unsanitized(&api).await;
    assert_eq!(real["ServiceSettings"]["SessionLengthWebInHours"], 4320);
    assert_eq!(real["EmailSettings"]["SendPushNotifications"], false);
}

#[tokio::test]
async fn what_cannot_be_saved_is_refused() {
    let (server, api) = alone();
    let before = unsanitized(&api).await;
    let nothing = api.save_config(v1::SaveConfigRequest::default()).await;
    refused(nothing, "api.context.invalid_body_param.app_error", 400);
    for bad in ["{", "[]", "1", r#"{"TeamSettings":{"SiteName":1}}"#] {
        let config_json = bad.to_owned().into();
        let answer = api.save_config(v1::SaveConfigRequest { config_json }).await;
        refused(answer, "api.config.update_config.app_error", 400);
    }
    let cases = [
        ("TeamSettings", "MaxUsersPerTeam", json!(0), "max_users"),
        ("TeamSettings", "SiteName", json!("n".repeat(31)), "sitename_length"),
        ("TeamSettings", "RestrictDirectMessage", json!("none"), "restrict_direct_message"),
        ("CacheSettings", "CacheType", json!("none"), "cache_type"),
        ("EmailSettings", "EnableEmailBatching", json!(true), "site_url_email_batching"),
        ("SqlSettings", "DriverName", json!("mysql"), "sql_driver"),
        ("FileSettings", "DriverName", json!(""), "file_driver"),
        ("PasswordSettings", "MinimumLength", json!(4), "password_length"),
        ("ServiceSettings", "SiteURL", json!("no url"), "site_url"),
        ("ServiceSettings", "ListenAddress", json!("8065"), "listen_address"),
        ("ServiceSettings", "ThreadAutoFollow", json!(false), "collapsed_threads.autofollow"),
    ];
    for (section, name, value, rule) in cases {
        let answer = save(&api, &json!({ section: { name: value } })).await;
        let error = answer.unwrap_err();
        let id = format!("model.config.is_valid.{rule}.app_error");
        assert_eq!((error.id.as_str(), error.status_code), ("app.save_config.app_error", 500));
        assert_eq!(error.detailed_error, id, "{section}.{name}");
    }
    let plugins = Plugins::of(&server);
    let rejection = AppError::new("plugin.says.no", 418);
    *plugins.site_name.lock().unwrap() = Some(Err(rejection));
    refused(save(&api, &json!({})).await, "plugin.says.no", 418);
    assert_eq!(plugins.heard(), ["will be saved"]);
    assert_eq!(unsanitized(&api).await, before);
    assert_eq!(server.outbox().entries(), []);
}

#[tokio::test]
async fn a_plugin_changes_what_is_saved() {
    let (server, api) = alone();
    let plugins = Plugins::of(&server);
    *plugins.site_name.lock().unwrap() = Some(Ok("theirs"));
    save(&api, &json!({ "TeamSettings": { "SiteName": "ours" } })).await.unwrap();
    assert_eq!(config(&api).await["TeamSettings"]["SiteName"], "theirs");
    assert_eq!(plugins.heard(), ["will be saved", "changed"]);
}

#[tokio::test]
async fn a_plugins_part_has_defaults_and_secrets() {
    use prost_types::value::Kind;

    let (server, api) = alone();
    assert_eq!(loaded(&api).await, json!({}));
    assert_eq!(own(&api).await, values(&[]));
    server.install(&json!({
        "id": PLUGIN,
        "settings_schema": {
            "settings": [
                { "key": "Colour", "default": "red" },
                { "key": "Token", "secret": true },
                { "key": "Limit", "default": 3 },
            ],
            "sections": [{ "settings": [{ "key": "Hidden", "secret": true, "default": 1 }] }],
        },
    }));
    assert_eq!(loaded(&api).await, json!({ "colour": "red", "token": null, "limit": 3 }));
    let sent = [
        ("token", text("s3cret")),
        ("Limit", Kind::NumberValue(5.0)),
        ("Half", Kind::NumberValue(0.5)),
        ("Hidden", text("")),
        ("More", Kind::StructValue(values(&[("Inner", text("x"))]))),
    ];
    save_own(&api, values(&sent)).await;
    let expected = json!({
        "colour": "red",
        "token": "s3cret",
        "limit": 5,
        "half": 0.5,
        "hidden": "",
        "more": { "Inner": "x" },
    });
    assert_eq!(loaded(&api).await, expected);
    let bytes = api.load_plugin_configuration(v1::LoadPluginConfigurationRequest {}).await.unwrap();
    let bytes = String::from_utf8_lossy(&bytes.config_json).into_owned();
    assert!(bytes.contains(r#""limit":5,"#) || bytes.contains(r#""limit":5}"#), "{bytes}");

    let mut shown = sent.clone();
    shown[0].1 = text(HIDDEN);
    shown[3].1 = text(HIDDEN);
    assert_eq!(own(&api).await, values(&shown));
    let there = config(&api).await["PluginSettings"]["Plugins"][PLUGIN].clone();
    assert_eq!((&there["token"], &there["Limit"]), (&json!(HIDDEN), &json!(5)));

    let again = [("token", text(HIDDEN)), ("New", text(HIDDEN))];
    save_own(&api, values(&again)).await;
    let expected = json!({ "colour": "red", "limit": 3, "token": "s3cret", "new": null });
    assert_eq!(loaded(&api).await, expected);
    let none = api.save_plugin_config(v1::SavePluginConfigRequest { config: None }).await;
    refused(none, "api.context.invalid_body_param.app_error", 400);
}

#[tokio::test]
async fn entries_of_plugins_that_are_not_installed_are_hidden() {
    let (_server, api) = alone();
    let plugins = json!({ "gone": { "a": "b" }, "empty": {}, PLUGIN: { "A": 1 } });
    save(&api, &json!({ "PluginSettings": { "Plugins": plugins } })).await.unwrap();
    let shown = config(&api).await["PluginSettings"]["Plugins"].clone();
    assert_eq!(shown, json!({ "empty": {}, PLUGIN: { "A": 1 } }));
    assert_eq!(unsanitized(&api).await["PluginSettings"]["Plugins"], plugins);
}

#[tokio::test]
async fn it_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Embedded::builder().data(folder.path().join("data")).start().unwrap();
    let server = start();
    save(&server.api_of(PLUGIN), &json!({ "TeamSettings": { "SiteName": "kept" } })).await.unwrap();
    let before = unsanitized(&server.api_of(PLUGIN)).await;
    server.close().await;
    let server = start();
    assert_eq!(unsanitized(&server.api_of(PLUGIN)).await, before);
}
