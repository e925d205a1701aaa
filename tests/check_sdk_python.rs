//! The example drivers, under `check sdk` as users type it: plain grpcio stubs pass everything, and the
//! generic driver tells what is right and wrong in a small SDK.
//!
//! Needs Python, as tests/python_interop.rs does.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod python_common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with the .py files of `sources`, and with `venv` and `generated`; `None` where there is no
/// Python.
fn folder(sources: &[&str]) -> Option<TempDir> {
    let environment = python_common::environment_or_skip()?;
    let folder = tempfile::tempdir().unwrap();
    for source in sources {
        for file in fs::read_dir(python_common::project().join(source)).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|end| end == "py") {
                fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
            }
        }
    }
    for name in ["venv", "generated"] {
        symlink(environment.join(name), folder.path().join(name)).unwrap();
    }
    Some(folder)
}

/// The exit status, and each check's status and detail.
fn check(folder: &Path, arguments: &[&str]) -> (Option<i32>, BTreeMap<String, (String, String)>) {
    let json = folder.join("report.json");
    let output = Command::new(cargo_bin!("plugin-conformance"))
        // grpcio takes its time on a busy machine.
        .args(["check", "sdk", "--patience", "6", "--json", json.to_str().unwrap(), "--"])
        .arg(folder.join("venv/bin/python"))
        .arg(folder.join("driver.py"))
        .args(arguments)
        .output()
        .unwrap();
    let report = fs::read(&json).unwrap_or_default();
    let report: Value = serde_json::from_slice(&report)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    let checks =
        checks.map(|check| (text(&check["id"]), (text(&check["status"]), text(&check["detail"]))));
    (output.status.code(), checks.collect())
}

#[test]
fn plain_stubs_pass_everything() {
    let Some(folder) = folder(&["examples/sdk-driver-grpcio"]) else { return };
    let (status, checks) = check(folder.path(), &[]);
    let other: Vec<_> = checks.iter().filter(|(_, (status, _))| status != "passed").collect();
    assert_eq!(other, Vec::new());
    assert_eq!(status, Some(0));
}

#[test]
fn the_generic_driver_accuses_nothing_of_an_sdk_that_is_right() {
    let sources = ["examples/sdk-driver-generic", "tests/python/sdk"];
    let Some(folder) = folder(&sources) else { return };
    let (status, checks) = check(folder.path(), &["--client", "whole_sdk:Client"]);
    let other: Vec<_> = checks.iter().filter(|(_, (status, _))| status != "passed").collect();
    assert_eq!(other, Vec::new());
    assert_eq!(status, Some(0));
}

/// What is wrong with tests/python/sdk/acme_sdk.py, and nothing else is said of it.
#[test]
fn the_generic_driver_names_what_is_wrong_and_accuses_nothing_else() {
    let sources = ["examples/sdk-driver-generic", "tests/python/sdk"];
    let Some(folder) = folder(&sources) else { return };
    let (status, checks) = check(folder.path(), &["--client", "acme_sdk:Client"]);
    assert_eq!(status, Some(1));

    let offered: BTreeSet<_> = checks
        .iter()
        .filter(|(id, (status, _))| id.ends_with(".present") && status == "passed")
        .map(|(id, _)| id.split('.').nth(1).unwrap())
        .collect();
    assert_eq!(offered.len(), 20, "{offered:?}");

    let wrong = [
        ("sdk.GetUserByEmail.request", "email is lost"),
        ("sdk.UpdateUser.answer", "user.email is lost"),
        ("sdk.AddChannelMember.request", "channel_id is swapped: it holds the value of user_id"),
        ("sdk.LogDebug.request", "has no \"message\" field"),
        ("sdk.KVDelete.error-embedded", "taken for a success"),
        ("sdk.KVDelete.error-status", "taken for a success"),
        ("sdk.KVDelete.grpc-failures", "taken for a success"),
        ("sdk.GetChannel.empty", "KeyError"),
        ("sdk.GetBundlePath.answer", "bundle_path"),
    ];
    let failed: BTreeSet<_> = checks
        .iter()
        .filter(|(id, (status, _))| {
            let rpc = id.split('.').nth(1).unwrap();
            offered.contains(rpc) && status == "failed" && !id.ends_with(".offers")
        })
        .map(|(id, _)| id.as_str())
        .collect();
    assert_eq!(failed, wrong.iter().map(|(id, _)| *id).collect());
    for (id, hint) in wrong {
        let (_, detail) = &checks[id];
        assert!(detail.contains(hint), "{id}: {detail}");
    }

    // What the SDK's types do not have is a recommendation, with its names.
    let (status, detail) = &checks["sdk.CreateUser.offers"];
    assert_eq!(status, "failed");
    assert!(detail.contains("user.nickname of the request"), "{detail}");
    for whole in ["GetFileInfos", "LogInfo", "KVSet", "UpdateUserActive", "GetServerVersion"] {
        let (status, detail) = &checks[&format!("sdk.{whole}.request")];
        assert_eq!(status, "passed", "{whole}: {detail}");
    }
    assert_eq!(checks["sdk.KVSet.offers"].0, "passed");
}
