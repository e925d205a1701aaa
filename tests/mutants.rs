//! A test that cannot fail is a defect: every fault that a server can have between its handlers
//! and the wire is put into every RPC where it makes sense, one at a time, and the oracle of the
//! property tests has to see each of them.
//!
//! A mutant is one fault in one place of one RPC. Its cases are a generated message that fills
//! every field and an arbitrary one, both prepared so that the fault shows. Without the fault the
//! oracle must find nothing; with it, it must find something in each case. A mutant that it lets
//! pass is a survivor, and the test fails with the list of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arbitrary;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use arbitrary::{Answer, Case, Messages, Scripted, fault};
use bytes::Bytes;
use fake_interpreters::compare::code_of_http_status;
use fake_interpreters::sample::{self, Seed};
use fake_interpreters::wire;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use plugin_conformance::api::{ApiCall, ApiServer, BoxCallService};
use plugin_proto::prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use plugin_proto::{ErrorChannel, MessageType, Method, Service, prost_types};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use prost::Message as _;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::BoxError;
use tower::util::BoxCloneSyncService;

/// Nothing takes as long, but for what never ends.
const LIMIT: Duration = Duration::from_secs(20);
/// How long a caller waits for what never ends.
const SHORT: Duration = Duration::from_millis(30);

/// Faults that show in one value only: a second case would be the same once more.
const FIXED: [&str; 4] = ["bytes as text", "narrow a number", "text as ASCII", "trim a text"];

type Edit = Arc<dyn Fn(&mut DynamicMessage) + Send + Sync>;
type Reply = Result<Bytes, Status>;

/// What a broken server does.
#[derive(Clone)]
enum Act {
    /// Takes the request for another one.
    Request(Arc<dyn Fn(Bytes) -> Bytes + Send + Sync>),
    /// Gives another answer.
    Reply(Arc<dyn Fn(Reply) -> Reply + Send + Sync>),
    /// Has no handler.
    Missing,
    /// Calls the handler twice.
    Twice,
    /// Never answers.
    Never,
    /// Spoils what HTTP carries.
    Http(fn(&mut StatusCode, &mut HeaderMap, &mut Bytes)),
}

/// Where a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Request,
    Answer,
    Failure,
}

struct Mutant {
    fault: &'static str,
    side: Side,
    /// The field, or what else sets it apart.
    place: String,
    act: Act,
    cases: Vec<Case>,
}

/// What is broken at the moment, by the method's index.
type Acts = Arc<Vec<Mutex<Option<Act>>>>;

/// Sits between handler and framing.
#[derive(Clone)]
struct BrokenCalls {
    inner: BoxCallService,
    acts: Acts,
}

impl tower::Service<ApiCall> for BrokenCalls {
    type Response = Bytes;
    type Error = Status;
    type Future = BoxFuture<'static, Reply>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: ApiCall) -> Self::Future {
        let act = self.acts[call.method.index].lock().unwrap().clone();
        match act {
            Some(Act::Request(edit)) => call.request = edit(call.request),
            Some(Act::Reply(edit)) => {
                let reply = self.inner.call(call);
                return async move { edit(reply.await) }.boxed();
            }
            Some(Act::Missing) => {
                let missing = format!("method {} not implemented", call.method.name);
                return futures::future::ready(Err(Status::unimplemented(missing))).boxed();
            }
            Some(Act::Twice) => {
                let first = self.inner.call(call.clone());
                let second = self.inner.call(call);
                return async move { (first.await, second.await).1 }.boxed();
            }
            Some(Act::Never) => return futures::future::pending().boxed(),
            Some(Act::Http(_)) | None => {}
        }
        self.inner.call(call)
    }
}

type HttpService = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;

/// Sits between framing and HTTP/2.
#[derive(Clone)]
struct BrokenHttp {
    inner: HttpService,
    acts: Acts,
}

