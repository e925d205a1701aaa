//! What must hold of every unary hook whatever is asked and answered, between this process and a
//! fake interpreter in another, and proof that a fault anywhere in between is seen.
//!
//! Every hook has its own random numbers, the same ones in each run: `PROPTEST_RNG_SEED` gives
//! others, `PROPTEST_CASES` gives more than 64 cases for each hook and property.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arbitrary;
mod common;
#[path = "arbitrary/plugin.rs"]
mod plugin;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arbitrary::{Faults, Messages, hex};
use bytes::Bytes;
use fake_interpreters::compare::message_difference;
use fake_interpreters::sample;
use plugin::{DrivenPlugin, Said};
use plugin_conformance::escape::escape_control;
use plugin_conformance::hooks::{
    BoxHookService, Cause, DISMISS_POST, Fired, HookCall, HookError, HookVerdict, Hooks,
};
use plugin_proto::prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, SerializeOptions, Value as Field,
};
use plugin_proto::{Method, REDACTED, Service, redact};
use proptest::prelude::any;
use prost::Message as _;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tower::ServiceExt as _;

/// All unary hooks but Implemented, which the interpreter answers by itself.
fn hooks() -> impl Iterator<Item = &'static Method> {
    Service::PluginHooks.methods().filter(|hook| hook.is_unary() && hook.name != "Implemented")
}

/// What each hook's answer is read from: the fields of its decision.
enum Reads {
    Nothing,
    /// This field is the answer.
    Value(&'static str),
    /// This field replaces what was shown, unless there is a reason against it.
    Filter(&'static str),
    /// A reason, and nothing to replace.
    Reason,
    Upload,
}

fn reads(hook: &str) -> Reads {
    match hook {
        "RunDataRetention" => Reads::Value("deleted_count"),
        "ConfigurationWillBeSaved" => Reads::Value("modified_config"),
        "ExecuteCommand" | "OnSharedChannelsSyncMsg" => Reads::Value("response"),
        "GenerateSupportData" => Reads::Value("files"),
        "OnSharedChannelsPing" => Reads::Value("healthy"),
        "MessageWillBePosted" | "MessageWillBeUpdated" => Reads::Filter("modified_post"),
        "MessagesWillBeConsumed" => Reads::Filter("posts"),
        "NotificationWillBePushed" => Reads::Filter("modified_notification"),
        "EmailNotificationWillBeSent" => Reads::Filter("modified_content"),
        "UserWillLogIn" => Reads::Reason,
        "FileWillBeUploaded" => Reads::Upload,
        _ => Reads::Nothing,
    }
}

fn field_json(message: &DynamicMessage, name: &str) -> Option<Value> {
    let field = message.get_field_by_name(name)?;
    message.has_field_by_name(name).then(|| match &*field {
        Field::Message(message) => message_json(message),
        Field::List(messages) => {
            messages.iter().map(|it| message_json(it.as_message().unwrap())).collect()
        }
        Field::I64(number) => json!(number),
        Field::Bool(yes) => json!(yes),
        other => panic!("no decision is read from {other:?}"),
    })
}

/// Redacted bytes are shown as what they say, not in base64.
fn in_words(json: Value) -> Value {
    match json {
        Value::String(text) if text == REDACTED_BASE64 => REDACTED.into(),
        Value::Array(items) => items.into_iter().map(in_words).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, in_words(value))).collect()
        }
        other => other,
    }
}

/// [`REDACTED`] in base64.
const REDACTED_BASE64: &str = "KHJlZGFjdGVkKQ==";

/// As people see it: without secrets.
fn message_json(message: &DynamicMessage) -> Value {
    let mut message = message.clone();
    redact(&mut message);
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    match json {
        Ok(json) => in_words(json),
        // A number that is none has no JSON.
        Err(error) => Value::String(format!("a message without JSON: {error}")),
    }
}

