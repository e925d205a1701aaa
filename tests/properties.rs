//! What must hold of every RPC whatever is sent and answered, between this process and a fake
//! interpreter in another.
//!
//! Every RPC has its own random numbers, the same ones in each run: `PROPTEST_RNG_SEED` gives
//! others, `PROPTEST_CASES` gives more than 64 cases for each RPC and error channel.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arbitrary;
mod common;
#[path = "arbitrary/driver.rs"]
mod driver;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use arbitrary::scripted::Counts;
use arbitrary::{Answer, Case, Faults, Messages, Scripted, fault, fixed, hex, runner};
use bytes::{BufMut as _, Bytes};
use driver::Interpreter;
use fake_interpreters::compare::{
    app_error_of_status, code_of_http_status, failure_difference, message_difference,
};
use fake_interpreters::wire::code_name;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use plugin_conformance::api::{
    ApiCall, ApiServer, ApiServerBuilder, AppError, BoxCallService, Dynamic, DynamicApi, Listen,
    PluginApi, async_trait,
};
use plugin_proto::prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use plugin_proto::{ErrorChannel, MESSAGES, MessageType, Method, Service, v1};
use proptest::strategy::{Just, Strategy, ValueTree};
use proptest::test_runner::{TestCaseError, TestError, TestRunner};
use prost::Message as _;
use tokio::runtime::Runtime;
use tonic::{Code, Status};

/// With this much metadata, no AppError of these tests is too large.
const ROOM: u32 = 2 << 20;
/// No call takes as long.
const LIMIT: Duration = Duration::from_secs(10);
/// Where gRPC's C core begins to refuse replies.
const C_CORE: u32 = 8 * 1024;

fn methods() -> impl Iterator<Item = &'static Method> {
    Service::PluginAPI.methods()
}

fn request_of(method: &Method) -> Messages {
    Messages::of(method.request_descriptor())
}

fn response_of(method: &Method) -> Messages {
    Messages::of(method.response_descriptor()).without(&["error"])
}

/// An API server here, a fake interpreter there.
struct Boundary {
    interpreter: RefCell<Interpreter>,
    scripted: Scripted,
    _server: ApiServer,
    runtime: Runtime,
}

impl Boundary {
    /// A server that never shortens a failure.
    fn roomy() -> Self {
        Self::new(ROOM, |server| server.max_error_bytes(ROOM as usize))
    }

    fn new(
        max_header_bytes: u32,
        configure: impl FnOnce(ApiServerBuilder) -> ApiServerBuilder,
    ) -> Self {
        let scripted = Scripted::default();
        let (runtime, server, interpreter) = connected(scripted.api(), max_header_bytes, configure);
        Self { interpreter: RefCell::new(interpreter), scripted, _server: server, runtime }
    }

    fn call(&self, method: &'static Method, request: Bytes) -> Result<Bytes, Status> {
        self.interpreter.borrow_mut().call(method, request, LIMIT)
    }

    /// Lets one case cross and says what is wrong.
    fn cross(&self, method: &'static Method, case: &Case) -> Option<String> {
        self.scripted.answer(method, case.answer.of_implementation());
        let result = self.call(method, case.request.encode_to_vec().into());
        fault(method, case, &self.scripted.arrived(method), &result)
    }

    /// A call that is under way, to see that its connection lives.
    fn hold(&self) -> u64 {
        let method = Method::by_name(Service::PluginAPI, "GetServerVersion").unwrap();
        self.scripted.hold(method);
        let id = self.interpreter.borrow_mut().start_call(method, Bytes::new(), None);
        self.runtime.block_on(self.scripted.reached(|counts| counts.held == 1));
        self.scripted.arrived(method);
        id
    }

    /// The call of [`hold`](Self::hold) comes to a good end.
    fn let_go(&self, id: u64) {
        self.scripted.release();
        let end = self.interpreter.borrow_mut().end_of(id);
        end.expect("the connection lives");
    }
}

fn connected(
    api: Arc<dyn PluginApi>,
    max_header_bytes: u32,
    configure: impl FnOnce(ApiServerBuilder) -> ApiServerBuilder,
) -> (Runtime, ApiServer, Interpreter) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let server = configure(ApiServer::builder(api).listen(Listen::PrivateUnix));
    let server = runtime.block_on(server.start()).unwrap();
    let interpreter = Interpreter::start(&runtime, server.target(), max_header_bytes);
    (runtime, server, interpreter)
}

