//! `plugin-conformance run`, as a plugin's author meets it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use plugin_conformance::conformance::{Bundle, Interpreter};
use plugin_conformance::host::{Category, TraceEvent};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use common::{alive, fake_python};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A good plugin that rejects posts.
const MODERATOR: &str = "\
life:
  - serve: {hooks: [OnActivate, OnDeactivate, MessageWillBePosted, ServeHTTP]}
  - handshake
  - log: hello from the plugin
  - wait
on:
  OnActivate:
    - call: GetServerVersion
  MessageWillBePosted:
    - answer: {rejection_reason: no swearing}
";

/// A bundle of its own, named by its folder's end.
fn bundle(folder: &Path, name: &str, script: &str) -> PathBuf {
    let dir = folder.canonicalize().unwrap().join(name);
    Bundle::write(&dir, name, script, &Interpreter::Link(fake_python())).unwrap();
    dir
}

/// The program, running.
struct Run {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Run {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plugin-conformance"));
        command.arg("run").args(arguments).env_remove("RUST_LOG");
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        for (mark, stream) in [
            ("", Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>),
            ("stderr: ", Box::new(child.stderr.take().unwrap())),
        ] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines() {
                    let Ok(line) = line else { return };
                    if sender.send(format!("{mark}{line}")).is_err() {
                        return;
                    }
                }
            });
        }
        let stdin = child.stdin.take();
        Self { child, stdin, lines, seen: Vec::new() }
    }

    /// The first line, from now on, that holds this text.
    fn line(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(wanted) => {
                    self.seen.push(line.clone());
                    return line;
                }
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("no line with {wanted:?}:\n{}", self.seen.join("\n")),
            }
        }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Its end, and every line that it has printed.
    fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                // Both streams are at their end.
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(_) => panic!("it does not end:\n{}", self.seen.join("\n")),
            }
        }
        (self.child.wait().unwrap(), std::mem::take(&mut self.seen).join("\n"))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn events(path: &Path) -> Vec<TraceEvent> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn get(url: &str) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn a_plugin_lives_on_a_laptop() {
    let folder = tempfile::tempdir().unwrap();
    let dir = bundle(folder.path(), "moderator", MODERATOR);
    let (lines, chrome) = (folder.path().join("events.jsonl"), folder.path().join("trace.json"));
    let mut run = Run::start(&[
        dir.to_str().unwrap(),
        "--events",
        lines.to_str().unwrap(),
        "--trace",
        chrome.to_str().unwrap(),
        "--verbose",
        "--call",
        r#"MessageWillBePosted {"post": {"message": "damn"}}"#,
    ]);
    let id = "com.mattermost.fake-moderator";
    let active = run.line("active at http://");
    let url = active.split_once("active at ").unwrap().1.to_owned();
    run.line(&format!("{id}  MessageWillBePosted: rejected: no swearing"));
    let reply = get(&url);
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");

    run.type_line("hooks");
    run.line(&format!("{id}  MessageWillBePosted OnActivate OnDeactivate ServeHTTP"));
    run.type_line("MessageWillBePost {}");
    run.line("there is no hook \"MessageWillBePost\"; did you mean MessageWillBePosted?");
    run.type_line("UserWillLogIn {}");
    run.line("UserWillLogIn: allowed (the plugin does not implement it)");
    run.type_line("status");
    run.line(&format!("{id}  running"));
    run.type_line("restart");
    run.line(&format!("{id}  restarted"));
    run.signal(Signal::INT);
    let (status, seen) = run.end();
    assert!(status.success(), "{seen}");

    let events = events(&lines);
    let of = |category| {
        let of = events.iter().filter(move |event| event.category == category);
        of.map(|event| event.name.as_str()).collect::<Vec<_>>()
    };
    let life = of(Category::Life);
    let two_lives = life.iter().filter(|name| **name == "ended").count();
    assert_eq!((life.first(), two_lives), (Some(&"api_listening"), 2), "{life:?}");
    let at = |name: &str| life.iter().position(|other| *other == name).unwrap();
    assert!(at("api_listening") < at("spawned") && at("exited") < at("api_stopped"), "{life:?}");
    assert_eq!(of(Category::Api), ["GetServerVersion", "GetServerVersion"]);
    assert!(of(Category::Hook).contains(&"MessageWillBePosted"));
    let http = events.iter().find(|event| event.category == Category::Http).unwrap();
    assert_eq!((http.plugin.as_str(), http.outcome.as_str()), (id, "200"));
    assert_eq!(http.name, format!("GET /plugins/{id}/"));
    assert!(http.duration_us.is_some() && http.detail["end"] == "whole", "{http:?}");
    let spawned = events.iter().filter(|event| event.name == "spawned");
    for pid in spawned.map(|event| event.detail["pid"].as_u64().unwrap()) {
        assert!(!alive(u32::try_from(pid).unwrap()), "process {pid} still lives");
    }
    let text = fs::read_to_string(&lines).unwrap();
    assert!(!text.contains("damn"), "payloads are not written");
    let chrome: Value = serde_json::from_str(&fs::read_to_string(&chrome).unwrap()).unwrap();
    assert!(chrome.as_array().unwrap().len() > events.len());
}

