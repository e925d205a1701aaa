//! One readable file per RPC, and the coverage table: what a pull request changes at the boundary
//! shows as a diff.
//!
//! After a change that is meant: `cargo insta review`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fake_interpreters::{sample, wire};
use plugin_conformance::api::{ApiServer, PluginApi, app_error_of_status};
use plugin_conformance::conformance::{Coverage, DEFAULT_VERSION, Gate, GeneratedApi, Interpreter};
use plugin_proto::prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use plugin_proto::{DESCRIPTORS, Method, Service, v1};
use prost::Message as _;
use tonic::transport::Channel;

fn settings(folder: &str) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new("../snapshots").join(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

fn json(descriptor: MessageDescriptor, bytes: &[u8]) -> String {
    let message = DynamicMessage::decode(descriptor, bytes).unwrap();
    let options = SerializeOptions::new().use_proto_field_name(true);
    let value = message.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}

/// A message: its name, its JSON, its bytes.
fn message(text: &mut String, title: &str, descriptor: MessageDescriptor, bytes: &[u8]) {
    writeln!(text, "\n{title}: {}\n{}", descriptor.full_name(), json(descriptor.clone(), bytes))
        .unwrap();
    writeln!(text, "on the wire, {} bytes:", bytes.len()).unwrap();
    for line in hex::encode(bytes).as_bytes().chunks(96) {
        writeln!(text, "  {}", str::from_utf8(line).unwrap()).unwrap();
    }
}

/// The failure as the plugin sees it.
fn failure(text: &mut String, method: &Method, answer: Result<Bytes, tonic::Status>) {
    match answer {
        Ok(response) => {
            writeln!(text, "\nfailure: gRPC status OK").unwrap();
            message(text, "failure's response", method.response_descriptor(), &response);
        }
        Err(status) => {
            let code = wire::code_name(status.code());
            writeln!(text, "\nfailure: gRPC status {code} ({})", status.code() as i32).unwrap();
            writeln!(text, "grpc-message: {}", status.message()).unwrap();
            let error = v1::AppError::from(app_error_of_status(&status).unwrap());
            let descriptor = DESCRIPTORS.get_message_by_name("mattermost.pluginapi.v1.AppError");
            let error = json(descriptor.unwrap(), &error.encode_to_vec());
            writeln!(text, "detail: {error}").unwrap();
        }
    }
}

async fn serve(api: Arc<dyn PluginApi>) -> (ApiServer, Channel) {
    let server = ApiServer::builder(api).start().await.unwrap();
    let channel = wire::connect(server.target()).unwrap();
    (server, channel)
}

#[tokio::test]
async fn every_rpc_is_what_its_snapshot_says() {
    let (answers, answering) = serve(GeneratedApi::answering(DEFAULT_VERSION)).await;
    let (failures, failing) = serve(GeneratedApi::failing()).await;
    let mut changed = Vec::new();
    for method in Service::PluginAPI.methods() {
        let mut text = format!(
            "{}\ngroup {}, error channel {}\n",
            method.path, method.group, method.error_channel
        );
        let request = sample::request(method);
        message(&mut text, "request", method.request_descriptor(), &request);
        let response = wire::unary(&answering, method, request.clone(), None).await.unwrap();
        message(&mut text, "response", method.response_descriptor(), &response);
        failure(&mut text, method, wire::unary(&failing, method, request, None).await);
        let assert = || settings("rpc").bind(|| insta::assert_snapshot!(method.name, text));
        if catch_unwind(AssertUnwindSafe(assert)).is_err() {
            changed.push(method.name);
        }
    }
    answers.stop(Duration::ZERO).await;
    failures.stop(Duration::ZERO).await;
    assert!(changed.is_empty(), "not what their snapshots say: {changed:?}; see the diffs above");
}

#[test]
fn no_snapshot_is_left_of_an_rpc_that_is_gone() {
    for file in std::fs::read_dir("snapshots/rpc").unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".snap") else { continue };
        assert!(Method::by_name(Service::PluginAPI, name).is_some(), "snapshots/rpc/{name}.snap");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coverage_is_what_its_snapshot_says() {
    let gate = Gate::new(Interpreter::Link(common::fake_python()));
    let coverage = gate.coverage(Path::new("snapshots")).await.unwrap();
    settings("").bind(|| insta::assert_snapshot!("coverage", coverage.to_text()));
    let saved = Coverage::read(Path::new("snapshots/coverage.json")).unwrap();
    assert_eq!(coverage.regressions(&saved), Vec::<String>::new());
    let save = "plugin-conformance coverage --json > snapshots/coverage.json";
    assert!(saved == coverage, "the coverage has grown; save it: {save}");
}

#[test]
fn a_regression_names_the_rpc_and_what_it_lost() {
    let mut saved = Coverage::read(Path::new("snapshots/coverage.json")).unwrap();
    saved.rpcs[2].property_cases = 64;
    let mut now = saved.clone();
    assert!(now.regressions(&saved).is_empty());
    now.rpcs[0].snapshot = false;
    now.rpcs[1].handler = false;
    now.rpcs[2].property_cases = 1;
    now.rpcs[3].error_channel = "embedded".to_owned();
    let gone = now.rpcs.remove(4).rpc;
    let row = |at: usize| &saved.rpcs[at];
    assert_eq!(
        now.regressions(&saved),
        [
            format!("{} lost \"snapshot\": it was yes and is -", row(0).rpc),
            format!("{} lost \"handler\": it was yes and is -", row(1).rpc),
            format!("{} lost \"cases\": it was {} and is 1", row(2).rpc, row(2).property_cases),
            format!("{}: its error channel was status and is embedded", row(3).rpc),
            format!("{gone} is gone"),
        ]
    );
    let gone = format!("{gone} ");
    assert!(
        saved.regressions(&now).iter().all(|line| !line.starts_with(&gone)),
        "a new RPC is none"
    );
}
