//! `check` and its subjects: all of them go the same way, from [`prepare`] to [`finish`].

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plugin_conformance::api::mock::MockFile;
use plugin_conformance::conformance::catalogue;
use plugin_conformance::conformance::runner::profile;
use plugin_conformance::conformance::subjects::kit::Kit;
use plugin_conformance::conformance::subjects::plugin::PluginBundle;
use plugin_conformance::conformance::subjects::sdk::{DriverOptions, Sdk};
use plugin_conformance::conformance::subjects::supervisor::{
    ForeignSupervisor, LaunchedBundles, StopBy,
};
use plugin_conformance::conformance::{
    Event, EventSink, Finding, Interpreter, KnownFailures, Level, RunReport, Runner, Status,
    Subject, WriteError,
};

use super::args::{
    AnswersArgument, JudgeArguments, PluginArguments, ResultArguments, SdkArguments, StopArgument,
    SupervisorArguments,
};
use super::{Failure, out};

pub(super) async fn kit(results: &ResultArguments) -> Result<ExitCode, Failure> {
    judge(&Kit::new(Interpreter::Link(super::interpreter()?)), results).await
}

pub(super) async fn plugin(arguments: PluginArguments) -> Result<ExitCode, Failure> {
    let mocks = arguments.mocks.as_deref().map(MockFile::load).transpose()?;
    let PluginArguments { dir, unix, results, .. } = arguments;
    judge(&PluginBundle { dir, unix, mocks }, &results).await
}

/// How long a driver may take over a case, unless `--patience` says otherwise.
const CASE_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn sdk(arguments: SdkArguments) -> Result<ExitCode, Failure> {
    let SdkArguments { results, patience, command } = arguments;
    // A driver that works keeps a processor busy.
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = usize::try_from(results.jobs).unwrap_or(1).min(processors);
    let case_limit = CASE_LIMIT.mul_f64(patience);
    let results = ResultArguments { jobs: jobs as u64, ..results };
    judge(&Sdk::new(DriverOptions { command, jobs, case_limit }), &results).await
}

pub(super) async fn supervisor(arguments: SupervisorArguments) -> Result<ExitCode, Failure> {
    let SupervisorArguments { results, expected, stop, command } = arguments;
    let interpreter = Interpreter::Link(super::interpreter()?);
    let mut subject = ForeignSupervisor::new(command, interpreter);
    subject.stop = match stop {
        StopArgument::Sigterm => StopBy::Sigterm,
        StopArgument::Sigint => StopBy::Sigint,
        StopArgument::Stdin => StopBy::Stdin,
    };
    subject.generated = expected.expect_answers == AnswersArgument::Generated;
    subject.patience = expected.patience;
    subject.server_version = expected.server_version;
    judge(&subject, &results).await
}

pub(super) async fn judge_bundles(arguments: JudgeArguments) -> Result<ExitCode, Failure> {
    let JudgeArguments { dirs, results, expected } = arguments;
    let mut subject = LaunchedBundles::find(&dirs)?;
    subject.generated = expected.expect_answers == AnswersArgument::Generated;
    subject.patience = expected.patience;
    subject.server_version = expected.server_version;
    judge(&subject, &results).await
}

/// As many checks of one rule are shown at the end.
const MOST_SHOWN: usize = 5;

/// Judges a subject as the arguments say, and reports the result.
async fn judge<S: Subject>(subject: &S, results: &ResultArguments) -> Result<ExitCode, Failure> {
    let start = Instant::now();
    let runner = prepare(subject, results)?;
    let stop = runner.stop.clone();
    let interrupted = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            out::complain("interrupted: ending what was started; what is known so far follows");
            stop.cancel();
        }
    });
    let report = runner.run(subject).await;
    interrupted.abort();
    finish(report?, results, start)
}

