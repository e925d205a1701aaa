//! A bundle of a scenario, by which somebody else's supervisor is judged.
//!
//! It has a file `scenario.json` beside its script. An interpreter that is started for such a bundle
//! follows its script whatever its arguments and its working directory are, so that one mistake of
//! the supervisor does not hide all others; what they were is in the report. It notes all the time
//! that it lives and whether the API is there, so that the report tells of a SIGKILL, too.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::report::{FILE_NAME, Report, Reporter};
use crate::say::say;
use crate::wire::Target;

/// The file that makes a bundle a scenario's.
const MARK: &str = "scenario.json";
/// Names the folder of interpreters on `PATH` that stand before the real ones.
const DECOY: &str = "PLUGIN_CONFORMANCE_DECOY";
/// How often is looked.
const OFTEN: Duration = Duration::from_millis(10);
/// How often the report is written when nothing else happens.
const SELDOM: Duration = Duration::from_millis(100);
/// How long an attempt to connect may take.
const ATTEMPT: Duration = Duration::from_millis(500);

/// A scenario's bundle.
pub(super) struct Scenario {
    dir: PathBuf,
}

impl Scenario {
    /// The bundle for which an interpreter with these arguments was started.
    pub(super) fn of(arguments: &[OsString]) -> Option<Self> {
        let program = arguments.first().map(Path::new)?;
        let beside = program.ancestors().nth(3).filter(|_| program.components().count() > 3);
        let by_program = beside.map(Path::to_owned).or_else(|| {
            let relative = program.starts_with("venv/bin");
            relative.then(|| PathBuf::from("."))
        });
        let script = arguments.iter().skip(1).find(|it| !it.to_string_lossy().starts_with('-'));
        let by_script = script.and_then(|script| Path::new(script).parent().map(Path::to_owned));
        // The script may be in a folder of the bundle.
        let by_script = by_script.into_iter().flat_map(|dir| {
            let dir = Path::new(".").join(dir);
            [dir.join(".."), dir].into_iter().rev()
        });
        let mut found = by_program.into_iter().chain(by_script);
        let dir = found.find(|dir| dir.join(MARK).is_file())?;
        Some(Self { dir: std::path::absolute(&dir).unwrap_or(dir) })
    }

    pub(super) fn script(&self) -> PathBuf {
        self.dir.join("plugin.py")
    }

    /// Puts the report of an earlier life aside; which life this is, from 1.
    pub(super) fn keep_earlier_lives(&self) -> u32 {
        let report = self.dir.join(FILE_NAME);
        let Ok(earlier) = Report::read(&report) else { return 1 };
        let life = earlier.life.max(1);
        // A report that cannot be moved is overwritten; the life's number tells.
        let _ = fs::rename(&report, self.dir.join(format!("report-{life}.json")));
        life + 1
    }
}

/// An interpreter that stands before the real ones on `PATH` lets them do what is no scenario's.
pub(super) fn give_way(arguments: &[OsString]) -> Option<ExitCode> {
    let decoys = PathBuf::from(env::var_os(DECOY)?);
    let name = Path::new(arguments.first()?).file_name()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let real = env::split_paths(&path).filter(|dir| *dir != decoys).map(|dir| dir.join(name));
    for program in real.filter(|program| program.is_file()) {
        let error = Command::new(&program).args(arguments.iter().skip(1)).exec();
        say(format_args!("{}: {error}", program.display()));
    }
    Some(ExitCode::from(127))
}

/// Notes that the interpreter lives and whether the API is there, until it ends.
pub(super) fn watch(reporter: Reporter, target: Option<String>) {
    let start = Instant::now();
    let target = target.and_then(|target| Target::parse(&target).ok());
    let watching = move || {
        let mut written = Duration::ZERO;
        loop {
            let reached = target.as_ref().is_some_and(is_reachable);
            let now = start.elapsed();
            let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            let (mut news, mut stopping) = (false, false);
            reporter.note(|report| {
                stopping =
                    report.stop.is_some() || report.hooks.iter().any(|hook| hook == "OnDeactivate");
                report.alive_ms = millis;
                if reached && report.api_reached_ms.is_none() {
                    (report.api_reached_ms, news) = (Some(millis), true);
                }
                if !reached && report.api_reached_ms.is_some() && report.api_lost_ms.is_none() {
                    (report.api_lost_ms, news) = (Some(millis), true);
                }
            });
            if news || now - written >= SELDOM {
                written = now;
                reporter.update_unless_complete(|_| ());
                if news {
                    reporter.flush();
                }
            }
            std::thread::sleep(if stopping { OFTEN } else { SELDOM });
        }
    };
    // Without it the report says that nothing was seen.
    let _ = std::thread::Builder::new().name("watch".into()).spawn(watching);
}

fn is_reachable(target: &Target) -> bool {
    match target {
        Target::Unix(path) => UnixStream::connect(path).is_ok(),
        Target::Tcp(address) => address.to_socket_addrs().is_ok_and(|mut addresses| {
            addresses.any(|address| TcpStream::connect_timeout(&address, ATTEMPT).is_ok())
        }),
    }
}
