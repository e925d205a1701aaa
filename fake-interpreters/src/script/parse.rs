//! Reading a script and checking it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use plugin_proto::names::suggestion;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::arguments::{Serve, hook_by_name};
use super::steps::{Place, Step};

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