/// Invalid arguments are reported before anything is launched.
fn prepare<S: Subject>(subject: &S, results: &ResultArguments) -> Result<Runner, Failure> {
    writable(results.json.as_deref())?;
    let known = results.known_failures.as_deref().map(KnownFailures::load).transpose()?;
    let profile = results.profile.as_deref().map(profile).transpose();
    let profile = profile.map_err(|error| format!("--profile: {error}"))?;
    let filter = results.filter.clone().unwrap_or_default();
    filter.fits(subject.kind()).map_err(|error| format!("--filter: {error}"))?;
    Ok(Runner {
        filter,
        jobs: usize::try_from(results.jobs).unwrap_or(1),
        fail_fast: results.fail_fast,
        seed: results.seed,
        strict: results.strict,
        known: known.map(Arc::new),
        profile: profile.map(Arc::new),
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
        if let (Some(sweep), true) = (sweep(&check.id), check.status != Status::Failed) {
            let Ok(mut rpcs) = rpcs.lock() else { return };
            let word = if check.status == Status::Passed { "ok     " } else { word(check) };
            let count = rpcs.entry(format!("{word} {sweep}")).or_default();
            *count += 1;
            if count.is_multiple_of(100) || *count == 236 {
                out::say(&format!("{word} {sweep}: {count} of 236"));
            }
            return;
        }
        tell(check);
    })
}

/// The checks of all RPCs that this is one of, as a pattern.
fn sweep(id: &str) -> Option<String> {
    if id.starts_with("supervisor.rpc.") {
        return Some("supervisor.rpc.*".to_owned());
    }
    let mut parts = id.split('.');
    match (parts.next()?, parts.next()?, parts.next()?) {
        (sweep @ ("rpc" | "sdk"), _, rule) => Some(format!("{sweep}.*.{rule}")),
        _ => None,
    }
}

fn word(check: &Finding) -> &'static str {
    match (check.status, check.level) {
        (Status::Passed, _) => "ok     ",
        (Status::Failed, Level::Required) => "FAILED ",
        (Status::Failed, Level::Recommended) => "advice ",
        (Status::Known, _) => "known  ",
        (Status::NotObservable, _) => "unseen ",
        (Status::Skipped, _) => "skipped",
    }
}

fn tell(check: &Finding) {
    let word = word(check);
    out::say(&format!("{word} {}: {}", check.id, check.title));
    if check.status != Status::Passed {
        for line in check.detail.lines() {
            out::say(&format!("          {line}"));
        }
    }
}

/// Everything that is broken once more, by rule: what was expected beside what there is, and what to
/// do. Many checks of one rule, such as those of all RPCs, stand together.
fn broken(report: &RunReport) {
    let mut rules = BTreeMap::<String, Vec<&Finding>>::new();
    for check in report.checks.iter().filter(|check| check.status == Status::Failed) {
        rules.entry(sweep(&check.id).unwrap_or_else(|| check.id.clone())).or_default().push(check);
    }
    // A run with one failure has just told of it.
    if rules.values().map(Vec::len).sum::<usize>() < 2 {
        return;
    }
    out::say("\nBroken rules:");
    for (rule, checks) in rules {
        let Some(first) = checks.first() else { continue };
        out::say(&format!("\n{} {rule} ({}): {}", word(first), first.level, first.title));
        for check in checks.iter().take(MOST_SHOWN) {
            let name = if checks.len() > 1 { format!("{}: ", check.id) } else { String::new() };
            match (&check.expected, &check.actual) {
                (Some(expected), Some(actual)) => {
                    let field = check.field.as_deref().unwrap_or("the value");
                    out::say(&format!("  {name}{field}"));
                    out::say(&format!("    expected  {expected}"));
                    out::say(&format!("    actual    {actual}"));
                    let same = expected.bytes().zip(actual.bytes()).take_while(|(a, b)| a == b);
                    let same = same.count();
                    if same > 0 && expected.is_ascii() && actual.is_ascii() {
                        out::say(&format!("              {}^ differs from here", " ".repeat(same)));
                    }
                }
                _ => check.detail.lines().for_each(|line| out::say(&format!("  {name}{line}"))),
            }
        }
        if let Some(more) = checks.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
            out::say(&format!("  and {more} more of this rule"));
        }
        if let Ok(known) = catalogue::find(&first.id) {
            out::say(&format!("  remedy: {}", known.remedy));
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
    broken(&report);
    for suggestion in &report.suggestions {
        out::say(&format!("suggestion: {suggestion}"));
    }
    let counted = [
        (true, summary.passed, "passed"),
        (true, summary.failed, "failed"),
        (summary.advised > 0, summary.advised, "recommended"),
        (results.known_failures.is_some() || results.profile.is_some(), summary.known, "known"),
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