impl tower::Service<Request<Body>> for BrokenHttp {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = Method::by_path(request.uri().path());
        let act = method.and_then(|method| self.acts[method.index].lock().unwrap().clone());
        let response = self.inner.call(request);
        let Some(Act::Http(spoil)) = act else { return response };
        async move {
            let (mut head, body) = response.await?.into_parts();
            let body = body.collect().await?;
            let trailers = body.trailers().cloned();
            let mut bytes = body.to_bytes();
            spoil(&mut head.status, &mut head.headers, &mut bytes);
            let body = match trailers {
                Some(trailers) => {
                    let trailers = futures::future::ready(Some(Ok(trailers)));
                    Body::new(Full::new(bytes).with_trailers(trailers))
                }
                None => Body::new(Full::new(bytes)),
            };
            Ok(Response::from_parts(head, body))
        }
        .boxed()
    }
}

// Faults in the fields of a message.

/// A fault in a message, and what makes it show.
struct FieldFault {
    fault: &'static str,
    place: String,
    prepare: Edit,
    apply: Edit,
}

/// Every fault in a field of the message, and one level down in the messages in it.
fn field_faults(descriptor: &MessageDescriptor, unset: &[&str]) -> Vec<FieldFault> {
    let mut faults = faults_here(descriptor, unset);
    for field in descriptor.fields().filter(|field| !unset.contains(&field.name())) {
        let Some(inner) = message_in(&field).filter(|inner| !is_struct(inner)) else { continue };
        for FieldFault { fault, place, prepare, apply } in faults_here(&inner, &[]) {
            let (within, around) = (field.clone(), field.clone());
            faults.push(FieldFault {
                fault,
                place: format!("{}.{place}", field.name()),
                prepare: Arc::new(move |message| {
                    fill(message, &within);
                    prepare(first_in(message.get_field_mut(&within)).unwrap());
                }),
                apply: Arc::new(move |message| {
                    if let Some(inner) = first_in(message.get_field_mut(&around)) {
                        apply(inner);
                    }
                }),
            });
        }
    }
    faults
}

