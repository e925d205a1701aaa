//! A Python with grpcio and the stubs of the contract, made once for all tests and all runs.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIRE: &str = "PLUGIN_CONFORMANCE_REQUIRE_PYTHON";
/// What `set-up` exits with where Python or its packages are not to be had.
const NO_PYTHON: i32 = 3;

/// The project's root.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir`, in a stable order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A folder with `venv` and `generated`, made once for all tests and all runs, and again when
/// anything that it is made of changes. `Err` says why there can be none here.
fn environment() -> Result<PathBuf, String> {
    let example = project().join("examples/hello-python");
    let protos = project().join("proto/proto");

    let which = "import sys; print(sys.version, sys.executable)";
    let python = Command::new("python3").args(["-c", which]).output();
    let python = python.map_err(|error| format!("python3 cannot be started: {error}"))?;
    if !python.status.success() {
        return Err(format!("python3 fails: {}", String::from_utf8_lossy(&python.stderr)));
    }
    let mut key = DefaultHasher::new();
    python.stdout.hash(&mut key);
    for file in [example.join("set-up"), example.join("requirements.txt")] {
        fs::read(file).unwrap().hash(&mut key);
    }
    for file in files(&protos) {
        file.strip_prefix(&protos).unwrap().hash(&mut key);
        fs::read(file).unwrap().hash(&mut key);
    }

    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(root).unwrap();
    // Another test, in this process or in another one, may want the same: one makes it, all have it.
    let lock = File::create(root.join("python.lock")).unwrap();
    lock.lock().unwrap();
    let ready = root.join(format!("python-{:016x}", key.finish()));
    if ready.exists() {
        return Ok(ready);
    }
    // Under another name until it is whole. When this fails, nothing of it stays.
    let making = tempfile::Builder::new().prefix("python-making-").tempdir_in(root).unwrap();
    for name in ["set-up", "requirements.txt"] {
        fs::copy(example.join(name), making.path().join(name)).unwrap();
    }
    let output = Command::new(making.path().join("set-up")).arg(&protos).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    match output.status.code() {
        Some(0) => fs::rename(making.keep(), &ready).unwrap(),
        Some(NO_PYTHON) => return Err(said),
        _ => panic!("set-up failed with {}: {said}", output.status),
    }
    Ok(ready)
}

/// The folder, or `None`, with a word of it, where there is no Python; a panic where it is required.
pub fn environment_or_skip() -> Option<PathBuf> {
    match environment() {
        Ok(environment) => Some(environment),
        Err(reason) if std::env::var(REQUIRE).is_ok_and(|value| value == "1") => {
            panic!("{REQUIRE}=1, but there is no Python to test with: {reason}")
        }
        Err(reason) => {
            eprintln!("skipped: there is no Python to test with: {reason}");
            None
        }
    }
}
