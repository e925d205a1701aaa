//! Calls of the PluginAPI.

use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt as _;
use plugin_proto::prost::Message as _;
use plugin_proto::{Method, Service, sample, v1};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::life::Life;
use crate::compare::{app_error_of_response, app_error_of_status, difference, failure_difference};
use crate::report::{CallReport, RepeatReport};
use crate::script::{Call, EveryRpc, Expect, RepeatCall, Rpc};
use crate::wire;

const VERSION: &str = "GetServerVersion";

impl Life {
    /// The channel to the API; its absence is a failure of the step.
    fn api(&self, step: &str, method: &Method) -> Option<&Channel> {
        let channel = self.api.as_ref();
        let tell = |problem| self.report.failure(format!("{step} {}: {problem}", method.name));
        channel.map_err(tell).ok()
    }

    pub(crate) async fn call(&self, call: &Call, server_version: Option<&str>) {
        let method = call.rpc.0;
        let Some(channel) = self.api("call", method) else { return };
        let request = call.request.clone().unwrap_or_else(|| request(method));
        let start = Instant::now();
        let result = wire::unary(channel, method, request, call.deadline).await;
        let micros = start.elapsed().as_micros() as u64;
        let difference = match call.expect {
            Expect::Any => None,
            Expect::Generated => Some(generated_difference(method, &result, server_version)),
            Expect::Errors(_) => {
                Some(failure_difference(method, &sample::app_error(method), &result))
            }
        };
        let version = match &result {
            Ok(response) if method.name == VERSION => version(response),
            _ => None,
        };
        let error = match &result {
            Ok(response) => app_error_of_response(response),
            Err(status) => app_error_of_status(status),
        };
        let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        let entry = CallReport {
            rpc: method.name.to_owned(),
            code: wire::code_name(code).to_owned(),
            error_id: error.map(|error| error.id),
            micros,
            matches: difference.as_ref().map(Option::is_none),
            difference: difference.flatten(),
        };
        self.report.update(|report| {
            report.calls.push(entry);
            report.server_version = version.or(report.server_version.take());
        });
    }

    pub(crate) async fn every_rpc(&self, every: &EveryRpc) {
        if let Err(problem) = &self.api {
            return self.report.failure(format!("every_rpc: {problem}"));
        }
        for method in Service::PluginAPI.methods() {
            let rpc = Rpc(method);
            let call = Call { rpc, request: None, deadline: None, expect: every.expect };
            self.call(&call, every.server_version.as_deref()).await;
        }
    }

    pub(crate) async fn repeat_call(&self, repeat: &RepeatCall) {
        let method = repeat.rpc.0;
        let Some(channel) = self.api("repeat_call", method) else { return };
        let request = request(method);
        let start = Instant::now();
        let failed = futures::stream::iter(0..repeat.times)
            .map(|_| wire::unary(channel, method, request.clone(), None))
            .buffer_unordered(repeat.in_flight.max(1) as usize)
            .filter(|result| std::future::ready(result.is_err()))
            .count();
        let failed = failed.await as u64;
        let seconds = start.elapsed().as_secs_f64();
        let entry = RepeatReport {
            rpc: method.name.to_owned(),
            times: u64::from(repeat.times),
            in_flight: u64::from(repeat.in_flight),
            failed,
            micros: (seconds * 1e6) as u64,
            calls_per_second: f64::from(repeat.times) / seconds.max(1e-9),
        };
        self.report.update(|report| report.repeat.push(entry));
    }

    /// Starts a call that has a beginning only.
    pub(crate) async fn open_call(&self, rpc: Rpc) {
        let method = rpc.0;
        let Some(channel) = self.api("open_call", method) else { return };
        let mut client = match wire::client(channel).await {
            Ok(client) => client,
            Err(status) => {
                return self.report.failure(format!("open_call {}: {status}", method.name));
            }
        };
        tokio::spawn(async move {
            let endless = Request::new(futures::stream::pending::<Bytes>());
            let path = http::uri::PathAndQuery::from_static(method.path);
            let _ = client.client_streaming(endless, path, wire::RawCodec).await;
        });
    }
}

/// What is sent when the script says nothing else.
fn request(method: &Method) -> Bytes {
    match method.name {
        // It has no fields, and looking that up costs a plugin that starts some milliseconds.
        VERSION => Bytes::new(),
        _ => sample::request(method),
    }
}

fn version(response: &Bytes) -> Option<String> {
    let response = v1::GetServerVersionResponse::decode(response.clone()).ok()?;
    response.error.is_none().then_some(response.version)
}

fn generated_difference(
    method: &Method,
    result: &Result<Bytes, Status>,
    server_version: Option<&str>,
) -> Option<String> {
    let response = match result {
        Ok(response) => response,
        Err(status) => {
            let code = wire::code_name(status.code());
            return Some(format!("code: expected OK, got {code}: {}", status.message()));
        }
    };
    let expected = if method.name == VERSION {
        // Any version is right as long as none is asked for.
        let wanted = server_version.map(str::to_owned).or_else(|| version(response));
        let wanted =
            v1::GetServerVersionResponse { version: wanted.unwrap_or_default(), error: None };
        wanted.encode_to_vec().into()
    } else {
        sample::response(method)
    };
    difference(&method.response_descriptor(), &expected, response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_for_the_version_has_no_fields() {
        let method = Method::by_name(Service::PluginAPI, VERSION).unwrap();
        assert_eq!(sample::request(method), Bytes::new());
    }

    #[test]
    fn the_version_is_compared_only_when_asked_for() {
        let method = Method::by_name(Service::PluginAPI, VERSION).unwrap();
        let answer = v1::GetServerVersionResponse { version: "11.2.0".into(), error: None };
        let answer = Ok(answer.encode_to_vec().into());
        assert_eq!(generated_difference(method, &answer, None), None);
        assert_eq!(generated_difference(method, &answer, Some("11.2.0")), None);
        assert_eq!(
            generated_difference(method, &answer, Some("11.3.0")).unwrap(),
            r#"GetServerVersionResponse.version: expected "11.3.0", got "11.2.0""#
        );
        let failure = Err(Status::not_found("x"));
        assert_eq!(
            generated_difference(method, &failure, None).unwrap(),
            "code: expected OK, got NOT_FOUND: x"
        );
    }
}
