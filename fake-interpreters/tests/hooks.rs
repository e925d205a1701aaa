//! Hooks answered as a script says.

#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{Bundle, hook, report_where, soon};
use fake_interpreters::report::HookEnd;
use fake_interpreters::{sample, wire};
use plugin_proto::prost::Message as _;
use plugin_proto::{Method, Service, v1};
use rustix::process::Signal;
use tonic::Code;

#[tokio::test]
async fn every_hook_with_its_generated_response() {
    let bundle = Bundle::of("every-hook");
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    let implemented = hook(&channel, "Implemented").await.unwrap();
    let implemented = v1::ImplementedResponse::decode(implemented).unwrap().hooks;
    assert_eq!(implemented.len(), 41);
    let unary = || Service::PluginHooks.methods().filter(|hook| hook.is_unary()).skip(1);
    for hook in unary() {
        let answer = soon(wire::unary(&channel, hook, sample::request(hook), None)).await;
        assert_eq!(answer.unwrap(), sample::response(hook), "{}", hook.name);
    }
    assert!(plugin.terminate().await.success());
    let report = bundle.report();
    assert_eq!(report.hooks.len(), 41);
    for (call, hook) in report.hook_calls.iter().skip(1).zip(unary()) {
        let request = sample::request(hook);
        assert_eq!(call.hook, hook.name);
        assert_eq!(call.request_hex.as_deref(), Some(&*hex::encode(&request)));
        assert_eq!((call.request_bytes, call.end), (request.len() as u64, HookEnd::Answered));
    }
}

#[tokio::test]
async fn every_hook_fails_in_its_own_way() {
    let bundle = Bundle::of("every-hook-errors");
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    let mut embedded = 0;
    for method in Service::PluginHooks.methods().filter(|hook| hook.is_unary()).skip(2) {
        let error = sample::app_error(method);
        match hook(&channel, method.name).await {
            Ok(answer) => {
                // In whatever field: the error is the whole of the answer.
                let field = method.response_descriptor().get_field_by_name("error").unwrap();
                let mut expected = Vec::new();
                prost::encoding::message::encode(field.number(), &error, &mut expected);
                assert_eq!(answer, expected, "{}", method.name);
                embedded += 1;
            }
            Err(status) => assert_eq!(status.message(), error.message, "{}", method.name),
        }
    }
    assert_eq!(embedded, 11);
    assert!(plugin.terminate().await.success());
}

#[tokio::test]
async fn a_delay_raw_bytes_and_a_call_that_is_given_up() {
    let bundle = Bundle::new(
        "life: [{serve: {hooks: [OnInstall, OnActivate]}}, handshake, wait]\n\
         on: {OnInstall: [{delay: 50}, {answer_hex: ffff}], OnActivate: [hang]}\n",
    );
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    let start = std::time::Instant::now();
    assert_eq!(hook(&channel, "OnInstall").await.unwrap(), Bytes::from_static(b"\xff\xff"));
    assert!(start.elapsed().as_millis() >= 50);

    let method = Method::by_name(Service::PluginHooks, "OnActivate").unwrap();
    let other = channel.clone();
    let call = tokio::spawn(async move { wire::unary(&other, method, Bytes::new(), None).await });
    let dir = bundle.path();
    report_where(&dir, |report| report.hook_calls.len() == 2).await;
    call.abort();
    report_where(&dir, |report| report.hook_calls[1].end == HookEnd::Cancelled).await;
    assert!(plugin.terminate().await.success());
    assert_eq!(bundle.report().hook_calls[0].end, HookEnd::Answered);
}

#[tokio::test]
async fn one_hook_crashes_and_one_hangs() {
    use std::os::unix::process::ExitStatusExt as _;
    let bundle = Bundle::of("crash-in-hook");
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    hook(&channel, "OnActivate").await.unwrap();
    let status = hook(&channel, "MessageHasBeenPosted").await.unwrap_err();
    assert!(matches!(status.code(), Code::Unavailable | Code::Unknown), "{status:?}");
    assert_eq!(plugin.exit().await.signal(), Some(Signal::SEGV.as_raw()));
    assert_eq!(bundle.report().hook_calls[1].end, HookEnd::Open);

    let bundle = Bundle::of("hang-in-hook");
    let mut plugin = bundle.start(None);
    let channel = plugin.connect().await;
    let limit = std::time::Duration::from_millis(100);
    let status = common::hook_within(&channel, "MessageWillBePosted", Some(limit)).await;
    assert_eq!(status.unwrap_err().code(), Code::DeadlineExceeded);
    hook(&channel, "MessageHasBeenPosted").await.unwrap();
    assert!(plugin.terminate().await.success());
    assert_eq!(bundle.report().hook_calls[0].end, HookEnd::Cancelled);
}
