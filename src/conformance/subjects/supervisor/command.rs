//! Runs somebody else's supervisor on one bundle, and looks from outside.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fake_interpreters::report::{FILE_NAME, HookEnd, Report};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::super::super::evidence::{Launched, Outside, answers, is_alive};
use super::super::super::fixtures::Interpreter;
use super::super::{GateError, RunContext};
use super::{
    ForeignSupervisor, INHERITED_TARGET, MARK, PLACEHOLDER, Scenario, Special, TARGET, Until, decoy,
};

/// How often is looked.
const TICK: Duration = Duration::from_millis(20);
/// So long an active plugin is watched before the stop.
const LINGER: Duration = Duration::from_millis(500);
/// So long a supervisor that never activates may take to call anything.
const QUIET: Duration = Duration::from_secs(3);
/// After a launch that failed, and after a crash: so long the API may stay, or the command.
const AFTERMATH: Duration = Duration::from_secs(10);
/// So long a process may take to vanish when the command has ended.
const VANISH: Duration = Duration::from_secs(1);
/// As much of the output is kept, in bytes.
const KEPT: usize = 16 << 10;

/// How a command is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopBy {
    /// SIGTERM to its process.
    Sigterm,
    /// SIGINT to its process.
    Sigint,
    /// The end of its standard input.
    Stdin,
}

/// A command that runs, and what was seen of it so far.
struct Run<'a> {
    bundle: &'a Path,
    child: Child,
    pid: Pid,
    seen: Outside,
    status: Option<std::process::ExitStatus>,
    /// Of the first life: when it was seen first.
    born: Option<Instant>,
    report: Option<Report>,
    stop: &'a tokio_util::sync::CancellationToken,
}

pub(super) async fn run(
    subject: &ForeignSupervisor,
    scenario: &'static Scenario,
    bundle: &Path,
    context: &RunContext,
) -> Result<Launched, GateError> {
    let mark = format!("{}-{}", scenario.id, std::process::id());
    let mut command = command(subject, scenario, bundle, &mark);
    let mut child = command.spawn().map_err(|error| {
        GateError::Subject(format!("cannot run {}: {error}", subject.command.join(" ")))
    })?;
    let output = Arc::new(Mutex::new(Vec::new()));
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(keep(stdout, Arc::clone(&output)));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(keep(stderr, Arc::clone(&output)));
    }
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let Some(pid) = pid else {
        return Err(GateError::Subject("the command has no process id".to_owned()));
    };
    let mut run = Run {
        bundle,
        child,
        pid,
        seen: Outside::default(),
        status: None,
        born: None,
        report: None,
        stop: &context.stop,
    };
    run.reach(subject, scenario).await;
    run.end(subject, scenario).await;
    let output = output.lock().unwrap_or_else(PoisonError::into_inner).clone();
    run.seen.output = String::from_utf8_lossy(&output).into_owned();
    let mut launched = Launched::read(bundle).await;
    clean_up(&launched, pid);
    launched.scenario = scenario.id.to_owned();
    launched.outside = Some(run.seen);
    launched.server_version = subject.server_version.clone();
    launched.mark = Some(mark);
    launched.prepared = true;
    launched.generated = subject.generated;
    launched.patience = subject.patience;
    Ok(launched)
}

