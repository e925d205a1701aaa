//! `check sdk`, as users type it, on the kit's own driver: a right one, and one with each fault.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use fake_interpreters::sdk_driver::Kind;
use plugin_conformance::conformance::catalogue::{self, SdkCheck, SubjectKind};
use plugin_proto::{Method, Service};
use serde_json::Value;

/// What a run came to.
struct Run {
    status: Option<i32>,
    report: Value,
}

impl Run {
    /// The ids of the checks with this status.
    fn with(&self, status: &str) -> BTreeSet<String> {
        let checks = self.report["checks"].as_array().unwrap().iter();
        let found = checks.filter(|check| check["status"] == status);
        found.map(|check| check["id"].as_str().unwrap().to_owned()).collect()
    }

    fn failed(&self) -> BTreeSet<String> {
        self.with("failed")
    }

    fn check(&self, id: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == id).unwrap()
    }

    fn detail(&self, id: &str) -> &str {
        self.check(id)["detail"].as_str().unwrap()
    }
}

/// Runs `check sdk` with these options on the driver with these faults.
fn check(options: &[&str], breaks: &[String]) -> Run {
    let program = cargo_bin!("plugin-conformance");
    let mut driver = vec![program.to_str().unwrap().to_owned(), "sdk-driver".to_owned()];
    driver.extend(breaks.iter().flat_map(|fault| ["--break".to_owned(), fault.clone()]));
    check_command(options, &driver)
}

fn check_command(options: &[&str], driver: &[String]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let output = Command::new(cargo_bin!("plugin-conformance"))
        .args(["check", "sdk", "--json", json.to_str().unwrap()])
        .args(options)
        .arg("--")
        .args(driver)
        .output()
        .unwrap();
    let report = std::fs::read(&json).unwrap_or_default();
    let report = serde_json::from_slice(&report)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    Run { status: output.status.code(), report }
}

fn methods() -> impl Iterator<Item = &'static Method> {
    Service::PluginAPI.methods()
}

/// One fault for each check of an RPC.
const FAULTS: [(SdkCheck, Kind); 9] = [
    (SdkCheck::Present, Kind::Missing),
    (SdkCheck::Request, Kind::RequestLost),
    (SdkCheck::Answer, Kind::AnswerLost),
    (SdkCheck::UnknownFields, Kind::UnknownFields),
    (SdkCheck::Empty, Kind::Empty),
    (SdkCheck::ErrorEmbedded, Kind::EmbeddedIgnored),
    (SdkCheck::ErrorStatus, Kind::StatusIgnored),
    (SdkCheck::GrpcFailures, Kind::UnavailableIgnored),
    (SdkCheck::Offers, Kind::NotOffered),
];

#[test]
fn a_right_client_passes_everything() {
    let run = check(&["--strict"], &[]);
    assert_eq!(run.status, Some(0), "{:?}", run.failed());
    let all = catalogue::of(SubjectKind::Sdk).count();
    assert_eq!(run.with("passed").len(), all);
    assert_eq!(run.report["rpcs"]["exercised"], 236);
}

/// In each run every RPC has a fault, and its neighbours other ones: just these checks fail.
#[test]
fn every_check_fails_for_its_own_fault_and_for_no_other() {
    let mut proven = BTreeSet::new();
    for shift in 0..FAULTS.len() {
        let (mut breaks, mut expected) = (Vec::new(), BTreeSet::new());
        for (place, method) in methods().enumerate() {
            let (check, kind) = FAULTS[(place + shift) % FAULTS.len()];
            if SdkCheck::of(method).any(|made| made == check) {
                breaks.push(format!("{}:{}", kind.name(), method.name));
                expected.insert(check.id(method));
            }
        }
        let run = check(&["--strict"], &breaks);
        assert_eq!(run.failed(), expected, "in run {shift}");
        assert_eq!(run.status, Some(1));
        proven.extend(expected);
    }
    let all: BTreeSet<_> =
        catalogue::of(SubjectKind::Sdk).map(|check| check.id.to_owned()).collect();
    assert_eq!(proven, all);
    let mut table = String::new();
    for check in SdkCheck::ALL {
        let end = format!(".{}", check.name());
        let count = |ids: &BTreeSet<String>| ids.iter().filter(|id| id.ends_with(&end)).count();
        table += &format!("{:<16} {} of {}\n", check.name(), count(&proven), count(&all));
    }
    table += &format!("{} of {} checks of an SDK can fail\n", proven.len(), all.len());
    insta::with_settings!(
        { snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true },
        { insta::assert_snapshot!("check-sdk", table) }
    );
}

/// Faults that change a value where there is one, in all RPCs.
#[test]
fn lost_swapped_changed_and_stale_values_show_in_every_rpc() {
    let fields = |descriptor: plugin_proto::prost_reflect::MessageDescriptor| {
        descriptor.fields().filter(|field| field.name() != "error").count()
    };
    let asked: Vec<_> = methods().filter(|m| fields(m.request_descriptor()) > 0).collect();
    let answered: Vec<_> = methods().filter(|m| fields(m.response_descriptor()) > 0).collect();
    for (check_kind, kind, which) in [
        (SdkCheck::Request, Kind::RequestSwapped, &asked),
        (SdkCheck::Request, Kind::RequestChanged, &asked),
        (SdkCheck::Answer, Kind::AnswerSwapped, &answered),
        (SdkCheck::Answer, Kind::AnswerChanged, &answered),
        (SdkCheck::Answer, Kind::AnswerStale, &answered),
    ] {
        let run = check(&["--strict"], &[kind.name().to_owned()]);
        let expected: BTreeSet<_> = which.iter().map(|method| check_kind.id(method)).collect();
        assert_eq!(run.failed(), expected, "{}", kind.name());
    }
}

