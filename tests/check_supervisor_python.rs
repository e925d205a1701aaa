//! A supervisor in Python, on grpcio alone, as a foreign one: it passes every required check.
//!
//! Needs `python3` and a package index; see `tests/python_common`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod python_common;

use std::process::Command;

use serde_json::Value;

#[test]
fn a_minimal_host_in_python_passes_every_required_check() {
    let Some(environment) = python_common::environment_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plugin-conformance"));
    command.args(["check", "supervisor", "--server-version", "11.2.0", "--json"]).arg(&json);
    command.arg("--").arg(environment.join("venv/bin/python"));
    command.arg(python_common::project().join("tests/python/host/host.py"));
    command.arg(environment.join("generated")).arg("{bundle}");
    let output = command.env_remove("RUST_LOG").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["summary"]["failed"], 0, "{text}");
    // Every required check says something, but for the RPCs that the host does not have.
    for check in report["checks"].as_array().unwrap() {
        let id = check["id"].as_str().unwrap();
        if check["level"] == "required" && !id.contains(".rpc.") {
            assert_eq!(check["status"], "passed", "{check}");
        }
    }
    let version = "supervisor.rpc.GetServerVersion";
    let checks = report["checks"].as_array().unwrap();
    let version = checks.iter().find(|check| check["id"] == version).unwrap();
    assert_eq!(version["status"], "passed");
}
