//! Characters that do what a plugin should.

#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{Bundle, health, hook, only_version, report_where, serve_api};
use fake_interpreters::compare::code_of_http_status;
use fake_interpreters::{Report, sample};
use plugin_proto::prost::Message as _;
use plugin_proto::{ErrorChannel, Method, Service, v1};
use rustix::process::Signal;
use tonic::{Code, Request, Status};

#[tokio::test]
async fn a_well_behaved_plugin_from_start_to_stop() {
    let api = serve_api(only_version).await;
    let bundle = Bundle::of("well-behaved");
    let mut plugin = bundle.start(Some(&api));
    let channel = plugin.connect().await;
    assert_eq!(health(&channel).await.unwrap(), 1);

    let implemented = hook(&channel, "Implemented").await.unwrap();
    let implemented = v1::ImplementedResponse::decode(implemented).unwrap();
    assert_eq!(implemented.hooks, ["OnActivate", "OnDeactivate"]);
    assert_eq!(hook(&channel, "OnActivate").await.unwrap(), Bytes::new());
    let other = hook(&channel, "MessageHasBeenPosted").await.unwrap_err();
    assert_eq!(other.code(), Code::Unimplemented);
    assert_eq!(hook(&channel, "OnDeactivate").await.unwrap(), Bytes::new());
    let pid = plugin.child.id().unwrap();
    assert!(plugin.terminate().await.success());

    let report = bundle.report();
    assert!(report.complete);
    assert_eq!((report.schema, report.exit, report.pid), (1, Some(0), pid));
    assert_eq!(report.argv[1..], ["plugin.py"]);
    assert_eq!(report.interpreter, report.argv[0]);
    assert_eq!(report.cwd, bundle.path().display().to_string());
    assert_eq!(report.api_target.as_deref(), Some(&*api));
    assert!(report.api_reachable_at_start);
    assert_eq!(report.server_version.as_deref(), Some("11.2.0"));
    assert_eq!(report.hooks, ["Implemented", "OnActivate", "MessageHasBeenPosted", "OnDeactivate"]);
    let calls: Vec<_> = report.calls.iter().map(|call| (&*call.rpc, &*call.code)).collect();
    assert_eq!(calls, [("GetServerVersion", "OK"); 2]);
    assert!(report.calls.iter().all(|call| call.matches.is_none() && call.error_id.is_none()));
    let stop = report.stop.unwrap();
    assert_eq!((stop.signal.as_deref(), stop.api_reachable), (Some("SIGTERM"), true));
    assert!(report.handshake.unwrap().starts_with("1|1|tcp|127.0.0.1:"));
    assert_eq!(report.go_plugin.cookie.as_deref(), Some("cookie"));
    assert_eq!(report.environment.plugin_id.as_deref(), Some("com.example"));
    assert_eq!(report.failures, [""; 0]);
}

/// Activates the character against this API and gives back its report.
async fn activate(character: &str, answer: common::Answer) -> Report {
    let api = serve_api(answer).await;
    let bundle = Bundle::of(character);
    let mut plugin = bundle.start(Some(&api));
    let channel = plugin.connect().await;
    hook(&channel, "OnActivate").await.unwrap();
    assert!(plugin.terminate().await.success());
    bundle.report()
}

#[tokio::test]
async fn every_rpc_with_generated_answers() {
    let report = activate("every-rpc", |method| Ok(sample::response(method))).await;
    assert_eq!(report.calls.len(), 236);
    assert_eq!(report.mismatches().next(), None);
    assert!(report.calls.iter().all(|call| call.matches == Some(true) && call.code == "OK"));
}

#[tokio::test]
async fn every_rpc_tells_what_is_wrong() {
    let report = activate("every-rpc", |method| match method.name {
        "GetUser" => Ok(Bytes::new()),
        "GetTeam" => Err(Status::not_found("none")),
        _ => Ok(sample::response(method)),
    });
    let report = report.await;
    let wrong: Vec<_> = report.mismatches().collect();
    assert_eq!(wrong.len(), 2);
    assert_eq!(wrong[0].rpc, "GetUser");
    let difference = wrong[0].difference.as_ref().unwrap();
    assert!(difference.starts_with("GetUserResponse.user: expected {"), "{difference}");
    assert_eq!(wrong[1].code, "NOT_FOUND");
    assert_eq!(wrong[1].difference.as_deref(), Some("code: expected OK, got NOT_FOUND: none"));
}