fn command(subject: &ForeignSupervisor, scenario: &Scenario, bundle: &Path, mark: &str) -> Command {
    let text = bundle.display().to_string();
    let mut arguments: Vec<_> =
        subject.command.iter().map(|part| part.replace(PLACEHOLDER, &text)).collect();
    if !subject.command.iter().any(|part| part.contains(PLACEHOLDER)) {
        arguments.push(text);
    }
    let program = arguments.remove(0);
    // Looked up before PATH is another one.
    let mut command = Command::new(which::which(&program).unwrap_or_else(|_| program.into()));
    command.args(arguments).env(MARK, mark).env_remove(TARGET).process_group(0);
    if let Some(decoys) = &subject.decoys {
        let (Interpreter::Copy(interpreter) | Interpreter::Link(interpreter)) =
            &subject.interpreter;
        command.env(decoy::VARIABLE, decoys.dir()).env("PATH", decoys.path(interpreter));
    }
    if scenario.special == Special::InheritedTarget {
        command.env(TARGET, INHERITED_TARGET);
    }
    let stdin = if subject.stop == StopBy::Stdin { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Reads to the end, and keeps the last of it.
async fn keep(mut from: impl AsyncRead + Unpin, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..read]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
}

/// What outlived the command is evidence by now, and goes.
fn clean_up(seen: &Launched, group: Pid) {
    let _ = kill_process_group(group, Signal::KILL);
    for pid in seen.plugins_left.iter().chain(&seen.descendants_left) {
        if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Run<'_> {
    /// Looks once; whether the command still runs.
    async fn look(&mut self) -> bool {
        let path = self.bundle.join(FILE_NAME);
        if let Ok(report) = Report::read(&path)
            && report.life <= 1
        {
            self.born.get_or_insert_with(Instant::now);
            self.report = Some(report);
        }
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.is_none() && !self.stop.is_cancelled()
    }

    fn plugin_lives(&self) -> bool {
        self.report.as_ref().is_some_and(|report| is_alive(report.pid))
    }

    async fn api_answers(&self) -> Option<bool> {
        let report = self.report.as_ref()?;
        if !report.api_reachable_at_start && report.api_reached_ms.is_none() {
            return None;
        }
        Some(answers(report.api_target.as_deref()?).await)
    }

    /// Waits until the scenario is where the stop is to come.
    async fn reach(&mut self, subject: &ForeignSupervisor, scenario: &Scenario) {
        let limit = subject.limit(scenario.reach());
        let start = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        let mut quiet: Option<(Instant, usize)> = None;
        let mut active: Option<Instant> = None;
        let mut gone: Option<Instant> = None;
        loop {
            ticks.tick().await;
            let runs = self.look().await;
            let since = self.born.unwrap_or(start);
            if self.report.is_some() && gone.is_none() && !self.plugin_lives() {
                gone = Some(Instant::now());
                self.seen.gone_after = Some(since.elapsed());
            }
            if let Some(gone) = gone {
                // What becomes of a launch that failed, or of a plugin that crashed.
                self.seen.api_stayed = self.api_answers().await.unwrap_or(false);
                let settled = !self.seen.api_stayed || self.bundle.join("report-1.json").exists();
                if settled || !runs || gone.elapsed() > subject.limit(AFTERMATH) {
                    break;
                }
                continue;
            }
            if !runs {
                // It may have killed the process a moment ago.
                let ended = Instant::now();
                while self.plugin_lives() && ended.elapsed() < subject.limit(VANISH) {
                    ticks.tick().await;
                }
                if self.report.is_some() && !self.plugin_lives() {
                    self.seen.gone_after = Some(since.elapsed());
                }
                break;
            }
            if since.elapsed() > limit {
                break;
            }
            if scenario.until != Until::Active {
                continue;
            }
            let Some(report) = &self.report else { continue };
            let answered = |call: &_| matches!(call, HookEnd::Answered | HookEnd::Cancelled);
            let activated =
                report.hook_calls.iter().any(|it| it.hook == "OnActivate" && answered(&it.end));
            let works = scenario.id == super::EVERY_RPC
                && report.api_reached_ms.is_some()
                && report.calls.len() < 236;
            // A supervisor that never activates, or a plugin without OnActivate, is quiet.
            let news = report.hooks.len() + report.calls.len() + report.health.len();
            match &mut quiet {
                Some((_, seen)) if *seen == news => {}
                quiet => *quiet = Some((Instant::now(), news)),
            }
            let is_quiet = quiet.is_some_and(|(since, _)| since.elapsed() > subject.limit(QUIET));
            let handshaken = report.handshake.is_some();
            if activated && !works || is_quiet && handshaken && !report.hooks.is_empty() {
                active.get_or_insert_with(Instant::now);
            }
            if active.is_some_and(|since| since.elapsed() > LINGER) {
                break;
            }
        }
        self.seen.watched = self.born.unwrap_or(start).elapsed();
        self.seen.ended_by_itself = self.status.is_some();
    }

    /// Asks the command to stop, and waits until it has.
    async fn end(&mut self, subject: &ForeignSupervisor, scenario: &Scenario) {
        if self.stop.is_cancelled() {
            let _ = kill_process_group(self.pid, Signal::TERM);
        } else if self.status.is_none() {
            self.ask(subject.stop);
        }
        let asked = Instant::now();
        let limit = match self.stop.is_cancelled() {
            true => VANISH,
            false => subject.limit(Duration::from_secs(scenario.stop)),
        };
        let mut ticks = tokio::time::interval(TICK);
        let mut again = scenario.special == Special::SecondStop;
        while self.status.is_none() && asked.elapsed() < limit {
            ticks.tick().await;
            self.look().await;
            if again && asked.elapsed() > Duration::from_millis(300) && self.status.is_none() {
                again = false;
                if subject.stop != StopBy::Stdin {
                    self.ask(subject.stop);
                }
            }
            let lost = self.api_answers().await == Some(false);
            // In this order: a process that is gone now may have been there a moment ago.
            if lost && self.plugin_lives() {
                self.seen.api_lost = true;
            }
        }
        match self.status {
            Some(status) => {
                self.seen.stop_took = Some(asked.elapsed());
                self.seen.exit = Some(status.to_string());
                self.seen.code = status.code();
            }
            None => {
                let _ = self.child.start_kill();
                let _ = self.child.wait().await;
            }
        }
        let vanish = Instant::now();
        while self.plugin_lives() && vanish.elapsed() < subject.limit(VANISH) {
            ticks.tick().await;
        }
    }

    fn ask(&mut self, by: StopBy) {
        match by {
            StopBy::Sigterm => drop(kill_process(self.pid, Signal::TERM)),
            StopBy::Sigint => drop(kill_process(self.pid, Signal::INT)),
            StopBy::Stdin => drop(self.child.stdin.take()),
        }
    }
}
