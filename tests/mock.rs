//! The mock API: which mock answers, what a test author reads when something is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fake_interpreters::wire;
use plugin_conformance::api::mock::{
    AnsweredBy, ApiRequest, Evidence, MockApi, MockFile, Otherwise, Reply, Times, any, field,
    request, rpc, sequence,
};
use plugin_conformance::api::{ApiServer, AppError, Dynamic, DynamicApi, PluginApi};
use plugin_conformance::conformance::{Bundle, GeneratedApi, Interpreter};
use plugin_proto::prost_reflect::prost_types::Struct;
use plugin_proto::{METHODS, Method, Service, v1};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::time::Instant;

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots/mock");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// An API that the test itself looks at.
fn unverified() -> MockApi {
    MockApi::new().verify_on_drop(false)
}

fn user(id: &str) -> v1::GetUserRequest {
    v1::GetUserRequest { user_id: id.into() }
}

async fn name_of(api: &MockApi, id: &str) -> String {
    let answer = api.plugin_api().get_user(user(id)).await;
    match answer {
        Ok(answer) => answer.user.unwrap_or_default().username,
        Err(error) => error.id,
    }
}

fn named(name: &str) -> Value {
    json!({"user": {"username": name}})
}

async fn post(api: &MockApi, json: Value) -> Result<v1::CreatePostResponse, AppError> {
    let post: v1::CreatePostRequest = message(json);
    api.plugin_api().create_post(post).await
}

/// A request from its JSON.
fn message<Q: ApiRequest>(json: Value) -> Q {
    let descriptor = Q::method().request_descriptor();
    let message = plugin_proto::prost_reflect::DynamicMessage::deserialize(descriptor, json);
    message.unwrap().transcode_to().unwrap()
}

#[test]
fn each_rpc_has_a_request_of_its_own() {
    let requests: std::collections::BTreeSet<_> =
        Service::PluginAPI.methods().map(|method| method.request).collect();
    assert_eq!(requests.len(), 236);
    assert_eq!(v1::KvListRequest::method().name, "KVList");
}

#[tokio::test]
async fn a_typed_and_a_json_answer_are_the_same() {
    let api = MockApi::new();
    let ada = v1::User { username: "ada".into(), ..Default::default() };
    api.given(request::<v1::GetUserRequest>())
        .respond_with(v1::GetUserResponse { user: Some(ada), error: None })
        .up_to(1)
        .mount();
    assert_eq!(name_of(&api, "x").await, "ada");
    api.given("GetUser").respond_with(named("ada")).mount();
    assert_eq!(name_of(&api, "x").await, "ada");
}

#[tokio::test]
async fn the_mock_mounted_last_answers_until_it_is_used_up() {
    let api = MockApi::new();
    api.given(rpc("GetUser")).respond_with(named("anyone")).expect(2).mount();
    api.given(rpc("GetUser"))
        .with(field("user_id").equals("abc"))
        .respond_with(named("abc"))
        .up_to(2)
        .expect(2)
        .mount();
    assert_eq!(name_of(&api, "abc").await, "abc");
    assert_eq!(name_of(&api, "xyz").await, "anyone");
    assert_eq!(name_of(&api, "abc").await, "abc");
    assert_eq!(name_of(&api, "abc").await, "anyone");
    api.given(rpc("GetUser")).respond_with(AppError::new("later", 500)).mount();
    assert_eq!(name_of(&api, "abc").await, "later");
    api.given(rpc("GetUser")).respond_with(named("more")).expect(0).up_to(0).mount();
    assert_eq!(name_of(&api, "abc").await, "later");
}

