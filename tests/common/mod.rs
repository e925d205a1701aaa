//! What the integration tests share.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use fake_interpreters::characters::Character;
use fake_interpreters::report::Report;
use plugin_conformance::api::{AppError, PluginApi, async_trait};
use plugin_conformance::conformance::{Bundle, Interpreter};
use plugin_conformance::supervisor::{
    EventKind, EventLog, LaunchError, LogRecord, LogSink, Supervisor, SupervisorBuilder, Timeouts,
};
use plugin_proto::v1::{GetServerVersionRequest, GetServerVersionResponse};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixStream};

/// What [`Tiny`] says of itself.
pub const SERVER_VERSION: &str = "11.2.0";

/// The compiled fake interpreter, built once: per process, and per run of nextest, which starts a
/// process for each test.
pub fn fake_python() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build_once).clone()
}

fn build_once() -> PathBuf {
    let Ok(run) = std::env::var("NEXTEST_RUN_ID") else { return build() };
    let note = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-python.built");
    let options = fs::File::options().read(true).write(true).create(true).truncate(false).clone();
    let mut file = options.open(&note).expect("the note can be opened");
    file.lock().expect("the note can be locked");
    let built = fs::read_to_string(&note).unwrap_or_default();
    if let Some(path) = built.strip_prefix(&run).and_then(|rest| rest.strip_prefix(' '))
        && Path::new(path).exists()
    {
        return path.into();
    }
    let path = build();
    file.set_len(0).expect("the note can be emptied");
    write!(file, "{run} {}", path.display()).expect("the note can be written");
    path
}

fn build() -> PathBuf {
    let build = escargot::CargoBuild::new()
        .package("fake-interpreters")
        .bin("fake-python")
        .current_release();
    build.run().expect("fake-python builds").path().to_owned()
}

/// A server that knows its version and nothing else.
#[derive(Debug)]
pub struct Tiny;

#[async_trait]
impl PluginApi for Tiny {
    async fn get_server_version(
        &self,
        _: GetServerVersionRequest,
    ) -> Result<GetServerVersionResponse, AppError> {
        Ok(GetServerVersionResponse { version: SERVER_VERSION.into(), error: None })
    }
}

/// A plugin's folder and everything that is to be known about its lives.
pub struct Plugin {
    pub bundle: Bundle,
    pub events: EventLog,
    pub log: Arc<Mutex<Vec<LogRecord>>>,
    _folder: TempDir,
}

impl Plugin {
    /// A bundle with this script.
    pub fn new(name: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The name by which /proc shows it.
        let dir = folder.path().canonicalize().unwrap().join("bundle");
        let bundle = Bundle::write(&dir, name, script, &Interpreter::Link(fake_python())).unwrap();
        Self { bundle, events: EventLog::default(), log: Arc::default(), _folder: folder }
    }

    /// A bundle with this character.
    pub fn of(character: &str) -> Self {
        Self::new(character, Character::by_name(character).unwrap().script)
    }

    /// A good plugin with these hooks (`OnActivate, OnDeactivate`), and more at the end of the
    /// script.
    pub fn good(hooks: &str, more: &str) -> Self {
        let script =
            format!("life:\n  - serve: {{hooks: [{hooks}]}}\n  - handshake\n  - wait\n{more}");
        Self::new("good", &script)
    }

    /// A plugin that says this in its handshake; it serves its hooks, and `{address}` is where.
    pub fn saying(handshake: &str) -> Self {
        let line = handshake.replace('\\', "\\\\").replace('"', "\\\"").replace('\r', "\\r");
        Self::new(
            "saying",
            &format!(
                "life:\n  - serve: {{hooks: [OnActivate]}}\n  - handshake: \"{line}\"\n  - wait\n"
            ),
        )
    }

    pub fn dir(&self) -> &Path {
        &self.bundle.dir
    }

    /// Another manifest.
    pub fn manifest(self, text: &str) -> Self {
        fs::write(self.dir().join("plugin.json"), text).unwrap();
        self
    }

    /// A launch without an API; events and output are kept.
    pub fn alone(&self) -> SupervisorBuilder {
        Supervisor::builder(self.dir()).events(&self.events).log(self.sink())
    }

    /// A launch with an API; events and output are kept.
    pub fn builder(&self) -> SupervisorBuilder {
        self.alone().api(Arc::new(Tiny))
    }

    pub async fn launch(&self) -> Supervisor {
        soon(self.builder().launch()).await.expect("the plugin becomes active")
    }

    /// A launch that fails, with these limits.
    pub async fn refused(&self, timeouts: Timeouts) -> LaunchError {
        soon(self.builder().timeouts(timeouts).launch()).await.expect_err("the launch fails")
    }

    fn sink(&self) -> LogSink {
        let log = Arc::clone(&self.log);
        Arc::new(move |record| log.lock().unwrap().push(record))
    }