#[tokio::test]
async fn every_rpc_with_generated_errors() {
    let report = activate("every-rpc-errors", fail).await;
    assert_eq!(report.calls.len(), 236);
    assert_eq!(report.mismatches().next(), None);
    assert!(report.calls.iter().all(|call| call.error_id.is_some()));

    let report = activate("every-rpc-errors", |method| Ok(sample::response(method))).await;
    assert_eq!(report.mismatches().count(), 236);
}

/// Fails as the API must.
fn fail(method: &'static Method) -> Result<Bytes, Status> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Embedded {
        #[prost(message, optional, tag = "1")]
        error: Option<v1::AppError>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    struct Details {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
        #[prost(message, repeated, tag = "3")]
        details: Vec<plugin_proto::prost_types::Any>,
    }
    let error = sample::app_error(method);
    let code = match method.error_channel {
        ErrorChannel::Embedded => {
            return Ok(Embedded { error: Some(error) }.encode_to_vec().into());
        }
        ErrorChannel::None => Code::Internal,
        ErrorChannel::Status | ErrorChannel::Mixed => code_of_http_status(error.status_code),
    };
    let message = format!("{}: {}", error.id, error.message);
    let any = plugin_proto::prost_types::Any {
        type_url: "type.googleapis.com/mattermost.pluginapi.v1.AppError".into(),
        value: error.encode_to_vec(),
    };
    let details = Details { code: code as i32, message: message.clone(), details: vec![any] };
    Err(Status::with_details(code, message, details.encode_to_vec().into()))
}

#[tokio::test]
async fn no_api_is_minded_by_some_only() {
    let (status, stdout, stderr) = Bundle::of("needs-api").run(None).await;
    assert_eq!((status.code(), &*stdout), (Some(3), ""));
    assert!(stderr.contains("MATTERMOST_PLUGIN_API_TARGET is not set"), "{stderr}");

    for character in ["no-api", "well-behaved"] {
        let bundle = Bundle::of(character);
        let mut plugin = bundle.start(None);
        hook(&plugin.connect().await, "OnActivate").await.unwrap();
        assert!(plugin.terminate().await.success());
        let report = bundle.report();
        assert_eq!((report.api_target, report.api_reachable_at_start), (None, false));
        // What it could not do is told.
        assert_eq!(report.failures.is_empty(), character == "no-api", "{:?}", report.failures);
    }
}

#[tokio::test]
async fn hooks_on_a_unix_socket() {
    let bundle = Bundle::of("unix-hooks");
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    assert_eq!(health(&channel).await.unwrap(), 1);
    hook(&channel, "OnActivate").await.unwrap();
    let sockets = || {
        let names =
            std::fs::read_dir(bundle.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".sock")).count()
    };
    assert_eq!(sockets(), 1);
    assert!(plugin.terminate().await.success());
    assert_eq!(sockets(), 0);
}

#[tokio::test]
async fn the_controller_stops_the_plugin() {
    let bundle = Bundle::of("controller-exits");
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/plugin.GRPCController/Shutdown");
    let request = Request::new(Bytes::new());
    client.unary(request, path, fake_interpreters::wire::RawCodec).await.unwrap();
    assert!(plugin.exit().await.success());
    assert_eq!(bundle.report().stop.unwrap().signal, None);
}

#[tokio::test]
async fn calls_are_made_while_stopping() {
    let api = serve_api(only_version).await;
    let bundle = Bundle::of("calls-while-stopping");
    let mut plugin = bundle.start(Some(&api));
    plugin.connect().await;
    plugin.signal(Signal::INT);
    assert!(plugin.exit().await.success());
    let report = bundle.report();
    let codes: Vec<_> = report.calls.iter().map(|call| &*call.code).collect();
    assert_eq!(codes, ["OK", "UNIMPLEMENTED", "OK"]);
    assert_eq!(report.stop.unwrap().signal.as_deref(), Some("SIGINT"));
}

