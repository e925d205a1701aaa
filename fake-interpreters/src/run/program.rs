//! The program.

use std::env;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::interpreter::Interpreter;
use super::scenario::{self, Scenario};
use crate::deeds::{Life, process};
use crate::report::{Environment, GoPlugin, Report, Reporter, SCHEMA};
use crate::say::say;
use crate::script::Script;
use crate::wire::API_TARGET;

/// The exit code for a wrong command line and for a script that cannot be followed.
const USAGE: u8 = 2;

/// What `python --version` answers.
const VERSION: &str = concat!("Python 3.11.0 (fake-python ", env!("CARGO_PKG_VERSION"), ")");

/// What the command line asks for.
#[derive(Debug, PartialEq)]
enum Request {
    Version,
    Follow(PathBuf),
    Nothing,
    Unknown(String),
}

/// `python plugin.py`: follows the script and leaves `report.json` beside it. Call it from a
/// binary's `main` and do nothing else there.
///
/// The exit code is the script's, or 2 if there is no script or it cannot be followed. A program
/// of another name can be this one as well: what it is asked for depends on the arguments and on
/// the environment only.
pub fn main() -> ExitCode {
    if let Some(role) = env::var_os(process::ROLE) {
        return process::live_as_grandchild(&role.to_string_lossy());
    }
    let arguments: Vec<OsString> = env::args_os().collect();
    if let Some(scenario) = Scenario::of(&arguments) {
        return follow(&scenario.script(), &arguments, Some(&scenario));
    }
    if let Some(status) = scenario::give_way(&arguments) {
        return status;
    }
    match request(arguments.get(1..).unwrap_or_default()) {
        Request::Version => {
            let _ = writeln!(std::io::stdout(), "{VERSION}");
            ExitCode::SUCCESS
        }
        Request::Follow(path) => follow(&path, &arguments, None),
        Request::Nothing => usage("no script"),
        Request::Unknown(argument) => {
            usage(&format!("{argument} is nothing that fake-python knows"))
        }
    }
}

fn usage(problem: &str) -> ExitCode {
    say(format_args!("{problem}\nusage: python [-V | --version] SCRIPT [ARGUMENT]..."));
    ExitCode::from(USAGE)
}

/// Python's own switches that change nothing here, such as `-u`, are passed over.
fn request(arguments: &[OsString]) -> Request {
    for argument in arguments {
        let text = argument.to_string_lossy();
        match &*text {
            "-V" | "--version" => return Request::Version,
            "-u" | "-I" | "-E" | "-s" | "-B" | "-O" | "-q" => {}
            text if text.starts_with('-') => return Request::Unknown(text.to_owned()),
            _ => return Request::Follow(PathBuf::from(argument)),
        }
    }
    Request::Nothing
}

fn follow(path: &Path, arguments: &[OsString], scenario: Option<&Scenario>) -> ExitCode {
    let script = match Script::load(path) {
        Ok(script) => script,
        Err(error) => {
            say(format_args!("{error}"));
            return ExitCode::from(USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let dir = absolute.parent().unwrap_or(&absolute).to_owned();
    let mut report = first_report(arguments);
    if let Some(scenario) = scenario {
        report.life = scenario.keep_earlier_lives();
    }
    // An empty target is none: so says the Python SDK, too, with its own default.
    let target = report.api_target.clone().filter(|target| !target.is_empty());
    let reporter = Reporter::start(&dir, report);
    if scenario.is_some() {
        // A supervisor may kill it as soon as it has said a word.
        reporter.flush();
        scenario::watch(reporter.clone(), target.clone());
    }
    let code = runtime.block_on(async {
        let life = Life::new(script, dir, reporter, target.as_deref());
        let interpreter = Interpreter::new(life);
        let code = interpreter.live().await;
        interpreter.end(code);
        code
    });
    runtime.shutdown_background();
    ExitCode::from(code)
}

fn first_report(arguments: &[OsString]) -> Report {
    let argv: Vec<_> = arguments.iter().map(|text| text.to_string_lossy().into_owned()).collect();
    Report {
        schema: SCHEMA,
        interpreter: argv.first().cloned().unwrap_or_default(),
        argv,
        cwd: env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default(),
        pid: std::process::id(),
        parent: std::os::unix::process::parent_id(),
        api_target: variable(API_TARGET),
        go_plugin: GoPlugin {
            cookie: variable("MATTERMOST_PLUGIN"),
            protocol_versions: variable("PLUGIN_PROTOCOL_VERSIONS"),
            min_port: variable("PLUGIN_MIN_PORT"),
            max_port: variable("PLUGIN_MAX_PORT"),
        },
        environment: Environment {
            plugin_id: variable("MATTERMOST_PLUGIN_ID"),
            plugin_path: variable("MATTERMOST_PLUGIN_PATH"),
            path: variable("PATH"),
            mark: variable("PLUGIN_CONFORMANCE_MARK"),
        },
        ..Report::default()
    }
}

fn variable(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(arguments: &[&str]) -> Request {
        request(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn command_lines() {
        assert_eq!(ask(&["plugin.py"]), Request::Follow("plugin.py".into()));
        assert_eq!(ask(&["-u", "plugin.py", "--version"]), Request::Follow("plugin.py".into()));
        assert_eq!(ask(&["-V"]), Request::Version);
        assert_eq!(ask(&["--version"]), Request::Version);
        assert_eq!(ask(&[]), Request::Nothing);
        assert_eq!(ask(&["-m"]), Request::Unknown("-m".into()));
    }
}