#[test]
fn calls_alone_end_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let dir = bundle(folder.path(), "moderator", MODERATOR);
    let dir = dir.to_str().unwrap();
    let run = Run::start(&[dir, "--once", "--call", "MessageWillBePosted {}"]);
    let (status, seen) = run.end();
    assert!(status.success(), "{seen}");
    // One that the plugin does not implement.
    let run = Run::start(&[dir, "--once", "--call", "UserWillLogIn {}"]);
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(1), "{seen}");
}

#[test]
fn a_change_restarts_the_plugin_that_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (bundle(folder.path(), "a", MODERATOR), bundle(folder.path(), "b", MODERATOR));
    let mut run = Run::start(&[a.to_str().unwrap(), b.to_str().unwrap(), "--watch"]);
    for _ in 0..2 {
        run.line("active at http://");
    }
    // The watch is on as soon as lines are answered.
    run.type_line("status");
    run.line("fake-b  running");
    fs::write(b.join("plugin.py"), MODERATOR.replace("no swearing", "not like this")).unwrap();
    run.line("com.mattermost.fake-b  changed");
    run.line("com.mattermost.fake-b  restarted");
    run.type_line("MessageWillBePosted {}");
    run.line("fake-a  MessageWillBePosted: rejected: no swearing");
    run.line("fake-b  MessageWillBePosted: rejected: not like this");
    run.type_line("quit");
    let (status, seen) = run.end();
    assert!(status.success() && !seen.contains("fake-a  changed"), "{seen}");
}

#[test]
fn a_plugin_that_cannot_start_is_told_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let dir = bundle(folder.path(), "broken", "life:\n  - log: no database\n  - exit: 7\n");
    let (status, seen) = Run::start(&[dir.to_str().unwrap()]).end();
    assert_eq!(status.code(), Some(1));
    assert!(seen.contains("no database") && seen.contains("7"), "{seen}");
}

#[test]
fn two_plugins_with_one_id_are_both_named() {
    let folder = tempfile::tempdir().unwrap();
    let one = bundle(folder.path(), "same", MODERATOR);
    let other: TempDir = tempfile::tempdir().unwrap();
    let two = bundle(other.path(), "same", MODERATOR);
    let (status, seen) = Run::start(&[one.to_str().unwrap(), two.to_str().unwrap()]).end();
    assert_eq!(status.code(), Some(2), "{seen}");
    for dir in [&one, &two] {
        assert!(seen.contains(dir.to_str().unwrap()), "{seen}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let dir = bundle(folder.path(), "moderator", MODERATOR);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (status, seen) = Run::start(&[dir.to_str().unwrap(), "--listen", &address]).end();
    assert_eq!(status.code(), Some(2), "{seen}");
    assert!(seen.contains(&address), "{seen}");
    assert!(!dir.join("report.json").exists(), "a plugin was started");
}

#[test]
fn broken_expectations_of_mocks_are_told_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let dir = bundle(folder.path(), "moderator", MODERATOR);
    let mocks = folder.path().join("mocks.yaml");
    let text = "otherwise: generated\nmocks:\n  - given: GetUser\n    respond: {}\n    expect: 1\n";
    fs::write(&mocks, text).unwrap();
    let mut run = Run::start(&[dir.to_str().unwrap(), "--mocks", mocks.to_str().unwrap()]);
    run.line("active at http://");
    run.type_line("quit");
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(1), "{seen}");
    assert!(seen.contains("GetUser"), "{seen}");
}

#[test]
fn a_crash_is_told_and_so_is_the_new_life() {
    let folder = tempfile::tempdir().unwrap();
    let dir = bundle(folder.path(), "moderator", MODERATOR);
    let lines = folder.path().join("events.jsonl");
    let mut run = Run::start(&[dir.to_str().unwrap(), "--events", lines.to_str().unwrap()]);
    run.line("active at http://");
    let spawned = events(&lines).into_iter().find(|event| event.name == "spawned").unwrap();
    common::signal(u32::try_from(spawned.detail["pid"].as_u64().unwrap()).unwrap(), Signal::KILL);
    run.line(
        "error it failed: the process exited by itself; its process ended: killed by signal 9",
    );
    run.line("it runs again");
    run.type_line("restart com.example.nobody");
    run.line("there is no plugin com.example.nobody; there are: com.mattermost.fake-moderator");
    run.type_line("quit");
    let (status, seen) = run.end();
    assert!(status.success(), "{seen}");
}

