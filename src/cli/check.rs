//! `check` and `check plugin`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use plugin_conformance::api::mock::MockFile;
use plugin_conformance::conformance::{
    Check, Gate, Interpreter, Progress, RunReport, Status, WriteError,
};

use super::args::PluginArguments;
use super::{Failure, out};

pub(super) async fn kit(json: Option<&Path>) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    writable(json)?;
    let gate = Gate::new(Interpreter::Link(super::interpreter()?)).progress(progress());
    let report = gate.check().await?;
    finish(&report, json, start)
}

pub(super) async fn plugin(arguments: PluginArguments) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    writable(arguments.json.as_deref())?;
    let gate = Gate::new(Interpreter::Link(super::interpreter()?)).progress(progress());
    let (dir, unix) = (&arguments.dir, arguments.unix);
    let report = match &arguments.mocks {
        Some(file) => gate.check_plugin_with(dir, unix, &MockFile::load(file)?).await?,
        None => gate.check_plugin(dir, unix).await?,
    };
    finish(&report, arguments.json.as_deref(), start)
}

/// A run whose result cannot be written is not begun.
fn writable(json: Option<&Path>) -> Result<(), WriteError> {
    let Some(path) = json else { return Ok(()) };
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.map(drop).map_err(|source| WriteError { path: path.to_owned(), source })
}

/// A line per check; the RPCs, of which there are many, a line per hundred and one per failure.
fn progress() -> Progress {
    let rpcs = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    Arc::new(move |check: &Check| {
        let sweep = check.id.strip_prefix("rpc.").and_then(|rest| rest.split('.').nth(1));
        if let (Some(sweep), Status::Passed) = (sweep, check.status) {
            let Ok(mut rpcs) = rpcs.lock() else { return };
            let passed = rpcs.entry(sweep.to_owned()).or_default();
            *passed += 1;
            if passed.is_multiple_of(100) || *passed == 236 {
                out::say(&format!("ok      rpc.*.{sweep}: {passed} of 236"));
            }
            return;
        }
        let word = match check.status {
            Status::Passed => "ok     ",
            Status::Failed => "FAILED ",
            Status::Skipped => "skipped",
        };
        out::say(&format!("{word} {}: {}", check.id, check.title));
        if check.status != Status::Passed {
            for line in check.detail.lines() {
                out::say(&format!("          {line}"));
            }
        }
    })
}

fn finish(report: &RunReport, json: Option<&Path>, start: Instant) -> Result<ExitCode, Failure> {
    let (summary, rpcs) = (report.summary, report.rpcs);
    out::say(&format!(
        "\n{} checks: {} passed, {} failed, {} skipped; {} of {} RPCs exercised; {:.1} s",
        summary.checks,
        summary.passed,
        summary.failed,
        summary.skipped,
        rpcs.exercised,
        rpcs.total,
        start.elapsed().as_secs_f64(),
    ));
    if let Some(file) = json {
        report.write_json(file)?;
    }
    Ok(match report.is_success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
