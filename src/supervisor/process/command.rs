//! What to start.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// The environment variable that every process of a launch inherits, set to the launch's marker.
pub(super) const LAUNCH_MARKER: &str = "MATTERMOST_PLUGIN_LAUNCH";

/// What to start, where, and with which environment.
///
/// The environment is the supervisor's own with the changes made here on top: what is set here
/// always wins over what is inherited.
#[derive(Clone)]
pub(in super::super) struct Command {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) dir: PathBuf,
    pub(super) env: BTreeMap<OsString, Option<OsString>>,
    pub(super) marker: String,
}

impl Command {
    /// Starts `program` in `dir`. A relative `program` that has a `/` is taken from `dir`; one
    /// without is looked up on the child's `PATH`.
    ///
    /// `marker` must be non-empty and unique among all launches on the machine: whatever runs with
    /// [`LAUNCH_MARKER`] set to it is killed when the process is finished.
    pub(in super::super) fn new(
        program: impl Into<PathBuf>,
        dir: impl Into<PathBuf>,
        marker: impl Into<String>,
    ) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            dir: dir.into(),
            env: BTreeMap::new(),
            marker: marker.into(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub(in super::super) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable, whatever the inherited value; the last call for a name wins.
    #[must_use]
    pub(in super::super) fn env(
        mut self,
        name: impl Into<OsString>,
        value: impl Into<OsString>,
    ) -> Self {
        self.env.insert(name.into(), Some(value.into()));
        self
    }

    /// Removes an environment variable, inherited or set before.
    #[must_use]
    pub(in super::super) fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// Removes an inherited environment variable, unless it was set before.
    #[must_use]
    pub(in super::super) fn forget(mut self, name: OsString) -> Self {
        self.env.entry(name).or_insert(None);
        self
    }

    /// Runs in another folder.
    #[must_use]
    pub(in super::super) fn folder(self, dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..self }
    }

    /// Runs another program.
    #[must_use]
    pub(in super::super) fn other_program(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// The text that cannot be passed to the system, if there is one.
    pub(super) fn malformed(&self) -> Option<&'static str> {
        use std::os::unix::ffi::OsStrExt as _;
        let nul = |text: &OsStr| text.as_bytes().contains(&0);
        let bad_name = |name: &OsStr| name.is_empty() || name.as_bytes().contains(&b'=');
        if nul(self.program.as_os_str()) {
            Some("the program's path has a NUL byte")
        } else if self.args.iter().any(|arg| nul(arg)) {
            Some("an argument has a NUL byte")
        } else if nul(self.dir.as_os_str()) {
            Some("the working directory's path has a NUL byte")
        } else if self.env.keys().any(|name| nul(name) || bad_name(name)) {
            Some("the name of an environment variable is empty or has a NUL byte or a `=`")
        } else if self.env.values().flatten().any(|value| nul(value)) {
            Some("the value of an environment variable has a NUL byte")
        } else if self.marker.is_empty() || self.marker.contains('\0') {
            Some("the launch marker is empty or has a NUL byte")
        } else {
            None
        }
    }
}

/// Shows names of environment variables but not their values, which may be secret.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |set: bool| {
            let of = self.env.iter().filter(move |(_, value)| value.is_some() == set);
            of.map(|(name, _)| name).collect::<Vec<_>>()
        };
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("dir", &self.dir)
            .field("env_set", &names(true))
            .field("env_removed", &names(false))
            .field("marker", &self.marker)
            .finish()
    }
}