fn text(message: &DynamicMessage, name: &str) -> String {
    let field = message.get_field_by_name(name);
    field.and_then(|field| field.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The decision that follows from an answer, from the answer's descriptor alone.
fn expected(hook: &Method, answer: &DynamicMessage) -> (HookVerdict, Option<Value>) {
    if answer.has_field_by_name("error") {
        let error = answer.get_field_by_name("error").unwrap();
        let part = |name: &str| text(error.as_message().unwrap(), name);
        // An error is one line, whatever the plugin's texts are.
        let part = |name: &str| escape_control(&part(name));
        let (id, message) = (part("id"), part("message"));
        let text = format!("{} was refused by the plugin: {id}: {message}", hook.name);
        return (HookVerdict::Error(text), None);
    }
    let reason = text(answer, "rejection_reason");
    let rejected = |reason: String| match hook.name {
        "MessageWillBePosted" if reason == DISMISS_POST => HookVerdict::Dismissed,
        _ => HookVerdict::Rejected(reason),
    };
    let replaced = |value: Option<Value>| match value {
        Some(value) => (HookVerdict::Replaced, Some(value)),
        None => (HookVerdict::Unchanged, None),
    };
    match reads(hook.name) {
        Reads::Nothing => (HookVerdict::Done, None),
        _ if !reason.is_empty() => (rejected(reason), None),
        Reads::Reason => (HookVerdict::Unchanged, None),
        Reads::Filter(name) => replaced(field_json(answer, name)),
        Reads::Upload => {
            let info = field_json(answer, "modified_file_info");
            let content = answer.get_field_by_name("modified_content");
            let bytes = content.map_or(0, |content| content.as_bytes().map_or(0, |it| it.len()));
            let bytes = (bytes > 0).then_some(bytes);
            let changed = info.is_some() || bytes.is_some();
            replaced(changed.then(|| json!({ "file_info": info, "content_bytes": bytes })))
        }
        Reads::Value(name) => {
            let value = field_json(answer, name);
            let empty = match hook.name {
                "RunDataRetention" => Some(json!(0)),
                "OnSharedChannelsPing" => Some(json!(false)),
                "OnSharedChannelsSyncMsg" => Some(json!({})),
                "GenerateSupportData" => Some(json!([])),
                _ => None,
            };
            let value = match hook.name {
                // A configuration of no bytes counts as none.
                "ConfigurationWillBeSaved" => value.filter(|value| *value != json!({})),
                _ => value,
            };
            match value.or(empty) {
                Some(value) => (HookVerdict::Answered, Some(value)),
                None => (HookVerdict::Done, None),
            }
        }
    }
}

type Caught = Arc<Mutex<Option<Result<Bytes, Status>>>>;

/// A plugin process, and the hooks with a place for a fault.
struct Boundary {
    plugin: RefCell<DrivenPlugin>,
    /// What the typed hooks were handed last.
    caught: Caught,
}

/// A fault between the typed hooks and the wire.
#[derive(Clone)]
enum FaultIn {
    Request(Arc<dyn Fn(Bytes) -> Bytes + Send + Sync>),
    Answer(Arc<dyn Fn(Bytes) -> Bytes + Send + Sync>),
}

impl Boundary {
    fn start() -> Self {
        Self { plugin: RefCell::new(DrivenPlugin::start()), caught: Caught::default() }
    }

    fn hooks(&self, fault: Option<FaultIn>) -> Hooks {
        let caught = Arc::clone(&self.caught);
        let faulty = move |inner: BoxHookService| {
            let fault = fault.clone();
            BoxHookService::new(tower::service_fn(move |mut call: HookCall| {
                if let Some(FaultIn::Request(edit)) = &fault {
                    call.request = edit(call.request);
                }
                let (answer, fault) = (inner.clone().oneshot(call), fault.clone());
                async move {
                    match (answer.await, fault) {
                        (Ok(answer), Some(FaultIn::Answer(edit))) => Ok(edit(answer)),
                        (answer, _) => answer,
                    }
                }
            }))
        };
        let catching = move |inner: BoxHookService| {
            let caught = Arc::clone(&caught);
            BoxHookService::new(tower::service_fn(move |call: HookCall| {
                let (answer, caught) = (inner.clone().oneshot(call), Arc::clone(&caught));
                async move {
                    let answer = answer.await;
                    *caught.lock().unwrap() = Some(answer.clone());
                    answer
                }
            }))
        };
        self.plugin.borrow().hooks.clone().layered(faulty).layered(catching)
    }

    /// Lets one hook cross: what arrived at the plugin, and what came of it.
    fn cross(&self, hooks: &Hooks, hook: &'static Method, request: Bytes, said: Said) -> Crossed {
        let (arrived, fired) = self.plugin.borrow_mut().fire(hooks, hook, request, said);
        let handed = self.caught.lock().unwrap().take().expect("the call was made");
        Crossed { arrived, handed, fired }
    }

    /// What is wrong when the plugin gives this answer.
    fn fault_of_answer(
        &self,
        hooks: &Hooks,
        hook: &'static Method,
        request: &DynamicMessage,
        answer: &DynamicMessage,
    ) -> Option<String> {
        let said = Said::Answer(answer.encode_to_vec().into());
        let crossed = self.cross(hooks, hook, request.encode_to_vec().into(), said);
        if let Some(found) = message_difference(request, &crossed.arrived) {
            return Some(format!("request: {found}"));
        }
        match &crossed.handed {
            Ok(handed) => {
                if let Some(found) = message_difference(answer, handed) {
                    return Some(format!("answer: {found}"));
                }
            }
            Err(status) => return Some(format!("answer: {status:?}")),
        }
        let (verdict, value) = expected(hook, answer);
        let Fired { verdict: got, value: shown, cause, .. } = crossed.fired;
        let same = got == verdict && shown == value && cause == Cause::Answered;
        (!same).then(|| {
            format!("decision: {got:?} {shown:?} ({cause:?}), expected {verdict:?} {value:?}")
        })
    }
}

struct Crossed {
    arrived: Bytes,
    handed: Result<Bytes, Status>,
    fired: Fired,
}

fn every_hook_crosses(part: usize) {
    let boundary = Boundary::start();
    let hooks_of_plugin = boundary.hooks(None);
    let mut faults = Faults::default();
    for (_, hook) in hooks().enumerate().filter(|(at, _)| at % PARTS == part) {
        let request = || Messages::of(hook.request_descriptor());
        let shown = |(request, answer): &(DynamicMessage, DynamicMessage)| {
            format!("request={} answer={}", hex(request), hex(answer))
        };
        let answer = || Messages::of(hook.response_descriptor());
        let crosses = |(request, answer): &(DynamicMessage, DynamicMessage)| {
            boundary.fault_of_answer(&hooks_of_plugin, hook, request, answer)
        };
        // With whatever fields are set, an error and a reason among them …
        faults.run(("answer", hook, 2), (request(), answer()), crosses, shown);
        // … and without, so that the rest decides.
        let plain = answer().without(&["error", "rejection_reason"]);
        faults.run(("plain answer", hook, 2), (request(), plain), crosses, shown);
        // A status is told, whatever it is, and decides as every other failure does.
        let statuses = (1..=16_i32, any::<String>());
        let fails = |(code, message): &(i32, String)| {
            let said = Said::Status(*code, message.clone());
            let crossed =
                boundary.cross(&hooks_of_plugin, hook, sample::request(hook), said.clone());
            let Cause::Failed(HookError::Status { status, .. }) = &crossed.fired.cause else {
                return Some(format!("{:?}", crossed.fired));
            };
            let same = status.code() == Code::from_i32(*code) && status.message() == message;
            (!same).then(|| format!("{status:?}, not {code} {message:?}"))
        };
        faults.run(("status", hook, 2), statuses, fails, |(code, message)| {
            format!("code={code} message={message:?}")
        });
    }
    faults.assert_none();
}

/// Tests that run beside each other, each with a process of its own.
const PARTS: usize = 2;

#[test]
fn every_hook_crosses_1() {
    every_hook_crosses(0);
}

#[test]
fn every_hook_crosses_2() {
    every_hook_crosses(1);
}

/// Every field that can be reached in a message, as the way to it.
fn ways(message: &DynamicMessage) -> Vec<Vec<FieldDescriptor>> {
    let mut ways = Vec::new();
    for (field, value) in message.fields() {
        ways.push(vec![field.clone()]);
        if let (Field::Message(inner), Kind::Message(_), false) =
            (value, field.kind(), field.is_map())
        {
            if inner.descriptor().full_name().starts_with("google.") {
                continue;
            }
            ways.extend(self::ways(inner).into_iter().map(|rest| {
                let mut way = vec![field.clone()];
                way.extend(rest);
                way
            }));
        }
    }
    ways
}

fn without(message: &DynamicMessage, way: &[FieldDescriptor]) -> DynamicMessage {
    let mut message = message.clone();
    match way {
        [field] => message.clear_field(field),
        [field, rest @ ..] => {
            if let Field::Message(inner) = message.get_field_mut(field) {
                *inner = without(inner, rest);
            }
        }
        [] => {}
    }
    message
}

/// A field that is lost on the way, in any hook, in either direction, is seen.
#[test]
fn no_field_can_be_dropped_unseen() {
    let boundary = Boundary::start();
    let (mut mutants, mut survivors) = (0, Vec::new());
    let mut per_hook = BTreeMap::<&str, usize>::new();
    for hook in hooks() {
        let request =
            DynamicMessage::decode(hook.request_descriptor(), sample::request(hook)).unwrap();
        let answer =
            DynamicMessage::decode(hook.response_descriptor(), sample::response(hook)).unwrap();
        let sound = boundary.fault_of_answer(&boundary.hooks(None), hook, &request, &answer);
        assert_eq!(sound, None, "{}: without a fault nothing is found", hook.name);
        let dropping = |message: &DynamicMessage, way: &[FieldDescriptor]| {
            let lacking: Bytes = without(message, way).encode_to_vec().into();
            Arc::new(move |_: Bytes| lacking.clone()) as Arc<dyn Fn(Bytes) -> Bytes + Send + Sync>
        };
        let requests =
            ways(&request).into_iter().map(|way| (FaultIn::Request(dropping(&request, &way)), way));
        let answers =
            ways(&answer).into_iter().map(|way| (FaultIn::Answer(dropping(&answer, &way)), way));
        for (fault, way) in requests.chain(answers) {
            mutants += 1;
            *per_hook.entry(hook.name).or_default() += 1;
            let hooks = boundary.hooks(Some(fault));
            if boundary.fault_of_answer(&hooks, hook, &request, &answer).is_none() {
                let way: Vec<_> = way.iter().map(|field| field.name().to_owned()).collect();
                survivors.push(format!("{}: {}", hook.name, way.join(".")));
            }
        }
    }
    assert!(survivors.is_empty(), "{} of {mutants} survive: {survivors:?}", survivors.len());
    let lines: Vec<_> = per_hook.iter().map(|(hook, count)| format!("{hook} {count}")).collect();
    insta::with_settings!(
        { snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true },
        { insta::assert_snapshot!("hook-mutants", format!("{}\nkilled {mutants} of {mutants}", lines.join("\n"))) }
    );
}
