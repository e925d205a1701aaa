//! `stress`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plugin_conformance::conformance::Interpreter;
use plugin_conformance::conformance::stress::{Lived, Role, Stress, Summary, Until};
use serde_json::json;

use super::Failure;
use super::args::StressArguments;
use super::out::say;

pub(super) async fn stress(arguments: StressArguments) -> Result<ExitCode, Failure> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => {
            let mut bytes = [0; 4];
            getrandom::fill(&mut bytes).map_err(|error| format!("no random seed: {error}"))?;
            u32::from_le_bytes(bytes).into()
        }
    };
    let names = &arguments.characters;
    let roles = names.iter().map(|name| Role::by_name(name));
    let roles: Vec<_> =
        roles.collect::<Result<_, _>>().map_err(|error| format!("--characters: {error}"))?;
    let mut stress = Stress::new(Interpreter::Link(super::interpreter()?), seed);
    if !roles.is_empty() {
        stress.roles = roles;
    }
    stress.plugins = arguments.plugins;
    stress.longest = Duration::from_millis(arguments.longest_delay);
    stress.until = match (arguments.duration, arguments.cycles) {
        (Some(duration), _) => Until::Elapsed(duration),
        (None, cycles) => Until::Cycles(cycles.unwrap_or(1000)),
    };
    #[cfg(feature = "sabotage")]
    {
        stress.fault = arguments.fault.map(sabotage::fault);
    }
    if let Some((plugin, cycle)) = arguments.only {
        return only(&stress, plugin, cycle).await;
    }
    // A run whose result cannot be written is not begun.
    let mut file = create(arguments.json.as_deref(), "--json")?;
    let mut events = create(arguments.events.as_deref(), "--events")?;
    say(&format!("seed {seed}, {} plugins", stress.plugins));
    let (lives, tty) = (AtomicU64::new(0), std::io::stderr().is_terminal());
    let (lines, wanted) = (Arc::new(Mutex::new(BTreeMap::new())), events.is_some());
    let into = Arc::clone(&lines);
    stress.observe = Some(Arc::new(move |lived: &Lived| {
        let lives = lives.fetch_add(1, Ordering::Relaxed) + 1;
        if tty {
            eprint!("\r{lives} lives ");
        }
        if wanted {
            let at = (lived.plan.plugin, lived.plan.cycle);
            into.lock().unwrap_or_else(PoisonError::into_inner).insert(at, line(lived));
        }
    }));
    let summary = stress.run().await?;
    tell(&summary, &replay(&stress, &arguments));
    if let Some(events) = &mut events {
        for line in lines.lock().unwrap_or_else(PoisonError::into_inner).values() {
            writeln!(events, "{line}")?;
        }
    }
    if let Some(file) = &mut file {
        let text = serde_json::to_string_pretty(&summary)?;
        writeln!(file, "{text}")?;
    }
    Ok(match summary.is_success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The command that replays a life of this run, up to the life.
fn replay(stress: &Stress, arguments: &StressArguments) -> String {
    let characters = &arguments.characters;
    let mut command = format!(
        "plugin-conformance stress --seed {} --longest-delay {}",
        stress.seed,
        stress.longest.as_millis()
    );
    if !characters.is_empty() {
        command += &format!(" --characters {}", characters.join(","));
    }
    #[cfg(feature = "sabotage")]
    if let Some(fault) = arguments.fault {
        command += &sabotage::option(fault);
    }
    command + " --only"
}

/// A life's line of `--events`.
fn line(lived: &Lived) -> String {
    let events: Vec<_> = lived.marks().iter().map(|mark| format!("{mark:?}")).collect();
    json!({
        "plugin": lived.plan.plugin,
        "cycle": lived.plan.cycle,
        "plan": lived.plan.to_string(),
        "events": events,
    })
    .to_string()
}

fn create(path: Option<&Path>, option: &str) -> Result<Option<File>, String> {
    path.map(|path| {
        File::create(path).map_err(|error| {
            format!("cannot write {}: {error}; name another file by {option}", path.display())
        })
    })
    .transpose()
}

async fn only(stress: &Stress, plugin: u64, cycle: u64) -> Result<ExitCode, Failure> {
    let Some(plan) = stress.plan(plugin, cycle) else { return Err("no such life".into()) };
    say(&plan.to_string());
    let lived = stress.live(&plan).await?;
    for fact in &lived.facts {
        say(&format!("  {fact:?}"));
    }
    Ok(match lived.violation() {
        None => {
            say("no rule is broken");
            ExitCode::SUCCESS
        }
        Some((rule, detail)) => {
            say(&format!("VIOLATION {rule}: {detail}"));
            ExitCode::FAILURE
        }
    })
}

fn tell(summary: &Summary, replay: &str) {
    for broken in &summary.broken {
        say(&format!("\nVIOLATION {}: {}\n  {}", broken.rule, broken.detail, broken.plan));
        if let Some(shorter) = &broken.shorter {
            say(&format!("  shorter: {shorter}"));
        }
        for fact in &broken.trace {
            say(&format!("    {fact}"));
        }
        say(&format!("  replay: {replay} {}:{}", broken.plugin, broken.cycle));
    }
    for leak in &summary.leaks {
        say(&format!("LEAK {leak}"));
    }
    say(&format!("the same again: {}", summary.digest));
    say(&format!("characters: {:?}\nendings: {:?}", summary.characters, summary.endings));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = summary.lives as f64 / summary.seconds.max(0.001);
    say(&format!(
        "{} lives, {} hooks, {} HTTP requests, {} API calls; {} violations, {} leaks; {:.1} s, {rate:.1} lives/s",
        summary.lives,
        summary.hooks,
        summary.requests,
        summary.calls,
        summary.violations,
        summary.leaks.len(),
        summary.seconds,
    ));
}

/// The hidden option `--fault`.
#[cfg(feature = "sabotage")]
mod sabotage {
    use clap::ValueEnum as _;
    use plugin_conformance::supervisor::Fault;

    use crate::cli::args::FaultArgument;

    pub(super) const fn fault(argument: FaultArgument) -> Fault {
        match argument {
            FaultArgument::ApiFirst => Fault::ApiFirst,
            FaultArgument::ReleaseTwice => Fault::ReleaseTwice,
            FaultArgument::StopLost => Fault::StopLost,
            FaultArgument::HooksGoOn => Fault::HooksGoOn,
        }
    }

    /// As it stands in a command.
    pub(super) fn option(fault: FaultArgument) -> String {
        let value = fault.to_possible_value();
        value.map(|value| format!(" --fault {}", value.get_name())).unwrap_or_default()
    }
}