    pub fn kinds(&self) -> Vec<EventKind> {
        self.events.kinds()
    }

    /// The process of every life so far.
    pub fn pids(&self) -> Vec<u32> {
        let pid = |kind| match kind {
            EventKind::Spawned { pid } => Some(pid),
            _ => None,
        };
        self.kinds().into_iter().filter_map(pid).collect()
    }

    /// The API server's target of every life so far.
    pub fn targets(&self) -> Vec<String> {
        let target = |kind| match kind {
            EventKind::ApiListening { target } => Some(target),
            _ => None,
        };
        self.kinds().into_iter().filter_map(target).collect()
    }

    pub fn report(&self) -> Report {
        Report::read(&self.bundle.report()).unwrap()
    }

    /// The report, once it is as wanted.
    pub async fn report_where(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        let mut found = None;
        until("the report is as wanted", || {
            found = Report::read(&self.bundle.report()).ok().filter(|report| wanted(report));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub async fn event(&self, wanted: impl FnMut(&EventKind) -> bool) {
        soon(self.events.wait_for(wanted)).await;
    }

    pub async fn ended(&self) {
        self.event(|kind| *kind == EventKind::Ended).await;
    }

    /// Nothing is left of any life: no process, no port, no socket.
    pub async fn assert_nothing_left(&self) {
        for pid in self.pids() {
            assert!(!alive(pid), "process {pid} still lives");
        }
        for target in self.targets() {
            assert_refused(&target).await;
        }
    }
}

/// Whether somebody accepts connections at an API target.
pub async fn answers(target: &str) -> bool {
    match target.strip_prefix("unix://") {
        Some(path) => UnixStream::connect(path).await.is_ok(),
        None => TcpStream::connect(target).await.is_ok(),
    }
}

/// Nobody accepts connections at an API target any more.
pub async fn assert_refused(target: &str) {
    assert!(!answers(target).await, "{target} still accepts connections");
    if let Some(path) = target.strip_prefix("unix://") {
        let folder = Path::new(path).parent().unwrap();
        assert!(!folder.exists(), "{} is still there", folder.display());
    }
}

/// Short limits for everything that a broken plugin lets elapse.
pub fn quick() -> Timeouts {
    let short = Duration::from_millis(300);
    Timeouts {
        handshake: short,
        health: short,
        hook: short,
        deactivate: short,
        controller: short,
        leave: short,
        grace: short,
        output: short,
        api_drain: short,
        ..Timeouts::default()
    }
}

/// Only the end is short: launches have all the time that they need.
pub fn quick_stop() -> Timeouts {
    let Timeouts { handshake, health, hook, .. } = Timeouts::default();
    Timeouts { handshake, health, hook, ..quick() }
}

/// Nothing here takes long.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

/// Asks again and again, to a deadline.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(3));
    let asked = async {
        while !condition() {
            ticks.tick().await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(30), asked).await;
    assert!(held.is_ok(), "not so after 10 s: {what}");
}

/// Whether a process runs. A zombie whose parent has not looked yet is dead.
pub fn alive(pid: u32) -> bool {
    if rustix::process::test_kill_process(pid_of(pid)).is_err() {
        return false;
    }
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !matches!(stat_field(&stat, 0).as_str(), "Z" | "X"),
        Err(_) => !cfg!(target_os = "linux"),
    }
}

pub fn signal(pid: u32, signal: Signal) {
    rustix::process::kill_process(pid_of(pid), signal).unwrap();
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).unwrap()
}

/// A field of /proc/PID/stat, counted from the state on.
fn stat_field(stat: &str, at: usize) -> String {
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    rest.split_whitespace().nth(at).unwrap_or_default().to_owned()
}

/// Our children, zombies among them.
#[cfg(target_os = "linux")]
pub fn children() -> Vec<u32> {
    let us = std::process::id().to_string();
    let pids = fs::read_dir("/proc").unwrap().flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat_field(&stat, 1) == us
        })
        .collect()
}

/// The environment of a process.
#[cfg(target_os = "linux")]
pub fn environment(pid: u32) -> std::collections::BTreeMap<String, String> {
    let text = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let text = String::from_utf8(text).unwrap();
    let entries = text.split('\0').filter_map(|entry| entry.split_once('='));
    entries.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Set in a test that was started again in a process of its own.
const AGAIN: &str = "PLUGIN_CONFORMANCE_TEST_AGAIN";

/// Whether this process is one that [`again`] started.
pub fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

/// Runs one test of the same file in a process of its own, where [`is_again`] is true.
pub fn again(test: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(AGAIN, "1").kill_on_drop(true);
    command
}

/// Runs [`again`] to its end, which must be a good one.
pub async fn passes_again(command: &mut tokio::process::Command) {
    let limit = Duration::from_secs(300);
    let output = tokio::time::timeout(limit, command.output()).await.expect("it ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "no such test: {stdout}");
}
