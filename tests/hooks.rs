//! What each hook decides, across the process boundary: 41 unary hooks, each answered, refused,
//! failed, left hanging, cut off and not implemented by a fake interpreter.
//!
//! `src/conformance/catalogue/decisions.tsv` is the oracle; `snapshots/hooks/` shows what crosses.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fake_interpreters::sample;
use futures::future::join_all;
use plugin_conformance::hooks::{
    Cause, DISMISS_POST, Filtered, FireError, Fired, HookError, HookVerdict, Hooks,
};
use plugin_conformance::supervisor::Handshake;
use plugin_proto::prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use plugin_proto::{ErrorChannel, Method, Service, v1};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use common::{fake_python, soon};

/// All but ServeHTTP, which is a stream.
fn unary() -> impl Iterator<Item = &'static Method> {
    Service::PluginHooks.methods().filter(|hook| hook.is_unary())
}

/// A fake interpreter that nobody supervises.
struct Peer {
    process: Child,
    hooks: Hooks,
    _folder: TempDir,
}

impl Peer {
    /// One that implements `hooks` and does `steps` in each of them.
    async fn new(hooks: &[&str], steps: impl Fn(&Method) -> Value) -> Self {
        let on: serde_json::Map<_, _> = hooks
            .iter()
            .filter(|name| **name != "Implemented")
            .map(|name| {
                let hook = Method::by_name(Service::PluginHooks, name).unwrap();
                ((*name).to_owned(), steps(hook))
            })
            .collect();
        let listed: Vec<_> = hooks.iter().filter(|name| **name != "Implemented").collect();
        let script = json!({"life": [{"serve": {"hooks": listed}}, "handshake", "wait"], "on": on});
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.py");
        std::fs::write(&path, script.to_string()).unwrap();
        let mut command = Command::new(fake_python());
        command.arg(&path).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        soon(stdout.read_line(&mut line)).await.unwrap();
        let handshake = Handshake::parse(line.trim_end().as_bytes()).unwrap();
        let hooks =
            soon(Hooks::connect(&handshake.address, Duration::from_secs(15))).await.unwrap();
        Self { process, hooks, _folder: folder }
    }

    /// One that implements everything.
    async fn of_all(steps: impl Fn(&Method) -> Value) -> Self {
        let hooks: Vec<_> = unary().map(|hook| hook.name).collect();
        Self::new(&hooks, steps).await
    }

    /// Fires all hooks at once, with generated requests.
    async fn fire_all(&self, hooks: &Hooks) -> BTreeMap<&'static str, Fired> {
        let fired = unary().map(|hook| async move {
            (hook.name, hooks.fire(hook, sample::request(hook)).await.unwrap())
        });
        soon(join_all(fired)).await.into_iter().collect()
    }
}

/// The columns of the table.
struct Row {
    unasked: String,
    failure: String,
    error: String,
    empty: String,
}

fn decisions() -> BTreeMap<&'static str, Row> {
    let table = include_str!("../src/conformance/catalogue/decisions.tsv");
    let lines = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines
        .map(|line| {
            let mut columns = line.split('\t');
            let hook = columns.next().unwrap();
            let mut next = || columns.next().unwrap().to_owned();
            (hook, Row { unasked: next(), failure: next(), error: next(), empty: next() })
        })
        .collect()
}

/// A decision as the table has it.
fn word(fired: &Fired) -> String {
    match (&fired.verdict, &fired.value) {
        (HookVerdict::Error(_), _) => "error".to_owned(),
        (verdict, Some(value)) => format!("{verdict} {value}"),
        (verdict, None) => verdict.to_string(),
    }
}

