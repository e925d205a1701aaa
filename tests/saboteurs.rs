//! A check that cannot fail is a defect: each check is tripped by a fault made for it, and by no
//! other.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use plugin_conformance::api::{ApiCall, BoxCallService};
use plugin_conformance::conformance::saboteurs::SABOTEURS;
use plugin_conformance::conformance::{Bundle, Gate, Interpreter, RunReport, SCENARIOS, Status};
use plugin_conformance::hooks::{BoxHookService, HookCall};
use plugin_proto::prost_reflect::DynamicMessage;
use plugin_proto::{ErrorChannel, Method, Service};
use prost::Message as _;
use tonic::{Code, Status as Rpc};
use tower::ServiceExt as _;

fn gate() -> Gate {
    Gate::new(Interpreter::Link(common::fake_python()))
}

fn failed(report: &RunReport) -> BTreeSet<String> {
    let failed = report.checks.iter().filter(|check| check.status == Status::Failed);
    failed.map(|check| check.id.clone()).collect()
}

#[test]
fn every_rule_has_a_saboteur_and_every_saboteur_a_rule() {
    let rules: BTreeSet<_> =
        SCENARIOS.iter().flat_map(|scenario| scenario.rules).map(|rule| rule.id).collect();
    let tripped: BTreeSet<_> = SABOTEURS.iter().map(|saboteur| saboteur.trips).collect();
    assert_eq!(rules, tripped);
    let count: usize = SCENARIOS.iter().map(|scenario| scenario.rules.len()).sum();
    assert_eq!(rules.len(), count, "two rules have one id");
}

/// Lives every scenario once, then lets each saboteur loose on what was seen.
#[tokio::test(flavor = "multi_thread")]
async fn each_saboteur_trips_exactly_its_life_cycle_check() {
    let gate = gate();
    let seen: Vec<_> = stream::iter(SCENARIOS)
        .map(|scenario| gate.observe(scenario).map(move |seen| (scenario, seen.unwrap())))
        .buffered(4)
        .collect()
        .await;
    let broken = |trips: Option<&str>, sabotage: &dyn Fn(&mut _)| -> Vec<(&str, String)> {
        let mut broken = Vec::new();
        for (scenario, seen) in &seen {
            let mut seen = seen.clone();
            if trips.is_some_and(|trips| scenario.rules.iter().any(|rule| rule.id == trips)) {
                sabotage(&mut seen);
            }
            for rule in scenario.rules {
                broken.extend((rule.judge)(&seen).err().map(|fault| (rule.id, fault.to_string())));
            }
        }
        broken
    };
    assert_eq!(broken(None, &|_| ()), [], "without a saboteur every rule holds");
    for saboteur in SABOTEURS {
        let broken = broken(Some(saboteur.trips), &saboteur.sabotage);
        let ids: Vec<_> = broken.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [saboteur.trips], "a supervisor that {}: {broken:?}", saboteur.defect);
        assert!(broken.iter().all(|(_, fault)| !fault.is_empty()), "no word of what is wrong");
    }
}

/// Sits between handler and wire and spoils every second RPC.
#[derive(Clone)]
struct Spoiled {
    inner: BoxCallService,
    parity: usize,
    spoil: fn(&'static Method, Result<Bytes, Rpc>) -> Result<Bytes, Rpc>,
}

impl tower::Service<ApiCall> for Spoiled {
    type Response = Bytes;
    type Error = Rpc;
    type Future = BoxFuture<'static, Result<Bytes, Rpc>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rpc>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: ApiCall) -> Self::Future {
        let (method, parity, spoil) = (call.method, self.parity, self.spoil);
        let answer = self.inner.call(call);
        async move {
            let answer = answer.await;
            if method.index % 2 == parity { spoil(method, answer) } else { answer }
        }
        .boxed()
    }
}

