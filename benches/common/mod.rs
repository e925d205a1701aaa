//! What the benches share: the API that is measured, the compiled interpreter, how a number is printed.

#![allow(dead_code, unreachable_pub, unused_imports, clippy::unwrap_used, clippy::expect_used)]

pub mod bare;
pub mod figure;
pub mod life;

use std::future::Future;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use fake_interpreters::report::Report;
use plugin_conformance::api::{AppError, PluginApi, TARGET_VARIABLE, async_trait};
use plugin_conformance::conformance::{Bundle, Interpreter};
use plugin_proto::v1::{GetServerVersionRequest, GetServerVersionResponse};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub use bare::Bare;
pub use figure::{Figure, Quartiles, Wanted};

/// What every server here answers.
pub const VERSION: &str = "11.2.0";

/// Knows its version and nothing else.
#[derive(Debug)]
pub struct Tiny;

#[async_trait]
impl PluginApi for Tiny {
    async fn get_server_version(
        &self,
        _: GetServerVersionRequest,
    ) -> Result<GetServerVersionResponse, AppError> {
        Ok(GetServerVersionResponse { version: VERSION.into(), error: None })
    }
}

/// The interpreter, built as a release is.
pub fn fake_python() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let build = escargot::CargoBuild::new().package("fake-interpreters").bin("fake-python");
        build.release().run().expect("fake-python builds").path().to_owned()
    };
    BUILT.get_or_init(build).clone()
}

/// A bundle that follows this script.
pub struct Plugin {
    pub bundle: Bundle,
    _folder: TempDir,
}

impl Plugin {
    pub fn new(name: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap().join("bundle");
        let bundle = Bundle::write(&dir, name, script, &Interpreter::Link(fake_python())).unwrap();
        Self { bundle, _folder: folder }
    }

    /// Its process, yet to be started, with the API at `target`.
    pub fn command(&self, target: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.bundle.dir.join("venv/bin/python"));
        command.arg("plugin.py").current_dir(&self.bundle.dir).env(TARGET_VARIABLE, target);
        command.kill_on_drop(true);
        command
    }

    /// Runs its process to its end, and reads what it reports.
    pub async fn run(&self, target: &str) -> Report {
        let status = self.command(target).status().await.unwrap();
        assert!(status.success(), "{status}");
        let report = Report::read(&self.bundle.report()).unwrap();
        assert!(report.complete && report.failures.is_empty(), "{:?}", report.failures);
        report
    }
}

/// The runtime that all servers here run on.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// A plain `cargo bench`: neither `cargo test`, which runs benches to see that they run, nor with a
/// filter for criterion.
pub fn is_bench() -> bool {
    let mut arguments = std::env::args().skip(1).peekable();
    arguments.peek().is_some() && arguments.all(|argument| argument == "--bench")
}

/// What should happen soon, or the bench is broken.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, what).await.expect("it happens soon")
}
