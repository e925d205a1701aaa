//! `check supervisor` on the kit's own supervisor, honest and with one fault at a time: each fault is
//! named by the check that is about it, and by no other.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::process::Command;

use plugin_conformance::conformance::{SubjectKind, catalogue};
use serde_json::Value;

/// The fault, and the check that must name it.
const SABOTEURS: &[(&str, &str)] = &[
    ("never-starts", "start"),
    ("system-python", "interpreter"),
    ("extra-argument", "arguments"),
    ("other-folder", "working-directory"),
    ("no-cookie", "cookie"),
    ("no-protocol-versions", "protocol-versions"),
    ("no-ports", "ports"),
    ("no-environment", "environment"),
    ("no-plugin-id", "plugin-id"),
    ("no-plugin-path", "plugin-path"),
    ("no-target", "api-target"),
    ("inherited-target", "inherited-target"),
    ("api-late", "api-first"),
    ("no-version", "server-version"),
    ("never-activates", "activate"),
    ("stops-soon", "stays"),
    ("no-health-check", "health"),
    ("any-health", "health-not-serving"),
    ("never-deactivates", "on-deactivate"),
    ("kills-at-once", "sigterm"),
    ("api-before-deactivate", "api-last"),
    ("never-ends", "stop-in-time"),
    ("bad-status", "exit-status"),
    ("implemented-may-fail", "implemented-fails"),
    ("hasty-deactivate", "on-deactivate-awaited"),
    ("patient-deactivate", "on-deactivate-hang"),
    ("patient-handshake", "handshake-silent"),
    ("hasty-handshake", "handshake-slow"),
];

/// The checks that a run of `check supervisor` names, without their prefix.
fn named(fault: Option<&str>, filter: &str) -> BTreeSet<String> {
    let program = assert_cmd::cargo::cargo_bin!("plugin-conformance");
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let mut command = Command::new(program);
    command.args(["check", "supervisor", "--strict", "--jobs", "16", "--filter", filter]);
    command.arg("--json").arg(&json).arg("--").arg(program).arg("host-for-checks");
    command.args(fault.map(|fault| format!("--fault={fault}")));
    let output = command.env_remove("RUST_LOG").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let failed = |check: &&Value| check["status"] == "failed";
    let checks = report["checks"].as_array().unwrap().iter().filter(failed);
    let ids = checks
        .map(|check| check["id"].as_str().unwrap().trim_start_matches("supervisor.").to_owned());
    let ids: BTreeSet<_> = ids.collect();
    assert_eq!(output.status.code(), Some(i32::from(!ids.is_empty())), "{text}");
    if fault.is_none() {
        assert!(ids.is_empty(), "{text}");
    }
    ids
}

#[test]
fn the_kits_own_supervisor_passes_every_check() {
    assert_eq!(named(None, "supervisor.*"), BTreeSet::new());
}

#[test]
fn each_fault_is_named_by_its_check_and_by_no_other() {
    // The hooks that hang take 30 s each; a fault that makes them hang is tried with them. The floods
    // need a core for themselves, which several runs side by side have not: they are judged above.
    let quick = "supervisor.*,!supervisor.activate-hang,!supervisor.implemented-hang,\
                 !supervisor.*-flood,!supervisor.stdout-long-lines";
    // Most of a run is waiting.
    for some in SABOTEURS.chunks(4) {
        std::thread::scope(|scope| {
            for (fault, check) in some {
                scope.spawn(move || {
                    let found = named(Some(fault), quick);
                    assert_eq!(found, BTreeSet::from([(*check).to_owned()]), "{fault}");
                });
            }
        });
    }
    let proven: BTreeSet<_> = SABOTEURS.iter().map(|(_, check)| *check).collect();
    let all = catalogue::of(SubjectKind::Supervisor).filter(|check| !check.id.contains(".rpc."));
    println!("{} of {} checks of a supervisor are proven to fail", proven.len(), all.count());
}
