//! `check` and its subjects: all of them go the same way, from [`prepare`] to [`finish`].

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use plugin_conformance::api::mock::MockFile;
use plugin_conformance::conformance::subjects::kit::Kit;
use plugin_conformance::conformance::subjects::plugin::PluginBundle;
use plugin_conformance::conformance::{
    Event, EventSink, Finding, Interpreter, KnownFailures, RunReport, Runner, Status, Subject,
    WriteError,
};

use super::args::{PluginArguments, ResultArguments};
use super::{Failure, out};

pub(super) async fn kit(results: &ResultArguments) -> Result<ExitCode, Failure> {
    judge(&Kit::new(Interpreter::Link(super::interpreter()?)), results).await
}

pub(super) async fn plugin(arguments: PluginArguments) -> Result<ExitCode, Failure> {
    let mocks = arguments.mocks.as_deref().map(MockFile::load).transpose()?;
    let PluginArguments { dir, unix, results, .. } = arguments;
    judge(&PluginBundle { dir, unix, mocks }, &results).await
}

/// Judges a subject as the arguments say, and reports the result.
async fn judge<S: Subject>(subject: &S, results: &ResultArguments) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let runner = prepare(subject, results)?;
    let report = runner.run(subject).await?;
    finish(report, results, start)
}

/// Invalid arguments are reported before anything is launched.
fn prepare<S: Subject>(subject: &S, results: &ResultArguments) -> Result<Runner, Failure> {
    writable(results.json.as_deref())?;
    let known = results.known_failures.as_deref().map(KnownFailures::load).transpose()?;
    let filter = results.filter.clone().unwrap_or_default();
    filter.fits(subject.kind()).map_err(|error| format!("--filter: {error}"))?;
    Ok(Runner {
        filter,
        jobs: usize::try_from(results.jobs).unwrap_or(1),
        fail_fast: results.fail_fast,
        seed: results.seed,
        strict: results.strict,
        known: known.map(Arc::new),
        events: progress(),
        ..Runner::default()
    })
}

/// A run whose result cannot be written is not begun.
fn writable(json: Option<&Path>) -> Result<(), WriteError> {
    let Some(path) = json else { return Ok(()) };
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.map(drop).map_err(|source| WriteError { path: path.to_owned(), source })
}

/// A line per check; the RPCs, of which there are many, a line per hundred and one per failure.
fn progress() -> EventSink {
    let rpcs = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    Arc::new(move |event| {
        let Event::Judged(check) = event else { return };
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
        tell(check);
    })
}

fn tell(check: &Finding) {
    let word = match check.status {
        Status::Passed => "ok     ",
        Status::Failed => "FAILED ",
        Status::Known => "known  ",
        Status::NotObservable => "unseen ",
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
    report: RunReport,
    results: &ResultArguments,
    start: Instant,
) -> Result<ExitCode, Failure> {
    let (summary, rpcs) = (report.summary, report.rpcs);
    if results.known_failures.is_some() {
        report.checks.last().into_iter().for_each(tell);
    }
    let counted = [
        (true, summary.passed, "passed"),
        (true, summary.failed, "failed"),
        (summary.advised > 0, summary.advised, "recommended"),
        (results.known_failures.is_some(), summary.known, "known"),
        (summary.not_observable > 0, summary.not_observable, "not observable"),
        (true, summary.skipped, "skipped"),
    ];
    let counted = counted.iter().filter(|(shown, ..)| *shown);
    let counted: Vec<_> = counted.map(|(_, count, word)| format!("{count} {word}")).collect();
    out::say(&format!(
        "\n{} checks: {}; {} of {} RPCs exercised; {:.1} s",
        summary.checks,
        counted.join(", "),
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