#[test]
fn other_faults_are_named_with_what_is_wrong() {
    let faults = [
        (Kind::RequestTwice, "GetUser", SdkCheck::Request, "2 times"),
        (Kind::RequestElsewhere, "GetTeam", SdkCheck::Request, "was called instead"),
        (Kind::RequestLost, "GetChannel", SdkCheck::Request, "channel_id is lost"),
        (Kind::RequestSwapped, "AddChannelMember", SdkCheck::Request, "holds the value of user_id"),
        (Kind::AnswerSwapped, "GetChannelStats", SdkCheck::Answer, "is swapped"),
        (Kind::EmbeddedId, "GetPost", SdkCheck::ErrorEmbedded, "id is lost"),
        (Kind::EmbeddedStatus, "GetBot", SdkCheck::ErrorEmbedded, "status is lost"),
        (Kind::StatusId, "GetFile", SdkCheck::ErrorStatus, "id is lost"),
        (Kind::StatusStatus, "GetEmoji", SdkCheck::ErrorStatus, "status is lost"),
        (Kind::UnavailableIgnored, "KVGet", SdkCheck::GrpcFailures, "UNAVAILABLE"),
        (Kind::DeadlineIgnored, "KVSet", SdkCheck::GrpcFailures, "DEADLINE_EXCEEDED"),
        (Kind::Dies, "GetConfig", SdkCheck::Answer, "told to die"),
        (Kind::Garbage, "GetGroup", SdkCheck::Answer, "Traceback"),
        (Kind::NotOffered, "GetSession", SdkCheck::Offers, "session_id of the request"),
    ];
    let breaks: Vec<_> =
        faults.iter().map(|(kind, rpc, ..)| format!("{}:{rpc}", kind.name())).collect();
    let run = check(&["--strict"], &breaks);
    let id = |rpc: &str, check: SdkCheck| {
        check.id(Method::by_name(Service::PluginAPI, rpc).expect("an RPC"))
    };
    let expected: BTreeSet<_> = faults.iter().map(|(_, rpc, check, _)| id(rpc, *check)).collect();
    assert_eq!(run.failed(), expected);
    for (kind, rpc, check, hint) in faults {
        let detail = run.detail(&id(rpc, check));
        assert!(detail.contains(hint), "{}: {detail}", kind.name());
    }
    let lost = run.check("sdk.GetChannel.request");
    assert_eq!(
        (lost["level"].as_str(), lost["field"].as_str()),
        (Some("required"), Some("channel_id"))
    );
    assert_eq!(run.check("sdk.GetSession.offers")["level"], "recommended");
}

#[test]
fn a_driver_that_hangs_or_answers_twice_fails_in_that_case_alone() {
    let run = check(&["--patience", "0.3"], &["hangs:GetUser".into()]);
    assert_eq!(run.failed(), BTreeSet::from(["sdk.GetUser.answer".to_owned()]));
    assert!(run.detail("sdk.GetUser.answer").contains("did not answer within 3s"));
    let run = check(&[], &["twice:GetUser".into()]);
    assert_eq!(run.failed(), BTreeSet::from(["sdk.GetUser.answer".to_owned()]));
    assert!(run.detail("sdk.GetUser.answer").contains("answered already"));
}

#[test]
fn a_driver_that_is_none_is_given_up_soon() {
    for (script, hint) in [
        ("echo no such module >&2; exit 3", "exit status: 3; it said: no such module"),
        ("cat > /dev/null", "did not answer within"),
        ("yes garbage", "garbage"),
        ("while read line; do echo '{\"case\":0,\"response\":{}}'; done", "did not answer within"),
    ] {
        let output = Command::new(cargo_bin!("plugin-conformance"))
            .args(["check", "sdk", "--patience", "0.02", "--", "sh", "-c", script])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{script}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("has not answered a single case") && said.contains(hint), "{said}");
    }
}

/// A driver that answers, and then no more.
#[test]
fn a_driver_that_falls_silent_leaves_the_rest_unobserved() {
    let script = "read line; echo '{\"case\":1,\"missing\":\"all\"}'; exec cat > /dev/null";
    let driver = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let run = check_command(&["--patience", "0.02", "--jobs", "1"], &driver);
    assert_eq!(run.status, Some(1));
    assert_eq!(run.with("passed"), BTreeSet::new());
    assert!(run.failed().contains("sdk.CreateUser.present"));
    assert!(run.detail("sdk.UploadData.request").contains("10 cases in a row"));
}

#[test]
fn what_cannot_be_started_is_named() {
    let output = Command::new(cargo_bin!("plugin-conformance"))
        .args(["check", "sdk", "--", "./no-such-driver"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot start the driver ./no-such-driver"), "{said}");
}

/// A driver that says nothing of fields that are not offered, as one that someone else wrote.
#[test]
fn fields_that_no_message_carries_are_taken_for_not_offered_and_others_for_lost() {
    let everywhere = check(&["--strict"], &["user-without-nickname".into()]);
    let failed = everywhere.failed();
    assert!(failed.contains("sdk.GetUser.offers") && failed.contains("sdk.CreateUser.offers"));
    assert!(failed.iter().all(|id| id.ends_with(".offers")), "{failed:?}");
    assert!(everywhere.detail("sdk.CreateUser.offers").contains("user.nickname of the request"));
    // Recommended: without --strict the run succeeds.
    let one = check(&[], &["user-without-nickname:GetUser".into()]);
    assert_eq!(one.failed(), BTreeSet::from(["sdk.GetUser.answer".to_owned()]));
    assert_eq!(one.detail("sdk.GetUser.answer"), "user.nickname is lost");
}
