//! The arguments, with the texts that teach them.

use std::ffi::OsString;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "sabotage")]
use super::host_for_checks::HostArguments;
use clap::{Args, Parser, Subcommand, ValueEnum};
use fake_interpreters::sdk_driver::Break;
use plugin_conformance::api::DEFAULT_VERSION;
use plugin_conformance::conformance::SubjectKind;
use plugin_conformance::conformance::runner::{DEFAULT_JOBS, Filter};
use plugin_conformance::host::HookLine;
use plugin_proto::names::suggestion;

/// The conformance gate for the boundary between the Mattermost server and its Python plugins.
///
/// A Mattermost server runs a Python plugin as a child process and talks gRPC with it, both ways.
/// This program holds both sides of that boundary: a supervisor and a PluginAPI server, and
/// compiled fake interpreters that stand where python stands and report what they saw.
#[derive(Debug, Parser)]
#[command(name = "plugin-conformance", version, max_term_width = 100)]
#[command(after_help = "Exit status: 0 every rule holds, 1 a rule is broken, 2 the command could \
    not be carried out.\nSet RUST_LOG=debug to see what the supervisor does.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(CheckArguments),
    Judge(JudgeArguments),
    List(ListArguments),
    Explain(ExplainArguments),
    Bundle(BundleArguments),
    Serve(ServeArguments),
    Run(RunArguments),
    Coverage(CoverageArguments),
    Stress(StressArguments),
    #[command(hide = true)]
    #[cfg(feature = "sabotage")]
    HostForChecks(HostArguments),
    #[command(hide = true)]
    SdkDriver(SdkDriverArguments),
}

/// Check the kit's supervisor and server, or a plugin.
///
/// Without a further word, launches compiled fake interpreters under the supervisor: one calls
/// each of the 236 RPCs of PluginAPI and compares every answer byte for byte, one does the same
/// with every failure, and the others misbehave, each in its own way.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  plugin-conformance check\n  plugin-conformance check --json \
    report.json\n  plugin-conformance check plugin dist/com.example.hello")]
pub(crate) struct CheckArguments {
    #[command(subcommand)]
    pub(crate) what: Option<CheckWhat>,

    #[command(flatten)]
    pub(crate) results: ResultArguments,
}

/// Which checks are made, and what becomes of them.
#[derive(Debug, Args)]
pub(crate) struct ResultArguments {
    /// Make only the checks of these ids; `*` stands for any characters, `!` leaves out
    ///
    /// Separated by commas: `launch.*,stop.sigterm,!launch.unix-socket`. `plugin-conformance list`
    /// prints all ids.
    #[arg(long, value_name = "PATTERN", value_parser = filter, allow_hyphen_values = true)]
    pub(crate) filter: Option<Filter>,

    /// How many cases run at the same time
    #[arg(long, value_name = "N", default_value_t = DEFAULT_JOBS as u64, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) jobs: u64,

    /// End the run at the first check that fails it
    #[arg(long)]
    pub(crate) fail_fast: bool,

    /// The seed of everything random; one that is not 0 also runs the cases in another order
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Let broken recommendations fail the run, too
    #[arg(long)]
    pub(crate) strict: bool,

    /// Write the result to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Checks that FILE lists may fail, and must
    ///
    /// A line has a check's id, or a pattern with *, and the reason: `rpc.GetUser.answer  # MM-1`.
    /// A line whose checks pass, or that names no check of any subject, fails the run.
    #[arg(long, value_name = "FILE")]
    pub(crate) known_failures: Option<PathBuf>,

    /// Known deviations of somebody else's software: checks that may fail
    ///
    /// A name, `mattermost-go-2026-01` for Mattermost's Go supervisor of January 2026, or a file of the
    /// same form as --known-failures. What passes all the same is only a suggestion.
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) profile: Option<String>,
}

