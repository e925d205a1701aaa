//! Several plugins under one roof: what they ask of the environment.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod environment_common;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{alive, soon};
use environment_common::{World, id, script};
use fake_interpreters::characters::Character;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Full};
use plugin_conformance::api::async_trait;
use plugin_conformance::environment::PluginState;
use plugin_conformance::environment::{AskHttp, AskHttpError, HttpReply};
use plugin_conformance::supervisor::{EventKind, Supervisor};
use plugin_proto::v1;

fn good() -> String {
    script("OnActivate, OnDeactivate", "")
}

#[tokio::test]
async fn plugins_see_each_other_and_themselves() {
    let world = World::idle(&[("a", &good()), ("b", &good())], |it| it).await;
    soon(world.plugins.activate(&id("a"))).await.unwrap();
    let api = world.apis.of("a");
    let manifests = api.get_plugins(v1::GetPluginsRequest {}).await.unwrap().manifests;
    assert_eq!(manifests.iter().map(|it| it.id.clone()).collect::<Vec<_>>(), [id("a"), id("b")]);
    assert_eq!(manifests[0].name, "Fake interpreter: a");
    let own = api.get_plugin_id(v1::GetPluginIdRequest {}).await.unwrap().plugin_id;
    assert_eq!(own, id("a"));
    let path = api.get_bundle_path(v1::GetBundlePathRequest {}).await.unwrap().path;
    assert_eq!(path, world.bundles.path("a").display().to_string());
    for (name, state) in [("a", PluginState::Running), ("b", PluginState::NotRunning)] {
        let request = v1::GetPluginStatusRequest { id: id(name) };
        let status = api.get_plugin_status(request).await.unwrap().status.unwrap();
        assert_eq!((status.plugin_id, status.state), (id(name), state as i32));
    }
    // All else goes on.
    let version = api.get_server_version(v1::GetServerVersionRequest {}).await.unwrap().version;
    assert_eq!(version, common::SERVER_VERSION);
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn plugins_enable_disable_and_remove_each_other() {
    let world = World::idle(&[("a", &good()), ("b", &good())], |it| it).await;
    soon(world.plugins.activate(&id("a"))).await.unwrap();
    let api = world.apis.of("a");
    // Twice: what is so already is no error.
    for _ in 0..2 {
        // However it is capitalized.
        let request = v1::EnablePluginRequest { id: id("b").to_uppercase() };
        soon(api.enable_plugin(request)).await.unwrap();
        assert!(world.plugins.is_active(&id("b")));
    }
    let pid = world.plugins.supervisor(&id("b")).unwrap().pid();
    for _ in 0..2 {
        soon(api.disable_plugin(v1::DisablePluginRequest { id: id("b") })).await.unwrap();
        assert!(!world.plugins.is_active(&id("b")) && !alive(pid));
    }
    soon(api.enable_plugin(v1::EnablePluginRequest { id: id("b") })).await.unwrap();
    let pid = world.plugins.supervisor(&id("b")).unwrap().pid();
    soon(api.remove_plugin(v1::RemovePluginRequest { id: id("b") })).await.unwrap();
    assert!(!alive(pid));
    assert_eq!(world.plugins.ids(), [id("a")]);
    assert!(world.bundles.path("b/plugin.py").exists(), "a user's own folder was deleted");

    let none = || "com.example.none".to_owned();
    let errors = [
        api.enable_plugin(v1::EnablePluginRequest { id: none() }).await.unwrap_err(),
        api.disable_plugin(v1::DisablePluginRequest { id: none() }).await.unwrap_err(),
        api.remove_plugin(v1::RemovePluginRequest { id: none() }).await.unwrap_err(),
        api.get_plugin_status(v1::GetPluginStatusRequest { id: none() }).await.unwrap_err(),
    ];
    for (error, rpc) in
        errors.iter().zip(["EnablePlugin", "DisablePlugin", "RemovePlugin", "GetPluginStatus"])
    {
        assert_eq!(error.id, "app.plugin.not_installed.app_error");
        assert_eq!((error.status_code, error.location.as_str()), (404, rpc));
        assert!(error.message.contains("com.example.none"), "{error}");
    }
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn what_a_plugin_writes_when_it_fails_is_not_for_the_one_that_enables_it() {
    let broken = "life:\n  - log: no module named x\n  - exit: 1\n";
    let world = World::idle(&[("a", &good()), ("b", broken)], |it| it).await;
    soon(world.plugins.activate(&id("a"))).await.unwrap();
    let request = v1::EnablePluginRequest { id: id("b") };
    let error = soon(world.apis.of("a").enable_plugin(request)).await.unwrap_err();
    assert_eq!(error.status_code, 500);
    assert!(error.message.contains(&id("b")), "{error}");
    assert!(!format!("{error:?}").contains("no module named x"), "{error:?}");
    assert!(world.plugins.last_error(&id("b")).unwrap().contains("no module named x"));
    soon(world.plugins.shutdown()).await;
}

/// The call is answered, and then the plugin is stopped: in order, and a shutdown waits for it.
#[tokio::test]
async fn a_plugin_may_disable_or_remove_itself() {
    for rpc in ["DisablePlugin", "RemovePlugin"] {
        let call = format!(
            "  MessageHasBeenPosted:\n    - call: {{rpc: {rpc}, request: {{id: {}}}}}\n",
            id("a")
        );
        let hooks = script("OnActivate, OnDeactivate, MessageHasBeenPosted", &call);
        let world = World::new(&[("a", &hooks)]).await;
        let events = world.plugins.events(&id("a")).unwrap();
        let _ = soon(world.plugins.dispatch().message_has_been_posted(Default::default())).await;
        soon(events.wait_for(|kind| *kind == EventKind::Ended)).await;
        soon(world.plugins.shutdown()).await;
        let report = world.report("a");
        assert_eq!(report.calls.len(), 1, "{report:?}");
        assert_eq!((report.calls[0].rpc.as_str(), report.calls[0].code.as_str()), (rpc, "OK"));
        assert_eq!(report.hooks.last().unwrap(), "OnDeactivate");
        assert_eq!(report.exit, Some(0));
        let left = if rpc == "RemovePlugin" { vec![] } else { vec![id("a")] };
        assert_eq!(world.plugins.ids(), left);
        assert!(world.bundles.path("a/plugin.py").exists());
    }
}

/// Inside `OnActivate`, when the plugin is only being started.
#[tokio::test]
async fn a_plugin_may_disable_itself_while_it_is_activated() {
    let call = format!(
        "  OnActivate:\n    - call: {{rpc: DisablePlugin, request: {{id: {}}}}}\n",
        id("a")
    );
    let world = World::new(&[("a", &script("OnActivate", &call))]).await;
    world.state("a", PluginState::NotRunning).await;
    soon(world.plugins.shutdown()).await;
    assert_eq!(world.report("a").calls[0].code, "OK");
}

#[tokio::test]
async fn plugins_that_enable_each_other_do_not_wait_for_each_other() {
    let enables = |name: &str| {
        let call = format!(
            "  OnActivate:\n    - call: {{rpc: EnablePlugin, request: {{id: {}}}}}\n",
            id(name)
        );
        script("OnActivate", &call)
    };
    let world = World::idle(&[("a", &enables("b")), ("b", &enables("a"))], |it| it).await;
    soon(world.plugins.activate(&id("a"))).await.unwrap();
    assert!(world.plugins.is_active(&id("a")) && world.plugins.is_active(&id("b")));
    soon(world.plugins.shutdown()).await;
    for name in ["a", "b"] {
        assert_eq!(world.report(name).calls[0].code, "OK");
    }
}

// PluginHTTP

/// Remembers what it was asked, and replies with what it is told to.
#[derive(Default)]
struct FakeHttp {
    asked: Mutex<Vec<(String, v1::ServeHttpRequestInit, Bytes)>>,
    fails: Mutex<Option<AskHttpError>>,
    bytes: Mutex<usize>,
}

#[async_trait]
impl AskHttp for FakeHttp {
    async fn ask_http(
        &self,
        plugin: Arc<Supervisor>,
        init: v1::ServeHttpRequestInit,
        body: Bytes,
    ) -> Result<HttpReply, AskHttpError> {
        self.asked.lock().unwrap().push((plugin.id().to_owned(), init, body));
        if let Some(error) = self.fails.lock().unwrap().clone() {
            return Err(error);
        }
        let mut headers = HeaderMap::new();
        for value in ["one", "two"] {
            headers.append("X-Many", HeaderValue::from_static(value));
        }
        let body = Full::from(vec![b'x'; *self.bytes.lock().unwrap()]);
        let body = body.map_err(|never: Infallible| match never {}).boxed_unsync();
        Ok(HttpReply { status: StatusCode::CREATED, headers, body })
    }
}

fn ask(url: &str) -> v1::PluginHttpRequest {
    v1::PluginHttpRequest { url: url.into(), ..Default::default() }
}

async fn http_world(http: &Arc<FakeHttp>) -> World {
    let serves = script("OnActivate, ServeHTTP", "");
    let http: Arc<dyn AskHttp> = Arc::<FakeHttp>::clone(http);
    let scripts = [("a", good()), ("b", serves.clone()), ("idle", serves)];
    let scripts: Vec<_> = scripts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let world = World::idle(&scripts, |builder| builder.plugin_http(http)).await;
    for name in ["a", "b"] {
        soon(world.plugins.activate(&id(name))).await.unwrap();
    }
    world
}

#[tokio::test]
async fn a_plugin_asks_another_over_http() {
    let http = Arc::<FakeHttp>::default();
    *http.bytes.lock().unwrap() = 3;
    let world = http_world(&http).await;
    let headers = [
        ("X-Own", "kept"),
        ("mattermost-plugin-id", "com.example.liar"),
        ("MATTERMOST-USER-ID", "liar"),
    ];
    let request = v1::PluginHttpRequest {
        method: "POST".into(),
        url: format!("/{}/path/to?x=/y&z=%20", id("b")),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        body: "hello".into(),
    };
    let reply = soon(world.apis.of("a").plugin_http(request.clone())).await.unwrap();
    assert_eq!((reply.status_code, reply.body), (201, "xxx".into()));
    assert_eq!(reply.headers, BTreeMap::from([("x-many".to_owned(), "one, two".to_owned())]));

    let (plugin, init, body) = http.asked.lock().unwrap().pop().unwrap();
    assert_eq!((plugin, body), (id("b"), "hello".into()));
    assert_eq!((init.method.as_str(), init.url.as_str()), ("POST", "/path/to?x=/y&z=%20"));
    assert_eq!((init.request_uri, init.content_length), (request.url, 5));
    let headers: Vec<_> =
        init.headers.into_iter().map(|header| (header.key, header.values)).collect();
    let header = |name: &str, value: String| (name.to_owned(), vec![value]);
    let wanted = [header("X-Own", "kept".into()), header("Mattermost-Plugin-Id", id("a"))];
    assert_eq!(headers, wanted);
    soon(world.plugins.shutdown()).await;
}

/// Over the real stream, into another process.
#[tokio::test]
async fn a_plugin_asks_another_process_over_http() {
    let app = Character::by_name("http-app").unwrap().script;
    let world = World::idle(&[("a", &good()), ("app", app)], |builder| builder).await;
    for name in ["a", "app"] {
        soon(world.plugins.activate(&id(name))).await.unwrap();
    }
    let request = v1::PluginHttpRequest {
        method: "POST".into(),
        url: format!("/{}/api/echo?x=1", id("app")),
        headers: BTreeMap::from([("Content-Type".to_owned(), "text/plain".to_owned())]),
        body: vec![b'z'; 200_000].into(),
    };
    let reply = soon(world.apis.of("a").plugin_http(request.clone())).await.unwrap();
    assert_eq!((reply.status_code, &reply.body), (200, &request.body));
    assert_eq!(reply.headers["x-echo"], "true");
    let cookies = ask(&format!("/{}/api/headers", id("app")));
    let reply = soon(world.apis.of("a").plugin_http(cookies)).await.unwrap();
    assert_eq!(reply.headers["set-cookie"], "a=1, b=2");
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn what_cannot_be_asked_over_http_is_a_page() {
    let http = Arc::<FakeHttp>::default();
    let world = http_world(&http).await;
    let api = world.apis.of("a");
    let cases = [
        ("/com.example.none/path".to_owned(), 404),
        (format!("/{}/path", id("idle")), 404),
        // It runs, but serves no HTTP.
        (format!("/{}/path", id("a")), 404),
        (format!("/{}", id("b")), 400),
        (format!("/{}?x=/y", id("b")), 400),
        (format!("path/{}", id("b")), 400),
        ("//path".to_owned(), 400),
        (String::new(), 400),
    ];
    for (url, status) in cases {
        let reply = api.plugin_http(ask(&url)).await.unwrap();
        assert_eq!(reply.status_code, status, "{url}");
    }
    assert!(http.asked.lock().unwrap().is_empty());

    let url = format!("/{}/path", id("b"));
    let gone =
        AskHttpError { status: StatusCode::BAD_GATEWAY, reason: "it broke the stream".into() };
    *http.fails.lock().unwrap() = Some(gone);
    let reply = api.plugin_http(ask(&url)).await.unwrap();
    assert_eq!((reply.status_code, reply.body), (502, "it broke the stream".into()));
    *http.fails.lock().unwrap() = None;

    for (bytes, fits) in [(64 << 20, true), ((64 << 20) + 1, false)] {
        *http.bytes.lock().unwrap() = bytes;
        let reply = soon(api.plugin_http(ask(&url))).await;
        assert_eq!(reply.as_ref().ok().map(|reply| reply.body.len()), fits.then_some(bytes));
        assert_eq!(reply.err().map(|error| error.status_code), (!fits).then_some(413));
    }
    soon(world.plugins.shutdown()).await;
}
