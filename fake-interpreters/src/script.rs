//! What a fake interpreter is told to do: a small YAML file in the place of a Python script.
//!
//! ```yaml
//! life:                                # steps, done from top to bottom; then the exit code is 0
//!   - require_api
//!   - call: GetServerVersion
//!   - serve: {hooks: [OnActivate, OnDeactivate]}
//!   - handshake
//!   - wait
//! on:                                  # steps done when something happens
//!   OnActivate:                        # inside this hook; an empty answer follows
//!     - call: {rpc: GetUser, request: {user_id: abc}, deadline_ms: 1000}
//!   after_activate:                    # once the answer to OnActivate was sent
//!     - log: activated
//!   stop:                              # when asked to stop, inside `wait`
//!     - call: GetServerVersion
//! ```
//!
//! A step is a word (`wait`) or a word with its argument (`exit: 3`). Where an argument is a map of
//! which one entry suffices, that entry's value may stand alone: `call: GetUser` is
//! `call: {rpc: GetUser}`.
//!
//! # The PluginAPI
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `require_api` | exits with 3 if `MATTERMOST_PLUGIN_API_TARGET` is not set | `require_api` |
//! | `call` | calls one RPC; without `request` with a [generated](crate::sample) one; `request_hex` sends these bytes, whatever they are; `expect` as in `every_rpc`, by default `any` | `call: {rpc: GetUser, request: {user_id: abc}, deadline_ms: 1000}` |
//! | `every_rpc` | calls all RPCs with generated requests, one after the other, and compares the answers: `expect: generated` (the default) are the generated responses, `expect: {errors: generated}` that each RPC fails with its [generated AppError](crate::sample::app_error) by its error channel, `expect: any` nothing. The answer to `GetServerVersion` must hold `server_version`; without that any version is right | `every_rpc: {expect: generated, server_version: 11.2.0}` |
//! | `repeat_call` | calls one RPC many times and measures; `in_flight` (1) of them at once | `repeat_call: {rpc: GetUser, times: 1000, in_flight: 8}` |
//! | `open_call` | starts a call whose request never ends, and forgets it | `open_call: GetUser` |
//! | `control` | connects to a [driver](crate::control)'s Unix socket and makes the calls that it orders, until it closes; `max_header_bytes` limits the metadata of a reply. With `hooks: true` the driver also [decides the hooks](crate::hook_control), with `lifecycle: true` even `OnActivate` and `OnDeactivate`; the step is then over once it is connected | `control: {socket: /tmp/driver.sock, max_header_bytes: 8192}` |
//!
//! # The plugin's own server
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `serve` | serves the PluginHooks and health on a free port. `hooks`: those implemented, or `all`; they answer an empty message unless `on` says otherwise, all others `UNIMPLEMENTED`. `health`: `serving` (for `plugin`), `not_serving`, `unknown` (no service `plugin`), `blocked` (never answers), `missing` (no health at all). `controller` (go-plugin's `Shutdown`): `absent`, `exits` (answers and stops), `ignores` (answers), `blocked` (never answers). `network`: `tcp`, `unix` (a socket beside the script) | `serve: {hooks: [OnActivate], health: serving, controller: absent, network: tcp}` |
//! | `handshake` | prints `line`, in which `{network}` and `{address}` are those of `serve` and `{filler}` is `filler` times the letter x | `handshake: "1\|1\|tcp\|{address}\|netrpc"` |
//! | `wait` | until SIGTERM, SIGINT or the controller asks to stop; then does `on: stop`, lets calls end for 5 s, and exits with 0 | `wait` |
//!
//! From `serve` on (as in the Python SDK, whose event loop takes the signals) SIGTERM and SIGINT no
//! longer end the process by themselves: they wait for `wait`.
//!
//! # Inside a hook
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `answer` | answers with this message; `generated`: with the [generated response](crate::sample::response) | `answer: {rejection_reason: no}` |
//! | `answer_error` | answers with this AppError in the response's `error`; `generated`: with the [generated one](crate::sample::app_error), and where the response has no `error` with the gRPC status of it | `answer_error: {id: x, message: y, status_code: 500}` |
//! | `answer_hex` | answers with these bytes, whatever they are | `answer_hex: "0aff"` |
//! | `fail` | answers with this gRPC status | `fail: {code: INTERNAL, message: x}` |
//!
//! The steps of `on: each_hook` are those of every hook that is served and has none of its own, but
//! for `Implemented` and `ServeHTTP`.
//!
//! # Inside `ServeHTTP`
//!
//! Without one of these the whole request is read, and the answer is 200 with a JSON object of
//! `method`, `url` and `body_bytes`.
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `reply` | answers as its argument says, see below | `reply: {status: 404, body: not found}` |
//! | `routes` | reads the first message, and does what the first route says that takes the request: one without `method` takes any, one without `path` any, a `path` ending with `/*` all that begin so; the query does not count. A route has `reply`, or a list of steps, `do`. 404 when there is none | `routes: [{method: GET, path: /a, reply: {body: a}}, {path: "/b/*", do: [hang]}]` |
//!
//! What `reply` may say:
//!
//! | entry | what it says | default |
//! |---|---|---|
//! | `read` | what is read before: `all` (until `body_complete`, or the end), `first` (the first message), `none`; `echo`: each chunk is sent back before the next is read | `all` |
//! | `status` | the status, any 32-bit number | 200 |
//! | `headers` | `{key: value}`, `{key: [value, value]}`, or `[{key: .., values: [..]}]`, whose order is kept | none |
//! | `init` | where status and headers stand: `with_body` (with the first chunk), `alone` (in a message before), `none` (nowhere) | `with_body` |
//! | `second_init` | the message after the first has another init, with this status; if need be there is one more message | none |
//! | `body` | this text | empty |
//! | `body_bytes` | so many [letters](crate::sample::letters), made as they are sent; `from_path`: as many as the path's last part says | none |
//! | `chunk_bytes` | the size of a chunk, 1 to 32 MiB | 65536 |
//! | `flush` | the chunks with `flush`: `true` (each), or a list of them, counted from 0 | `false` |
//! | `end` | `complete` (`body_complete` on the last message), `close` (the stream ends without it), `fail: {code: .., message: ..}` (it ends with this status), `hang` (nothing more comes), `crash: SIGSEGV` (the process dies once all has been sent), `endless` (letters for ever) | `complete` |
//! | `after_complete` | one more chunk, this text, after the message with `body_complete` | none |
//!
//! # Output
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `print` | a line to stdout | `print: hello` |
//! | `print_raw` | `text`, `repeat` times, to stdout without a newline | `print_raw: {text: x, repeat: 70000}` |
//! | `log` | a line to stderr | `log: hello` |
//! | `flood` | `bytes` bytes to `stream` in lines of `line_bytes` (80) | `flood: {stream: stdout, bytes: 4194304, line_bytes: 100000}` |
//! | `close_stdout` | closes stdout | `close_stdout` |
//!
//! # Going wrong
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `delay` | waits so many milliseconds; everything else goes on | `delay: 200` |
//! | `hang` | nothing more from here on; everything else goes on | `hang` |
//! | `block_thread` | blocks the only thread: nothing goes on, and signals are not heard | `block_thread` |
//! | `ignore_sigterm` | SIGTERM no longer stops | `ignore_sigterm` |
//! | `exit` | exits with this code at once | `exit: 3` |
//! | `crash` | ends by SIGSEGV, SIGABRT or SIGKILL | `crash: SIGSEGV` |
//! | `grandchild` | starts a process that ignores SIGTERM and lives until killed (ten minutes at most); `holds_output`: it keeps stdout and stderr open; `new_session`: it is out of reach of a signal to the process group; `double_fork`: nobody between it and the plugin is left, as with a daemon; `holds_sockets`: it keeps the sockets on which the plugin listens and the connections that it has, as after a fork without exec (Linux) | `grandchild: {holds_output: true, new_session: false}` |
//! | `lock` | makes this file in the working directory and never removes it; exits with 4 if it is there | `lock: plugin.lock` |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::arguments::hook_by_name;
pub use crate::arguments::{
    Call, Controller, Crash, Errors, EveryRpc, Expect, Fail, Flood, Grandchild, Handshake, Health,
    Hook, Network, OpenCall, PrintRaw, RepeatCall, Rpc, Serve, Stream,
};
pub use crate::control::Control;
use crate::names::suggestion;
pub use crate::reply::{Body, End, Flush, Init, Read, Reply};
pub use crate::routes::Route;
use crate::steps::Place;
pub use crate::steps::{STEPS, Step};

/// A script that has been checked: every name in it is known, every message fits its type.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The steps of the interpreter's life.
    pub life: Vec<Step>,
    /// What is done when something happens.
    pub on: On,
}