fn filter(text: &str) -> Result<Filter, String> {
    Filter::parse(text).map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
pub(crate) enum CheckWhat {
    Plugin(PluginArguments),
    Sdk(SdkArguments),
    Supervisor(SupervisorArguments),
}

/// Check the client of an SDK, through a small driver program around it.
///
/// CMD reads cases on standard input, one JSON object a line, calls the SDK's own methods, and answers
/// on standard output; the kit serves PluginAPI to it. Each of the 236 RPCs is called with filled
/// requests and gets filled and empty answers, AppErrors, and failures of gRPC. docs/check-sdk.md has
/// the contract of a driver, and examples/ two of them in Python.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugin-conformance check sdk -- python3 driver.py\n  \
    plugin-conformance check sdk --filter 'sdk.GetUser.*' -- venv/bin/python \\\n    \
    examples/sdk-driver-generic/driver.py --client mattermost_plugin:PluginAPIClient")]
pub(crate) struct SdkArguments {
    #[command(flatten)]
    pub(crate) results: ResultArguments,

    /// Multiply the time that the driver has for a case, 10 s
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = patience)]
    pub(crate) patience: f64,

    /// The driver and its arguments
    #[arg(value_name = "CMD", required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}

/// Check a supervisor that somebody else wrote.
///
/// CMD is any program that launches the plugin in the folder {bundle}, keeps it running, and stops it
/// and ends when it gets SIGTERM. It is run some forty times, each time on another bundle whose
/// interpreter is a fake one, and is looked at from outside: what the plugin saw, how the program
/// ended, which processes and ports outlive it. What cannot be seen is "not observable", never passed.
/// docs/check-supervisor.md is a page on how to write such a program.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugin-conformance check supervisor -- ./my-host {bundle}\n  \
    plugin-conformance check supervisor --filter 'supervisor.handshake-*' -- python3 host.py --plugin {bundle}"
)]
pub(crate) struct SupervisorArguments {
    #[command(flatten)]
    pub(crate) results: ResultArguments,

    #[command(flatten)]
    pub(crate) expected: ExpectedArguments,

    /// How the program is asked to stop
    #[arg(long, value_enum, default_value_t = StopArgument::Sigterm)]
    pub(crate) stop: StopArgument,

    /// The program and its arguments; {bundle} stands for the bundle, and is appended if missing
    #[arg(value_name = "CMD", required = true, last = true)]
    pub(crate) command: Vec<String>,
}

/// What is expected of somebody else's supervisor.
#[derive(Debug, Args)]
pub(crate) struct ExpectedArguments {
    /// What GetServerVersion must answer; any version is right if not given
    #[arg(long, value_name = "V")]
    pub(crate) server_version: Option<String>,

    /// Multiply all time limits by X, for a slow machine
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = patience)]
    pub(crate) patience: f64,

    /// What the API must answer; `generated`: the same as `serve`
    #[arg(long, value_enum, default_value_t = AnswersArgument::Any)]
    pub(crate) expect_answers: AnswersArgument,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StopArgument {
    /// SIGTERM to the program
    Sigterm,
    /// SIGINT to the program
    Sigint,
    /// The end of its standard input
    Stdin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswersArgument {
    /// Whatever it answers
    Any,
    /// The generated messages that `serve` answers
    Generated,
}

fn patience(text: &str) -> Result<f64, String> {
    let remedy = "give a number from 0.01 to 100, for example 2.5";
    let number: f64 = text.parse().map_err(|_| remedy.to_owned())?;
    if (0.01..=100.0).contains(&number) { Ok(number) } else { Err(remedy.to_owned()) }
}

/// Judge bundles of scenarios that a harness of your own launched and stopped.
///
/// `bundle --scenario ID --out DIR` writes one. Launch it with your supervisor, wait as its
/// scenario.json says, stop it, and judge what it left. The rules are those of `check supervisor`;
/// what only the one who ran the supervisor can see is "not observable".
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugin-conformance bundle --scenario lifecycle --out \
    bundles/lifecycle\n  ./my-harness bundles/lifecycle\n  plugin-conformance judge bundles")]
pub(crate) struct JudgeArguments {
    /// The bundles, or folders that hold them
    #[arg(value_name = "DIR", required = true)]
    pub(crate) dirs: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) results: ResultArguments,

    #[command(flatten)]
    pub(crate) expected: ExpectedArguments,
}

