//! The upstream integration test of Python plugins, line by line (I-1 to I-20): one plugin in a
//! process of its own, its hooks, its HTTP, an environment around it, and its crash.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Plugin, alive, quick_stop, soon, until};
use fake_interpreters::report::Report;
use http_body_util::{BodyExt as _, Empty, Full};
use plugin_conformance::environment::{Environment, KeeperOptions, RestartPolicy};
use plugin_conformance::hooks::{Hooks, ServeHttpReply};
use plugin_conformance::supervisor::Supervisor;
use plugin_proto::v1;
use rustix::process::Signal;

/// The four hooks of upstream's fake.
const HOOKS: &str = "OnActivate, OnDeactivate, MessageHasBeenPosted, ServeHTTP";

/// Upstream's ServeHTTP fakes: the routes of the character `http-app`.
fn http_app() -> Plugin {
    Plugin::of("http-app")
}

fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> v1::ServeHttpRequestInit {
    v1::ServeHttpRequestInit {
        method: method.to_owned(),
        url: url.to_owned(),
        proto: "HTTP/1.1".to_owned(),
        proto_major: 1,
        proto_minor: 1,
        headers: headers
            .iter()
            .map(|(key, value)| v1::HttpHeader {
                key: (*key).to_owned(),
                values: vec![(*value).to_owned()],
            })
            .collect(),
        request_uri: format!("/plugins/com.example{url}"),
        content_length: -1,
        ..Default::default()
    }
}

