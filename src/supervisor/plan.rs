//! From a bundle to a command line: everything that is decided before anything is started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::LaunchFailure;
use super::handshake::{APP_VERSION, COOKIE_KEY, COOKIE_VALUE};
use super::interpreter;
use super::manifest::Manifest;
use super::process::{self, Command};
use super::script::Script;
use crate::api::TARGET_VARIABLE;

/// go-plugin's range of ports for plugins, which Python plugins do not use.
const PORTS: [(&str, &str); 2] = [("PLUGIN_MIN_PORT", "10000"), ("PLUGIN_MAX_PORT", "25000")];
/// What an outer go-plugin host may have left in our own environment: it would make the plugin do
/// TLS, multiplexing or sockets of which we know nothing.
const NOT_INHERITED: [&str; 4] = [
    "PLUGIN_CLIENT_CERT",
    "PLUGIN_MULTIPLEX_GRPC",
    "PLUGIN_UNIX_SOCKET_DIR",
    "PLUGIN_UNIX_SOCKET_GROUP",
];

/// What a bundle's launch comes to.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) plugin_id: String,
    /// Absolute.
    pub(super) bundle: PathBuf,
    pub(super) interpreter: PathBuf,
    pub(super) script: Script,
}

impl Plan {
    /// Reads the manifest, finds interpreter and script. Starts nothing.
    pub(super) fn of(bundle: &Path) -> Result<Self, LaunchFailure> {
        let bundle = std::path::absolute(bundle).unwrap_or_else(|_| bundle.to_owned());
        let manifest = Manifest::load(&bundle)?;
        if !manifest.is_python() {
            return Err(LaunchFailure::NotPython { bundle });
        }
        let interpreter = interpreter::discover(&bundle)?;
        let script = Script::resolve(&bundle, manifest.executable().unwrap_or_default())?;
        Ok(Self { plugin_id: manifest.id, bundle, interpreter, script })
    }

    /// The command: interpreter and cleaned script path, in the bundle; the parent's environment,
    /// then `extra`, then ours, which wins.
    pub(super) fn command(
        &self,
        target: Option<&str>,
        extra: &BTreeMap<OsString, OsString>,
    ) -> Command {
        let mut command = Command::new(&self.interpreter, &self.bundle, process::marker())
            .arg(&self.script.argument);
        for (name, value) in extra {
            command = command.env(name, value);
        }
        for name in NOT_INHERITED {
            command = command.env_remove(name);
        }
        for (name, value) in PORTS {
            command = command.env(name, value);
        }
        command = command
            .env("MATTERMOST_PLUGIN_ID", &self.plugin_id)
            .env("MATTERMOST_PLUGIN_PATH", &self.bundle)
            .env(COOKIE_KEY, COOKIE_VALUE)
            .env("PLUGIN_PROTOCOL_VERSIONS", APP_VERSION.to_string());
        match target {
            Some(target) => command.env(TARGET_VARIABLE, target),
            None => command.env_remove(TARGET_VARIABLE),
        }
    }
}