/// Steps that wait for something to happen.
#[derive(Debug, Clone, Default)]
pub struct On {
    /// Inside a hook, by the hook's name.
    pub hooks: BTreeMap<&'static str, Vec<Step>>,
    /// When the answer to `OnActivate` was sent.
    pub after_activate: Vec<Step>,
    /// When asked to stop.
    pub stop: Vec<Step>,
}

/// Why a script cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read the script {}: {source}", path.display())]
    Read {
        /// The script.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is Python.
    #[error(
        "{}:{line}: this is Python, but fake-python is no Python: it follows scripts, YAML maps with a list `life`",
        path.display()
    )]
    Python {
        /// The script.
        path: PathBuf,
        /// The line that looks like Python.
        line: u64,
    },
    /// The file is not a map with `life`.
    #[error("{}:{line}: not a script of fake-python, a YAML map with `life` and perhaps `on`: {problem}", path.display())]
    NoScript {
        /// The script.
        path: PathBuf,
        /// Where.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A step is wrong.
    #[error("{}:{line}: {problem}", path.display())]
    Step {
        /// The script.
        path: PathBuf,
        /// The line on which the step begins.
        line: u64,
        /// What is wrong with it, and what is allowed.
        problem: String,
    },
}

type YamlStep = Spanned<serde_json::Value>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Yaml {
    life: Vec<YamlStep>,
    #[serde(default)]
    on: BTreeMap<String, Spanned<Vec<YamlStep>>>,
}