/// A plugin that does not leave holds the first signal up; the second one does not wait.
#[test]
fn a_second_signal_stops_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let script = "\
life:
  - serve: {hooks: [OnActivate, OnDeactivate]}
  - handshake
  - wait
on:
  OnDeactivate: [{log: I stay}, hang]
";
    let dir = bundle(folder.path(), "stays", script);
    let mut run = Run::start(&[dir.to_str().unwrap(), "--verbose"]);
    run.line("active at http://");
    let start = Instant::now();
    run.signal(Signal::INT);
    run.line("I stay");
    run.signal(Signal::INT);
    let (status, seen) = run.end();
    assert_eq!(status.code(), Some(1), "{seen}");
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
}

/// The program on one processor, where that can be asked for, and with one thread for its tasks.
fn on_one_processor() -> Command {
    let program = assert_cmd::cargo::cargo_bin!("plugin-conformance");
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = allowed.and_then(|list| list.trim().split([',', '-']).next());
    let version = Command::new("taskset").arg("--version").stdout(Stdio::null()).status();
    let mut command = match first.filter(|_| version.is_ok_and(|status| status.success())) {
        Some(processor) => {
            let mut command = Command::new("taskset");
            command.args(["-c", processor]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.env("TOKIO_WORKER_THREADS", "1").env_remove("RUST_LOG");
    command
}

/// Waits until such an event is written.
fn happened(file: &Path, category: Category, name: &str) {
    let deadline = Instant::now() + LIMIT;
    let wanted = |line: &str| {
        // The last line may not be whole yet.
        let event: Result<TraceEvent, _> = serde_json::from_str(line);
        event.is_ok_and(|event| event.category == category && event.name == name)
    };
    loop {
        let text = fs::read_to_string(file).unwrap();
        if text.lines().any(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// `run | less`, and nobody turns the page: hooks, HTTP and the stop go on. What the plugin has logged
/// is there later, if somebody reads on, but for the lines that are said to be dropped; who has no
/// patience interrupts once more.
#[test]
fn a_pipe_that_nobody_reads_holds_up_nothing() {
    let script = "\
life:
  - serve: {hooks: [OnConfigurationChange, MessageWillBePosted, ChannelHasBeenCreated, ServeHTTP]}
  - handshake
  - wait
on:
  OnConfigurationChange:
    - flood: {stream: stdout, bytes: 4194304}
    - flood: {stream: stderr, bytes: 4194304}
  MessageWillBePosted:
    - answer: {rejection_reason: no swearing}
";
    for patient in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let dir = bundle(folder.path(), "floods", script);
        let events = folder.path().join("events.jsonl");
        let mut command = on_one_processor();
        command.arg("run").arg(&dir).args(["--listen", "127.0.0.1:0", "--events"]).arg(&events);
        command.env("RUST_LOG", "debug");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (mut typed, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        // Neither does anybody read this one.
        let mut err = child.stderr.take().unwrap();
        #[cfg(target_os = "linux")]
        rustix::pipe::fcntl_setpipe_size(&err, 4096).unwrap();
        let mut run = Run { child, stdin: None, lines: channel().1, seen: Vec::new() };
        let mut said = Vec::new();
        while !said.ends_with(b"/\n") {
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        let said = String::from_utf8(said).unwrap();
        let url = said.split_once("active at ").unwrap().1.trim();

        writeln!(typed, "OnConfigurationChange {{}}").unwrap();
        happened(&events, Category::Hook, "OnConfigurationChange");
        writeln!(typed, "MessageWillBePosted {{}}").unwrap();
        happened(&events, Category::Hook, "MessageWillBePosted");
        // When this one is asked, what came of the one before is said.
        writeln!(typed, "ChannelHasBeenCreated {{}}").unwrap();
        happened(&events, Category::Hook, "ChannelHasBeenCreated");
        let reply = get(url);
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        run.signal(Signal::INT);
        happened(&events, Category::Life, "ended");
        if patient {
            let errors = std::thread::spawn(move || {
                let mut text = String::new();
                err.read_to_string(&mut text).map(|_| text).unwrap()
            });
            let mut rest = String::new();
            out.read_to_string(&mut rest).unwrap();
            assert!(run.child.wait().unwrap().success());
            assert!(rest.contains(" lines of logs were dropped here: "), "{}", rest.len());
            assert!(rest.len() < 2 << 20, "{}", rest.len());
            let errors = errors.join().unwrap();
            assert!(errors.len() > 4096, "there was no want: {}", errors.len());
            let result = "MessageWillBePosted: rejected: no swearing";
            let end = rest.split_at(rest.floor_char_boundary(rest.len() - 1000)).1;
            assert!(rest.lines().any(|line| line.ends_with(result)), "{end}");
        } else {
            // It waits for a reader, until it is told not to.
            let deadline = Instant::now() + LIMIT;
            let status = loop {
                run.signal(Signal::INT);
                if let Some(status) = run.child.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < deadline, "it does not end");
                std::thread::sleep(Duration::from_millis(20));
            };
            assert_eq!(status.code(), Some(1));
        }
    }
}

/// Whatever a plugin says, it begins no line of its own.
#[test]
fn no_text_of_a_plugin_forges_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
life:
  - serve: {hooks: [MessageWillBePosted, UserWillLogIn, ExecuteCommand, OnSAMLLogin]}
  - handshake
  - wait
on:
  MessageWillBePosted: [{answer: {rejection_reason: "no\nforged"}}]
  UserWillLogIn: [{fail: {code: INTERNAL, message: "no\nforged"}}]
  ExecuteCommand: [{answer_error: {id: "no\nforged", message: "no\nforged", status_code: 500}}]
  OnSAMLLogin: [{fail: {code: INTERNAL, message: "no\nforged"}}]
"#;
    let says = bundle(folder.path(), "says", script);
    let script = r#"
life:
  - serve: {hooks: [OnActivate]}
  - handshake
  - wait
on:
  OnActivate:
    - log: forged
    - answer_error: {id: "no\nforged", message: "no\nforged", status_code: 500}
"#;
    let refuses = bundle(folder.path(), "refuses", script);
    let calls =
        ["MessageWillBePosted {}", "UserWillLogIn {}", "ExecuteCommand {}", "OnSAMLLogin {}"];
    let mut arguments = vec![says.to_str().unwrap(), "--once"];
    for call in &calls {
        arguments.extend(["--call", call]);
    }
    for (arguments, texts) in [(arguments, calls.len()), (vec![refuses.to_str().unwrap()], 1)] {
        let (_, seen) = Run::start(&arguments).end();
        let escaped = seen.lines().filter(|line| line.contains("no\\nforged")).count();
        assert_eq!(escaped, texts, "{seen}");
        let forged = |line: &str| line.trim_start_matches("stderr: ").starts_with("forged");
        assert!(!seen.lines().any(forged), "{seen}");
    }
}

/// A plugin changes a preference: the server stores it, and tells the plugin by its hook. What is in a
/// data file is there in the next run.
#[test]
fn the_embedded_server_remembers_and_its_effects_reach_the_plugins() {
    let folder = TempDir::new().unwrap();
    let user = "u".repeat(26);
    let script = format!(
        "\
life:
  - serve: {{hooks: [OnConfigurationChange, PreferencesHaveChanged]}}
  - handshake
  - wait
on:
  OnConfigurationChange:
    - call:
        rpc: UpdatePreferencesForUser
        request: {{user_id: {user}, preferences: [{{user_id: {user}, category: a, name: b, value: c}}]}}
  PreferencesHaveChanged:
    - log: the hook was called
"
    );
    let dir = bundle(folder.path(), "com.example.remembers", &script);
    let data = folder.path().join("data.db");
    let arguments = [dir.to_str().unwrap(), "--verbose", "--data", data.to_str().unwrap()];
    let mut run = Run::start(&arguments);
    run.line("active at");
    // A plugin gets hooks only when it is active.
    run.type_line("OnConfigurationChange {}");
    run.line("the hook was called");
    run.signal(Signal::INT);
    let (status, printed) = run.end();
    assert!(status.success(), "{printed}");

    let script = format!(
        "\
life:
  - serve: {{hooks: [OnActivate]}}
  - handshake
  - wait
on:
  OnActivate:
    - call: {{rpc: GetPreferenceForUser, request: {{user_id: {user}, category: a, name: b}}}}
    - call: {{rpc: GetPreferenceForUser, request: {{user_id: {user}, category: a, name: x}}}}
"
    );
    fs::write(dir.join("plugin.py"), script).unwrap();
    let mut run = Run::start(&arguments);
    run.line("active at");
    run.signal(Signal::INT);
    let (status, printed) = run.end();
    assert!(status.success(), "{printed}");
    let report = fake_interpreters::Report::read(&dir.join("report.json")).unwrap();
    let errors: Vec<_> = report.calls.iter().map(|call| call.error_id.as_deref()).collect();
    assert_eq!(errors, [None, Some("app.preference.get.app_error")], "{:?}", report.calls);
}
