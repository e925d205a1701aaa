//! Why the environment could not do what it was asked to.

use std::io;
use std::path::PathBuf;

use super::install::UnpackError;
use crate::api::AppError;
use crate::supervisor::{LaunchError, ManifestError};

/// Why an environment could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Nobody added a plugin with this id.
    #[error("there is no plugin {plugin_id}: add its folder first")]
    Unknown {
        /// The id.
        plugin_id: String,
    },
    /// The plugin is there, but does not run.
    #[error("the plugin {plugin_id} does not run: activate it first")]
    NotRunning {
        /// The id.
        plugin_id: String,
    },
    /// Two folders have a plugin with the same id.
    #[error("multiple plugins found with the id {plugin_id}: {} and {}; give one of them another id", first.display(), second.display())]
    Duplicate {
        /// The id.
        plugin_id: String,
        /// The folder that is known already.
        first: PathBuf,
        /// The folder that was refused.
        second: PathBuf,
    },
    /// No manifest, or none that can be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The plugin wants a newer server.
    #[error(
        "the plugin {plugin_id} needs Mattermost {needed} or newer, but the server is {server}"
    )]
    ServerTooOld {
        /// The plugin.
        plugin_id: String,
        /// Its `min_server_version`.
        needed: String,
        /// The server's version.
        server: String,
    },
    /// A version is none.
    #[error("{field}: {version:?} is no version: write MAJOR.MINOR.PATCH ({reason})")]
    BadVersion {
        /// Where it stands.
        field: &'static str,
        /// What stands there.
        version: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The plugin could not be launched.
    #[error(transparent)]
    Launch(#[from] Box<LaunchError>),
    /// The environment is being shut down, or is gone.
    #[error(
        "the environment is shutting down: no plugin is added, installed or activated any more"
    )]
    ShuttingDown,
    /// An installation without `replace`, and the plugin is there.
    #[error("the plugin {plugin_id} is installed already: set `replace`, or remove it first")]
    AlreadyInstalled {
        /// The id.
        plugin_id: String,
    },
    /// The place of an installation is taken by a folder that the environment did not install.
    #[error("{} was not installed by this environment and is not overwritten: move it away", folder.display())]
    FolderTaken {
        /// The folder.
        folder: PathBuf,
    },
    /// The archive cannot be installed.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// A folder could not be written, moved or removed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The environment's own task ended before its work was done: a defect.
    #[error("the environment lost a task ({reason}); please report this")]
    Lost {
        /// How it ended.
        reason: String,
    },
}

impl EnvironmentError {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// As the plugin sees it that asked, with Mattermost's ids.
    pub(super) fn into_app_error(self, rpc: &'static str) -> AppError {
        let (id, status) = match &self {
            Self::Unknown { .. } | Self::NotRunning { .. } => {
                ("app.plugin.not_installed.app_error", 404)
            }
            Self::Duplicate { .. } | Self::AlreadyInstalled { .. } => {
                ("app.plugin.install_id.app_error", 400)
            }
            Self::Manifest(_) => ("app.plugin.manifest.app_error", 400),
            Self::ServerTooOld { .. } | Self::BadVersion { .. } => {
                ("app.plugin.invalid_version.app_error", 400)
            }
            Self::Unpack(UnpackError::Cancelled) => ("app.plugin.disabled.app_error", 503),
            Self::Unpack(error) if error.is_ours() => ("app.plugin.filesystem.app_error", 500),
            Self::Unpack(_) => ("app.plugin.extract.app_error", 400),
            Self::FolderTaken { .. } | Self::Io { .. } => ("app.plugin.filesystem.app_error", 500),
            Self::Launch(_) => ("app.plugin.activate.app_error", 500),
            Self::ShuttingDown => ("app.plugin.disabled.app_error", 503),
            Self::Lost { .. } => ("app.plugin.internal.app_error", 500),
        };
        let message = match &self {
            // What a plugin writes and answers is not for other plugins.
            Self::Launch(error) => {
                format!(
                    "the plugin {} cannot be started: the server's log says why",
                    error.plugin_id
                )
            }
            _ => self.to_string(),
        };
        AppError::new(id, status).message(message).at(rpc)
    }
}
