//! `run`.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use plugin_conformance::api::mock::MockFile;
use plugin_conformance::host::{Answers, HookLine, Host, Trace, Watch};
use plugin_conformance::supervisor::{Level, LogRecord, LogSink, Stream};
use tokio::sync::mpsc;

use super::Failure;
use super::args::RunArguments;
use super::interrupts::Interrupts;
use super::out::{self, complain, say};
use super::serve::embedded;

const HELP: &str = "  HOOK {JSON}        fire a hook at every plugin that implements it
  ID: HOOK {JSON}    fire it at one plugin
  hooks              which plugin implements what
  status             the plugins and their states
  restart [ID]       stop and start one plugin, or all
  quit               stop, as Ctrl-C does";

pub(super) async fn run(arguments: RunArguments) -> Result<ExitCode, Failure> {
    // Before anything is started: whoever sees it may send the signal at once.
    let mut interrupts = Interrupts::new()?;
    let status = host(arguments, &mut interrupts).await?;
    tokio::select! {
        biased;
        () = out::flushed() => Ok(status),
        // Nobody reads: the plugins have stopped, and their last words are lost.
        () = interrupts.next() => {
            out::give_up();
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn host(arguments: RunArguments, interrupts: &mut Interrupts) -> Result<ExitCode, Failure> {
    let trace = Trace::to_files(arguments.events.as_deref(), arguments.trace.as_deref())?;
    let answers = match &arguments.mocks {
        Some(file) => Answers::Mocks(MockFile::load(file)?),
        None => match embedded(&arguments.embedded, &arguments.version)? {
            Some(server) => Answers::Embedded(server),
            None => Answers::Generated,
        },
    };
    let starting = Host::builder(&arguments.dirs)
        .answers(answers)
        .server_version(&arguments.version)
        .unix_sockets(arguments.unix)
        .sessions(arguments.session)
        .listen(arguments.listen)
        .log(printer(arguments.verbose))
        .trace(&trace)
        .start();
    let host = tokio::select! {
        host = starting => host?,
        // Dropped, what was started is undone.
        () = interrupts.next() => {
            trace.finish()?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let mut failed = false;
    for (id, launched) in host.launched() {
        match launched {
            Ok(()) => say(&format!("{id}  active at http://{}/plugins/{id}/", host.address())),
            Err(error) => {
                failed = true;
                complain(&format!("{id}  {error}"));
            }
        }
    }
    if failed && !arguments.watch {
        return end(host, interrupts, failed).await;
    }
    for line in &arguments.call {
        tokio::select! {
            fired = fire(&host, line) => failed |= !fired,
            () = interrupts.next() => return end(host, interrupts, failed).await,
        }
    }
    if !arguments.once {
        let watch = arguments.watch.then(|| Watch::new(host.bundles())).transpose()?;
        serve(&host, watch, interrupts).await;
        // A plugin that could not be started, or a call that failed, was reported when it happened.
        failed = false;
    }
    end(host, interrupts, failed).await
}

/// Until the end is asked for: changes and lines.
async fn serve(host: &Host, mut watch: Option<Watch>, interrupts: &mut Interrupts) {
    let mut lines = Some(lines());
    if io::stdin().is_terminal() {
        say("type a hook, or `help`; Ctrl-C stops");
    }
    // A hook that hangs holds up no other line.
    let mut deeds = FuturesUnordered::new();
    loop {
        let changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await.unwrap_or_default(),
                None => std::future::pending().await,
            }
        };
        let line = async {
            match &mut lines {
                Some(lines) => {
                    // What nobody reads is not asked for.
                    out::room().await;
                    lines.recv().await
                }
                None => std::future::pending().await,
            }
        };
        let happened = tokio::select! {
            () = interrupts.next() => return,
            changed = changed => Happened::Changed(changed),
            line = line => Happened::Typed(line),
            Some(()) = deeds.next() => continue,
        };
        match happened {
            Happened::Changed(bundles) => deeds.push(changed_bundles(host, bundles).boxed_local()),
            Happened::Typed(Some(line)) if matches!(line.trim(), "quit" | "exit") => return,
            Happened::Typed(Some(line)) => {
                deeds.push(async move { command(host, &line).await }.boxed_local());
            }
            // Nobody types any more: only a signal ends it.
            Happened::Typed(None) => lines = None,
        }
    }
}

enum Happened {
    Changed(BTreeSet<PathBuf>),
    Typed(Option<String>),
}

async fn changed_bundles(host: &Host, bundles: BTreeSet<PathBuf>) {
    for id in bundles.iter().filter_map(|bundle| host.id_of(bundle)) {
        say(&format!("{id}  changed"));
        restart(host, &id).await;
    }
}

async fn command(host: &Host, line: &str) {
    let line = line.trim();
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "" => {}
        "help" => say(HELP),
        "hooks" => {
            for (id, hooks) in host.hooks() {
                say(&format!("{id}  {}", hooks.join(" ")));
            }
        }
        "status" => {
            for status in host.statuses() {
                let error = Some(status.error).filter(|error| !error.is_empty());
                let error = error.map(|error| format!("  {error}")).unwrap_or_default();
                say(&format!("{}  {}{error}", status.id, status.state));
            }
        }
        "restart" => {
            let named = rest.trim().to_lowercase();
            let mut ids: Vec<_> = host.statuses().into_iter().map(|status| status.id).collect();
            let known = ids.join(", ");
            ids.retain(|id| named.is_empty() || named == *id);
            if ids.is_empty() {
                complain(&format!("there is no plugin {named}; there are: {known}"));
            }
            for id in ids {
                restart(host, &id).await;
            }
        }
        _ => match line.parse() {
            Ok(line) => {
                fire(host, &line).await;
            }
            Err(error) => complain(&error.to_string()),
        },
    }
}

async fn restart(host: &Host, id: &str) {
    match host.restart(id).await {
        Ok(()) => say(&format!("{id}  restarted")),
        Err(error) => complain(&format!("{id}  {error}")),
    }
}

/// Fires a hook and prints what came of it. False if a plugin failed, or none was asked.
async fn fire(host: &Host, line: &HookLine) -> bool {
    match host.fire(line).await {
        Ok(fired) => {
            let mut well = true;
            for (id, fired) in fired {
                say(&format!("{id}  {fired}"));
                well &= fired.cause == plugin_conformance::hooks::Cause::Answered;
            }
            well
        }
        Err(error) => {
            complain(&error.to_string());
            false
        }
    }
}

/// Stops in order; a second signal stops at once.
async fn end(host: Host, interrupts: &mut Interrupts, failed: bool) -> Result<ExitCode, Failure> {
    if io::stdout().is_terminal() {
        say("stopping; Ctrl-C stops at once");
    }
    let stopped = tokio::select! {
        stopped = host.stop() => stopped,
        () = interrupts.next() => {
            complain("stopped at once; what the plugins had under way is lost");
            host.kill().await;
            out::flushed_in_haste().await;
            out::give_up();
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Err(error) = &stopped {
        complain(&error.to_string());
    }
    Ok(if failed || stopped.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The lines of standard input. The thread that reads them cannot be stopped, and ends with the
/// program.
fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Fields of every line of a Python plugin, which would make a log of three lines hard to read.
const USUAL_FIELDS: &[&str] = &["logger", "timestamp"];

/// Prints the plugins' logs: plugin, level, message, and fields that the plugin gave it.
fn printer(verbose: bool) -> LogSink {
    let least = if verbose { Level::Trace } else { Level::Info };
    Arc::new(move |record: LogRecord| {
        if record.level >= least {
            let level = format!("{:?}", record.level).to_lowercase();
            let mut fields = record.fields;
            if !verbose {
                fields.retain(|name, _| !USUAL_FIELDS.contains(&name.as_str()));
            }
            let fields = match fields.is_empty() {
                true => String::new(),
                false => format!(" {}", serde_json::Value::from(fields)),
            };
            let line = format!("{}  {level:<5} {}{fields}", record.plugin_id, record.message);
            match record.stream {
                Stream::Stdout | Stream::Stderr => out::log(&line),
                Stream::Server => say(&line),
            }
        }
    })
}
