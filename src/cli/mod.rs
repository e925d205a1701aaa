//! Arguments in, text out. What is done is done in the library.

mod args;
mod catalogue;
mod check;
mod coverage;
#[cfg(feature = "sabotage")]
mod host_for_checks;
mod interrupts;
mod out;
mod run;
mod serve;
mod stress;

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use fake_interpreters::characters::{CHARACTERS, Character};
use plugin_conformance::conformance::subjects::supervisor::{SCENARIOS, Scenario};
use plugin_conformance::conformance::{Bundle, Interpreter};

use args::{Arguments, BundleArguments, CheckWhat, Command};
use interrupts::Interrupts;

/// The command could not be carried out.
const UNUSABLE: u8 = 2;

/// Files that a command opens before it has begun.
const LEAST_FILES: usize = 16;

/// What ends a command early: a text for the user.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Whether the program was started under the name of an interpreter.
pub(crate) fn invoked_as_python() -> bool {
    let name = std::env::args_os().next();
    let name = name.as_deref().and_then(|name| Path::new(name).file_stem());
    name.is_some_and(|name| name.to_string_lossy().starts_with("python"))
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "off".into()))
        .with_writer(|| out::Events)
        .init();
    let runtime = match room().and_then(|()| tokio::runtime::Runtime::new()) {
        Ok(runtime) => runtime,
        Err(error) => {
            return out::finish(fail(&format!(
                "cannot start: {error}; this needs {LEAST_FILES} open files and about 16 for each \
                 plugin: raise the limit (ulimit -n)"
            )));
        }
    };
    let status = runtime.block_on(async {
        let done = match arguments.command {
            Command::Check(check) => match check.what {
                Some(CheckWhat::Plugin(plugin)) => check::plugin(plugin).await,
                Some(CheckWhat::Sdk(sdk)) => check::sdk(sdk).await,
                Some(CheckWhat::Supervisor(supervisor)) => check::supervisor(supervisor).await,
                None => check::kit(&check.results).await,
            },
            Command::Judge(arguments) => check::judge_bundles(arguments).await,
            Command::List(arguments) => catalogue::list(&arguments),
            Command::Explain(arguments) => catalogue::explain(&arguments),
            Command::Bundle(arguments) => bundle(&arguments),
            Command::Serve(arguments) => serve::serve(arguments).await,
            Command::Run(arguments) => run::run(arguments).await,
            Command::Coverage(arguments) => coverage::coverage(&arguments).await,
            #[cfg(feature = "sabotage")]
            Command::HostForChecks(arguments) => host_for_checks::host(arguments).await,
            Command::Stress(arguments) => stress::stress(arguments).await,
            Command::SdkDriver(arguments) => {
                let driven = fake_interpreters::sdk_driver::drive(&arguments.breaks).await;
                driven.map(|()| ExitCode::SUCCESS).map_err(Into::into)
            }
        };
        printed(done.unwrap_or_else(|error| fail(&*error))).await
    });
    out::finish(status)
}

/// The status, once all that was said is written. That is up to who reads it, but for a signal.
async fn printed(status: ExitCode) -> ExitCode {
    let interrupted = async {
        match Interrupts::new() {
            Ok(mut interrupts) => interrupts.next().await,
            // Then a signal ends the program by itself, unless somebody has heard it before.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = out::flushed() => status,
        () = interrupted => {
            out::give_up();
            ExitCode::FAILURE
        }
    }
}

/// Whether the program may open a few files at all. The runtime panics where it may not.
fn room() -> std::io::Result<()> {
    let files = (0..LEAST_FILES).map(|_| std::fs::File::open("/dev/null"));
    files.collect::<Result<Vec<_>, _>>().map(drop)
}

fn fail(error: &dyn Display) -> ExitCode {
    out::complain(&format!("error: {error}"));
    ExitCode::from(UNUSABLE)
}

/// This program, which is the fake interpreter as well.
fn interpreter() -> Result<std::path::PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| format!("cannot find this program's own file: {error}").into())
}

fn bundle(arguments: &BundleArguments) -> Result<ExitCode, Failure> {
    if let (Some(id), Some(out)) = (&arguments.scenario, &arguments.out) {
        let scenario = Scenario::by_id(id).map_err(|error| format!("--scenario: {error}"))?;
        let bundle = scenario.write(out, &Interpreter::Copy(interpreter()?))?;
        out::say(&format!("{} in {}: {}", bundle.id, bundle.dir.display(), scenario.about));
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(name), Some(out)) = (&arguments.interpreter, &arguments.out) else {
        if arguments.out.is_some() {
            return Err("--out needs --interpreter NAME or --scenario ID".into());
        }
        for character in CHARACTERS {
            out::say(&format!("{:<24} {}", character.name, character.summary));
        }
        out::say("\nScenarios of `check supervisor`, for --scenario:");
        for scenario in SCENARIOS {
            out::say(&format!("{:<24} {}", scenario.id, scenario.about));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let character = Character::by_name(name).map_err(|error| {
        format!("--interpreter: {error} (`plugin-conformance bundle` lists them all)")
    })?;
    let bundle = Bundle::of_character(out, character, &Interpreter::Copy(interpreter()?))?;
    out::say(&format!("{} in {}", bundle.id, bundle.dir.display()));
    Ok(ExitCode::SUCCESS)
}