/// Each matcher with a request that it takes, and one that it does not.
#[tokio::test]
async fn matchers_look_at_what_they_are_told_to() {
    let yes_and_no = [
        (
            field("post.message").equals("hello"),
            json!({"message": "hello"}),
            json!({"message": "hell"}),
        ),
        (field("post.message").contains("ell"), json!({"message": "hello"}), json!({})),
        (
            field("post.message").matches("^h.*o$"),
            json!({"message": "hello"}),
            json!({"message": "ohello"}),
        ),
        (field("post.message").is_text("hello"), json!({"message": "hello"}), json!({})),
        (field("post.message").is_set(), json!({"message": "x"}), json!({})),
        (field("post.message").is_unset(), json!({"id": "x"}), json!({"message": "x"})),
        (field("post.message").equals(""), json!({}), json!({"message": "x"})),
        (field("post.create_at").equals(5), json!({"create_at": 5}), json!({"create_at": 6})),
        (field("post.create_at").equals("5"), json!({"create_at": 5}), json!({})),
        (field("post.create_at").equals(0), json!({}), json!({"create_at": 6})),
        (
            field("post.file_ids").contains("a"),
            json!({"file_ids": ["b", "a"]}),
            json!({"file_ids": ["b"]}),
        ),
        (
            field("post.file_ids.1").equals("a"),
            json!({"file_ids": ["b", "a"]}),
            json!({"file_ids": ["a"]}),
        ),
        (
            field("post.file_ids").equals(vec!["a", "b"]),
            json!({"file_ids": ["a", "b"]}),
            json!({"file_ids": ["b", "a"]}),
        ),
        (
            field("post.props.count").equals(3),
            json!({"props": {"count": 3}}),
            json!({"props": {"count": 4}}),
        ),
        (
            field("post.props.tags").contains("x"),
            json!({"props": {"tags": ["x"]}}),
            json!({"props": {"tags": "y"}}),
        ),
        (
            field("post.props").equals(json!({"a": {"b": [1]}})),
            json!({"props": {"a": {"b": [1]}}}),
            json!({"props": {"a": {"b": [2]}}}),
        ),
        (
            field("post").equals(json!({"id": "x", "message": ""})),
            json!({"id": "x"}),
            json!({"id": "x", "message": "y"}),
        ),
        (field("post.userId").equals("u"), json!({"user_id": "u"}), json!({"user_id": "v"})),
        (any("anything", |request| request.has_field_by_name("post")), json!({}), Value::Null),
    ];
    for (matcher, yes, no) in yes_and_no {
        let shown = format!("{matcher:?}");
        let api = MockApi::new();
        api.given(rpc("CreatePost")).with(matcher).respond_with(json!({})).mount();
        let yes = post(&api, json!({"post": yes})).await;
        assert!(yes.is_ok(), "{shown}: {yes:?}");
        let no = post(&api, json!({"post": no})).await;
        assert!(no.is_err(), "{shown}: {no:?}");
    }
}

#[tokio::test]
async fn bytes_are_compared_in_base64_or_as_text() {
    let set = |value: &'static str| v1::KvSetRequest { key: "k".into(), value: value.into() };
    let matchers = [
        field("value").equals("aGVsbG8="),
        field("value").is_text("hello"),
        field("value").contains("ell"),
        field("value").matches("^h"),
        set("hello").into(),
    ];
    for matcher in matchers {
        let api = MockApi::new();
        api.given(rpc("KVSet")).with(matcher.clone()).respond_with(json!({})).mount();
        assert!(api.plugin_api().kv_set(set("hello")).await.is_ok(), "{matcher:?}");
        assert!(api.plugin_api().kv_set(set("other")).await.is_err(), "{matcher:?}");
    }
}

#[tokio::test]
async fn a_whole_request_matches_its_equal_whatever_the_order_of_its_map() {
    let props = |reverse: bool| {
        let mut names: Vec<_> = (0..50).map(|number| format!("key{number}")).collect();
        if reverse {
            names.reverse();
        }
        let fields = names.into_iter().map(|name| (name, prost_types_value()));
        v1::Post { props: Some(Struct { fields: fields.collect() }), ..Default::default() }
    };
    let api = MockApi::new();
    let request = v1::CreatePostRequest { post: Some(props(false)) };
    api.given(rpc("CreatePost")).with(request).respond_with(json!({})).expect(1).mount();
    let request = v1::CreatePostRequest { post: Some(props(true)) };
    assert!(api.plugin_api().create_post(request).await.is_ok());
}

fn prost_types_value() -> plugin_proto::prost_types::Value {
    let kind = plugin_proto::prost_types::value::Kind::BoolValue(true);
    plugin_proto::prost_types::Value { kind: Some(kind) }
}

#[tokio::test]
async fn a_sequence_repeats_its_last_answer() {
    let api = MockApi::new();
    let answers =
        [Reply::from(named("one")), AppError::new("two", 500).into(), named("three").into()];
    api.given(rpc("GetUser")).respond_with(sequence(answers)).mount();
    for expected in ["one", "two", "three", "three", "three"] {
        assert_eq!(name_of(&api, "abc").await, expected);
    }
}

