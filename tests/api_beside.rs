//! What stands beside the API: gRPC health, reflection, and pings.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod api_common;

use std::collections::BTreeSet;
use std::time::Duration;

use api_common::{empty, endless, raw, rpc, rpcs, served, soon, until};
use bytes::Bytes;
use fake_interpreters::wire;
use plugin_conformance::api::{ApiServer, Dialect};
use plugin_conformance::conformance::GeneratedApi;
use plugin_proto::prost_reflect::DescriptorPool;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const SERVICE: &str = "mattermost.pluginapi.v1.PluginAPI";

// Health

async fn health(channel: &Channel, service: &str) -> Result<ServingStatus, Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = soon(HealthClient::new(channel.clone()).check(request)).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

#[tokio::test]
async fn the_server_and_its_service_are_serving() {
    // Health does not depend on what the implementation says.
    for builder in [
        ApiServer::builder(empty()),
        ApiServer::builder(GeneratedApi::failing()).dialect(Dialect::Embedded),
    ] {
        let (_server, channel) = served(builder).await;
        assert_eq!(health(&channel, "").await, Ok(ServingStatus::Serving));
        assert_eq!(health(&channel, SERVICE).await, Ok(ServingStatus::Serving));
        for unknown in ["plugin", "mattermost.pluginapi.v1.PluginHooks", "PluginAPI", " "] {
            assert_eq!(health(&channel, unknown).await, Err(Code::NotFound), "{unknown}");
        }
    }
}

#[tokio::test]
async fn a_watch_of_health_begins_with_the_state_and_goes_with_its_caller() {
    let (server, channel) = served(ApiServer::builder(empty())).await;
    let mut client = HealthClient::new(channel);
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let mut watch = soon(client.watch(request)).await.unwrap().into_inner();
    let first = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    drop(watch);
    until("the watch is gone", || server.tasks() <= 2).await;
}

// Reflection

macro_rules! reflection {
    ($name:ident, $version:ident) => {
        mod $name {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            use super::*;

            async fn ask(channel: &Channel, question: MessageRequest) -> MessageResponse {
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(question),
                };
                let mut client = ServerReflectionClient::new(channel.clone());
                let one = tokio_stream::once(request);
                let answers = soon(client.server_reflection_info(one)).await.unwrap();
                let answer = soon(answers.into_inner().message()).await.unwrap().unwrap();
                answer.message_response.unwrap()
            }

            async fn files(channel: &Channel, question: MessageRequest) -> Vec<Vec<u8>> {
                match ask(channel, question).await {
                    MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto,
                    other => panic!("no files: {other:?}"),
                }
            }

            #[tokio::test]
            async fn the_services_are_listed() {
                let (_server, channel) = served(ApiServer::builder(empty())).await;
                let answer = ask(&channel, MessageRequest::ListServices(String::new())).await;
                let MessageResponse::ListServicesResponse(list) = answer else {
                    panic!("no list: {answer:?}");
                };
                let names: BTreeSet<_> = list.service.into_iter().map(|it| it.name).collect();
                assert!(names.contains(SERVICE), "{names:?}");
                assert!(names.contains("grpc.health.v1.Health"), "{names:?}");
                // The hooks are in the same files, but the plugin serves them.
                assert!(!names.iter().any(|name| name.ends_with("PluginHooks")), "{names:?}");
            }

            /// As grpcurl does it: the service's file, then what it imports, until all is there.
            #[tokio::test]
            async fn the_files_make_a_whole_of_the_service() {
                let (_server, channel) = served(ApiServer::builder(empty())).await;
                let question = MessageRequest::FileContainingSymbol(SERVICE.to_owned());
                let mut waiting = files(&channel, question).await;
                let mut found = std::collections::BTreeMap::new();
                while let Some(file) = waiting.pop() {
                    let file: prost_types::FileDescriptorProto =
                        prost::Message::decode(file.as_slice()).unwrap();
                    for import in &file.dependency {
                        if !found.contains_key(import) {
                            let question = MessageRequest::FileByFilename(import.clone());
                            waiting.extend(files(&channel, question).await);
                        }
                    }
                    found.insert(file.name().to_owned(), file);
                }
                let set = prost_types::FileDescriptorSet { file: found.into_values().collect() };
                let pool = DescriptorPool::from_file_descriptor_set(set).unwrap();
                let service = pool.get_service_by_name(SERVICE).unwrap();
                let names: Vec<_> =
                    service.methods().map(|method| method.name().to_owned()).collect();
                assert!(names.iter().eq(rpcs().map(|method| method.name)));
            }

            #[tokio::test]
            async fn messages_and_methods_are_found_and_others_are_not() {
                let (_server, channel) = served(ApiServer::builder(empty())).await;
                for symbol in [
                    "mattermost.pluginapi.v1.PluginAPI.GetUser",
                    "mattermost.pluginapi.v1.GetUserRequest",
                    "mattermost.pluginapi.v1.User",
                    "grpc.health.v1.Health",
                ] {
                    let question = MessageRequest::FileContainingSymbol(symbol.to_owned());
                    assert!(!files(&channel, question).await.is_empty(), "{symbol}");
                }
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(MessageRequest::FileContainingSymbol("no.Such".into())),
                };
                let mut client = ServerReflectionClient::new(channel.clone());
                let answers = client.server_reflection_info(tokio_stream::once(request)).await;
                let answer = soon(answers.unwrap().into_inner().message()).await;
                match answer {
                    Err(status) => assert_eq!(status.code(), Code::NotFound),
                    Ok(answer) => {
                        let answer = answer.unwrap().message_response.unwrap();
                        assert!(
                            matches!(&answer, MessageResponse::ErrorResponse(error) if error.error_code == 5),
                            "{answer:?}"
                        );
                    }
                }
            }
        }
    };
}

reflection!(reflection_v1, v1);
reflection!(reflection_v1alpha, v1alpha);

// Pings

/// grpc-go tells a client that pings this often to go away; the Python SDK pings every ten seconds,
/// calls or not.
#[tokio::test]
async fn a_client_may_ping_as_often_as_it_likes() {
    let (server, mut raw) = raw(ApiServer::builder(empty())).await;
    for _ in 0..2000 {
        soon(raw.pings.ping(h2::Ping::opaque())).await.unwrap();
    }
    assert!(!raw.driver.is_finished());
    assert_eq!(raw.call(rpc("GetUser"), b"").await.ok(), b"");
    until("the same connection", || server.tasks() == 2).await;
}

#[tokio::test]
async fn a_client_that_keeps_its_connection_alive_keeps_it() {
    let server = soon(ApiServer::builder(endless()).start()).await.unwrap();
    let channel = Endpoint::from_shared(format!("http://{}", server.target()))
        .unwrap()
        .http2_keep_alive_interval(Duration::from_millis(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect()
        .await
        .unwrap();
    // Thirty pings, while the only call goes nowhere.
    let deadline = Some(Duration::from_millis(300));
    let answer = soon(wire::unary(&channel, rpc("GetUser"), Bytes::new(), deadline)).await;
    assert_eq!(answer.unwrap_err().code(), Code::DeadlineExceeded);
    until("the call is gone and the connection is not", || server.tasks() == 2).await;
}
