//! Who may call the API: processes of our own user, and, where a token is asked for, those who know
//! it. And what is secret is shown nowhere.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_common;
mod common;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;

use api_common::{Raw, api, empty, frame, rpc, rpcs, soon};
use bytes::Bytes;
use common::{Plugin, again, is_again, passes_again, quick_stop};
use plugin_conformance::api::mock::{MockApi, field, rpc as given};
use plugin_conformance::api::{
    ApiCall, ApiServer, ApiToken, Callers, Listen, Recorder, TOKEN_VARIABLE,
};
use plugin_proto::prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};
use plugin_proto::{DESCRIPTORS, MESSAGES, REDACTED, SECRET_FIELDS, is_secret, v1};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// The preface and an empty SETTINGS frame.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const TARGET: &str = "PLUGIN_CONFORMANCE_TEST_TARGET";
/// `nobody`, on most systems.
const OTHER_USER: u32 = 65534;

// The user

#[tokio::test]
async fn our_own_user_is_served_wherever_it_connects() {
    let addresses = ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"];
    for address in addresses.map(|address| address.parse::<SocketAddr>().unwrap()) {
        let builder = ApiServer::builder(empty()).listen(Listen::Tcp(address));
        let server = match soon(builder.start()).await {
            Ok(server) => server,
            Err(error) => {
                println!("not tried: {error}");
                continue;
            }
        };
        for _ in 0..20 {
            Raw::connect(&server).await.assert_lives().await;
        }
    }
    let server =
        soon(ApiServer::builder(empty()).listen(Listen::PrivateUnix).start()).await.unwrap();
    let path = server.target().trim_start_matches("unix://");
    let stream = UnixStream::connect(path).await.unwrap();
    Raw::over(stream, h2::client::Builder::new()).await.assert_lives().await;
}

/// An IPv4 client of a mapped address, and the other way round.
#[tokio::test]
async fn a_mapped_address_is_the_same_address() {
    let listen = Listen::Tcp("127.0.0.1:0".parse().unwrap());
    let server = soon(ApiServer::builder(empty()).listen(listen).start()).await.unwrap();
    let port = server.tcp_address().unwrap().port();
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{port}").parse().unwrap();
    match TcpStream::connect(mapped).await {
        Ok(stream) => {
            Raw::over(stream, h2::client::Builder::new()).await.assert_lives().await;
        }
        Err(error) => println!("not tried, this system has no mapped addresses: {error}"),
    }
}

/// Whether the server says a byte of HTTP/2 to this process.
async fn try_to_call() {
    let target = std::env::var(TARGET).unwrap();
    let mut said = [0; 9];
    let mut stream = TcpStream::connect(target).await.unwrap();
    let _ = stream.write_all(HELLO).await;
    match soon(stream.read_exact(&mut said)).await {
        Ok(_) => println!("\nserved"),
        Err(_) => println!("\nrefused"),
    }
}

#[tokio::test]
async fn another_user_is_refused_before_a_byte_is_served() {
    if is_again() {
        return try_to_call().await;
    }
    let own = rustix::process::geteuid().as_raw();
    let users = match own {
        0 => vec![own, OTHER_USER],
        _ => {
            println!("another user is not tried: only root can become one");
            vec![own]
        }
    };
    // Where the other user may start it.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    for callers in [Callers::SameUser, Callers::Anyone] {
        let server = soon(ApiServer::builder(empty()).callers(callers).start()).await.unwrap();
        for &user in &users {
            let mut command = tokio::process::Command::new(&program);
            let again = again("another_user_is_refused_before_a_byte_is_served");
            for (name, value) in again.as_std().get_envs() {
                command.env(name, value.unwrap());
            }
            command.args(again.as_std().get_args()).env(TARGET, server.target());
            command.current_dir("/").stdout(Stdio::piped()).kill_on_drop(true);
            if user != own {
                command.uid(user).gid(user);
            }
            let output = soon(command.output()).await.unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            let expected = match callers {
                Callers::SameUser if user != own => "refused",
                _ => "served",
            };
            let is = text.lines().any(|line| line == expected);
            assert!(is, "user {user}, {callers:?}: expected {expected}: {text}");
        }
        Raw::connect(&server).await.assert_lives().await;
    }
}