impl Script {
    /// Reads and checks a script.
    ///
    /// # Errors
    /// When the file cannot be read or followed; the error names the line.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(source) => Err(ScriptError::Read { path: path.to_owned(), source }),
        }
    }

    /// Checks a script; `path` is for the errors.
    ///
    /// # Errors
    /// When the script cannot be followed; the error names the line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScriptError> {
        if let Some(line) = text.lines().position(is_python) {
            return Err(ScriptError::Python { path: path.to_owned(), line: line as u64 + 1 });
        }
        let options = serde_saphyr::options! { with_snippet: false };
        let yaml: Yaml = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            ScriptError::NoScript { path: path.to_owned(), line, problem: error.to_string() }
        })?;
        Checker { path }.script(yaml)
    }

    /// What [`Step::Serve`] in `life` says, if there is one.
    pub fn serve(&self) -> Option<&Serve> {
        self.life.iter().find_map(|step| match step {
            Step::Serve(serve) => Some(serve),
            _ => None,
        })
    }
}

/// A line that Python would understand and YAML has no use for.
fn is_python(line: &str) -> bool {
    let starts = ["import ", "from ", "def ", "class ", "async def ", "#!/usr/bin/env python"];
    starts.iter().any(|start| line.starts_with(start))
}

struct Checker<'a> {
    path: &'a Path,
}

impl Checker<'_> {
    fn script(&self, yaml: Yaml) -> Result<Script, ScriptError> {
        let mut script = Script::default();
        for (at, step) in yaml.life.into_iter().enumerate() {
            let line = step.referenced.line();
            let step = self.step(step, Place::Life)?;
            if matches!(step, Step::Handshake(ref handshake) if handshake.needs_address())
                && script.serve().is_none()
            {
                return self.wrong(line, "this handshake needs the address of a `serve` before it");
            }
            if matches!(step, Step::Serve(_)) && script.life[..at].iter().any(Step::is_serve) {
                return self.wrong(line, "`serve` stands twice in `life`");
            }
            script.life.push(step);
        }
        let served: Vec<_> = match script.serve() {
            Some(serve) => serve.hooks.iter().map(|hook| hook.0.name).collect(),
            None => Vec::new(),
        };
        let mut each = None;
        for (name, steps) in yaml.on {
            let line = steps.referenced.line();
            match name.as_str() {
                "stop" => script.on.stop = self.steps(steps.value, Place::Other)?,
                "after_activate" => {
                    script.on.after_activate = self.steps(steps.value, Place::Other)?
                }
                "each_hook" => each = Some(steps.value),
                _ => {
                    let hook = hook_by_name(&name).map_err(|problem| {
                        let others = "`each_hook`, `stop`, `after_activate`";
                        self.error(line, format!("on: {problem} (or {others})"))
                    })?;
                    if hook.name != "Implemented" && !served.contains(&hook.name) {
                        let known = suggestion(&name, served.iter().copied());
                        return self
                            .wrong(line, format!("on: no `serve` lists the hook {name}{known}"));
                    }
                    script.on.hooks.insert(hook.name, self.steps(steps.value, Place::Hook(hook))?);
                }
            }
        }
        let Some(each) = each else { return Ok(script) };
        for name in served {
            let hook = hook_by_name(name).ok().filter(|hook| hook.is_unary());
            if let Some(hook) = hook
                && !script.on.hooks.contains_key(name)
            {
                let steps = self.steps(each.clone(), Place::Hook(hook))?;
                script.on.hooks.insert(name, steps);
            }
        }
        Ok(script)
    }

    fn steps(&self, steps: Vec<YamlStep>, place: Place) -> Result<Vec<Step>, ScriptError> {
        steps.into_iter().map(|step| self.step(step, place)).collect()
    }

    fn step(&self, step: YamlStep, place: Place) -> Result<Step, ScriptError> {
        let line = step.referenced.line();
        Step::from_json(step.value, place).map_err(|problem| self.error(line, problem))
    }

    fn wrong<T>(&self, line: u64, problem: impl Into<String>) -> Result<T, ScriptError> {
        Err(self.error(line, problem))
    }

    fn error(&self, line: u64, problem: impl Into<String>) -> ScriptError {
        ScriptError::Step { path: self.path.to_owned(), line, problem: problem.into() }
    }
}