/// What is sent arrives, and what is answered comes back, as an answer and as a failure.
fn everything_crosses(groups: &[&str]) {
    let boundary = Boundary::roomy();
    let mut faults = Faults::default();
    for method in methods().filter(|method| groups.contains(&method.group)) {
        let shown = |(request, answer): &(DynamicMessage, DynamicMessage)| {
            format!("request={} answer={}", hex(request), hex(answer))
        };
        let cross = |answer: fn(DynamicMessage) -> Answer| {
            let boundary = &boundary;
            move |(request, message): &(DynamicMessage, DynamicMessage)| {
                let case = Case { request: request.clone(), answer: answer(message.clone()) };
                boundary.cross(method, &case)
            }
        };
        let answers = (request_of(method), response_of(method));
        faults.run(("answer", method, 1), answers, cross(Answer::Response), shown);
        let failures = (request_of(method), Messages::of(arbitrary::app_error()));
        faults.run(("failure", method, 1), failures, cross(Answer::Failure), shown);
    }
    let held = faults.1.iter().map(|(rpc, cases)| format!("{rpc} {}", cases.get()));
    let held: Vec<String> = held.collect();
    faults.assert_none();
    // The coverage table reads these files.
    if std::env::var_os("PROPTEST_CASES").is_none() {
        insta::with_settings!(
            { snapshot_path => "../snapshots/property-cases", prepend_module_to_snapshot => false, omit_expression => true },
            { insta::assert_snapshot!(groups[0], held.join("\n")) }
        );
    }
}

macro_rules! everything_crosses {
    ($($test:ident: $groups:expr,)*) => {
        $(
            #[test]
            fn $test() {
                everything_crosses(&$groups);
            }
        )*

        #[test]
        fn no_rpc_is_left_out() {
            let tested: Vec<&str> = [$(&$groups[..]),*].concat();
            for method in methods() {
                let times = tested.iter().filter(|group| **group == method.group).count();
                assert_eq!(times, 1, "the group {} of {}", method.group, method.name);
            }
        }
    };
}

everything_crosses! {
    everything_crosses_in_user_rpcs: ["user"],
    everything_crosses_in_channel_and_preference_rpcs: ["channel", "preference"],
    everything_crosses_in_post_file_and_emoji_rpcs: ["post", "file", "emoji"],
    everything_crosses_in_property_and_shared_channel_rpcs: ["property", "shared_channel"],
    everything_crosses_in_team_and_bot_rpcs: ["team", "bot"],
    everything_crosses_in_group_and_oauth_rpcs: ["group", "oauth"],
    everything_crosses_in_command_kv_and_plugin_rpcs: ["command", "kv", "plugin"],
    everything_crosses_in_server_rpcs: ["misc", "server", "configuration", "logging", "audit"],
}

/// With the default budget, for a client that takes no more than 8 KiB of metadata: code, id,
/// HTTP status and the beginning of the message always survive, and a small failure whole.
#[test]
fn a_failure_too_large_for_metadata_keeps_what_matters() {
    let boundary = Boundary::new(C_CORE, |server| server);
    let mut faults = Faults::default();
    for method in methods().filter(|method| method.error_channel != ErrorChannel::Embedded) {
        let id = "[a-zA-Z0-9._ %é漢-]{1,80}";
        let errors =
            (Messages::of(arbitrary::app_error()).long(), id).prop_map(|(mut error, id)| {
                error.set_field_by_name("id", Value::String(id));
                error
            });
        // One message in three is nothing but one character, each of which is the longest in
        // another encoding.
        let repeated =
            (proptest::sample::select(vec!["", "", " ", "a", "ä", "漢"]), 500..6000_usize);
        let errors = (errors, repeated).prop_map(|(mut error, (text, times))| {
            if !text.is_empty() {
                error.set_field_by_name("message", Value::String(text.repeat(times)));
            }
            error
        });
        faults.run(
            ("large failure", method, 8),
            errors,
            |error| {
                let error = arbitrary::oracle::typed(error);
                boundary.scripted.answer(method, Err(error.clone().into()));
                let result = boundary.call(method, Bytes::new());
                shortened_difference(method, &error, &result)
            },
            |error| format!("error={}", hex(error)),
        );
    }
    faults.assert_none();
}

