//! `check` and `check plugin`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use plugin_conformance::api::mock::MockFile;
use plugin_conformance::conformance::{
    Check, Gate, Interpreter, KnownFailures, Progress, RunReport, Status, WriteError,
};

use super::args::{PluginArguments, ResultArguments};
use super::{Failure, out};

pub(super) async fn kit(results: &ResultArguments) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let known = prepare(results)?;
    let gate = Gate::new(Interpreter::Link(super::interpreter()?)).progress(progress(&known));
    let report = gate.check().await?;
    finish(report, results, known.as_deref(), start)
}

pub(super) async fn plugin(arguments: PluginArguments) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let known = prepare(&arguments.results)?;
    let gate = Gate::new(Interpreter::Link(super::interpreter()?)).progress(progress(&known));
    let (dir, unix) = (&arguments.dir, arguments.unix);
    let report = match &arguments.mocks {
        Some(file) => gate.check_plugin_with(dir, unix, &MockFile::load(file)?).await?,
        None => gate.check_plugin(dir, unix).await?,
    };
    finish(report, &arguments.results, known.as_deref(), start)
}

/// What is wrong with the arguments is told before anything is launched.
fn prepare(results: &ResultArguments) -> Result<Option<Arc<KnownFailures>>, Failure> {
    writable(results.json.as_deref())?;
    let known = results.known_failures.as_deref().map(KnownFailures::load).transpose()?;
    Ok(known.map(Arc::new))
}

/// A run whose result cannot be written is not begun.
fn writable(json: Option<&Path>) -> Result<(), WriteError> {
    let Some(path) = json else { return Ok(()) };
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.map(drop).map_err(|source| WriteError { path: path.to_owned(), source })
}

/// A line per check; the RPCs, of which there are many, a line per hundred and one per failure.
fn progress(known: &Option<Arc<KnownFailures>>) -> Progress {
    let known = known.clone();
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
        let mut check = check.clone();
        if let Some(known) = &known {
            known.mark(&mut check);
        }
        tell(&check);
    })
}

fn tell(check: &Check) {
    let word = match check.status {
        Status::Passed => "ok     ",
        Status::Failed => "FAILED ",
        Status::Known => "known  ",
        Status::Skipped => "skipped",
    };
    out::say(&format!("{word} {}: {}", check.id, check.title));
    if check.status != Status::Passed {
        for line in check.detail.lines() {
            out::say(&format!("          {line}"));
        }
    }
}

fn finish(
    mut report: RunReport,
    results: &ResultArguments,
    known: Option<&KnownFailures>,
    start: Instant,
) -> Result<ExitCode, Failure> {
    if let Some(known) = known {
        report = known.judge(report);
        report.checks.last().into_iter().for_each(tell);
    }
    let (summary, rpcs) = (report.summary, report.rpcs);
    let known = known.map(|_| format!(", {} known", summary.known)).unwrap_or_default();
    out::say(&format!(
        "\n{} checks: {} passed, {} failed{known}, {} skipped; {} of {} RPCs exercised; {:.1} s",
        summary.checks,
        summary.passed,
        summary.failed,
        summary.skipped,
        rpcs.exercised,
        rpcs.total,
        start.elapsed().as_secs_f64(),
    ));
    if let Some(file) = &results.json {
        report.write_json(file)?;
    }
    Ok(match report.is_success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