struct Reply {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Reply {
    async fn of(reply: ServeHttpReply) -> Self {
        let body = soon(reply.body.collect()).await.unwrap().to_bytes();
        Self { status: reply.status.as_u16(), headers: reply.headers, body }
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

async fn get(hooks: &Hooks, url: &str) -> Reply {
    let reply = soon(hooks.serve_http(request("GET", url, &[]), Empty::new())).await;
    Reply::of(reply.unwrap()).await
}

#[tokio::test]
async fn i_1_to_i_7_the_lifecycle_of_one_supervisor() {
    let plugin = Plugin::good(
        HOOKS,
        "on:\n  ServeHTTP:\n    - reply: {headers: {Content-Type: application/json}, body: '{}'}\n",
    );
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    let hooks = supervisor.hooks();
    // I-1, I-2
    let named = soon(hooks.implemented(Default::default())).await.decision.unwrap();
    for hook in ["OnActivate", "OnDeactivate", "MessageHasBeenPosted", "ServeHTTP"] {
        assert!(named.iter().any(|name| name == hook), "{hook}");
    }
    // I-3
    for hook in ["OnDeactivate", "MessageHasBeenPosted", "ServeHTTP"] {
        assert!(hooks.implements(hook), "{hook}");
    }
    // I-4
    soon(hooks.on_activate(Default::default())).await.decision.unwrap();
    // I-5
    let posted = v1::MessageHasBeenPostedRequest {
        plugin_context: Some(v1::PluginContext {
            session_id: "session".into(),
            request_id: "request".into(),
            ip_address: "127.0.0.1".into(),
            ..Default::default()
        }),
        post: Some(v1::Post { id: "post".into(), message: "hi".into(), ..Default::default() }),
        ..Default::default()
    };
    assert!(soon(hooks.message_has_been_posted(posted)).await.is_answered());
    // I-6
    let hello = get(hooks, "/hello").await;
    assert_eq!((hello.status, hello.header("content-type")), (200, "application/json"));
    // I-7
    soon(hooks.on_deactivate(Default::default())).await.decision.unwrap();
    soon(supervisor.shutdown()).await;
    plugin.assert_nothing_left().await;
}

#[tokio::test]
async fn i_8_to_i_14_serve_http() {
    let plugin = http_app();
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    let hooks = supervisor.hooks();
    // I-8
    let status = get(hooks, "/api/status").await;
    assert_eq!((status.status, status.header("content-type")), (200, "application/json"));
    assert_eq!(status.body, r#"{"status":"ok"}"#);
    // I-9
    let body = Bytes::from_static(b"echo this");
    let echo = request("POST", "/api/echo", &[("Content-Type", "text/plain")]);
    let echo = soon(hooks.serve_http(echo, Full::new(body.clone()))).await.unwrap();
    let echo = Reply::of(echo).await;
    assert_eq!((echo.status, echo.header("content-type")), (200, "text/plain"));
    assert_eq!((echo.header("x-echo"), &echo.body), ("true", &body));
    // I-10
    let large = get(hooks, "/api/large").await;
    assert_eq!((large.status, large.header("content-type")), (200, "text/plain"));
    assert_eq!((large.body.len(), large.body[0]), (102_400, b'X'));
    // I-11
    let headers = [("X-Test-Header", "test"), ("Authorization", "Bearer token")];
    let asked = request("GET", "/api/headers", &headers);
    let seen = soon(hooks.serve_http(asked, Empty::new())).await.unwrap();
    let seen = Reply::of(seen).await;
    assert_eq!(seen.status, 200);
    let has_fourth = |report: &Report| report.http.get(3).is_some_and(|it| it.init.is_some());
    let report = plugin.report_where(has_fourth).await;
    let init = report.http[3].init.as_ref().unwrap();
    let keys = init["headers"].as_array().unwrap().iter().map(|header| header["key"].as_str());
    assert_eq!(keys.collect::<Vec<_>>(), [Some("X-Test-Header"), Some("Authorization")]);
    // I-12
    assert_eq!(seen.header("x-custom-header"), "custom-value");
    // I-13
    let error = get(hooks, "/api/error").await;
    assert_eq!((error.status, error.body), (500, Bytes::from_static(b"internal error")));
    // I-14
    assert_eq!(get(hooks, "/nowhere").await.status, 404);
    soon(supervisor.shutdown()).await;
}

/// I-15: no caller cancels anything, and the plugin never ends its stream.
#[tokio::test]
async fn i_15_a_complete_reply_does_not_wait_for_the_streams_end() {
    let plugin = Plugin::good(
        "ServeHTTP",
        "on:\n  ServeHTTP:\n    - reply: {body: done, end: complete}\n    - hang\n",
    );
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    for _ in 0..10 {
        assert_eq!(get(supervisor.hooks(), "/").await.body, "done");
    }
    soon(supervisor.shutdown()).await;
}

/// Impatient with what hangs, patient with what is slow.
fn environment() -> Environment {
    Environment::builder()
        .launch(|_, launch| launch.timeouts(quick_stop()))
        .keeper(KeeperOptions {
            interval: Duration::from_secs(3600),
            restart: RestartPolicy { strikes: 10, ..RestartPolicy::default() },
        })
        .build()
        .unwrap()
}

#[tokio::test]
async fn i_16_to_i_19_the_environment() {
    let plugin = Plugin::good("OnActivate, OnDeactivate, OnConfigurationChange, ServeHTTP", "");
    let plugins = environment();
    let info = soon(plugins.add(plugin.dir())).await.unwrap();
    let id = info.id();
    // I-16
    assert!(soon(plugins.activate(id)).await.unwrap());
    assert!(plugins.is_active(id));
    // I-17
    soon(plugins.health_check(id)).await.unwrap();
    // I-18
    let mut told = Vec::new();
    plugins
        .dispatch()
        .for_each_implementing("OnConfigurationChange", |info, plugin| {
            told.push(info.id().to_owned());
            async move {
                let outcome = plugin.hooks().on_configuration_change(Default::default()).await;
                outcome.decision.is_ok()
            }
        })
        .await;
    assert_eq!(told, [id]);
    plugin.report_where(|report| report.hooks.iter().any(|it| it == "OnConfigurationChange")).await;
    // I-19
    assert!(soon(plugins.deactivate(id)).await);
    assert!(!plugins.is_active(id));
    soon(plugins.shutdown()).await;
}

#[tokio::test]
async fn i_20_a_crash_and_a_restart() {
    let plugin = Plugin::good("OnActivate", "");
    let plugins = environment();
    let info = soon(plugins.add(plugin.dir())).await.unwrap();
    let id = info.id();
    soon(plugins.activate(id)).await.unwrap();
    soon(plugins.health_check(id)).await.unwrap();
    let first = plugins.supervisor(id).unwrap().pid();
    let killed = Instant::now();
    common::signal(first, Signal::KILL);
    let other = |life: Option<std::sync::Arc<Supervisor>>| life.is_some_and(|it| it.pid() != first);
    // The keeper notices the exit by itself and starts it again; a restart by hand is no worse.
    until("the first process is gone", || !alive(first)).await;
    soon(plugins.restart(id)).await.unwrap();
    assert!(other(plugins.supervisor(id)));
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?}", killed.elapsed());
    soon(plugins.health_check(id)).await.unwrap();
    assert!(plugins.is_active(id));
    soon(plugins.shutdown()).await;
}

/// An upload that a plugin does not read fills its connection's window; hooks and health go on.
#[tokio::test]
async fn an_upload_that_is_not_read_holds_up_no_hook() {
    let plugin = Plugin::good(
        "MessageHasBeenPosted, ServeHTTP",
        "on:\n  ServeHTTP:\n    - reply: {read: none, body: early, flush: true, end: hang}\n",
    );
    let supervisor = soon(plugin.alone().launch()).await.unwrap();
    let hooks = supervisor.hooks().clone().with_deadline(Duration::from_secs(5));
    let mut uploads = Vec::new();
    for _ in 0..3 {
        let upload = Full::new(Bytes::from(vec![b'x'; 4 << 20]));
        let reply = soon(hooks.serve_http(request("POST", "/", &[]), upload)).await.unwrap();
        uploads.push(reply);
    }
    let post = v1::Post { message: "x".repeat(1 << 20), ..Default::default() };
    let posted = v1::MessageHasBeenPostedRequest { post: Some(post), ..Default::default() };
    let outcome = soon(hooks.message_has_been_posted(posted)).await;
    assert!(outcome.is_answered(), "{outcome:?}");
    soon(supervisor.health_check()).await.unwrap();
    drop(uploads);
    soon(supervisor.shutdown()).await;
}
