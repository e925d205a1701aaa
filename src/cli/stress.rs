//! `stress`.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plugin_conformance::conformance::Interpreter;
use plugin_conformance::conformance::stress::{ROLES, Role, Stress, Summary, Until};

use super::Failure;
use super::args::StressArguments;

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
    if roles.is_empty() {
        stress.roles = ROLES.iter().collect();
    } else {
        stress.roles = roles;
    }
    stress.plugins = arguments.plugins;
    stress.longest = Duration::from_millis(arguments.longest_delay);
    stress.until = match (arguments.duration, arguments.cycles) {
        (Some(duration), _) => Until::Elapsed(duration),
        (None, cycles) => Until::Cycles(cycles.unwrap_or(1000)),
    };
    if let Some((plugin, cycle)) = arguments.only {
        return only(&stress, plugin, cycle).await;
    }
    // A run whose result cannot be written is not begun.
    let mut file = match &arguments.json {
        Some(path) => Some(std::fs::File::create(path).map_err(|error| {
            format!("cannot write {}: {error}; name another file by --json", path.display())
        })?),
        None => None,
    };
    println!("seed {seed}, {} plugins", stress.plugins);
    let lives = AtomicU64::new(0);
    if std::io::stderr().is_terminal() {
        stress.observe = Some(Arc::new(move |_| {
            let lives = lives.fetch_add(1, Ordering::Relaxed) + 1;
            eprint!("\r{lives} lives ");
        }));
    }
    let summary = stress.run().await?;
    tell(&summary, &replay(&stress, &arguments.characters));
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
fn replay(stress: &Stress, characters: &[String]) -> String {
    let mut command = format!(
        "plugin-conformance stress --seed {} --longest-delay {}",
        stress.seed,
        stress.longest.as_millis()
    );
    if !characters.is_empty() {
        command += &format!(" --characters {}", characters.join(","));
    }
    command + " --only"
}

async fn only(stress: &Stress, plugin: u64, cycle: u64) -> Result<ExitCode, Failure> {
    let Some(plan) = stress.plan(plugin, cycle) else { return Err("no such life".into()) };
    println!("{plan}");
    let lived = stress.live(&plan).await?;
    for fact in &lived.facts {
        println!("  {fact:?}");
    }
    Ok(match lived.violation() {
        None => {
            println!("no rule is broken");
            ExitCode::SUCCESS
        }
        Some((rule, detail)) => {
            println!("VIOLATION {rule}: {detail}");
            ExitCode::FAILURE
        }
    })
}

fn tell(summary: &Summary, replay: &str) {
    for broken in &summary.broken {
        println!("\nVIOLATION {}: {}\n  {}", broken.rule, broken.detail, broken.plan);
        if let Some(shorter) = &broken.shorter {
            println!("  shorter: {shorter}");
        }
        for fact in &broken.trace {
            println!("    {fact}");
        }
        println!("  replay: {replay} {}:{}", broken.plugin, broken.cycle);
    }
    for leak in &summary.leaks {
        println!("LEAK {leak}");
    }
    println!("characters: {:?}\nendings: {:?}", summary.characters, summary.endings);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = summary.lives as f64 / summary.seconds.max(0.001);
    println!(
        "{} lives, {} hooks, {} HTTP requests, {} API calls; {} violations, {} leaks; {:.1} s, {rate:.1} lives/s",
        summary.lives,
        summary.hooks,
        summary.requests,
        summary.calls,
        summary.violations,
        summary.leaks.len(),
        summary.seconds,
    );
}
