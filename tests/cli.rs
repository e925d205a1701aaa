//! The command line as its users meet it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use plugin_proto::{Method, Service};
use serde_json::Value;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plugin-conformance"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Exit status, standard output and standard error, as one text.
fn seen(arguments: &[&str]) -> String {
    let output = run(arguments);
    format!(
        "$ plugin-conformance {}\n[exit status {}]\n{}{}",
        arguments.join(" "),
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots/cli");
    settings.set_prepend_module_to_snapshot(false);
    settings.add_filter(r"; \d+\.\d s", "; [time] s");
    settings.add_filter(r"\(os error \d+\)", "(os error [n])");
    settings
}

#[test]
fn help_teaches() {
    settings().bind(|| {
        insta::assert_snapshot!("help", seen(&["--help"]));
        insta::assert_snapshot!("help_check", seen(&["check", "--help"]));
        insta::assert_snapshot!("help_check_plugin", seen(&["check", "plugin", "--help"]));
        insta::assert_snapshot!("help_bundle", seen(&["bundle", "--help"]));
        insta::assert_snapshot!("help_serve", seen(&["serve", "--help"]));
        insta::assert_snapshot!("help_run", seen(&["run", "--help"]));
        insta::assert_snapshot!("help_stress", seen(&["stress", "--help"]));
        insta::assert_snapshot!("interpreters", seen(&["bundle"]));
    });
}

#[test]
fn errors_name_what_is_wrong_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let full = folder.path().join("com.example.hello");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("something"), "").unwrap();
    let full = full.to_str().unwrap();
    let mut settings = settings();
    settings.add_filter(&regex_escape(full), "[FOLDER]");
    settings.bind(|| {
        insta::assert_snapshot!("error_no_command", seen(&[]));
        insta::assert_snapshot!("error_unknown_argument", seen(&["check", "--frobnicate"]));
        insta::assert_snapshot!("error_no_plugin", seen(&["check", "plugin"]));
        insta::assert_snapshot!("error_no_manifest", seen(&["check", "plugin", full]));
        let nowhere = "/nonexistent/report.json";
        insta::assert_snapshot!("error_report", seen(&["check", "--json", nowhere]));
        let unknown = ["bundle", "--interpreter", "well-behavd", "--out", "x"];
        insta::assert_snapshot!("error_unknown_interpreter", seen(&unknown));
        let taken = ["bundle", "--interpreter", "silent", "--out", full];
        insta::assert_snapshot!("error_folder_not_empty", seen(&taken));
        insta::assert_snapshot!("error_no_out", seen(&["bundle", "--interpreter", "silent"]));
        insta::assert_snapshot!("error_listen", seen(&["serve", "--listen", "50051"]));
    });
}

fn regex_escape(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_alphanumeric() || c == '/' { vec![c] } else { vec!['\\', c] })
        .collect()
}

#[test]
fn check_exercises_all_236_rpcs_and_writes_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let output = run(&["check", "--json", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("236 of 236 RPCs exercised"), "{text}");

    let report = json(&file);
    assert_eq!(report["schema"], 1);
    assert_eq!(report["rpcs"]["total"], 236);
    assert_eq!(report["rpcs"]["exercised"], 236);
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(report["summary"]["checks"], checks.len());
    assert_eq!(report["summary"]["passed"], checks.len());
    assert_eq!(report["summary"]["failed"], 0);
    assert_eq!(report["summary"]["skipped"], 0);
    for method in Service::PluginAPI.methods() {
        for kind in ["answer", "failure"] {
            let id = format!("rpc.{}.{kind}", method.name);
            let check = checks.iter().find(|check| check["id"] == id.as_str()).unwrap();
            assert_eq!(check["status"], "passed", "{check}");
            assert!(check["title"].is_string() && check["detail"].is_string(), "{check}");
            assert!(check["millis"].is_u64(), "{check}");
        }
    }
}

#[test]
fn a_written_bundle_passes_the_gate_for_plugins() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("every-rpc");
    let dir = bundle.to_str().unwrap();
    let written = run(&["bundle", "--interpreter", "every-rpc", "--out", dir]);
    assert!(written.status.success());
    for file in ["plugin.json", "plugin.py", "venv/bin/python"] {
        assert!(bundle.join(file).is_file(), "{file}");
    }
    for unix in [&[][..], &["--unix"]] {
        let file = folder.path().join("report.json");
        let arguments =
            [&["check", "plugin", dir, "--json", file.to_str().unwrap()], unix].concat();
        let output = run(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let report = json(&file);
        assert_eq!(report["rpcs"]["exercised"], 236);
        assert_eq!(report["summary"]["skipped"], 0, "{report:#}");
    }
}

#[test]
fn a_bad_plugin_fails_the_gate_with_status_1() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let dir = bundle.to_str().unwrap();
    assert!(run(&["bundle", "--interpreter", "short-handshake", "--out", dir]).status.success());
    let output = run(&["check", "plugin", dir]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("FAILED  plugin.handshake"), "{text}");
    assert!(text.contains("Unrecognized remote plugin message: 1|invalid"), "{text}");
}

/// What a team knows of fails no run; a list that is stale does.
#[test]
fn known_failures_are_told_apart_and_stale_ones_fail() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let dir = bundle.to_str().unwrap();
    assert!(run(&["bundle", "--interpreter", "short-handshake", "--out", dir]).status.success());
    let (list, report) = (folder.path().join("known.txt"), folder.path().join("report.json"));
    let check = |text: &str| {
        std::fs::write(&list, text).unwrap();
        let [list, report] = [&list, &report].map(|path| path.to_str().unwrap());
        let known = ["--known-failures", list, "--json", report];
        let output = run(&[&["check", "plugin", dir], &known[..]].concat());
        let text =
            String::from_utf8(output.stdout).unwrap() + str::from_utf8(&output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (status, text) = check("plugin.handshake  # MM-1\n");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("known   plugin.handshake"), "{text}");
    assert!(text.contains("known: MM-1"), "{text}");
    assert!(text.contains(" 0 failed, 1 known, "), "{text}");
    assert_eq!(json(&report)["summary"]["known"], 1);
    let checks = json(&report)["checks"].as_array().unwrap().clone();
    let known = checks.iter().find(|check| check["id"] == "plugin.handshake").unwrap();
    assert_eq!(known["status"], "known");

    let (status, text) = check("plugin.handshake # MM-1\nplugin.bundle # MM-2\n");
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("known.txt:2: plugin.bundle passed; remove it from the list"), "{text}");
    let (status, text) = check("plugin.handshake # MM-1\nplugin.nothing # MM-2\n");
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("known.txt:2: there is no check plugin.nothing"), "{text}");
    // Before anything is launched.
    let (status, text) = check("plugin.handshake\n");
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("known.txt:1: it says no reason"), "{text}");
}

#[test]
fn serve_says_its_address_first_and_stops_when_asked() {
    let mut server =
        program(&["serve", "--version", "9.9.9"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let target = line.trim_end().to_owned();
    assert!(target.starts_with("127.0.0.1:"), "{target}");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let version = runtime.block_on(async {
        let channel = fake_interpreters::wire::connect(&target).unwrap();
        let method = Method::by_name(Service::PluginAPI, "GetServerVersion").unwrap();
        let answer = fake_interpreters::wire::unary(&channel, method, Default::default(), None);
        let answer = answer.await.unwrap();
        let decoded =
            <plugin_proto::v1::GetServerVersionResponse as prost::Message>::decode(answer);
        decoded.unwrap().version
    });
    assert_eq!(version, "9.9.9");

    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(std::net::TcpStream::connect(&target).is_err());
}