/// Check a plugin's bundle.
///
/// Launches the plugin twice, against an API that answers every RPC with a generated message, and
/// looks at its manifest, handshake, health, hooks, API calls and at how it leaves. A real plugin
/// works, and so does a bundle written by `bundle`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  plugin-conformance check plugin examples/hello-python --json report.json"
)]
pub(crate) struct PluginArguments {
    /// The bundle: the folder with plugin.yml, plugin.yaml or plugin.json
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,

    #[command(flatten)]
    pub(crate) results: ResultArguments,

    /// Serve the API on a Unix socket instead of TCP
    #[arg(long)]
    pub(crate) unix: bool,

    /// Answer the plugin as the mocks in FILE say, and check that it makes the calls they expect
    ///
    /// FILE is YAML; examples/mocks.yaml explains itself. Each of the two launches begins with no
    /// calls.
    #[arg(long, value_name = "FILE")]
    pub(crate) mocks: Option<PathBuf>,
}

/// Drive the kit's own client, for `check sdk`.
#[derive(Debug, Args)]
pub(crate) struct SdkDriverArguments {
    /// A fault for the client to have, of one RPC or of all
    #[arg(long = "break", value_name = "KIND[:RPC]", value_delimiter = ',')]
    pub(crate) breaks: Vec<Break>,
}

/// List the checks.
///
/// A line per check: its id, its level and the rule. `explain ID` tells the rest of one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugin-conformance list --subject supervisor\n  \
    plugin-conformance list --json | jq -r '.[].id'")]
pub(crate) struct ListArguments {
    /// Only the checks of this subject
    #[arg(long, value_name = "SUBJECT", value_parser = subject)]
    pub(crate) subject: Option<SubjectKind>,

    /// Print them as JSON, with all that `explain` tells
    #[arg(long)]
    pub(crate) json: bool,
}

fn subject(text: &str) -> Result<SubjectKind, String> {
    let found = SubjectKind::ALL.into_iter().find(|kind| kind.to_string() == text);
    found.ok_or_else(|| {
        let all = SubjectKind::ALL.map(|kind| kind.to_string());
        let near = suggestion(text, all.iter().map(String::as_str));
        format!("there is no such subject{near}; give one of {}", all.join(", "))
    })
}

/// Explain a check: what goes wrong where it is broken, where the rule comes from, how to mend it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  plugin-conformance explain launch.api-first")]
pub(crate) struct ExplainArguments {
    /// The check's id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// Write a bundle that any supervisor can launch.
///
/// The bundle has a manifest, a script and, at venv/bin/python, a compiled fake interpreter that
/// follows the script and writes what it saw to report.json. Without arguments, lists the
/// interpreters and the scenarios.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugin-conformance bundle\n  plugin-conformance bundle --interpreter \
    every-rpc --out plugins/every-rpc\n\nThe script, plugin.py, is a few lines of YAML that you can edit."
)]
pub(crate) struct BundleArguments {
    /// The interpreter's name, from the list
    #[arg(long, value_name = "NAME", requires = "out", conflicts_with = "scenario")]
    pub(crate) interpreter: Option<String>,

    /// A scenario of `check supervisor`, from the list; `judge` reads what is left of it
    #[arg(long, value_name = "ID", requires = "out")]
    pub(crate) scenario: Option<String>,

    /// The folder to write: new, or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// What answers the API calls of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerArgument {
    /// A generated message for every RPC
    Generated,
    /// An embedded Mattermost: what one call stores, the next one reads. RPCs that it does not have
    /// yet answer AppError 501
    Embedded,
}

/// What the embedded Mattermost is to be.
#[derive(Debug, Args)]
pub(crate) struct EmbeddedArguments {
    /// What answers the API calls
    #[arg(long, value_enum, default_value_t = ServerArgument::Generated, conflicts_with = "mocks")]
    pub(crate) answers: ServerArgument,

    /// Keep the embedded Mattermost's data in this file, which is made if it is missing
    #[arg(long, value_name = "FILE", conflicts_with = "mocks")]
    pub(crate) data: Option<PathBuf>,
}