/// The message type of a field, of its elements, or of its entries' values.
fn message_in(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let Kind::Message(message) = field.kind() else { return None };
    if !field.is_map() {
        return Some(message);
    }
    match message.map_entry_value_field().kind() {
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

fn is_struct(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("google.protobuf.")
}

/// A field's message, its first element, or the value of its first key.
fn first_in(value: &mut Value) -> Option<&mut DynamicMessage> {
    match value {
        Value::Message(message) => Some(message),
        Value::List(list) => list.first_mut()?.as_message_mut(),
        Value::Map(map) => {
            let least = keys(map).into_iter().next()?;
            map.get_mut(&least)?.as_message_mut()
        }
        _ => None,
    }
}

fn keys(map: &HashMap<MapKey, Value>) -> Vec<MapKey> {
    let mut keys: Vec<_> = map.keys().cloned().collect();
    keys.sort_by_key(|key| key.as_str().unwrap_or_default().to_owned());
    keys
}

/// Gives a field without a value, or with one element only, the value that it has in a message
/// with every field set.
fn fill(message: &mut DynamicMessage, field: &FieldDescriptor) {
    let is_full = match &*message.get_field(field) {
        Value::List(list) => list.len() > 1,
        Value::Map(map) => map.len() > 1,
        _ => message.has_field(field),
    };
    if is_full {
        return;
    }
    let full = sample::message(&message.descriptor(), Seed(5), &[]);
    let full = DynamicMessage::decode(message.descriptor(), full).unwrap();
    message.set_field(field, full.get_field(field).into_owned());
}

/// A value with nothing in it.
fn zero(value: &Value) -> Value {
    match value {
        Value::Bool(_) => Value::Bool(false),
        Value::I32(_) => Value::I32(0),
        Value::I64(_) => Value::I64(0),
        Value::U32(_) => Value::U32(0),
        Value::U64(_) => Value::U64(0),
        Value::F32(_) => Value::F32(0.0),
        Value::F64(_) => Value::F64(0.0),
        Value::String(_) => Value::String(String::new()),
        Value::Bytes(_) => Value::Bytes(Bytes::new()),
        Value::EnumNumber(_) => Value::EnumNumber(0),
        Value::Message(message) => Value::Message(DynamicMessage::new(message.descriptor())),
        Value::List(list) => Value::List(list.iter().map(zero).collect()),
        Value::Map(map) => {
            Value::Map(map.iter().map(|(key, value)| (key.clone(), zero(value))).collect())
        }
    }
}

/// Numbers in a Struct or Value, as a peer with 32-bit floats has them.
fn narrow_doubles(value: &mut Value) {
    match value {
        Value::F64(number) => *number = f64::from(*number as f32),
        Value::Message(message) => {
            message.fields_mut().for_each(|(_, value)| narrow_doubles(value))
        }
        Value::List(list) => list.iter_mut().for_each(narrow_doubles),
        Value::Map(map) => map.values_mut().for_each(narrow_doubles),
        _ => {}
    }
}

/// The faults in the fields of this very message.
fn faults_here(descriptor: &MessageDescriptor, unset: &[&str]) -> Vec<FieldFault> {
    let mut fields: Vec<_> =
        descriptor.fields().filter(|field| !unset.contains(&field.name())).collect();
    fields.sort_by_key(FieldDescriptor::number);
    let mut faults = Vec::new();
    for field in &fields {
        faults_of(field, &mut faults);
    }
    for (at, one) in fields.iter().enumerate() {
        let same = |other: &&FieldDescriptor| {
            (other.kind(), other.cardinality(), message_in(other))
                == (one.kind(), one.cardinality(), message_in(one))
        };
        let Some(other) = fields[at + 1..].iter().find(same) else { continue };
        let ((a, b), (c, d)) = ((one.clone(), other.clone()), (one.clone(), other.clone()));
        faults.push(FieldFault {
            fault: "swap two fields",
            place: format!("{} and {}", one.name(), other.name()),
            prepare: Arc::new(move |message| {
                fill(message, &a);
                fill(message, &b);
                if message.get_field(&a) == message.get_field(&b) {
                    message.clear_field(&b);
                }
            }),
            apply: Arc::new(move |message| {
                let (one, other) = (message.take_field(&c), message.take_field(&d));
                for (field, value) in [(&d, one), (&c, other)] {
                    if let Some(value) = value {
                        message.set_field(field, value);
                    }
                }
            }),
        });
    }
    faults
}

fn faults_of(field: &FieldDescriptor, faults: &mut Vec<FieldFault>) {
    let mut add = |fault, prepare: Edit, apply: Edit| {
        faults.push(FieldFault { fault, place: field.name().to_owned(), prepare, apply });
    };
    // Edits that see the field alone.
    let filled = || -> Edit {
        let field = field.clone();
        Arc::new(move |message| fill(message, &field))
    };
    let cleared = || -> Edit {
        let field = field.clone();
        Arc::new(move |message| message.clear_field(&field))
    };
    let set = |value: Value| -> Edit {
        let field = field.clone();
        Arc::new(move |message| message.set_field(&field, value.clone()))
    };
    let changed = |change: fn(&mut Value)| -> Edit {
        let field = field.clone();
        Arc::new(move |message| {
            if message.has_field(&field) {
                change(message.get_field_mut(&field));
            }
        })
    };
    // A message without fields is always empty.
    let hollow = message_in(field).is_some_and(|inner| inner.fields().len() == 0);

    add("drop a field", filled(), cleared());
    let has_presence = field.supports_presence();
    if !hollow && (has_presence || field.is_list() || field.is_map()) {
        // Of any other field, a zero is no other message than none.
        add("zero a field", filled(), changed(|value| *value = zero(value)));
    }
    if has_presence {
        let empty = match field.kind() {
            Kind::Message(inner) => Value::Message(DynamicMessage::new(inner)),
            kind => Value::default_value(&kind),
        };
        add("unset for empty", set(empty.clone()), cleared());
        add("empty for unset", cleared(), set(empty));
    }
    if field.is_map() {
        let lose = |value: &mut Value| {
            let map = value.as_map_mut().unwrap();
            keys(map).first().map(|key| map.remove(key));
        };
        add("lose an element", filled(), changed(lose));
        let swap = |value: &mut Value| {
            let map = value.as_map_mut().unwrap();
            if let [one, other, ..] = &keys(map)[..] {
                let (first, second) = (map.remove(one).unwrap(), map.remove(other).unwrap());
                map.extend([(one.clone(), second), (other.clone(), first)]);
            }
        };
        if !hollow {
            add("reorder elements", filled(), changed(swap));
        }
        return;
    }
    if field.is_list() {
        add("lose an element", filled(), changed(|value| drop(value.as_list_mut().unwrap().pop())));
        if !hollow {
            let reverse = |value: &mut Value| value.as_list_mut().unwrap().reverse();
            add("reorder elements", filled(), changed(reverse));
        }
        return;
    }
    match field.kind() {
        Kind::Int64 => {
            let narrow = |value: &mut Value| {
                let number = value.as_i64_mut().unwrap();
                *number = i64::from(*number as i32);
            };
            add("narrow a number", set(Value::I64((1 << 40) + 7)), changed(narrow));
        }
        Kind::Int32 => {
            let narrow = |value: &mut Value| {
                let number = value.as_i32_mut().unwrap();
                *number = i32::from(*number as i16);
            };
            add("narrow a number", set(Value::I32(-70_000)), changed(narrow));
        }
        Kind::Uint32 => {
            let narrow = |value: &mut Value| {
                let number = value.as_u32_mut().unwrap();
                *number = u32::from(*number as u16);
            };
            add("narrow a number", set(Value::U32(70_000)), changed(narrow));
        }
        Kind::Message(inner) if is_struct(&inner) => {
            let tenth = |number: f64| {
                let json = if inner.full_name().ends_with(".Struct") {
                    serde_json::json!({"n": [number]})
                } else {
                    serde_json::json!(number)
                };
                Value::Message(DynamicMessage::deserialize(inner.clone(), json).unwrap())
            };
            add("narrow a number", set(tenth(0.1)), changed(narrow_doubles));
        }
        Kind::String => {
            let ascii = |value: &mut Value| {
                let text = value.as_string_mut().unwrap();
                *text = text.replace(|character: char| !character.is_ascii(), "?");
            };
            add("text as ASCII", set(Value::String("schlüssel 漢".to_owned())), changed(ascii));
            let trim = |value: &mut Value| {
                let text = value.as_string_mut().unwrap();
                *text = text.trim().to_owned();
            };
            add("trim a text", set(Value::String(" a\n".to_owned())), changed(trim));
        }
        Kind::Bytes => {
            let lossy = |value: &mut Value| {
                let bytes = value.as_bytes_mut().unwrap();
                *bytes = String::from_utf8_lossy(bytes).into_owned().into();
            };
            add("bytes as text", set(Value::Bytes(Bytes::from_static(b"a\xff\0"))), changed(lossy));
        }
        _ => {}
    }
}

// Failures on the wire.

/// google.rpc.Status.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// Any response, or what there is of it when the call fails.
#[derive(Clone, PartialEq, prost::Message)]
struct AnyResponse {
    #[prost(bytes = "bytes", optional, tag = "1")]
    error: Option<Bytes>,
}

/// The encoded AppError of a failed call, on whatever channel.
fn error_of(reply: &Reply) -> Option<Bytes> {
    match reply {
        Ok(response) => AnyResponse::decode(response.clone()).unwrap().error,
        Err(status) => {
            let status = RpcStatus::decode(status.details()).unwrap();
            Some(status.details.into_iter().next()?.value.into())
        }
    }
}

/// The same failure with another AppError in it.
fn with_error(reply: Reply, error: Bytes) -> Reply {
    let Err(status) = reply else {
        return Ok(AnyResponse { error: Some(error) }.encode_to_vec().into());
    };
    let mut details = RpcStatus::decode(status.details()).unwrap();
    details.details[0].value = error.into();
    Err(Status::with_details(status.code(), status.message(), details.encode_to_vec().into()))
}

/// The failure on a channel on which it does not belong.
fn on_the_other_channel(reply: Reply) -> Reply {
    let error = error_of(&reply);
    match reply {
        Err(_) => Ok(AnyResponse { error }.encode_to_vec().into()),
        Ok(_) => {
            let bytes = error.unwrap();
            let error = plugin_proto::v1::AppError::decode(bytes.clone()).unwrap();
            let code = code_of_http_status(error.status_code);
            let message = format!("{}: {}", error.id, error.message);
            let type_url = "type.googleapis.com/mattermost.pluginapi.v1.AppError".to_owned();
            let details = vec![prost_types::Any { type_url, value: bytes.into() }];
            let details = RpcStatus { code: code.into(), message: message.clone(), details };
            Err(Status::with_details(code, message, details.encode_to_vec().into()))
        }
    }
}

fn with_code(reply: Reply, code: Code) -> Reply {
    let rewrite = |status: Status| {
        Status::with_details(code, status.message(), Bytes::copy_from_slice(status.details()))
    };
    reply.map_err(rewrite)
}

fn with_message(reply: Reply, text: fn(&str) -> String) -> Reply {
    let rewrite = |status: Status| {
        let details = Bytes::copy_from_slice(status.details());
        Status::with_details(status.code(), text(status.message()), details)
    };
    reply.map_err(rewrite)
}

// All mutants of an RPC.

/// The messages of which the cases are made: all fields set, and arbitrary.
struct Bases {
    requests: [DynamicMessage; 2],
    responses: [DynamicMessage; 2],
    errors: [DynamicMessage; 2],
}

impl Bases {
    fn of(method: &Method) -> Self {
        let rng_seed = RngSeed::Fixed(arbitrary::hash(method.name));
        let config = Config { rng_seed, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let mut both = |full: Bytes, any: Messages, descriptor: MessageDescriptor| {
            let full = DynamicMessage::decode(descriptor, full).unwrap();
            [full, any.new_tree(&mut runner).unwrap().current()]
        };
        let (request, response) = (method.request_descriptor(), method.response_descriptor());
        let error = sample::app_error(method).encode_to_vec().into();
        let responses = Messages::of(response.clone()).without(&["error"]);
        let mut bases = Self {
            requests: both(sample::request(method), Messages::of(request.clone()), request),
            responses: both(sample::response(method), responses, response),
            errors: both(error, Messages::of(arbitrary::app_error()), arbitrary::app_error()),
        };
        // The default budget of metadata is for the sample; an arbitrary one may be larger.
        if bases.errors[1].encoded_len() > 1000 {
            bases.errors[1] = bases.errors[0].clone();
            bases.errors[1].clear_field_by_name("params");
        }
        bases
    }

    fn case(&self, at: usize, fails: bool) -> Case {
        let answer = match fails {
            true => Answer::Failure(self.errors[at].clone()),
            false => Answer::Response(self.responses[at].clone()),
        };
        Case { request: self.requests[at].clone(), answer }
    }

    fn cases(&self, fails: bool) -> Vec<Case> {
        [0, 1].map(|at| self.case(at, fails)).into()
    }
}

fn mutants_of(method: &'static Method) -> Vec<Mutant> {
    let bases = Bases::of(method);
    let mut mutants = Vec::new();
    faults_in_fields(method, &bases, &mut mutants);
    faults_of_failures(method, &bases, &mut mutants);
    faults_of_calls(method, &bases, &mut mutants);
    mutants
}

/// Whether the fault makes another message of this one, for someone who knows its type.
fn shows(message: &DynamicMessage, apply: &Edit) -> bool {
    let mut broken = message.clone();
    apply(&mut broken);
    canonical(message) != canonical(&broken)
}

/// The same bytes for the same message.
fn canonical(message: &DynamicMessage) -> Vec<u8> {
    let kind = MessageType::by_name(message.descriptor().full_name()).unwrap();
    kind.reencode(&message.encode_to_vec()).unwrap()
}

fn faults_in_fields(method: &'static Method, bases: &Bases, mutants: &mut Vec<Mutant>) {
    let edited = |bytes: Bytes, descriptor: &MessageDescriptor, apply: &Edit| -> Bytes {
        let mut message = DynamicMessage::decode(descriptor.clone(), bytes).unwrap();
        apply(&mut message);
        message.encode_to_vec().into()
    };
    for side in [Side::Request, Side::Answer, Side::Failure] {
        let (descriptor, unset): (_, &[&str]) = match side {
            Side::Request => (method.request_descriptor(), &[]),
            Side::Answer => (method.response_descriptor(), &["error"]),
            Side::Failure => (arbitrary::app_error(), &[]),
        };
        for FieldFault { fault, place, prepare, apply } in field_faults(&descriptor, unset) {
            let mut cases = bases.cases(side == Side::Failure);
            if FIXED.contains(&fault) {
                cases.truncate(1);
            }
            cases.retain_mut(|case| {
                let message = match (side, &mut case.answer) {
                    (Side::Request, _) => &mut case.request,
                    (_, Answer::Response(message) | Answer::Failure(message)) => message,
                };
                prepare(message);
                shows(message, &apply)
            });
            let descriptor = descriptor.clone();
            let act = match side {
                Side::Request => {
                    Act::Request(Arc::new(move |bytes| edited(bytes, &descriptor, &apply)))
                }
                Side::Answer => {
                    Act::Reply(Arc::new(move |reply| Ok(edited(reply?, &descriptor, &apply))))
                }
                Side::Failure => Act::Reply(Arc::new(move |reply| {
                    let error = edited(error_of(&reply).unwrap(), &descriptor, &apply);
                    with_error(reply, error)
                })),
            };
            mutants.push(Mutant { fault, side, place, act, cases });
        }
    }
}

fn faults_of_failures(method: &'static Method, bases: &Bases, mutants: &mut Vec<Mutant>) {
    let mut add = |fault, place: &str, act: Act| {
        let (place, cases) = (place.to_owned(), bases.cases(true));
        mutants.push(Mutant { fault, side: Side::Failure, place, act, cases });
    };
    let reply = |edit: fn(Reply) -> Reply| Act::Reply(Arc::new(edit));
    let full = sample::response(method);
    add("wrong error channel", "", reply(on_the_other_channel));
    add("silent success", "empty", reply(|_| Ok(Bytes::new())));
    if !full.is_empty() {
        add("silent success", "full", Act::Reply(Arc::new(move |_| Ok(full.clone()))));
    }
    let other = sample::app_error(&plugin_proto::METHODS[(method.index + 1) % 236]);
    let other = Bytes::from(other.encode_to_vec());
    let swap = move |reply| with_error(reply, other.clone());
    add("answer of another call", "AppError", Act::Reply(Arc::new(swap)));
    if method.error_channel == ErrorChannel::Embedded {
        return;
    }
    for code in [Code::Ok, Code::Unknown, Code::FailedPrecondition, Code::Cancelled] {
        let place = wire::code_name(code);
        add("wrong code", place, Act::Reply(Arc::new(move |reply| with_code(reply, code))));
    }
    let in_details = |reply: Reply| {
        let status = reply.unwrap_err();
        let mut details = RpcStatus::decode(status.details()).unwrap();
        details.code += 1;
        Err(Status::with_details(status.code(), status.message(), details.encode_to_vec().into()))
    };
    add("wrong code", "in the details", reply(in_details));
    let bare = |reply: Reply| reply.map_err(|status| Status::new(status.code(), status.message()));
    add("lose the details", "by the handler", reply(bare));
    let lose = |_: &mut StatusCode, headers: &mut HeaderMap, _: &mut Bytes| {
        headers.remove("grpc-status-details-bin");
    };
    add("lose the details", "by HTTP", Act::Http(lose));
    let no_id = |text: &str| text.split_once(": ").unwrap().1.to_owned();
    add(
        "wrong message",
        "without id",
        Act::Reply(Arc::new(move |reply| with_message(reply, no_id))),
    );
    let only_id = |text: &str| text.split_once(": ").unwrap().0.to_owned();
    add(
        "wrong message",
        "id alone",
        Act::Reply(Arc::new(move |reply| with_message(reply, only_id))),
    );
    let escaped = |text: &str| text.replace(' ', "%20");
    add(
        "wrong message",
        "escaped twice",
        Act::Reply(Arc::new(move |reply| with_message(reply, escaped))),
    );
    let lose = |_: &mut StatusCode, headers: &mut HeaderMap, _: &mut Bytes| {
        headers.remove("grpc-message");
    };
    add("wrong message", "none", Act::Http(lose));
}

fn faults_of_calls(method: &'static Method, bases: &Bases, mutants: &mut Vec<Mutant>) {
    let mut add = |fault, side, place: &str, act: Act, cases: Vec<Case>| {
        mutants.push(Mutant { fault, side, place: place.to_owned(), act, cases });
    };
    let (request, response) = (sample::request(method), sample::response(method));
    let (successes, failures) = (bases.cases(false), bases.cases(true));
    let empty_request = request.is_empty();
    let only_full = |cases: &[Case]| cases[..1].to_vec();

    let internal = |_| Err(Status::internal("sample: sample"));
    add(
        "failure for an answer",
        Side::Answer,
        "status",
        Act::Reply(Arc::new(internal)),
        successes.clone(),
    );
    let invented = |reply: Reply| {
        let bytes = reply?;
        Ok([bytes.as_ref(), &[0x0a, 0x00]].concat().into())
    };
    add(
        "failure for an answer",
        Side::Answer,
        "empty error",
        Act::Reply(Arc::new(invented)),
        successes.clone(),
    );

    let another = if method.name == "GetUser" { "GetTeam" } else { "GetUser" };
    let another = Method::by_name(Service::PluginAPI, another).unwrap();
    let another = sample::message(&another.response_descriptor(), Seed(9), &["error"]);
    let act = Act::Reply(Arc::new(move |_| Ok(another.clone())));
    if method.response != "mattermost.pluginapi.v1.GetUserResponse" || method.name == "GetUser" {
        add("answer of another call", Side::Answer, "of another RPC", act, successes.clone());
    }
    let other = sample::message(&method.response_descriptor(), Seed(9), &["error"]);
    if !other.is_empty() {
        let mut other = DynamicMessage::decode(method.response_descriptor(), other).unwrap();
        if other == bases.responses[0] {
            // It holds nothing but text.
            other = DynamicMessage::new(method.response_descriptor());
        }
        let other = Bytes::from(other.encode_to_vec());
        let act = Act::Reply(Arc::new(move |_| Ok(other.clone())));
        add("answer of another call", Side::Answer, "of the same RPC", act, only_full(&successes));
        for (place, keep) in [("by a byte", response.len() - 1), ("by half", response.len() / 2)] {
            let act = Act::Reply(Arc::new(move |reply: Reply| Ok(reply?.slice(..keep))));
            add("truncated bytes", Side::Answer, place, act, only_full(&successes));
        }
        let cut = |_: &mut StatusCode, _: &mut HeaderMap, bytes: &mut Bytes| {
            bytes.truncate(bytes.len() - 1);
        };
        add("truncated bytes", Side::Answer, "of the frame", Act::Http(cut), only_full(&successes));
    }
    if !empty_request {
        for (place, keep) in [("by a byte", request.len() - 1), ("by half", request.len() / 2)] {
            let act = Act::Request(Arc::new(move |request: Bytes| request.slice(..keep)));
            add("truncated bytes", Side::Request, place, act, only_full(&successes));
        }
        let act = Act::Request(Arc::new(|_| Bytes::new()));
        add(
            "answer of another call",
            Side::Request,
            "to an empty request",
            act,
            only_full(&successes),
        );
    }
    let stray = |reply: Reply| Ok([reply?.as_ref(), &[0xfa, 0x7d, 0x00]].concat().into());
    add("stray field", Side::Answer, "", Act::Reply(Arc::new(stray)), successes.clone());
    let unavailable = |status: &mut StatusCode, headers: &mut HeaderMap, bytes: &mut Bytes| {
        *status = StatusCode::SERVICE_UNAVAILABLE;
        headers.remove("grpc-status");
        bytes.clear();
    };
    for (side, cases) in [(Side::Answer, successes), (Side::Failure, failures)] {
        add("missing handler", side, "", Act::Missing, cases.clone());
        add("handler called twice", side, "", Act::Twice, cases.clone());
        add("HTTP error", side, "", Act::Http(unavailable), cases);
    }
    // It is the last: its request may arrive after the caller has given up.
    let cases = only_full(&bases.cases(false));
    add("no answer in time", Side::Answer, "", Act::Never, cases);
}

// The run.

struct Judge {
    acts: Acts,
    scripted: Scripted,
    channel: Channel,
}

impl Judge {
    async fn verdict(
        &self,
        method: &'static Method,
        case: &Case,
        act: Option<Act>,
    ) -> Option<String> {
        let limit = if matches!(act, Some(Act::Never)) { SHORT } else { LIMIT };
        *self.acts[method.index].lock().unwrap() = act;
        self.scripted.answer(method, case.answer.of_implementation());
        let request = case.request.encode_to_vec().into();
        let result = wire::unary(&self.channel, method, request, Some(limit)).await;
        fault(method, case, &self.scripted.arrived(method), &result)
    }

    /// Why the mutant survives. `sound` are the cases in which nothing is found without a fault.
    async fn survival(
        &self,
        method: &'static Method,
        mutant: &Mutant,
        sound: &mut HashSet<Vec<u8>>,
    ) -> Option<String> {
        if mutant.cases.is_empty() {
            return Some("no message shows it".to_owned());
        }
        for case in &mutant.cases {
            // Many mutants have one case.
            let [request, answer] = [&case.request, case.answer.message()].map(canonical);
            let id =
                [&[u8::from(matches!(case.answer, Answer::Failure(_)))], &request[..], &answer]
                    .concat();
            if sound.insert(id)
                && let Some(found) = self.verdict(method, case, None).await
            {
                return Some(format!("found without the fault: {found}"));
            }
            if self.verdict(method, case, Some(mutant.act.clone())).await.is_none() {
                return Some("not found".to_owned());
            }
        }
        None
    }
}

/// Killed and applied.
type Score = (usize, usize);

fn table(scores: &BTreeMap<(&'static str, Side), Score>) -> String {
    let mut rows = vec![["fault", "request", "answer", "failure"].map(str::to_owned).to_vec()];
    let faults: BTreeSet<_> = scores.keys().map(|(fault, _)| *fault).collect();
    for fault in faults {
        let score = |side| match scores.get(&(fault, side)) {
            Some((killed, applied)) => format!("{killed} of {applied}"),
            None => "-".to_owned(),
        };
        let cells = [Side::Request, Side::Answer, Side::Failure].map(score);
        rows.push([fault.to_owned()].into_iter().chain(cells).collect());
    }
    let mut text = String::new();
    for row in rows {
        let [fault, request, answer, failure] = &row[..] else { continue };
        text += &format!("{fault:<24}{request:>14}{answer:>16}{failure:>14}\n");
    }
    let killed: usize = scores.values().map(|(killed, _)| killed).sum();
    let applied: usize = scores.values().map(|(_, applied)| applied).sum();
    text + &format!("\nkilled {killed} of {applied} mutants\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mutant_is_killed() {
    let acts: Acts = Arc::new(plugin_proto::METHODS.iter().map(|_| Mutex::default()).collect());
    let scripted = Scripted::default();
    let (calls, http) = (Arc::clone(&acts), Arc::clone(&acts));
    let server = ApiServer::builder(scripted.api())
        .call_layer(tower::layer::layer_fn(move |inner| BrokenCalls {
            inner,
            acts: Arc::clone(&calls),
        }))
        .layer(tower::layer::layer_fn(move |inner| BrokenHttp { inner, acts: Arc::clone(&http) }))
        .start()
        .await
        .unwrap();
    let channel = wire::connect(server.target()).unwrap();
    let judge = Arc::new(Judge { acts, scripted, channel });

    let mut results: Vec<_> = stream::iter(Service::PluginAPI.methods())
        .map(|method| {
            let judge = Arc::clone(&judge);
            tokio::spawn(async move {
                let (mut results, mut sound) = (Vec::new(), HashSet::new());
                for mutant in mutants_of(method) {
                    let survival = judge.survival(method, &mutant, &mut sound).await;
                    results.push((mutant.fault, mutant.side, mutant.place, survival));
                }
                (method, results)
            })
        })
        .buffer_unordered(4)
        .map(Result::unwrap)
        .collect()
        .await;
    results.sort_by_key(|(method, _)| method.index);

    let mut scores: BTreeMap<_, Score> = BTreeMap::new();
    let mut survivors = Vec::new();
    for (method, results) in results {
        for (fault, side, place, survival) in results {
            let score = scores.entry((fault, side)).or_default();
            score.1 += 1;
            match survival {
                None => score.0 += 1,
                Some(why) => {
                    survivors.push(format!("{} {side:?} {place}: {fault}: {why}", method.name));
                }
            }
        }
    }
    let table = table(&scores);
    println!("{table}");
    let shown = &survivors[..survivors.len().min(100)];
    assert!(survivors.is_empty(), "{} survivors:\n{}", survivors.len(), shown.join("\n"));
    insta::with_settings!(
        { snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true },
        { insta::assert_snapshot!("mutants", table) }
    );
}