#[tokio::test]
async fn a_long_field_is_a_good_handshake() {
    let bundle = Bundle::of("long-handshake-field");
    let mut plugin = bundle.start(None);
    assert_eq!(health(&plugin.connect().await).await.unwrap(), 1);
    assert!(plugin.terminate().await.success());
    assert!((60_000..65_536).contains(&bundle.report().handshake.unwrap().len()));
}

#[tokio::test]
async fn http_requests_are_answered_with_what_they_were() {
    let bundle = Bundle::new("life: [{serve: {hooks: [ServeHTTP]}}, handshake, wait]\n");
    let mut plugin = bundle.start(None);
    let mut client = tonic::client::Grpc::new(plugin.connect().await);
    client.ready().await.unwrap();
    let init = v1::ServeHttpRequestInit {
        method: "POST".into(),
        url: "/echo".into(),
        ..v1::ServeHttpRequestInit::default()
    };
    let messages = [(Some(init), false), (None, true)].map(|(init, body_complete)| {
        let body_chunk = Bytes::from_static(&[7; 1000]);
        v1::ServeHttpRequest { init, body_chunk, body_complete }.encode_to_vec().into()
    });
    // The client's side stays open: `body_complete` is enough.
    let request = futures::StreamExt::chain(
        futures::stream::iter(messages),
        futures::stream::pending::<Bytes>(),
    );
    let method = Method::by_name(Service::PluginHooks, "ServeHTTP").unwrap();
    let path = http::uri::PathAndQuery::from_static(method.path);
    let codec = fake_interpreters::wire::RawCodec;
    let answer = common::soon(client.streaming(Request::new(request), path, codec)).await.unwrap();
    let answer: Bytes = common::soon(answer.into_inner().message()).await.unwrap().unwrap();
    let answer = v1::ServeHttpResponse::decode(answer).unwrap();
    assert_eq!(answer.init.unwrap().status_code, 200);
    let body: serde_json::Value = serde_json::from_slice(&answer.body_chunk).unwrap();
    assert_eq!(body, serde_json::json!({"method": "POST", "url": "/echo", "body_bytes": 2000}));
    report_where(&bundle.path(), |report| report.hooks == ["ServeHTTP"]).await;
}

#[tokio::test]
async fn repeated_calls_are_measured_and_deadlines_end_calls() {
    let api = serve_api(only_version).await;
    let script = "life:\n\
        - repeat_call: {rpc: GetServerVersion, times: 200, in_flight: 8}\n\
        - repeat_call: {rpc: GetUser, times: 3}\n\
        - call: {rpc: GetUser, request: {user_id: abc}, expect: generated}\n";
    let bundle = Bundle::new(script);
    let (status, _, stderr) = bundle.run(Some(&api)).await;
    assert!(status.success(), "{stderr}");
    let report = bundle.report();
    let [all, none] = &report.repeat[..] else { panic!("{:?}", report.repeat) };
    assert_eq!((all.times, all.in_flight, all.failed), (200, 8, 0));
    assert!(all.calls_per_second > 1.0 && all.micros > 0);
    assert_eq!((none.times, none.in_flight, none.failed), (3, 1, 3));
    assert_eq!(report.calls[0].matches, Some(false));

    // A server that takes the connection and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = silent.local_addr().unwrap().to_string();
    let bundle = Bundle::new("life: [{call: {rpc: GetUser, deadline_ms: 50}}]\n");
    bundle.run(Some(&target)).await;
    assert_eq!(bundle.report().calls[0].code, "DEADLINE_EXCEEDED");
    drop(silent);
    bundle.run(Some(&target)).await;
    let report = bundle.report();
    assert_eq!(report.calls[0].code, "UNAVAILABLE");
    assert!(!report.api_reachable_at_start);
}