/// Serve PluginAPI alone, with the answers of `check`.
///
/// The first line on standard output is the server's host:port, for
/// MATTERMOST_PLUGIN_API_TARGET. gRPC health and reflection are served too. Runs until it is
/// interrupted.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  plugin-conformance serve --listen 127.0.0.1:50051 --version 11.2.0"
)]
#[command(disable_version_flag = true)]
pub(crate) struct ServeArguments {
    /// The address to listen on; port 0 for a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// What GetServerVersion answers
    #[arg(long, value_name = "V", default_value = DEFAULT_VERSION)]
    pub(crate) version: String,

    /// Let every RPC fail, with an AppError generated from its name
    #[arg(long)]
    pub(crate) failing: bool,

    /// Answer as the mocks in FILE say
    ///
    /// FILE is YAML; examples/mocks.yaml explains itself. Expectations that are broken at the end
    /// are told on standard error, and the exit status is 1.
    #[arg(long, value_name = "FILE", conflicts_with = "failing")]
    pub(crate) mocks: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) embedded: EmbeddedArguments,

    /// Whose calls the embedded Mattermost answers: the plugin's id
    #[arg(long, value_name = "ID", default_value = "com.example.plugin")]
    pub(crate) plugin_id: String,

    /// How failures travel
    #[arg(long, value_enum, default_value_t = DialectArgument::GoServer)]
    pub(crate) dialect: DialectArgument,
}

/// Run plugins: hooks reach them, HTTP reaches them, their API calls are answered.
///
/// Launches the bundles, serves them over HTTP at /plugins/ID/, and prints their logs. The API
/// answers as the mocks in FILE say, else with generated messages; the KV store is a real one, kept
/// in memory, and plugins can ask each other. Hooks are fired by --call, and by lines on standard
/// input (`help` tells more). Ctrl-C stops the plugins in order, a second one at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  plugin-conformance run examples/moderator-python --watch\n  \
    plugin-conformance run DIR --once --call 'MessageWillBePosted {\"post\": {\"message\": \"hi\"}}'")]
#[command(disable_version_flag = true)]
pub(crate) struct RunArguments {
    /// The bundles: folders with plugin.yml, plugin.yaml or plugin.json
    #[arg(value_name = "DIR", required = true)]
    pub(crate) dirs: Vec<PathBuf>,

    /// Where to serve HTTP; port 0 for a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8065", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// Answer the API as the mocks in FILE say; examples/mocks.yaml explains itself
    #[arg(long, value_name = "FILE")]
    pub(crate) mocks: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) embedded: EmbeddedArguments,

    /// What GetServerVersion answers
    #[arg(long, value_name = "V", default_value = DEFAULT_VERSION)]
    pub(crate) version: String,

    /// Serve the API on a Unix socket instead of TCP
    #[arg(long)]
    pub(crate) unix: bool,

    /// A session: HTTP requests with TOKEN come from the user USER_ID; may be repeated
    ///
    /// A client sends the token as `Authorization: Bearer TOKEN`, as the cookie MMAUTHTOKEN or as the
    /// parameter access_token; the plugin gets the header Mattermost-User-Id.
    #[arg(long, value_name = "TOKEN=USER_ID", value_parser = session)]
    pub(crate) session: Vec<(String, String)>,

    /// Fire a hook when the plugins are active: its name and its request in JSON; may be repeated
    ///
    /// `ID: HOOK {…}` fires it at one plugin, else every plugin that implements it gets it.
    #[arg(long, value_name = "'HOOK {JSON}'")]
    pub(crate) call: Vec<HookLine>,

    /// Stop when the calls are done; exit with 1 if a plugin failed one or does not implement it
    #[arg(long)]
    pub(crate) once: bool,

    /// Restart a plugin when its files change
    #[arg(long, conflicts_with = "once")]
    pub(crate) watch: bool,

    /// Write what happens to FILE, one JSON object a line: life cycles, hooks, API calls, HTTP
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,

    /// The same in Chrome's trace-event format, for ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Print the plugins' debug lines too
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