#[tokio::test]
async fn a_function_answers_by_the_request() {
    let api = MockApi::new();
    api.given(rpc("GetUser"))
        .respond_with(Reply::from_fn(|request: v1::GetUserRequest| match &*request.user_id {
            "" => Err(AppError::new("empty", 400)),
            id => Ok(message_of(named(&id.to_uppercase()))),
        }))
        .mount();
    assert_eq!(name_of(&api, "abc").await, "ABC");
    assert_eq!(name_of(&api, "").await, "empty");
}

fn message_of(json: Value) -> v1::GetUserResponse {
    let descriptor = v1::GetUserRequest::method().response_descriptor();
    let message = plugin_proto::prost_reflect::DynamicMessage::deserialize(descriptor, json);
    message.unwrap().transcode_to().unwrap()
}

#[tokio::test(start_paused = true)]
async fn delays_add_up_and_hold_up_nobody_else() {
    let api = MockApi::new();
    let second = Duration::from_secs(1);
    let replies = [Reply::from(named("slow")).after(second), named("slow too").into()];
    api.given(rpc("GetUser")).respond_with(sequence(replies)).delay(2 * second).mount();
    api.given(rpc("GetServerVersion")).respond_with(json!({})).mount();

    let start = Instant::now();
    let version = api.plugin_api();
    let quick = async {
        version.get_server_version(Default::default()).await.unwrap();
        start.elapsed()
    };
    let slow = async {
        assert_eq!(name_of(&api, "abc").await, "slow");
        start.elapsed()
    };
    let (slow, quick) = tokio::join!(slow, quick);
    assert_eq!((slow.as_secs(), quick.as_secs()), (3, 0));
    assert_eq!(name_of(&api, "abc").await, "slow too");
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_are_all_counted() {
    let api = MockApi::new();
    api.given(rpc("GetUser")).respond_with(named("rest")).expect(640 - 100).mount();
    api.given(rpc("GetUser")).respond_with(named("first")).up_to(100).expect(100).mount();
    let callers = (0..64).map(|_| {
        let api = api.clone();
        tokio::spawn(async move {
            let mut first = 0;
            for _ in 0..10 {
                first += usize::from(name_of(&api, "abc").await == "first");
            }
            first
        })
    });
    let first = futures::future::join_all(callers).await;
    assert_eq!(first.into_iter().map(Result::unwrap).sum::<usize>(), 100);
    assert_eq!(api.received_of("GetUser").len(), 640);
}

#[tokio::test]
async fn a_failure_takes_the_channel_of_its_rpc() {
    let api = MockApi::new();
    for method in Service::PluginAPI.methods() {
        api.given(rpc(method.name)).respond_with(AppError::new("test.fails", 404)).mount();
    }
    let server = ApiServer::builder(api.plugin_api()).start().await.unwrap();
    let channel = wire::connect(server.target()).unwrap();
    for method in Service::PluginAPI.methods() {
        let answer = wire::unary(&channel, method, Bytes::new(), None).await;
        match plugin_conformance::api::Dialect::GoServer.channel(method) {
            plugin_proto::ErrorChannel::Embedded => assert!(answer.is_ok(), "{}", method.name),
            _ => assert!(answer.is_err(), "{}", method.name),
        }
    }
    server.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_generated_answer_stands_in_for_a_mock() {
    let api = MockApi::new();
    api.otherwise(GeneratedApi::answering("9.9.9"));
    api.given(rpc("GetUser")).respond_with(named("ada")).mount();
    assert_eq!(name_of(&api, "abc").await, "ada");
    let version = api.plugin_api().get_server_version(Default::default()).await.unwrap();
    assert_eq!(version.version, "9.9.9");
    api.otherwise(GeneratedApi::failing());
    assert!(api.plugin_api().get_server_version(Default::default()).await.is_err());
    let answered_by: Vec<_> = api.received().iter().map(|call| call.answered_by).collect();
    assert_eq!(answered_by, [AnsweredBy::Mock(1), AnsweredBy::Otherwise, AnsweredBy::Otherwise]);
}

#[tokio::test]
async fn received_calls_can_be_looked_at() {
    let api = MockApi::new();
    api.given(rpc("GetUser")).respond_with(named("ada")).mount();
    name_of(&api, "one").await;
    api.plugin_api().get_team(v1::GetTeamRequest { team_id: "t".into() }).await.unwrap_err();
    name_of(&api, "two").await;
    assert_eq!(api.received_requests::<v1::GetUserRequest>(), [user("one"), user("two")]);
    let calls = api.received();
    assert_eq!(
        calls.iter().map(|call| call.method.name).collect::<Vec<_>>(),
        ["GetUser", "GetTeam", "GetUser"]
    );
    assert_eq!(calls[1].json(), json!({"team_id": "t"}));
    assert_eq!(calls[1].answered_by, AnsweredBy::Nobody);
    assert_eq!(api.received_of(rpc("GetTeam")).len(), 1);
    assert_eq!(calls[2].decode::<v1::GetTeamRequest>(), None);
    assert!(catch_unwind(AssertUnwindSafe(|| api.received_of("GetUsr"))).is_err());
}

#[tokio::test]
async fn bytes_that_are_no_request_fail() {
    let api = MockApi::new();
    let bad = api.call(&METHODS[0], Bytes::from_static(&[0xff])).await;
    assert_eq!(bad.unwrap_err().id, "plugin_api.mock.bad_request");
    let server: Arc<dyn PluginApi> = Arc::new(Dynamic(api.clone()));
    assert!(server.get_user(user("abc")).await.is_err());
    assert_eq!(api.received().len(), 1);
}

/// The message of an unmatched call.
async fn unmatched(api: &MockApi, id: &str) -> String {
    let error = api.plugin_api().get_user(user(id)).await.unwrap_err();
    assert_eq!((&*error.id, error.status_code), ("plugin_api.mock.unmatched", 501));
    error.message
}

#[tokio::test]
async fn an_unmatched_call_hears_what_came_nearest() {
    let api = MockApi::new();
    let mut texts = vec![unmatched(&api, "abc").await];
    api.given(rpc("KVGet")).respond_with(json!({})).mount();
    api.given(rpc("GetUsers")).respond_with(json!({})).mount();
    api.given(rpc("KVGet")).respond_with(json!({})).mount();
    texts.push(unmatched(&api, "abc").await);
    api.given(rpc("GetUser"))
        .with(field("user_id").equals("abc"))
        .with(field("user_id").matches("^a"))
        .respond_with(named("ada"))
        .up_to(1)
        .named("ada")
        .mount();
    api.given(rpc("GetUser"))
        .with(field("user_id").contains("z"))
        .with(field("user_id").is_unset())
        .with(any("an even id", |_| false))
        .respond_with(named("far"))
        .mount();
    texts.push(unmatched(&api, "abd").await);
    texts.push(unmatched(&api, "").await);
    name_of(&api, "abc").await;
    texts.push(unmatched(&api, "abc").await);
    texts.push(unmatched(&api, &"long".repeat(200)).await);
    settings().bind(|| insta::assert_snapshot!("unmatched", texts.join("\n\n")));
}

#[tokio::test]
async fn bytes_are_shown_as_text_too() {
    let api = MockApi::new();
    api.given(rpc("KVSet")).with(field("value").is_text("hello")).respond_with(json!({})).mount();
    let request = v1::KvSetRequest { key: "k".into(), value: "help".into() };
    let error = api.plugin_api().kv_set(request).await.unwrap_err();
    settings().bind(|| insta::assert_snapshot!("unmatched_bytes", error.message));
}

#[tokio::test]
async fn a_broken_expectation_shows_expected_received_and_the_nearest_call() {
    let api = unverified();
    let ada = field("user_id").equals("abc");
    api.given(rpc("GetUser")).with(ada).respond_with(named("ada")).expect(1).named("ada").mount();
    let nothing_called = api.verify().unwrap_err();

    api.plugin_api().get_team(Default::default()).await.unwrap_err();
    api.plugin_api().get_team(Default::default()).await.unwrap_err();
    let only_others = api.verify().unwrap_err();

    name_of(&api, "").await;
    name_of(&api, "abd").await;
    let nearest = api.verify().unwrap_err();
    assert_eq!(nearest.broken.len(), 1);
    assert_eq!(nearest.broken[0].expected, Times::from(1));
    assert!(matches!(nearest.broken[0].evidence, Evidence::Nearest { call: 3, .. }));

    name_of(&api, "abc").await;
    api.verify().unwrap();
    name_of(&api, "abc").await;
    let surplus = api.verify().unwrap_err();
    assert_eq!(surplus.broken[0].received, 2);

    api.given(rpc("KVGet")).respond_with(json!({})).expect(1..).mount();
    api.given(rpc("GetUser"))
        .with(user("abc"))
        .respond_with(named("ada"))
        .expect(2..=3)
        .up_to(1)
        .named("whole")
        .mount();
    api.given(rpc("GetUser"))
        .with(any("an id of one letter", |_| false))
        .respond_with(named("x"))
        .expect(1..3)
        .mount();
    let three = api.verify().unwrap_err();
    name_of(&api, "abc").await;
    let stolen = api.verify().unwrap_err();

    let text = [
        ("nothing is called", nothing_called),
        ("only other RPCs are called", only_others),
        ("another user is asked for", nearest),
        ("one call too many", surplus),
        ("several at once", three),
        ("answered by another mock", stolen),
    ];
    let text: Vec<_> = text.iter().map(|(when, error)| format!("## {when}\n{error}")).collect();
    settings().bind(|| insta::assert_snapshot!("unverified", text.join("\n\n")));
}

#[test]
fn dropping_the_original_verifies() {
    let dropped = |api: MockApi| {
        let mock = api.given(rpc("GetUser")).respond_with(named("ada"));
        mock.expect(1).mount();
        let panic = catch_unwind(AssertUnwindSafe(|| drop(api))).err()?;
        panic.downcast::<String>().ok().map(|text| *text)
    };
    let text = dropped(MockApi::new()).expect("it panics");
    assert!(text.starts_with("1 of 1 mocks did not get the calls expected"), "{text}");
    let original = MockApi::new();
    assert_eq!(dropped(original.clone()), None);
    assert_eq!(dropped(unverified()), None);
    assert!(dropped(original.clone().verify_on_drop(true)).is_some());
    drop(original.verify_on_drop(false));

    // While the thread panics, the first panic is the one to be heard.
    let panic = catch_unwind(|| {
        let api = MockApi::default();
        api.given(rpc("GetUser")).respond_with(named("ada")).expect(1).mount();
        panic!("the test's own");
    });
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the test's own"));
}

#[test]
fn a_mock_that_makes_no_sense_says_why() {
    let api = MockApi::new();
    let get_user = || api.given(rpc("GetUser"));
    let create_post = |matcher| api.given(rpc("CreatePost")).with(matcher).respond_with(json!({}));
    let (more, less) = (3, 2);
    let mocks = [
        api.given(rpc("GetUsr")).respond_with(json!({})),
        api.given(rpc("OnActivate")).respond_with(json!({})),
        get_user().with(field("usr_id").equals("abc")).respond_with(json!({})),
        get_user().with(field("user_id.x").equals("abc")).respond_with(json!({})),
        get_user().with(field("user_id").equals(5)).respond_with(json!({})),
        get_user().with(field("user_id").contains(5)).respond_with(json!({})),
        get_user().with(field("user_id").matches("(")).respond_with(json!({})),
        get_user().with(v1::GetTeamRequest::default()).respond_with(json!({})),
        create_post(field("post.file_ids.first").equals("a")),
        create_post(field("post.file_ids").contains(5)),
        create_post(field("post.create_at").contains("1")),
        create_post(field("post.create_at").matches("1")),
        create_post(field("post.create_at").is_text("1")),
        create_post(field("post").equals(json!({"messag": "x"}))),
        get_user().respond_with(json!({"user": {"usernam": "ada"}})),
        get_user().respond_with(json!({"user": {"username": 5}})),
        get_user().respond_with(json!({"user": []})),
        get_user().respond_with(json!("ada")),
        get_user().respond_with(v1::GetTeamResponse::default()),
        get_user().respond_with(Reply::from_fn(|_: v1::GetTeamRequest| Ok(Default::default()))),
        get_user().respond_with(sequence(Vec::<Reply>::new())),
        get_user().respond_with(json!({})).expect(more..less),
        get_user().respond_with(json!({})).expect(..0),
        api.given(rpc("KVGet")).respond_with(json!({"value": "?"})),
    ];
    let errors: Vec<_> = mocks.map(|mock| mock.try_mount().unwrap_err().to_string()).into();
    settings().bind(|| insta::assert_snapshot!("mount_errors", errors.join("\n\n")));

    let mock = api.given(rpc("GetUsr")).respond_with(json!({}));
    let panic = catch_unwind(AssertUnwindSafe(|| mock.mount())).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>(), Some(&errors[0]));
}

fn project(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn parse(text: &str) -> MockApi {
    MockFile::parse(text, "mocks.yaml".as_ref()).unwrap().api("11.2.0").verify_on_drop(false)
}

#[tokio::test(start_paused = true)]
async fn the_example_file_does_what_it_says() {
    let api = MockApi::from_yaml_file(project("examples/mocks.yaml")).unwrap();
    assert_eq!(name_of(&api, "abc").await, "ada");
    assert_eq!(name_of(&api, "xyz").await, "app.user.missing_account.const");
    let get = |key: &str| {
        let api = api.plugin_api();
        let request = v1::KvGetRequest { key: key.into() };
        async move { api.kv_get(request).await }
    };
    let start = Instant::now();
    let error = get("greeting_en").await.unwrap_err();
    assert_eq!(
        (&*error.id, &*error.message, error.status_code),
        ("app.kv.busy", "Try again.", 503)
    );
    assert_eq!(start.elapsed().as_millis(), 50);
    assert_eq!(get("greeting_en").await.unwrap().value, "hello");
    assert!(get("other").await.unwrap().value.starts_with(b"KVGetResponse.value"));
    let list = v1::KvListRequest { page: 3, per_page: 10 };
    assert_eq!(api.plugin_api().kv_list(list).await.unwrap().keys.len(), 2);
    assert_eq!(api.plugin_api().kv_list(list).await.unwrap().keys.len(), 0);
    api.verify().unwrap();
    let hello = v1::KvSetRequest { key: "greeting_en".into(), value: "hello".into() };
    api.plugin_api().kv_set(hello.clone()).await.unwrap();
    api.plugin_api().kv_set(hello).await.unwrap();
    let error = api.verify().unwrap_err().to_string();
    assert!(error.contains("expected: at most 1 call\n  received: 2 calls"), "{error}");
    drop(api.verify_on_drop(false));
}

#[tokio::test]
async fn conditions_in_yaml_are_the_matchers() {
    let conditions = [
        ("{user_id: u1, message: {contains: ell}}", true),
        ("{user_id: u1, message: {contains: ell, regex: ^x}}", false),
        ("{create_at: 5, file_ids: [a, b]}", true),
        ("{create_at: {equals: 5}, file_ids: {contains: b}}", true),
        ("{file_ids: {1: b}}", true),
        ("{file_ids: {0: b}}", false),
        ("{root_id: {set: false}, message: {set: true}}", true),
        ("{root_id: {set: true}}", false),
        ("{root_id: ''}", true),
        ("{root_id: null}", true),
        ("{message: {text: hello}}", true),
        ("{props: {from_bot: true, nested: {n: {equals: 1}}}}", true),
        ("{props: {from_bot: false}}", false),
        ("{equals: {user_id: u1}}", false),
        ("{message: no}", false),
    ];
    let request = json!({"post": {
        "user_id": "u1", "message": "hello", "create_at": 5, "file_ids": ["a", "b"],
        "props": {"from_bot": true, "nested": {"n": 1}},
    }});
    for (condition, matches) in conditions {
        let api = parse(&format!(
            "mocks: [{{given: CreatePost, with: {{post: {condition}}}, respond: {{}}}}]"
        ));
        let answer = post(&api, request.clone()).await;
        assert_eq!(answer.is_ok(), matches, "{condition}: {answer:?}");
    }
    let api = parse("mocks: [{given: CreatePost, with: {post.user_id: u1}, respond: {}}]");
    assert!(post(&api, request).await.is_ok());
}

#[test]
fn a_file_with_an_error_names_line_and_remedy() {
    let mock = |rest: &str| format!("mocks:\n  - given: GetUser\n{rest}\n");
    let texts = [
        String::new(),
        "mocks: [\n".to_owned(),
        "- given: GetUser\n".to_owned(),
        "othrwise: generated\nmocks: []\n".to_owned(),
        "otherwise: generate\nmocks: []\n".to_owned(),
        "otherwise: generated\n".to_owned(),
        "mocks: {given: GetUser}\n".to_owned(),
        "mocks:\n  - GetUser\n".to_owned(),
        "mocks:\n  - respond: {}\n".to_owned(),
        "mocks:\n  - given: GetUsr\n    respond: {}\n".to_owned(),
        "mocks:\n  - given: OnActivate\n    respond: {}\n".to_owned(),
        mock(""),
        mock("    respond: {}\n    fail: {id: x}"),
        mock("    respnd: {}"),
        mock("    with: abc\n    respond: {}"),
        mock("    with: {usr_id: abc}\n    respond: {}"),
        mock("    with:\n      user_id: 5\n    respond: {}"),
        mock("    with: {user_id: {contain: abc}}\n    respond: {}"),
        mock("    with: {user_id: {regex: '('}}\n    respond: {}"),
        mock("    with: {user_id: {set: maybe}}\n    respond: {}"),
        mock("    respond:\n      user:\n        id: abc\n        usernam: ada"),
        mock("    respond:\n      user:\n        id: 5"),
        mock("    fail: {message: no}"),
        mock("    fail:\n      id: x\n      status: 500"),
        mock("    sequence: []"),
        mock("    sequence:\n      - respond: {}\n      - respond:\n          usr: {}"),
        mock("    sequence:\n      - respond: {}\n        delay: 5"),
        mock("    sequence:\n      - delay_ms: 5"),
        mock("    respond: {}\n    delay_ms: -5"),
        mock("    respond: {}\n    expect: some"),
        mock("    respond: {}\n    expect: {at_least: 2, at_most: 1}"),
        mock("    respond: {}\n    up_to: many"),
        mock("    respond: {}\n    name: 5"),
        mock("    respond: {}\n    respond: {}"),
        "mocks:\n  - given: CreatePost\n    with:\n      post:\n        equals:\n          id: x\n          messag: y\n    respond: {}".to_owned(),
    ];
    let mut errors = Vec::new();
    for text in texts {
        let error = MockFile::parse(&text, "mocks.yaml".as_ref()).unwrap_err();
        errors.push(format!("{}\n=> {error}", text.trim_end()));
    }
    let error = MockFile::load("nowhere/mocks.yaml".as_ref()).unwrap_err();
    errors.push(format!("(no file)\n=> {error}"));
    let mut settings = settings();
    settings.add_filter(r"\(os error \d+\)", "(os error [n])");
    settings.bind(|| insta::assert_snapshot!("file_errors", errors.join("\n\n")));
}

#[test]
fn the_file_in_the_documentation_is_right() {
    let text = include_str!("../src/api/mock/file/mod.rs");
    let lines = text.lines().filter_map(|line| line.strip_prefix("//!"));
    let yaml: Vec<_> = lines
        .skip_while(|line| *line != " ```yaml")
        .skip(1)
        .take_while(|line| *line != " ```")
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let file = MockFile::parse(&yaml.join("\n"), "docs".as_ref()).unwrap();
    assert_eq!(file.otherwise(), Otherwise::Generated);
    assert_eq!(format!("{file:?}"), "MockFile { otherwise: Generated, mocks: 3 }");
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plugin-conformance"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

fn run(arguments: &[&str]) -> (Output, String) {
    let output = program(arguments).output().unwrap();
    let text = String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap();
    (output, text)
}

/// A bundle whose plugin asks for a user, and a file of mocks.
fn bundle(folder: &Path, mocks: &str) -> (String, String) {
    let script = "life:\n  - serve: {hooks: [OnActivate]}\n  - handshake\n  - wait\n\
                  on:\n  OnActivate:\n    - call: {rpc: GetUser, request: {user_id: abc}}\n";
    let interpreter = Interpreter::Link(common::fake_python());
    let bundle = Bundle::write(&folder.join("bundle"), "asks", script, &interpreter).unwrap();
    let file = folder.join("mocks.yaml");
    std::fs::write(&file, mocks).unwrap();
    (bundle.dir.to_str().unwrap().to_owned(), file.to_str().unwrap().to_owned())
}

#[test]
fn check_plugin_says_whether_the_mocks_got_their_calls() {
    let folder = tempfile::tempdir().unwrap();
    let mocks =
        "mocks:\n  - given: GetUser\n    with: {user_id: abc}\n    respond: {}\n    expect: 1\n";
    let (dir, file) = bundle(folder.path(), mocks);
    let (output, text) = run(&["check", "plugin", &dir, "--mocks", &file]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("ok      plugin.mocks: the mocks get the calls they expect"), "{text}");

    std::fs::write(&file, mocks.replace("abc", "ada")).unwrap();
    let (output, text) = run(&["check", "plugin", &dir, "--mocks", &file]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let from = text.find("FAILED  plugin.mocks").expect(&text);
    let end = text[from..].find("\nok").map_or(text.len(), |end| from + end);
    settings().bind(|| insta::assert_snapshot!("check_plugin", &text[from..end]));

    std::fs::write(&file, mocks.replace("GetUser", "GetUsr")).unwrap();
    for arguments in
        [&["check", "plugin", &dir, "--mocks", &file][..], &["serve", "--mocks", &file]]
    {
        let (output, text) = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(
            text.contains("mocks.yaml:2: there is no RPC GetUsr; did you mean GetUser?"),
            "{text}"
        );
    }
}

#[test]
fn serve_answers_with_mocks_and_tells_what_did_not_come() {
    use std::io::BufRead as _;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mocks.yaml");
    let mocks = "otherwise: generated\nmocks:\n  - given: GetUser\n    respond: {user: {username: ada}}\n    expect: 2\n";
    std::fs::write(&file, mocks).unwrap();
    for calls in [1, 2] {
        let mut server =
            program(&["serve", "--version", "9.9.9", "--mocks", file.to_str().unwrap()])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap();
        let mut target = String::new();
        std::io::BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut target).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let call = |rpc, channel| {
            let method = Method::by_name(Service::PluginAPI, rpc).unwrap();
            async move { wire::unary(&channel, method, Bytes::new(), None).await.unwrap() }
        };
        runtime.block_on(async {
            let channel = wire::connect(target.trim_end()).unwrap();
            for _ in 0..calls {
                let answer = call("GetUser", channel.clone()).await;
                let answer = v1::GetUserResponse::decode(answer).unwrap();
                assert_eq!(answer.user.unwrap().username, "ada");
            }
            let answer = call("GetServerVersion", channel).await;
            assert_eq!(v1::GetServerVersionResponse::decode(answer).unwrap().version, "9.9.9");
        });
        let pid = rustix::process::Pid::from_child(&server);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = server.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(i32::from(calls == 1)), "{told}");
        assert_eq!(
            told.contains("expected: exactly 2 calls\n  received: 1 call"),
            calls == 1,
            "{told}"
        );
    }
}

/// Whoever serves for long may keep few calls, or none: what is said in the end is the same.
#[tokio::test]
async fn what_is_kept_of_the_calls_does_not_change_the_verdict() {
    let said = async |kept: Option<(usize, usize)>| {
        let api = MockApi::new().verify_on_drop(false);
        let api = match kept {
            Some((calls, bytes)) => api.keep_last(calls, bytes),
            None => api,
        };
        api.given(rpc("GetUser"))
            .with(field("user_id").equals("often"))
            .respond_with(json!({}))
            .expect(..=2)
            .mount();
        api.given(rpc("GetUser"))
            .with(field("user_id").equals("never"))
            .respond_with(json!({}))
            .expect(1)
            .mount();
        api.given(rpc("GetUser")).respond_with(json!({})).up_to(1).expect(2).mount();
        api.given(rpc("GetTeam")).respond_with(json!({})).expect(1).mount();
        for user_id in ["first", "often", "other", "often", "often", "another", "often"] {
            let request = v1::GetUserRequest { user_id: user_id.into() };
            let _ = api.plugin_api().get_user(request).await;
        }
        assert_eq!((api.count_of("GetUser"), api.count_of("GetTeam")), (7, 0));
        (api.received().len(), api.verify().unwrap_err().to_string())
    };
    let (all, expected) = said(None).await;
    assert_eq!(all, 7);
    for part in ["too many: from call 5 on", "nearest:  call 1, ", "only calls of GetUser (7)"] {
        assert!(expected.contains(part), "{part}: {expected}");
    }
    for (kept, left) in [((0, 0), 0), ((2, usize::MAX), 2), ((usize::MAX, 16), 2), ((9, 999), 7)] {
        assert_eq!(said(Some(kept)).await, (left, expected.clone()), "{kept:?}");
    }
}

/// What was kept before goes, too.
#[tokio::test]
async fn fewer_calls_can_be_kept_at_any_time() {
    let api = MockApi::new();
    for _ in 0..3 {
        let _ = api.plugin_api().get_user(v1::GetUserRequest::default()).await;
    }
    let api = api.keep_last(1, usize::MAX);
    assert_eq!((api.received().len(), api.count_of("GetUser")), (1, 3));
}