// The token

#[tokio::test]
async fn without_the_token_no_call_is_answered() {
    let token = ApiToken::random().unwrap();
    let recorder = Recorder::default();
    let builder = ApiServer::builder(empty()).token(token.clone()).record(&recorder);
    let (server, raw) = api_common::raw(builder).await;
    let (wrong, right) =
        (format!("Bearer {}x", token.secret()), format!("Bearer {}", token.secret()));
    let paths = [rpc("GetUser").path, "/grpc.health.v1.Health/Check", "/no.such/Service"];
    for path in paths {
        for headers in [&[][..], &[("authorization", wrong.as_str())]] {
            let answer = raw.send(path, headers, frame(b"")).await;
            assert_eq!(answer.code(), 16, "{path}: {answer:?}");
            assert!(answer.message().contains(TOKEN_VARIABLE), "{answer:?}");
            assert!(!format!("{answer:?}").contains(token.secret()));
        }
    }
    assert!(recorder.calls().is_empty(), "none of them is a call");
    let headers = [("authorization", right.as_str())];
    for path in &paths[..2] {
        assert_eq!(raw.send(path, &headers, frame(b"")).await.code(), 0, "{path}");
    }
    assert_eq!(recorder.calls().len(), 1);
    assert!(!format!("{server:?}{:?}", recorder).contains(token.secret()));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn each_launch_has_a_token_of_its_own() {
    let plugin = Plugin::good("OnActivate", "");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let builder = plugin.builder().timeouts(quick_stop()).api_token();
        let builder = builder.env(TOKEN_VARIABLE, "ours wins over this");
        let running = soon(builder.launch()).await.unwrap();
        let token = common::environment(running.pid())[TOKEN_VARIABLE].clone();
        let target = running.api_target().unwrap().to_owned();
        let stream = TcpStream::connect(target).await.unwrap();
        let raw = Raw::over(stream, h2::client::Builder::new()).await;
        let path = rpc("GetServerVersion").path;
        assert_eq!(raw.send(path, &[], frame(b"")).await.code(), 16);
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(raw.send(path, &headers, frame(b"")).await.code(), 0);
        soon(running.shutdown()).await;
        assert!(!format!("{:?}", plugin.kinds()).contains(&token));
        tokens.push(token);
    }
    assert_ne!(tokens[0], tokens[1]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_token_of_an_outer_host_is_not_inherited() {
    if !is_again() {
        let mut command = again("a_token_of_an_outer_host_is_not_inherited");
        return passes_again(command.env(TOKEN_VARIABLE, "outer")).await;
    }
    let plugin = Plugin::good("OnActivate", "");
    for given in [None, Some("given")] {
        let mut builder = plugin.builder().timeouts(quick_stop());
        if let Some(given) = given {
            builder = builder.env(TOKEN_VARIABLE, given);
        }
        let running = soon(builder.launch()).await.unwrap();
        let environment = common::environment(running.pid());
        assert_eq!(environment.get(TOKEN_VARIABLE).map(String::as_str), given);
        soon(running.shutdown()).await;
    }
}

// Secrets

const MARKER: &str = "uN-hidden-5ecret";

/// The message with every secret field filled, as deep as three levels of the same message.
fn filled(descriptor: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let text = || Value::String(MARKER.to_owned());
    for field in descriptor.fields() {
        let one = match field.kind() {
            Kind::String if is_secret(&field) => text(),
            Kind::Bytes if is_secret(&field) => Value::Bytes(MARKER.into()),
            Kind::Message(inner) if is_secret(&field) && !field.is_map() => {
                assert_eq!(inner.full_name(), "google.protobuf.Struct");
                let json = serde_json::json!({ MARKER: MARKER });
                Value::Message(DynamicMessage::deserialize(inner, json).unwrap())
            }
            Kind::Message(_) if is_secret(&field) => {
                let key = plugin_proto::prost_reflect::MapKey::String(MARKER.to_owned());
                message.set_field(&field, Value::Map([(key, text())].into()));
                continue;
            }
            Kind::Message(inner) if depth > 0 && !field.is_map() => {
                if inner.full_name().starts_with("google.") {
                    continue;
                }
                Value::Message(filled(&inner, depth - 1))
            }
            _ => continue,
        };
        let value = if field.is_list() { Value::List(vec![one]) } else { one };
        message.set_field(&field, value);
    }
    message
}

/// Bytes, too, may give a secret away: as numbers, escaped, in base64.
fn assert_hidden(what: &str, text: &str) {
    use base64::Engine as _;
    let marker = MARKER.as_bytes();
    // As base64 stands in the middle of a text, whole groups of three bytes only.
    let base64 = base64::engine::general_purpose::STANDARD.encode(&marker[..15]);
    let numbers = format!("{:?}", &marker[..4]);
    for secret in [MARKER, &base64, numbers.trim_matches(['[', ']'])] {
        assert!(!text.contains(secret), "{what} shows a secret: {text}");
    }
}

fn assert_debug_hides(what: &str, value: &impl Debug) {
    assert_hidden(what, &format!("{value:?}"));
    assert_hidden(what, &format!("{value:#?}"));
}

#[tokio::test]
async fn no_output_about_a_call_shows_a_secret() {
    let recorder = Recorder::default();
    let answers = api(|method, _| async move {
        let response = filled(&method.response_descriptor(), 3);
        Ok(Bytes::from(response.encode_to_vec()))
    });
    let (server, raw) = api_common::raw(ApiServer::builder(answers).record(&recorder)).await;
    let mut with_secrets = 0;
    for method in rpcs() {
        let message = filled(&method.request_descriptor(), 3);
        let request = message.encode_to_vec();
        with_secrets += usize::from(!request.is_empty());
        assert_eq!(raw.call(method, &request).await.code(), 0, "{}", method.name);

        let mut metadata = http::HeaderMap::new();
        metadata.insert("authorization", MARKER.parse().unwrap());
        metadata.insert("x-other", MARKER.parse().unwrap());
        let call = ApiCall { method, request: request.clone().into(), metadata };
        assert_debug_hides(method.name, &call);

        // A mock that is nearly met, by value, by message and by condition.
        let mocks = MockApi::new().verify_on_drop(false);
        let json = serde_json::to_value(&message).unwrap();
        for (name, value) in json.as_object().unwrap() {
            let wanted = [value.clone(), other(value)];
            for wanted in wanted {
                let mock = mocks.given(given(method.name)).with(field(name).equals(wanted.clone()));
                assert_debug_hides(method.name, &mock);
                let never = plugin_conformance::api::mock::any("never", |_| false);
                assert_debug_hides(method.name, &never);
                let mock = mock.with(never).respond_with(json.clone()).expect(1);
                assert_debug_hides(method.name, &mock);
                // What does not fit the answer is another error's affair.
                if let Err(error) = mock.try_mount() {
                    assert_hidden(method.name, &error.to_string());
                }
                let mock = mocks.given(given(method.name)).with(field(name).equals(wanted));
                mock.respond_with(serde_json::json!({})).expect(9).mount();
            }
        }
        let dynamic: Arc<dyn plugin_conformance::api::PluginApi> = mocks.plugin_api();
        let unmatched = mocked(dynamic, method, request).await;
        assert_hidden(method.name, &unmatched);
        assert_debug_hides(method.name, &mocks.received());
        if let Err(broken) = mocks.verify() {
            assert_hidden(method.name, &broken.to_string());
            assert_debug_hides(method.name, &broken);
        }
    }
    assert!(with_secrets >= 10, "{with_secrets} requests have secrets");
    assert_debug_hides("the recorder", &recorder);
    assert_debug_hides("the calls", &recorder.calls());
    assert_debug_hides("the server", &server);
}

/// The same shape with other texts, and other bytes.
fn other(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) if text == MARKER => Value::String(format!("{text}, but another")),
        Value::String(_) => Value::String("AAAA".to_owned()),
        Value::Array(items) => items.iter().map(other).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), other(value))).collect()
        }
        other => other.clone(),
    }
}