fn shortened_difference(
    method: &Method,
    error: &v1::AppError,
    result: &Result<Bytes, Status>,
) -> Option<String> {
    // Small enough in whatever encoding.
    if error.encoded_len() * 6 < 7 * 1024 - 200 {
        return failure_difference(method, error, result);
    }
    let Err(status) = result else { return Some("the failure is gone".to_owned()) };
    let expected = match method.error_channel {
        ErrorChannel::None => Code::Internal,
        _ => code_of_http_status(error.status_code),
    };
    if status.code() != expected {
        let (expected, actual) = (code_name(expected), code_name(status.code()));
        return Some(format!("code: expected {expected}, got {actual} {:?}", status.message()));
    }
    let Some(actual) = app_error_of_status(status) else {
        return Some("details: no AppError".to_owned());
    };
    let begins = |whole: &str, part: &str| {
        let cut = part.strip_suffix('…').or(part.is_empty().then_some(part));
        whole == part || cut.is_some_and(|part| whole.starts_with(part))
    };
    let checks = [
        ("id", actual.id == error.id),
        ("status_code", actual.status_code == error.status_code),
        ("message", begins(&error.message, &actual.message)),
        ("detailed_error", begins(&error.detailed_error, &actual.detailed_error)),
        ("request_id", begins(&error.request_id, &actual.request_id)),
        ("where", begins(&error.r#where, &actual.r#where)),
        ("grpc-message", status.message() == format!("{}: {}", actual.id, actual.message)),
    ];
    let lost = checks.iter().find(|(_, held)| !held)?;
    Some(format!("AppError.{} does not survive: {:?}", lost.0, status.message()))
}

/// Fields that no one knows: one of each wire type, the largest number among them.
fn unknown_fields() -> Vec<u8> {
    use prost::encoding::{WireType, encode_key, encode_varint};
    let mut bytes = Vec::new();
    encode_key(20_001, WireType::Varint, &mut bytes);
    encode_varint(u64::MAX, &mut bytes);
    encode_key(20_002, WireType::SixtyFourBit, &mut bytes);
    bytes.put_u64(u64::MAX);
    encode_key(20_003, WireType::ThirtyTwoBit, &mut bytes);
    bytes.put_u32(7);
    encode_key(20_004, WireType::StartGroup, &mut bytes);
    encode_key(1, WireType::Varint, &mut bytes);
    encode_varint(1, &mut bytes);
    encode_key(20_004, WireType::EndGroup, &mut bytes);
    encode_key((1 << 29) - 1, WireType::LengthDelimited, &mut bytes);
    encode_varint(3, &mut bytes);
    bytes.extend(b"new");
    bytes
}

/// The message as a newer peer sends it, with more fields in it and in the messages in it.
fn as_of_a_newer_peer(message: &DynamicMessage) -> DynamicMessage {
    let mut newer = message.clone();
    for (_, value) in newer.fields_mut() {
        match value {
            Value::Message(inner) => *inner = as_of_a_newer_peer(inner),
            Value::List(list) => {
                let inner = list.iter_mut().filter_map(Value::as_message_mut);
                inner.for_each(|inner| *inner = as_of_a_newer_peer(inner));
            }
            Value::Map(map) => {
                let inner = map.values_mut().filter_map(Value::as_message_mut);
                inner.for_each(|inner| *inner = as_of_a_newer_peer(inner));
            }
            _ => {}
        }
    }
    let mut bytes = newer.encode_to_vec();
    bytes.extend(unknown_fields());
    DynamicMessage::decode(newer.descriptor(), bytes.as_slice()).unwrap()
}

/// Adds bytes to every answer, between handler and wire.
#[derive(Clone)]
struct Padded {
    inner: BoxCallService,
    padding: Arc<Mutex<Vec<u8>>>,
}

impl tower::Service<ApiCall> for Padded {
    type Response = Bytes;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Bytes, Status>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: ApiCall) -> Self::Future {
        let padding = self.padding.lock().unwrap().clone();
        let answer = self.inner.call(call);
        async move { Ok([answer.await?.as_ref(), padding.as_slice()].concat().into()) }.boxed()
    }
}

#[test]
fn fields_of_a_newer_peer_are_no_error() {
    let padding = Arc::new(Mutex::new(unknown_fields()));
    let boundary = Boundary::new(ROOM, |server| {
        let layer = move |inner| Padded { inner, padding: Arc::clone(&padding) };
        server.call_layer(tower::layer::layer_fn(layer))
    });
    let held = boundary.hold();
    let mut faults = Faults::default();
    for method in methods() {
        let response = MessageType::by_name(method.response).unwrap();
        faults.run(
            ("newer peer", method, 16),
            (request_of(method), response_of(method)),
            |(request, answer)| {
                let newer = as_of_a_newer_peer(request).encode_to_vec();
                boundary.scripted.answer(method, Ok(answer.encode_to_vec().into()));
                let result = boundary.call(method, newer.into());
                // They reach a caller who knows as little of them.
                let result =
                    result.map(|bytes| response.reencode(&bytes).unwrap_or(vec![0xff]).into());
                let answer = Answer::Response(answer.clone());
                let case = Case { request: request.clone(), answer };
                fault(method, &case, &boundary.scripted.arrived(method), &result)
            },
            |(request, answer)| format!("request={} answer={}", hex(request), hex(answer)),
        );
    }
    boundary.let_go(held);
    faults.assert_none();
}

/// What happens to a message on its way.
#[derive(Debug, Clone)]
enum Damage {
    Cut(proptest::sample::Index),
    Flip(proptest::sample::Index, u8),
    Append(Vec<u8>),
}

impl Damage {
    fn strategy() -> impl Strategy<Value = Self> {
        use proptest::prelude::any;
        let tail = proptest::collection::vec(any::<u8>(), 1..9);
        proptest::prop_oneof![
            any::<proptest::sample::Index>().prop_map(Self::Cut),
            (any::<proptest::sample::Index>(), 1..=u8::MAX).prop_map(|(at, by)| Self::Flip(at, by)),
            tail.prop_map(Self::Append),
            // An endless number, a length beyond the end, a field 0, text that is no UTF-8.
            Just(Self::Append(vec![0xff; 11])),
            Just(Self::Append(vec![0x0a, 0x7f])),
            Just(Self::Append(vec![0x00])),
            Just(Self::Append(vec![0x0a, 0x02, 0xc3, 0x28])),
        ]
    }

    fn of(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        match self {
            Self::Append(tail) => bytes.extend(tail),
            _ if bytes.is_empty() => bytes.push(0x0f),
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Flip(at, by) => {
                let at = at.index(bytes.len());
                bytes[at] ^= by;
            }
        }
        bytes
    }
}

#[test]
fn a_damaged_request_fails_alone() {
    let boundary = Boundary::roomy();
    let held = boundary.hold();
    let refused = RefCell::new(0);
    let mut faults = Faults::default();
    for method in methods() {
        boundary.scripted.answer(method, Ok(Bytes::new()));
        let kind = MessageType::by_name(method.request).unwrap();
        let damaged = (request_of(method), Damage::strategy())
            .prop_map(|(request, damage)| damage.of(&request.encode_to_vec()));
        faults.run(
            ("damaged request", method, 4),
            damaged,
            |damaged| {
                let result = boundary.call(method, damaged.clone().into());
                let arrived = boundary.scripted.arrived(method);
                match (kind.reencode(damaged), result) {
                    // The damage made another request of it.
                    (Ok(other), Ok(_)) => {
                        let other =
                            DynamicMessage::decode(method.request_descriptor(), other.as_slice());
                        let [arrived] = &arrived[..] else {
                            return Some("it did not arrive".into());
                        };
                        message_difference(&other.unwrap(), arrived)
                    }
                    (Ok(_), Err(status)) => Some(format!("a good request fails: {status}")),
                    (Err(error), Ok(_)) => Some(format!("no error, but {error}")),
                    (Err(_), Err(status)) => {
                        *refused.borrow_mut() += 1;
                        let good = [Code::Internal, Code::InvalidArgument].contains(&status.code());
                        (!good || !arrived.is_empty())
                            .then(|| format!("{status}, arrived {arrived:?}"))
                    }
                }
            },
            |damaged| hex::encode(damaged),
        );
    }
    boundary.let_go(held);
    faults.assert_none();
    let refused = *refused.borrow();
    assert!(refused > 236, "only {refused} requests were damaged beyond reading");
}

#[test]
fn a_message_over_the_limit_fails_alone() {
    const LIMIT: usize = 64 * 1024;
    let padding = Arc::new(Mutex::new(Vec::new()));
    let pad = Arc::clone(&padding);
    let boundary = Boundary::new(ROOM, |server| {
        let layer = move |inner| Padded { inner, padding: Arc::clone(&pad) };
        server.max_message_bytes(LIMIT).call_layer(tower::layer::layer_fn(layer))
    });
    let held = boundary.hold();
    // A field that no one knows makes any message as large as wanted.
    let sized = |size: usize| {
        // Its key takes three bytes, its length as many.
        let mut bytes = Vec::new();
        prost::encoding::encode_key(20_001, prost::encoding::WireType::LengthDelimited, &mut bytes);
        prost::encoding::encode_varint(size as u64 - 6, &mut bytes);
        assert_eq!(bytes.len(), 6);
        bytes.resize(size, b'x');
        bytes
    };
    let code =
        |result: Result<Bytes, Status>| result.err().map_or(Code::Ok, |status| status.code());
    let mut faults = Vec::new();
    for method in methods() {
        boundary.scripted.answer(method, Ok(Bytes::new()));
        for (request, response, expected) in [
            (LIMIT, 0, Code::Ok),
            (LIMIT + 1, 0, Code::ResourceExhausted),
            (0, LIMIT, Code::Ok),
            (0, LIMIT + 1, Code::ResourceExhausted),
            (0, 0, Code::Ok),
        ] {
            let sized = |size| if size == 0 { Vec::new() } else { sized(size) };
            *padding.lock().unwrap() = sized(response);
            let code = code(boundary.call(method, sized(request).into()));
            let arrived = boundary.scripted.arrived(method).len();
            if code != expected || arrived != usize::from(request <= LIMIT) {
                let (name, code) = (method.name, code_name(code));
                faults.push(format!(
                    "{name}: {request} and {response} bytes: {code}, arrived {arrived} times"
                ));
            }
        }
    }
    padding.lock().unwrap().clear();
    boundary.let_go(held);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_deadline_and_a_cancellation_reach_the_implementation() {
    let boundary = Boundary::roomy();
    let wait = |wanted: &dyn Fn(&Counts) -> bool| {
        boundary.runtime.block_on(boundary.scripted.reached(wanted));
    };
    methods().for_each(|method| boundary.scripted.hold(method));
    let start = |deadline| -> Vec<(&Method, u64)> {
        let mut interpreter = boundary.interpreter.borrow_mut();
        let start = |method| (method, interpreter.start_call(method, Bytes::new(), deadline));
        methods().map(start).collect()
    };
    let ended = |calls: Vec<(&Method, u64)>, expected| {
        for (method, id) in calls {
            let status = boundary.interpreter.borrow_mut().end_of(id).unwrap_err();
            assert_eq!(status.code(), expected, "{}: {status}", method.name);
            assert_eq!(boundary.scripted.arrived(method).len(), 1, "{}", method.name);
        }
    };

    let cancelled = start(None);
    wait(&|counts| *counts == Counts { held: 236, dropped: 0 });
    for (at, (_, id)) in cancelled.iter().enumerate() {
        boundary.interpreter.borrow_mut().cancel(*id);
        if at == 0 {
            // It is this one that ends, and no other.
            wait(&|counts| *counts == Counts { held: 236, dropped: 1 });
        }
    }
    wait(&|counts| *counts == Counts { held: 236, dropped: 236 });
    ended(cancelled, Code::Cancelled);

    let late = start(Some(Duration::from_secs(2)));
    wait(&|counts| counts.dropped == 472);
    ended(late, Code::DeadlineExceeded);

    // The connection is as good as before.
    let last = start(None);
    boundary.scripted.release();
    for (method, id) in last {
        assert!(boundary.interpreter.borrow_mut().end_of(id).is_ok(), "{}", method.name);
    }
}

/// Answers each request with the answer that belongs to it, once as many have arrived as there
/// are to come.
#[derive(Clone)]
struct ByRequest {
    answers: Arc<Mutex<Answers>>,
    all: Arc<tokio::sync::Barrier>,
}

type Answers = HashMap<(usize, Bytes), Result<Bytes, AppError>>;

const AT_ONCE: usize = 64;

#[async_trait]
impl DynamicApi for ByRequest {
    async fn call(&self, method: &'static Method, request: Bytes) -> Result<Bytes, AppError> {
        self.all.wait().await;
        // In another order than they came.
        for _ in 0..arbitrary::hash(&hex::encode(&request)) % 16 {
            tokio::task::yield_now().await;
        }
        let answer = self.answers.lock().unwrap().remove(&(method.index, request));
        answer.unwrap_or_else(|| Err(AppError::new("nobody.asked.that", 500)))
    }
}

#[test]
fn calls_at_once_get_their_own_answers() {
    let all = Arc::new(tokio::sync::Barrier::new(AT_ONCE));
    let by_request = ByRequest { answers: Arc::default(), all };
    let api = Arc::new(Dynamic(by_request.clone()));
    let (_runtime, _server, mut interpreter) =
        connected(api, ROOM, |server| server.max_error_bytes(ROOM as usize));
    let get_user = Method::by_name(Service::PluginAPI, "GetUser").unwrap();
    let all: Vec<_> = methods().collect();
    for round in 0..16 {
        let mut runner = runner(&format!("at once {round}"), get_user, 1);
        let mut made = |strategy: Messages| strategy.new_tree(&mut runner).unwrap().current();
        let mut calls = Vec::new();
        for at in 0..AT_ONCE {
            // Any RPCs, and in every other round one RPC only.
            let method =
                if round % 2 == 0 { all[(round * 31 + at * 7) % all.len()] } else { get_user };
            let mut request = made(request_of(method));
            if method == get_user {
                request.set_field_by_name("user_id", Value::String(format!("{round} {at}")));
            }
            let answer = match at % 4 {
                0 => Answer::Failure(made(Messages::of(arbitrary::app_error()))),
                _ => Answer::Response(made(response_of(method))),
            };
            let kind = MessageType::by_name(method.request).unwrap();
            let arrives = Bytes::from(kind.reencode(&request.encode_to_vec()).unwrap());
            let mut answers = by_request.answers.lock().unwrap();
            let earlier =
                answers.insert((method.index, arrives.clone()), answer.of_implementation());
            assert!(earlier.is_none(), "{} twice", method.name);
            let id = interpreter.start_call(method, request.encode_to_vec().into(), None);
            calls.push((method, id, Case { request, answer }, arrives));
        }
        for (method, id, case, arrives) in calls {
            let found = fault(method, &case, &[arrives], &interpreter.end_of(id));
            assert_eq!(found, None, "{} in round {round}", method.name);
        }
        assert!(by_request.answers.lock().unwrap().is_empty());
    }
}

/// How deep Structs and lists of values stand in each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Message(message) => {
            let name = message.descriptor().full_name().to_owned();
            let own = usize::from(name.ends_with(".Struct") || name.ends_with(".ListValue"));
            own + message.fields().map(|(_, value)| depth(value)).max().unwrap_or(0)
        }
        Value::List(list) => list.iter().map(depth).max().unwrap_or(0),
        Value::Map(map) => map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn every_field_of_the_contract_gets_values() {
    let mut deepest = 0;
    for kind in MESSAGES {
        let descriptor = kind.descriptor();
        let strategy = Messages::of(descriptor.clone());
        let mut runner = TestRunner::new(fixed(1));
        let mut unset: Vec<_> = descriptor.fields().collect();
        for _ in 0..24 {
            let message = strategy.new_tree(&mut runner).unwrap().current();
            unset.retain(|field| !message.has_field(field));
            deepest = deepest.max(depth(&Value::Message(message)));
        }
        let unset: Vec<_> = unset.iter().map(|field| field.full_name().to_owned()).collect();
        assert!(unset.is_empty(), "never set: {unset:?}");
    }
    assert_eq!(deepest, arbitrary::messages::STRUCT_DEPTH);
}

#[test]
fn what_fails_shrinks_to_the_field_that_fails() {
    let get_user = MessageType::by_name("mattermost.pluginapi.v1.GetUserResponse").unwrap();
    let name_length = |message: &DynamicMessage| {
        let user = message.get_field_by_name("user").unwrap();
        let name = user.as_message().unwrap().get_field_by_name("username").unwrap();
        name.as_str().unwrap().len()
    };
    let short = |message: &DynamicMessage| match name_length(message) {
        0..5 => Ok(()),
        _ => Err(TestCaseError::fail("too long")),
    };
    let strategy = Messages::of(get_user.descriptor());
    let result = TestRunner::new(fixed(2)).run(&strategy, |message| short(&message));
    let Err(TestError::Fail(_, least)) = result else { panic!("no name is long") };
    let user = least.get_field_by_name("user").unwrap();
    let fields = (least.fields().count(), user.as_message().unwrap().fields().count());
    assert_eq!(fields, (1, 1), "{least:?}");
    // The last character may have four bytes.
    assert!((5..9).contains(&name_length(&least)), "{least:?}");
}
