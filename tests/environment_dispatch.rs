//! Several plugins under one roof: hooks of all of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod environment_common;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::soon;
use environment_common::{World, id, script};
use plugin_conformance::environment::EnvironmentError;
use plugin_conformance::environment::dispatch::Decided;
use plugin_conformance::hooks::{Cause, HookError};
use plugin_proto::v1;

fn world_of(hook: &str, answers: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    let scripted = |(name, answer): &(&'static str, &str)| {
        let on = if answer.is_empty() { String::new() } else { format!("  {hook}: [{answer}]\n") };
        (*name, script(hook, &on))
    };
    answers.iter().map(scripted).collect()
}

async fn active(hook: &str, answers: &[(&'static str, &str)]) -> World {
    let scripts = world_of(hook, answers);
    let scripts: Vec<_> = scripts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    World::new(&scripts).await
}

fn posted(message: &str) -> v1::MessageWillBePostedRequest {
    let post = v1::Post { message: message.into(), ..Default::default() };
    v1::MessageWillBePostedRequest { post: Some(post), ..Default::default() }
}

#[tokio::test]
async fn filters_are_asked_in_order_and_the_last_change_holds() {
    let answers = [
        ("z", "answer: {modified_post: {message: from z}}"),
        ("m", ""),
        ("a", "answer: {modified_post: {message: from a}}"),
    ];
    let world = active("MessageWillBePosted", &answers).await;
    let chained = soon(world.plugins.dispatch().message_will_be_posted(posted("x"))).await;
    let asked: Vec<_> =
        chained.asked.iter().map(|asked| (asked.plugin_id.clone(), asked.changed)).collect();
    // In the order in which they were added, not of the alphabet.
    assert_eq!(asked, [(id("z"), true), (id("m"), false), (id("a"), true)]);
    assert!(chained.asked.iter().all(|asked| asked.cause == Cause::Answered));
    assert_eq!(chained.passed().unwrap().message, "from a");

    // The one that does not run is not asked; after a restart it is, in its old place.
    soon(world.plugins.deactivate(&id("a"))).await;
    let chained = soon(world.plugins.dispatch().message_will_be_posted(posted("x"))).await;
    assert_eq!(chained.asked.len(), 2);
    assert_eq!(chained.passed().unwrap().message, "from z");
    soon(world.plugins.restart(&id("z"))).await.unwrap();
    let chained = soon(world.plugins.dispatch().message_will_be_posted(posted("x"))).await;
    assert_eq!(chained.asked[0].plugin_id, id("z"));
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn a_rejection_ends_the_chain() {
    let answers = [
        ("a", ""),
        ("b", "answer: {rejection_reason: not here, modified_post: {message: other}}"),
        ("c", ""),
    ];
    let world = active("MessageWillBePosted", &answers).await;
    let chained = soon(world.plugins.dispatch().message_will_be_posted(posted("x"))).await;
    let rejected = Decided::Rejected { plugin_id: id("b"), reason: "not here".into() };
    assert_eq!(chained.decided, rejected);
    assert_eq!(chained.asked.len(), 2);
    soon(world.plugins.shutdown()).await;
    assert!(!world.report("c").hooks.contains(&"MessageWillBePosted".to_owned()));
}

/// A plugin that dies inside a hook is noticed at once; it has no say, and the next is asked.
#[tokio::test]
async fn a_plugin_that_dies_in_a_filter_lets_it_pass_at_once() {
    let answers = [("a", "crash: SIGKILL"), ("b", "answer: {modified_post: {message: from b}}")];
    let world = active("MessageWillBePosted", &answers).await;
    let start = Instant::now();
    let chained = soon(world.plugins.dispatch().message_will_be_posted(posted("x"))).await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let failed: Vec<_> = chained.failures().map(|asked| asked.plugin_id.clone()).collect();
    assert_eq!(failed, [id("a")]);
    assert_eq!(chained.passed().unwrap().message, "from b");
    soon(world.plugins.shutdown()).await;
}

/// A decision in which the value does not matter.
fn nothing_passed<T>(decided: Decided<T>) -> Decided<()> {
    match decided {
        Decided::Passed(_) => Decided::Passed(()),
        Decided::Rejected { plugin_id, reason } => Decided::Rejected { plugin_id, reason },
        Decided::Dismissed { plugin_id } => Decided::Dismissed { plugin_id },
    }
}

#[tokio::test]
async fn a_broken_login_filter_admits_and_a_broken_saml_filter_refuses() {
    let fails = "fail: {code: INTERNAL, message: broken}";
    let world = active("UserWillLogIn", &[("a", fails)]).await;
    let chained = soon(world.plugins.dispatch().user_will_log_in(Default::default())).await;
    assert_eq!(chained.failures().count(), 1);
    assert_eq!(chained.decided, Decided::Passed(()));
    soon(world.plugins.shutdown()).await;

    let refuses = "answer_error: {id: x, message: not today, status_code: 403}";
    for (answer, reason) in [(fails, "broken"), (refuses, "not today")] {
        for hook in ["OnSAMLLogin", "ConfigurationWillBeSaved"] {
            let world = active(hook, &[("a", ""), ("b", answer), ("c", "")]).await;
            let dispatch = world.plugins.dispatch();
            let decided = match hook {
                "OnSAMLLogin" => soon(dispatch.on_saml_login(Default::default())).await.decided,
                _ => {
                    let saved = dispatch.configuration_will_be_saved(Default::default());
                    nothing_passed(soon(saved).await.decided)
                }
            };
            let Decided::Rejected { plugin_id, reason: said } = decided else {
                panic!("{hook}: {answer}: {decided:?}");
            };
            assert_eq!(plugin_id, id("b"), "{hook}");
            assert!(said.contains(reason), "{hook}: {said}");
            soon(world.plugins.shutdown()).await;
            assert!(!world.report("c").hooks.contains(&hook.to_owned()));
        }
    }
}

/// The mail's JSON gets a plugin's texts, for the plugins after it.
#[tokio::test]
async fn a_mails_texts_are_put_into_its_json() {
    let answers = [
        ("a", "answer: {modified_content: {subject: from a, footer_text: foot}}"),
        ("b", "answer: {modified_content: {subject: from b}}"),
    ];
    let world = active("EmailNotificationWillBeSent", &answers).await;
    let notification_json = r#"{"subject": "x", "post_id": "abc"}"#.into();
    let request = v1::EmailNotificationWillBeSentRequest {
        context: None,
        email_notification: Some(v1::EmailNotificationJson { notification_json }),
    };
    let chained = soon(world.plugins.dispatch().email_notification_will_be_sent(request)).await;
    let (json, content) = chained.passed().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["subject"], "from b");
    assert_eq!(json["post_id"], "abc");
    assert_eq!(json["footer_text"], "", "the last plugin's texts hold as a whole");
    assert_eq!(content.unwrap().subject, "from b");
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn what_a_plugin_leaves_of_an_upload_stays() {
    let answers = [
        ("a", "answer: {modified_content: AAEC}"),
        ("b", "answer: {modified_file_info: {name: b}}"),
    ];
    let world = active("FileWillBeUploaded", &answers).await;
    let request = v1::FileWillBeUploadedRequest {
        file_info: Some(v1::FileInfo { name: "x".into(), ..Default::default() }),
        file_content: "content".into(),
        ..Default::default()
    };
    let chained = soon(world.plugins.dispatch().file_will_be_uploaded(request)).await;
    let (info, content) = chained.passed().unwrap();
    assert_eq!((info.name.as_str(), content.as_ref()), ("b", &[0, 1, 2][..]));
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn retention_is_summed_and_support_data_collected() {
    let answers = [
        ("a", "answer: {deleted_count: 5}"),
        ("b", "fail: {code: INTERNAL, message: broken}"),
        ("c", "answer: {deleted_count: 7}"),
    ];
    let world = active("RunDataRetention", &answers).await;
    let retention = soon(world.plugins.dispatch().run_data_retention(Default::default())).await;
    assert_eq!(retention.deleted_count, 12);
    assert_eq!(retention.failures.len(), 1);
    assert_eq!(retention.failures[0].plugin_id, id("b"));
    soon(world.plugins.shutdown()).await;

    let answers = [
        ("a", "answer: {files: [{filename: one}, {filename: two}]}"),
        ("b", "answer_error: {id: x, message: broken, status_code: 500}"),
        ("c", "answer: {files: [{filename: three}]}"),
    ];
    let world = active("GenerateSupportData", &answers).await;
    let data = soon(world.plugins.dispatch().generate_support_data(Default::default())).await;
    let files: Vec<_> =
        data.files.iter().map(|(plugin, file)| (plugin.clone(), file.filename.as_str())).collect();
    assert_eq!(files, [(id("a"), "one"), (id("a"), "two"), (id("c"), "three")]);
    assert!(matches!(data.failures[0].error, HookError::Refused { .. }));
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn a_notification_tells_everybody_whatever_becomes_of_the_others() {
    let answers = [
        ("a", "answer_error: {id: x, message: broken, status_code: 500}"),
        ("b", "crash: SIGKILL"),
        ("c", ""),
    ];
    let world = active("OnConfigurationChange", &answers).await;
    let told = soon(world.plugins.dispatch().on_configuration_change(Default::default())).await;
    let told: Vec<_> =
        told.iter().map(|told| (told.plugin_id.clone(), told.result.is_ok())).collect();
    assert_eq!(told, [(id("a"), false), (id("b"), false), (id("c"), true)]);
    soon(world.plugins.shutdown()).await;
}

#[tokio::test]
async fn a_command_goes_to_the_plugin_that_is_named() {
    let answers =
        [("a", "answer: {response: {text: from a}}"), ("b", "answer: {response: {text: from b}}")];
    let world = active("ExecuteCommand", &answers).await;
    let dispatch = world.plugins.dispatch();
    let run = |name: &str| {
        let (dispatch, id) = (dispatch.clone(), id(name));
        async move { soon(dispatch.execute_command(&id, Default::default())).await }
    };
    let response = run("b").await.unwrap().decision.unwrap().unwrap();
    assert_eq!(response.text, "from b");
    // Not implemented: healthy by default.
    let ping = dispatch.on_shared_channels_ping(&id("a"), Default::default()).await.unwrap();
    assert!(ping.decision && ping.cause == Cause::NotImplemented);
    assert!(matches!(run("none").await, Err(EnvironmentError::Unknown { .. })));
    soon(world.plugins.deactivate(&id("b"))).await;
    assert!(matches!(run("b").await, Err(EnvironmentError::NotRunning { .. })));
    soon(world.plugins.shutdown()).await;
    assert!(!world.report("a").hooks.contains(&"ExecuteCommand".to_owned()));
}

#[tokio::test]
async fn for_each_stops_when_it_is_told_to() {
    let world = active("UserHasBeenCreated", &[("b", ""), ("a", ""), ("c", "")]).await;
    let seen = Mutex::new(Vec::new());
    let dispatch = world.plugins.dispatch();
    let whole = dispatch.for_each_implementing("UserHasBeenCreated", |plugin, _| {
        seen.lock().unwrap().push(plugin.id().to_owned());
        let go_on = plugin.id() != id("a");
        async move { go_on }
    });
    assert!(!whole.await);
    assert_eq!(*seen.lock().unwrap(), [id("b"), id("a")]);
    assert!(dispatch.for_each_implementing("UserWillLogIn", |_, _| async { false }).await);
    soon(world.plugins.shutdown()).await;
}

/// What a plugin that has ended was asked last, decoded.
fn asked<Q: plugin_proto::prost::Message + Default>(world: &World, name: &str) -> Q {
    let report = world.report(name);
    let call = report.hook_calls.last().expect("it was asked");
    Q::decode(&*hex::decode(call.request_hex.as_ref().unwrap()).unwrap()).unwrap()
}

/// Each filter is shown what the one before it made of the thing.
#[tokio::test]
async fn each_filter_is_shown_what_the_one_before_left() {
    let from_a = || v1::Post { message: "from a".into(), ..Default::default() };

    let answers = [("a", "answer: {modified_post: {message: from a}}"), ("b", "")];
    let world = active("MessageWillBePosted", &answers).await;
    let chained = soon(world.plugins.dispatch().message_will_be_posted(posted("x"))).await;
    assert_eq!(chained.passed(), Some(from_a()));
    soon(world.plugins.shutdown()).await;
    let request: v1::MessageWillBePostedRequest = asked(&world, "b");
    assert_eq!(request.post, Some(from_a()));

    let world = active("MessageWillBeUpdated", &answers).await;
    let old = v1::Post { message: "old".into(), ..Default::default() };
    let request = v1::MessageWillBeUpdatedRequest {
        new_post: Some(v1::Post { message: "new".into(), ..Default::default() }),
        old_post: Some(old.clone()),
        ..Default::default()
    };
    let chained = soon(world.plugins.dispatch().message_will_be_updated(request)).await;
    assert_eq!(chained.passed(), Some(from_a()));
    soon(world.plugins.shutdown()).await;
    let request: v1::MessageWillBeUpdatedRequest = asked(&world, "b");
    assert_eq!((request.new_post, request.old_post), (Some(from_a()), Some(old)));

    let answers = [("a", "answer: {posts: [{message: from a}]}"), ("b", "")];
    let world = active("MessagesWillBeConsumed", &answers).await;
    let request = v1::MessagesWillBeConsumedRequest {
        posts: vec![v1::Post::default(), v1::Post::default()],
        ..Default::default()
    };
    let chained = soon(world.plugins.dispatch().messages_will_be_consumed(request)).await;
    assert_eq!(chained.passed(), Some(vec![from_a()]));
    soon(world.plugins.shutdown()).await;
    let request: v1::MessagesWillBeConsumedRequest = asked(&world, "b");
    assert_eq!(request.posts, [from_a()]);

    let answers = [("a", "answer: {modified_notification: {message: from a}}"), ("b", "")];
    let world = active("NotificationWillBePushed", &answers).await;
    let notification = v1::PushNotification { message: "from a".into(), ..Default::default() };
    let request = v1::NotificationWillBePushedRequest {
        push_notification: Some(v1::PushNotification { message: "x".into(), ..Default::default() }),
        user_id: "user".into(),
        ..Default::default()
    };
    let chained = soon(world.plugins.dispatch().notification_will_be_pushed(request)).await;
    assert_eq!(chained.passed(), Some(notification.clone()));
    soon(world.plugins.shutdown()).await;
    let request: v1::NotificationWillBePushedRequest = asked(&world, "b");
    assert_eq!(request.push_notification, Some(notification));
    assert_eq!(request.user_id, "user");
}
