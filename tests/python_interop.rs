//! Real plugins: CPython and grpcio under the kit's supervisor, against the kit's API.
//!
//! Needs `python3` and a package index. Where they are missing the tests say so and pass, unless
//! `PLUGIN_CONFORMANCE_REQUIRE_PYTHON` is 1.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod python_common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use plugin_conformance::api::{ApiServer, Outcome, Recorder};
use plugin_conformance::conformance::GeneratedApi;
use plugin_conformance::hooks::Filtered;
use plugin_conformance::host::Host;
use plugin_conformance::supervisor::lifecycle::Ending;
use plugin_conformance::supervisor::{
    Ended, EventKind, ExitReport, ExitStatus, Level, LogRecord, Supervisor, SupervisorBuilder,
};
use plugin_proto::prost::Message as _;
use plugin_proto::v1;
use python_common::{environment_or_skip, project};
use tempfile::TempDir;

const VERSION: &str = "11.2.0";

/// A bundle of the plugin in `source`; `None` where there is no Python.
fn bundle(source: &str) -> Option<TempDir> {
    let environment = environment_or_skip()?;
    let bundle = tempfile::tempdir().unwrap();
    for file in fs::read_dir(project().join(source)).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|end| end == "py" || end == "json") {
            fs::copy(&file, bundle.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    for name in ["venv", "generated"] {
        symlink(environment.join(name), bundle.path().join(name)).unwrap();
    }
    Some(bundle)
}

/// A launch of which everything is kept.
struct Stage {
    recorder: Recorder,
    log: Arc<Mutex<Vec<LogRecord>>>,
    builder: SupervisorBuilder,
}

impl Stage {
    fn new(bundle: &Path) -> Self {
        let (api, recorder) = (GeneratedApi::answering(VERSION), Recorder::default());
        let log = Arc::<Mutex<Vec<LogRecord>>>::default();
        let (record, sink) = (recorder.clone(), Arc::clone(&log));
        let builder = Supervisor::builder(bundle)
            .api_server(move || ApiServer::builder(Arc::clone(&api)).record(&record))
            .log(Arc::new(move |record| sink.lock().unwrap().push(record)));
        Self { recorder, log, builder }
    }

    async fn launch(&self) -> Supervisor {
        match self.builder.launch().await {
            Ok(plugin) => plugin,
            Err(error) => panic!("{error}\nstderr:\n{}", error.stderr),
        }
    }

    /// The plugin's own records, as (level, text).
    fn said(&self) -> Vec<(Level, String)> {
        let log = self.log.lock().unwrap();
        log.iter().map(|record| (record.level, record.message.clone())).collect()
    }
}

fn left_in_order(ended: &Ended) {
    assert_eq!(ended.ending, Ending::Stopped);
    let exit =
        ExitReport { status: ExitStatus::Code(0), stragglers: 0, timed_out: false, unseen: None };
    assert_eq!(ended.exit, Some(exit), "stderr:\n{}", ended.stderr);
}

async fn hello(unix: bool) {
    let Some(bundle) = bundle("examples/hello-python") else { return };
    let mut stage = Stage::new(bundle.path());
    if unix {
        stage.builder = stage.builder.api_on_unix_socket();
    }
    let plugin = stage.launch().await;
    assert_eq!(plugin.id(), "com.mattermost.hello-python");
    assert_eq!(plugin.api_target().unwrap().starts_with("unix:///"), unix);

    let asked = stage.recorder.calls();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].method.name, "GetServerVersion");
    let Outcome::Response(answer) = &asked[0].outcome else { panic!("{asked:?}") };
    let answer = v1::GetServerVersionResponse::decode(answer.clone()).unwrap();
    assert_eq!(answer.version, VERSION);

    let hooks: Vec<_> = plugin.hooks().implemented_hooks().collect();
    assert_eq!(hooks, ["MessageWillBePosted", "OnActivate", "OnDeactivate"]);
    let post = |message: &str| v1::Post {
        id: "post".to_owned(),
        message: message.to_owned(),
        ..Default::default()
    };
    let request = |message| v1::MessageWillBePostedRequest {
        post: Some(post(message)),
        ..Default::default()
    };
    let answer = plugin.hooks().message_will_be_posted(request("hello")).await;
    assert_eq!(answer.decision, Filtered::Replaced(post("hello from Python")));
    let answer = plugin.hooks().message_will_be_posted(request("something else")).await;
    assert!(answer.is_answered());
    assert_eq!(answer.decision, Filtered::Unchanged);
    plugin.health_check().await.unwrap();

    left_in_order(&plugin.shutdown().await);
    assert!(plugin.health_check().await.is_err());
    let kinds = plugin.events().kinds();
    assert!(kinds.contains(&EventKind::Terminating), "{kinds:?}");
    assert!(!kinds.contains(&EventKind::Killing), "{kinds:?}");
    let said = stage.said();
    for text in ["active on Mattermost 11.2.0", "deactivated", "stopping"] {
        let heard = said.iter().any(|(level, said)| *level == Level::Info && said.contains(text));
        assert!(heard, "{text:?} is not in {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_python_plugin_runs_under_the_supervisor() {
    hello(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_python_plugin_runs_under_the_supervisor_over_a_unix_socket() {
    hello(true).await;
}

const CHANNEL: &str = "channelchannelchannelchann";

fn posted(message: &str) -> v1::MessageWillBePostedRequest {
    let post = v1::Post {
        id: "post".to_owned(),
        channel_id: CHANNEL.to_owned(),
        message: message.to_owned(),
        ..Default::default()
    };
    v1::MessageWillBePostedRequest { post: Some(post), ..Default::default() }
}

/// A plugin that uses its hooks in earnest, as `run` hosts it: posts, a command, counters in the KV
/// store, and every HTTP route as `drive.py` drives it.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_python_plugin_lives_on_a_laptop() {
    let Some(bundle) = bundle("examples/moderator-python") else { return };
    let host = Host::builder([bundle.path()]).start().await.unwrap();
    let launched: Vec<_> = host.launched().collect();
    assert_eq!(launched, [("com.example.moderator", Ok(()))]);
    let hooks = host.environment().hooks("com.example.moderator").unwrap();

    let rejected = hooks.message_will_be_posted(posted("that blasted cat")).await.decision;
    let Filtered::Rejected(reason) = rejected else { panic!("{rejected:?}") };
    assert!(reason.contains("blasted"), "{reason}");
    let dismissed = hooks.message_will_be_posted(posted("/secret plan")).await.decision;
    assert_eq!(dismissed, Filtered::Dismissed);
    let request = posted("pay with 4111 1111 1111 1111");
    let masked = hooks.message_will_be_posted(request.clone()).await.decision;
    let message = "pay with **** **** **** 1111".to_owned();
    let expected = v1::Post { message, ..request.post.unwrap() };
    assert_eq!(masked, Filtered::Replaced(expected));

    // However many at once, the KV store loses no count.
    let counted = |_| {
        let post = posted("hello").post;
        let request = v1::MessageHasBeenPostedRequest { post, ..Default::default() };
        let hooks = hooks.clone();
        async move { hooks.message_has_been_posted(request).await.is_answered() }
    };
    let counted = futures::future::join_all((0..50).map(counted)).await;
    assert!(counted.into_iter().all(|answered| answered));
    let args = v1::CommandArgs { command: "/moderator stats".to_owned(), ..Default::default() };
    let request = v1::ExecuteCommandRequest { args: Some(args), ..Default::default() };
    let answer = hooks.execute_command(request).await.decision.unwrap().unwrap();
    assert!(answer.text.contains(&format!("posts/{CHANNEL}: 50")), "{}", answer.text);

    let base = format!("http://{}/plugins/com.example.moderator", host.address());
    let drive = project().join("examples/moderator-python/drive.py");
    let mut command = tokio::process::Command::new("python3");
    let driven = command.arg(drive).args(["--small", &base]).kill_on_drop(true).output();
    let driven = tokio::time::timeout(std::time::Duration::from_secs(120), driven);
    let driven = driven.await.expect("it ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(driven.status.success(), "{}{}", text(&driven.stdout), text(&driven.stderr));

    let plugin = host.environment().supervisor("com.example.moderator").unwrap();
    host.stop().await.unwrap();
    left_in_order(&plugin.ended().await);
}

/// Large, unknown, corrupt and oversized messages, on one connection: the plugin compares what it
/// gets and refuses to be active if anything is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn one_connection_of_a_real_grpc_client_survives_what_it_sends() {
    let Some(bundle) = bundle("tests/python/wire") else { return };
    let stage = Stage::new(bundle.path());
    let plugin = stage.launch().await;

    let stored = stage.recorder.calls_of("KVSet");
    assert_eq!(stored.len(), 1, "the one over the limit never becomes a call");
    let request = v1::KvSetRequest::decode(stored[0].request.clone()).unwrap();
    assert_eq!(request.key, "large");
    assert_eq!(request.value.len(), 20 * 1024 * 1024);
    assert!(request.value.chunks(256).all(|chunk| chunk.iter().copied().eq(0..=255)));

    let gets = stage.recorder.calls_of("KVGet");
    assert_eq!(gets.len(), 3);
    let unknown = b"\xc0\x3e\x01\xca\x3e\x05hello";
    assert_eq!(gets[0].request, Bytes::from([b"\x0a\x05known", &unknown[..]].concat()));
    assert!(matches!(gets[0].outcome, Outcome::Response(_)), "{:?}", gets[0].outcome);
    for corrupt in &gets[1..] {
        let internal = matches!(&corrupt.outcome, Outcome::Status(tonic::Code::Internal, _));
        assert!(internal, "{:?}", corrupt.outcome);
    }
    assert_eq!(stage.recorder.calls_of("GetServerVersion").len(), 3 + 50);
    left_in_order(&plugin.shutdown().await);
}