fn session(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((token, user)) if !token.is_empty() && !user.is_empty() => {
            Ok((token.to_owned(), user.to_owned()))
        }
        _ => Err("give TOKEN=USER_ID, for example secret=7q3w1fs4mjnqz8xk5n9y4o2h1e".to_owned()),
    }
}

/// Show what is proven of each RPC.
///
/// Runs both sweeps over the 236 RPCs and looks at the snapshots: has it a handler, does its
/// success cross the process boundary, does its failure, how many generated cases do the property
/// tests try, is there a snapshot, does the embedded Mattermost implement it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugin-conformance coverage\n  plugin-conformance coverage --json > \
    snapshots/coverage.json\n  plugin-conformance coverage --check snapshots/coverage.json"
)]
pub(crate) struct CoverageArguments {
    /// Print the table as JSON, a line per RPC
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,

    /// Print the table as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,

    /// Compare with the table saved in FILE; exit with 1 if an RPC has lost something
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "markdown"])]
    pub(crate) check: Option<PathBuf>,

    /// The folder with the snapshots
    #[arg(long, value_name = "DIR", default_value = "snapshots")]
    pub(crate) snapshots: PathBuf,
}

/// Launch, disturb and end plugins, again and again, as a seed says.
///
/// Real processes, several at a time, with injected delays in the supervisor. Each life is judged by
/// the invariants of the life cycle, and leaks are counted. A life that breaks a rule is told with
/// the command that replays it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  plugin-conformance stress --duration 60s\n  plugin-conformance \
    stress --seed 7 --cycles 10000\n  plugin-conformance stress --seed 7 --only 2:31"
)]
pub(crate) struct StressArguments {
    /// The seed of everything random; a random one if not given, and printed
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How many lives in all, rounded up to the same number for each plugin; 1000 if not given
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub(crate) cycles: Option<u64>,

    /// Run for so long instead, for example 90s, 10m or 1h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,

    /// How many plugins live at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) plugins: u64,

    /// The characters, separated by commas; all that have a part if not given
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) characters: Vec<String>,

    /// The longest injected delay, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub(crate) longest_delay: u64,

    /// Live one life alone: its plugin and its cycle, as a violation names them
    #[arg(long, value_name = "PLUGIN:CYCLE", value_parser = life, conflicts_with_all = ["cycles", "duration", "json", "events"])]
    pub(crate) only: Option<(u64, u64)>,

    /// Write the result to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write each life's decisions and the order of its events to FILE, a line of JSON a life, sorted
    /// by plugin and cycle: the same for the same seed
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,

    /// A fault for the driver to have, which the run must find
    #[cfg(feature = "sabotage")]
    #[arg(long, value_name = "FAULT", hide = true)]
    pub(crate) fault: Option<FaultArgument>,
}

#[cfg(feature = "sabotage")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaultArgument {
    /// The API server is stopped before the process is reaped
    ApiFirst,
    /// The API server's end is carried out twice
    ReleaseTwice,
    /// A stop that comes together with another event is not heard
    StopLost,
    /// Hooks are still let through when the stop has begun
    HooksGoOn,
}

fn duration(text: &str) -> Result<Duration, String> {
    let remedy = "give a number and s, m or h, for example 60s";
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| !c.is_ascii_digit()).len());
    let number: u64 = number.parse().map_err(|_| remedy.to_owned())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(remedy.to_owned()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| remedy.to_owned())
}

fn life(text: &str) -> Result<(u64, u64), String> {
    let parsed = text
        .split_once(':')
        .and_then(|(plugin, cycle)| Some((plugin.parse().ok()?, cycle.parse().ok()?)));
    parsed.ok_or_else(|| "give PLUGIN:CYCLE, for example 2:31".to_owned())
}

/// An address, or a name that the system knows, with a port.
fn address(text: &str) -> Result<SocketAddr, String> {
    let remedy = "give host:port, for example 127.0.0.1:50051";
    let found = text.to_socket_addrs().map_err(|error| format!("{error}; {remedy}"))?.next();
    found.ok_or_else(|| format!("no address has this name; {remedy}"))
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DialectArgument {
    /// Each RPC on its own channel, as the Go server does it
    GoServer,
    /// Every failure in the response, as the contract was documented
    Embedded,
}