/// Compares with a column of the table, and says every difference at once.
fn assert_decided(
    fired: &BTreeMap<&'static str, Fired>,
    column: impl Fn(&Row) -> &String,
    cause: impl Fn(&Cause) -> bool,
) {
    let decisions = decisions();
    assert_eq!(decisions.len(), 41, "a row per unary hook");
    let mut wrong = String::new();
    for (hook, fired) in fired {
        let expected = column(&decisions[hook]);
        if expected == "-" {
            continue;
        }
        if word(fired) != *expected || !cause(&fired.cause) {
            writeln!(wrong, "{fired}; expected {expected}; {:?}", fired.cause).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn failed(cause: &Cause) -> bool {
    matches!(cause, Cause::Failed(_))
}

#[tokio::test]
async fn a_hook_that_is_not_implemented_takes_its_default_without_a_call() {
    let peer = Peer::new(&[], |_| json!([])).await;
    let mut fired = peer.fire_all(&peer.hooks).await;
    assert!(fired.remove("Implemented").unwrap().cause == Cause::Answered);
    assert_decided(&fired, |row| &row.unasked, |cause| *cause == Cause::NotImplemented);
}

#[tokio::test]
async fn a_grpc_error_is_a_failure_with_its_status() {
    let steps = |_: &Method| json!([{"fail": {"code": "INTERNAL", "message": "broken"}}]);
    let peer = Peer::of_all(steps).await;
    let mut fired = peer.fire_all(&peer.hooks).await;
    fired.remove("Implemented");
    assert_decided(
        &fired,
        |row| &row.failure,
        |cause| matches!(cause, Cause::Failed(HookError::Status { status, .. }) if status.message() == "broken"),
    );
}

#[tokio::test]
async fn a_timeout_is_a_failure_after_the_deadline() {
    let peer = Peer::of_all(|_| json!(["hang"])).await;
    let after = Duration::from_millis(150);
    let hasty = peer.hooks.clone().with_deadline(after);
    let mut fired = peer.fire_all(&hasty).await;
    fired.remove("Implemented");
    assert_decided(
        &fired,
        |row| &row.failure,
        |cause| matches!(cause, Cause::Failed(HookError::Timeout { after: limit, .. }) if *limit == after),
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_decoded_is_a_failure() {
    // Field 1 with a wire type that does not exist.
    let peer = Peer::of_all(|_| json!([{"answer_hex": "0f"}])).await;
    let mut fired = peer.fire_all(&peer.hooks).await;
    fired.remove("Implemented");
    assert_decided(
        &fired,
        |row| &row.failure,
        |cause| matches!(cause, Cause::Failed(HookError::Malformed { .. })),
    );
}

#[tokio::test]
async fn an_app_error_in_the_answer_is_a_refusal() {
    let peer = Peer::of_all(|hook| match hook.error_channel {
        ErrorChannel::Embedded => json!([{"answer_error": {
            "id": "app.refused", "message": "Not now.", "detailed_error": "why", "status_code": 418,
            "where": "here", "request_id": "r", "params": {"n": 1},
        }}]),
        _ => json!([]),
    })
    .await;
    let mut fired = peer.fire_all(&peer.hooks).await;
    fired.remove("Implemented");
    assert_decided(&fired, |row| &row.error, |cause| *cause == Cause::Answered);
    let outcome = peer.hooks.execute_command(Default::default()).await;
    let error = outcome.decision.unwrap_err().to_app_error();
    assert_eq!((error.id.as_str(), error.status_code), ("app.refused", 418));
    assert_eq!((error.message.as_str(), error.detailed_error.as_str()), ("Not now.", "why"));
    assert_eq!((error.location.as_str(), error.request_id.as_str()), ("here", "r"));
    assert!(error.params.is_some());
}

#[tokio::test]
async fn an_empty_answer_changes_nothing() {
    let peer = Peer::of_all(|_| json!([])).await;
    let mut fired = peer.fire_all(&peer.hooks).await;
    fired.remove("Implemented");
    assert_decided(&fired, |row| &row.empty, |cause| *cause == Cause::Answered);
}

/// Not after the deadline: at once, for every hook that is under way.
#[tokio::test]
async fn a_plugin_that_dies_fails_what_is_under_way_at_once() {
    let mut peer = Peer::of_all(|hook| match hook.name {
        "OnPluginClusterEvent" => json!([{"crash": "SIGSEGV"}]),
        _ => json!(["hang"]),
    })
    .await;
    let start = Instant::now();
    let mut fired = peer.fire_all(&peer.hooks).await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    fired.remove("Implemented");
    assert_decided(
        &fired,
        |row| &row.failure,
        |cause| matches!(cause, Cause::Failed(HookError::Disconnected { .. })),
    );
    soon(peer.process.wait()).await.unwrap();
    let later = peer.hooks.user_will_log_in(Default::default()).await;
    assert!(failed(&later.cause) && later.decision == Filtered::Unchanged, "{later:?}");
}

/// A caller that gives up gives up in the plugin, too.
#[tokio::test]
async fn a_caller_can_cancel() {
    let peer = Peer::of_all(|_| json!(["hang"])).await;
    let caller = CancellationToken::new();
    let hooks = peer.hooks.clone().until(caller.clone());
    let hung = tokio::spawn(async move { hooks.on_saml_login(Default::default()).await });
    caller.cancel();
    let outcome = soon(hung).await.unwrap();
    assert!(
        matches!(outcome.cause, Cause::Failed(HookError::Cancelled { hook: "OnSAMLLogin" })),
        "{outcome:?}"
    );
    assert!(outcome.decision.is_err(), "it fails closed");
}

/// A reason wins over a replacement, and one reason is silent, for one hook.
#[tokio::test]
async fn a_rejection_wins_over_a_replacement() {
    let other = v1::Post { message: "other".to_owned(), ..Default::default() };
    let rejected = |reason: &str| Filtered::Rejected(reason.to_owned());
    for (reason, posted, updated) in [
        ("no", rejected("no"), rejected("no")),
        (DISMISS_POST, Filtered::Dismissed, rejected(DISMISS_POST)),
        ("", Filtered::Replaced(other.clone()), Filtered::Replaced(other.clone())),
    ] {
        let answer = json!([{"answer": {
            "rejection_reason": reason, "modified_post": {"message": "other"},
        }}]);
        let hooks = ["MessageWillBePosted", "MessageWillBeUpdated"];
        let peer = Peer::new(&hooks, |_| answer.clone()).await;
        let outcome = soon(peer.hooks.message_will_be_posted(Default::default())).await;
        assert_eq!((outcome.decision, outcome.cause), (posted, Cause::Answered));
        let outcome = soon(peer.hooks.message_will_be_updated(Default::default())).await;
        assert_eq!((outcome.decision, outcome.cause), (updated, Cause::Answered));
    }
}

fn pretty(descriptor: MessageDescriptor, bytes: &[u8]) -> String {
    let message = DynamicMessage::decode(descriptor, bytes).unwrap();
    let options = SerializeOptions::new().use_proto_field_name(true);
    let value = message.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

/// One readable file per hook: what is asked, what is answered, what is decided.
#[tokio::test]
async fn every_hook_is_what_its_snapshot_says() {
    let peer = Peer::of_all(|hook| {
        let descriptor = hook.response_descriptor();
        let answer = pretty(descriptor, &answer(hook));
        json!([{"answer": serde_json::from_str::<Value>(&answer).unwrap()}])
    })
    .await;
    let fired = peer.fire_all(&peer.hooks).await;
    let rows = decisions();
    let mut changed = Vec::new();
    for hook in unary() {
        let (request, response) = (sample::request(hook), answer(hook));
        let fired = &fired[hook.name];
        let row = &rows[hook.name];
        let mut text = format!("{}\ngroup {}\n", hook.path, hook.group);
        let asked = pretty(hook.request_descriptor(), &request);
        writeln!(text, "\nrequest: {}\n{asked}", hook.request).unwrap();
        let answered = pretty(hook.response_descriptor(), &response);
        writeln!(text, "\nanswer: {}\n{answered}", hook.response).unwrap();
        let value = fired.value.as_ref().map(|value| serde_json::to_string_pretty(value).unwrap());
        let value = value.map(|value| format!("\n{value}")).unwrap_or_default();
        writeln!(text, "\ndecision: {}{value}", fired.verdict).unwrap();
        writeln!(text, "\nnot implemented: {}", row.unasked).unwrap();
        writeln!(text, "failure: {}\nerror: {}\nempty: {}", row.failure, row.error, row.empty)
            .unwrap();
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(Path::new("../snapshots/hooks"));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        let assert = || settings.bind(|| insta::assert_snapshot!(hook.name, text));
        if catch_unwind(AssertUnwindSafe(assert)).is_err() {
            changed.push(hook.name);
        }
    }
    assert!(changed.is_empty(), "not what their snapshots say: {changed:?}; see the diffs above");
}

/// The generated answer without an error and without a reason, so that there is something to see.
fn answer(hook: &Method) -> Bytes {
    use plugin_proto::prost::Message as _;
    let mut message =
        DynamicMessage::decode(hook.response_descriptor(), sample::response(hook)).unwrap();
    if hook.name != "UserWillLogIn" {
        message.clear_field_by_name("rejection_reason");
    }
    message.clear_field_by_name("error");
    message.encode_to_vec().into()
}

#[test]
fn no_snapshot_is_left_of_a_hook_that_is_gone() {
    for file in std::fs::read_dir("snapshots/hooks").unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".snap") else { continue };
        assert!(
            Method::by_name(Service::PluginHooks, name).is_some(),
            "snapshots/hooks/{name}.snap"
        );
    }
}

/// By name, as a person types it.
#[tokio::test]
async fn hooks_are_fired_by_name_and_json() {
    let peer = Peer::new(
        &["MessageWillBePosted"],
        |_| json!([{"answer": {"rejection_reason": "no swearing"}}]),
    )
    .await;
    let post = json!({"post": {"id": "p", "message": "damn"}});
    let fired = peer.hooks.fire_json("MessageWillBePosted", &post).await.unwrap();
    assert_eq!(fired.to_string(), "MessageWillBePosted: rejected: no swearing");
    let fired = peer.hooks.fire_json("UserWillLogIn", &json!({})).await.unwrap();
    let text = fired.to_string();
    assert_eq!(text, "UserWillLogIn: allowed (the plugin does not implement it)");

    let unknown = peer.hooks.fire_json("MessageWillBePost", &json!({})).await.unwrap_err();
    assert!(matches!(unknown, FireError::Unknown { .. }));
    assert!(unknown.to_string().contains("MessageWillBePosted"), "{unknown}");
    let stream = peer.hooks.fire_json("ServeHTTP", &json!({})).await.unwrap_err();
    assert_eq!(stream, FireError::Stream { hook: "ServeHTTP" });
    let wrong = json!({"post": {"mesage": "x"}});
    let wrong = peer.hooks.fire_json("MessageWillBePosted", &wrong).await.unwrap_err();
    assert!(wrong.to_string().contains("post.mesage"), "{wrong}");
}