/// What the mocks answer, as text.
async fn mocked(
    mocks: Arc<dyn plugin_conformance::api::PluginApi>,
    method: &'static plugin_proto::Method,
    request: Vec<u8>,
) -> String {
    let (_server, raw) = api_common::raw(ApiServer::builder(mocks)).await;
    let answer = raw.call(method, &request).await;
    let details = answer.end().get("grpc-status-details-bin").cloned();
    format!("{answer:?} {} {details:?}", String::from_utf8_lossy(&answer.body))
}

macro_rules! debug_hides {
    ($($message:ident),* $(,)?) => {
        [$((stringify!($message), {
            let name = concat!("mattermost.pluginapi.v1.", stringify!($message));
            let descriptor = DESCRIPTORS.all_messages().find(|message| {
                message.full_name().eq_ignore_ascii_case(name)
            });
            let bytes = filled(&descriptor.unwrap(), 1).encode_to_vec();
            let message = v1::$message::decode(bytes.as_slice()).unwrap();
            assert_ne!(message, v1::$message::default());
            assert_debug_hides(name, &message);
            assert!(format!("{message:?}").contains(REDACTED), "{message:?}");
        })),*].map(|(name, ())| name.to_lowercase())
    };
}

#[test]
fn no_message_shows_its_secrets() {
    let shown = debug_hides![
        User,
        UserAuth,
        Session,
        UserAccessToken,
        Command,
        OAuthApp,
        RemoteCluster,
        Team,
        PushNotification,
        ConfigJson,
        GetUnsanitizedConfigResponse,
        SaveConfigRequest,
        LoadPluginConfigurationResponse,
        GetPluginConfigResponse,
        SavePluginConfigRequest,
        PluginHttpRequest,
        PluginHttpResponse,
        HttpHeader,
        ServeHttpRequestInit,
    ];
    for secret in SECRET_FIELDS {
        let message = secret.rsplit('.').nth(1).unwrap().to_lowercase();
        assert!(shown.contains(&message), "{secret} is not tried");
    }
    assert_eq!(
        MESSAGES
            .iter()
            .filter(|message| { message.descriptor().fields().any(|field| is_secret(&field)) })
            .count(),
        shown.len()
    );
}