fn spoiled(
    parity: usize,
    spoil: fn(&'static Method, Result<Bytes, Rpc>) -> Result<Bytes, Rpc>,
) -> Gate {
    gate().fault(Arc::new(move |server| {
        let layer = move |inner| Spoiled { inner, parity, spoil };
        server.call_layer(tower::layer::layer_fn(layer))
    }))
}

fn every_second(parity: usize, kind: &str) -> BTreeSet<String> {
    let methods = Service::PluginAPI.methods().filter(|method| method.index % 2 == parity);
    methods.map(|method| format!("rpc.{}.{kind}", method.name)).collect()
}

/// Drops the last field of the answer; an answer without fields gets an error that nobody made.
fn drop_a_field(method: &'static Method, answer: Result<Bytes, Rpc>) -> Result<Bytes, Rpc> {
    let mut answer = DynamicMessage::decode(method.response_descriptor(), answer?).unwrap();
    let last = answer.fields().map(|(field, _)| field).max_by_key(|field| field.number());
    match last {
        // The version is the one answer that is compared by its field alone.
        Some(field) => answer.clear_field(&field),
        None => return Ok(Bytes::from_static(&[0x0a, 0x00])),
    }
    Ok(answer.encode_to_vec().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_field_trips_the_answer_check_of_its_rpc_and_no_other() {
    for parity in [0, 1] {
        let report = spoiled(parity, drop_a_field).check_answers().await.unwrap();
        assert_eq!(failed(&report), every_second(parity, "answer"));
    }
}

/// A failure that should be a status travels in the answer, and the other way round.
fn swap_the_channel(method: &'static Method, answer: Result<Bytes, Rpc>) -> Result<Bytes, Rpc> {
    match (method.error_channel, answer) {
        (ErrorChannel::Embedded, _) => Err(Rpc::new(Code::Internal, "sample: sample")),
        _ => Ok(Bytes::new()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_channel_trips_the_failure_check_of_its_rpc_and_no_other() {
    for parity in [0, 1] {
        let report = spoiled(parity, swap_the_channel).check_failures().await.unwrap();
        assert_eq!(failed(&report), every_second(parity, "failure"));
    }
}

/// A status loses its details, an embedded error its last part.
fn lose_a_part(method: &'static Method, answer: Result<Bytes, Rpc>) -> Result<Bytes, Rpc> {
    match answer {
        Err(status) => Err(Rpc::new(status.code(), status.message())),
        Ok(answer) => {
            let mut answer = DynamicMessage::decode(method.response_descriptor(), answer).unwrap();
            let error = answer.get_field_by_name_mut("error").unwrap();
            error.as_message_mut().unwrap().clear_field_by_name("params");
            Ok(answer.encode_to_vec().into())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_part_of_an_app_error_trips_the_failure_check_of_its_rpc_and_no_other() {
    for parity in [0, 1] {
        let report = spoiled(parity, lose_a_part).check_failures().await.unwrap();
        assert_eq!(failed(&report), every_second(parity, "failure"));
    }
}

/// Plugins that break one rule of the gate for plugins, and keep all others.
const BAD_PLUGINS: &[(&str, &str)] = &[
    (
        "plugin.handshake",
        "life: [{serve: {hooks: []}}, {handshake: \"1|1|{network}|{address}|netrpc\"}, wait]",
    ),
    ("plugin.health", "life: [{serve: {health: not_serving}}, handshake, wait]"),
    (
        "plugin.implemented",
        "life: [{serve: {}}, handshake, wait]\n\
         on: {Implemented: [{answer: {hooks: [OnFrobnicate]}}]}",
    ),
    (
        "plugin.activate",
        "life: [{serve: {hooks: [OnActivate]}}, handshake, wait]\n\
         on: {OnActivate: [{answer_error: {id: refused, message: refused, status_code: 500}}]}",
    ),
    (
        "plugin.api-calls",
        "life: [{call: {rpc: GetUser, request_hex: \"fa0600\"}}, {serve: {}}, handshake, wait]",
    ),
    (
        "plugin.api-answers",
        "life: [{call: {rpc: GetUser, expect: {errors: generated}}}, {serve: {}}, handshake, wait]",
    ),
    (
        "plugin.deactivate",
        "life: [{serve: {hooks: [OnDeactivate]}}, handshake, wait]\n\
         on: {OnDeactivate: [{answer_error: {id: refused, message: refused, status_code: 500}}]}",
    ),
    (
        "plugin.stays",
        "life: [{serve: {hooks: [OnActivate]}}, handshake, wait]\n\
         on: {after_activate: [exit]}",
    ),
    ("plugin.leaves", "life: [ignore_sigterm, {serve: {}}, handshake, wait]"),
    ("plugin.exit-status", "life: [{serve: {}}, handshake, wait]\non: {stop: [{exit: 3}]}"),
    (
        "plugin.no-stragglers",
        "life: [{grandchild: {new_session: true}}, {serve: {}}, handshake, wait]",
    ),
    ("plugin.again", "life: [{lock: plugin.lock}, {serve: {}}, handshake, wait]"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_plugin_trips_exactly_its_rule() {
    let folder = tempfile::tempdir().unwrap();
    let gate = gate();
    let good =
        "life: [{call: GetUser}, {serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]";
    let (gate, folder) = (&gate, folder.path());
    let checked = async |name: &str, script: &str| {
        let interpreter = Interpreter::Link(common::fake_python());
        let bundle = Bundle::write(&folder.join(name), name, script, &interpreter).unwrap();
        gate.check_plugin(&bundle.dir, false).await.unwrap()
    };
    let report = checked("good", good).await;
    assert_eq!(report.summary.failed, 0, "{report:#?}");
    assert_eq!(report.summary.passed, report.summary.checks, "{report:#?}");

    let reports: Vec<_> = stream::iter(BAD_PLUGINS)
        .map(|(rule, script)| checked(rule, script).map(move |report| (*rule, report)))
        .buffered(4)
        .collect()
        .await;
    for (rule, report) in &reports {
        assert_eq!(failed(report), BTreeSet::from([(*rule).to_owned()]), "{report:#?}");
    }

    let empty = folder.join("empty");
    std::fs::create_dir(&empty).unwrap();
    let report = gate.check_plugin(&empty, false).await.unwrap();
    assert_eq!(failed(&report), BTreeSet::from(["plugin.bundle".to_owned()]));

    // No rule without its saboteur.
    let rules = report.checks.iter().map(|check| check.id.as_str());
    let tripped = BAD_PLUGINS.iter().map(|(rule, _)| *rule).chain(["plugin.bundle"]);
    assert_eq!(rules.collect::<BTreeSet<_>>(), tripped.collect::<BTreeSet<_>>());
}

/// Sits between the typed hooks and the wire and spoils every second hook, but for the one without
/// which there is no launch.
fn spoiled_hooks(
    parity: usize,
    spoil: fn(&'static Method, Result<Bytes, Rpc>) -> Result<Bytes, Rpc>,
) -> Gate {
    let layer = move |inner: BoxHookService| {
        BoxHookService::new(tower::service_fn(move |call: HookCall| {
            let method = call.method;
            let answer = inner.clone().oneshot(call);
            async move {
                let answer = answer.await;
                if is_spoiled(method, parity) { spoil(method, answer) } else { answer }
            }
        }))
    };
    gate().hook_fault(Arc::new(layer))
}

fn is_spoiled(hook: &Method, parity: usize) -> bool {
    let launches = ["Implemented", "OnActivate"].contains(&hook.name);
    hook.is_unary() && hook.index % 2 == parity && !launches
}

fn every_second_hook(parity: usize, kind: &str) -> BTreeSet<String> {
    let hooks = Service::PluginHooks.methods().filter(|hook| is_spoiled(hook, parity));
    hooks.map(|hook| format!("hook.{}.{kind}", hook.name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_field_trips_the_answer_check_of_its_hook_and_no_other() {
    for parity in [0, 1] {
        let report = spoiled_hooks(parity, drop_a_field).check_hooks().await.unwrap();
        let failed = failed(&report);
        let answers = failed.iter().filter(|id| id.ends_with(".answer")).cloned();
        assert_eq!(answers.collect::<BTreeSet<_>>(), every_second_hook(parity, "answer"));
    }
}

/// A supervisor that takes every failure for an answer of no words.
#[tokio::test(flavor = "multi_thread")]
async fn a_swallowed_failure_trips_the_failure_check_of_its_hook_and_no_other() {
    fn swallow(_: &'static Method, _: Result<Bytes, Rpc>) -> Result<Bytes, Rpc> {
        Ok(Bytes::new())
    }
    for parity in [0, 1] {
        let report = spoiled_hooks(parity, swallow).check_hooks().await.unwrap();
        let failed = failed(&report);
        let failures = failed.iter().filter(|id| id.ends_with(".failure")).cloned();
        assert_eq!(failures.collect::<BTreeSet<_>>(), every_second_hook(parity, "failure"));
    }
}

/// A field of the request that does not reach the plugin.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_trips_the_answer_check_of_its_hook_and_no_other() {
    for parity in [0, 1] {
        let layer = move |inner: BoxHookService| {
            BoxHookService::new(tower::service_fn(move |mut call: HookCall| {
                if is_spoiled(call.method, parity) {
                    // Another message than was asked for, for each hook: an unknown field more.
                    call.request = [&call.request[..], &[0xf8, 0x7f, 0x01]].concat().into();
                }
                inner.clone().oneshot(call)
            }))
        };
        let report = gate().hook_fault(Arc::new(layer)).check_hooks().await.unwrap();
        // OnDeactivate is called once more by the stop, whose request is spoiled as well.
        assert_eq!(failed(&report), every_second_hook(parity, "answer"));
    }
}