/// What the contract's comments call secret or sensitive, and what is called so as a rule.
#[test]
fn the_table_of_secrets_is_complete() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("proto/proto/mattermost/pluginapi/v1");
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let (mut message, mut comment) = (String::new(), String::new());
        for line in text.lines().map(str::trim) {
            if let Some(more) = line.strip_prefix("//") {
                comment.push_str(&more.to_lowercase());
                continue;
            }
            if let Some(rest) = line.strip_prefix("message ") {
                message = rest.split_whitespace().next().unwrap().to_owned();
            } else if let Some((declared, _)) = line.split_once(" = ") {
                let name = declared.split_whitespace().last().unwrap();
                let full = format!("mattermost.pluginapi.v1.{message}.{name}");
                let told = ["never log", "sensitive", "hold secrets"];
                let named = ["password", "token", "secret", "auth_data"];
                let scalar = ["string ", "optional string ", "bytes "];
                let is = told.iter().any(|told| comment.contains(told))
                    || scalar.iter().any(|kind| declared.starts_with(kind))
                        && named.iter().any(|end| name.ends_with(end));
                let listed = SECRET_FIELDS.contains(&full.as_str());
                assert!(!is || listed, "{full} belongs into proto/secrets.tsv");
            }
            comment.clear();
        }
    }
}
