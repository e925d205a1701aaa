//! Puts an unpacked bundle where it belongs.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::entry::Entry;
use super::super::inner::Inner;
use super::super::{EnvironmentError, PluginInfo};
use super::{Unpacked, clear};
use crate::environment::PluginState;

/// Puts the bundle in its place and lists the plugin. See
/// [`Environment::install`](super::super::Environment::install).
pub(in super::super) async fn place(
    inner: &Arc<Inner>,
    unpacked: Unpacked,
    replace: bool,
) -> Result<PluginInfo, EnvironmentError> {
    let Unpacked { info, root, staging } = unpacked;
    let placed = match inner.plugins.find(info.id()) {
        _ if inner.plugins.is_closed() => Err(EnvironmentError::ShuttingDown),
        Err(_) => add(inner, &info, &root).await,
        Ok(_) if !replace => {
            Err(EnvironmentError::AlreadyInstalled { plugin_id: info.id().to_owned() })
        }
        Ok(_) => swap(inner, &info, &root, &staging.path().join("old")).await,
    };
    clear(staging).await;
    placed.map(|()| info)
}

/// A plugin that was not there.
async fn add(inner: &Arc<Inner>, info: &PluginInfo, root: &Path) -> Result<(), EnvironmentError> {
    rename_to_free(root, &info.bundle).await?;
    let entry = Arc::new(inner.entry(info.clone(), true));
    let added = inner.plugins.add(Arc::clone(&entry));
    if added.is_ok() {
        inner.has_come(&entry);
    } else {
        inner.remove_folder(&info.bundle).await?;
    }
    added
}

/// A plugin in the place of another: stopped, moved aside to `aside`, replaced, started.
async fn swap(
    inner: &Arc<Inner>,
    info: &PluginInfo,
    root: &Path,
    aside: &Path,
) -> Result<(), EnvironmentError> {
    let (old, _turn) = inner.plugins.turn(info.id()).await?;
    let ran = matches!(
        old.keeper.state(),
        PluginState::Running | PluginState::Starting | PluginState::Stopping
    );
    old.keeper.deactivate().await;
    let swapped = exchange(&old, root, &info.bundle, aside).await;
    let now = match &swapped {
        Ok(()) => {
            let new = Entry { turn: Arc::clone(&old.turn), ..inner.entry(info.clone(), true) };
            let new = Arc::new(new);
            inner.plugins.replace(&old, Arc::clone(&new))?;
            inner.has_come(&new);
            new
        }
        Err(_) => old,
    };
    if ran && let Err(error) = inner.plugins.start(&now).await {
        tracing::error!(plugin_id = info.id(), %error, "the replaced plugin does not start");
    }
    swapped
}

/// Moves the old folder aside, if it is ours, and the new one in its place; undone if it fails.
async fn exchange(
    old: &Entry,
    root: &Path,
    bundle: &Path,
    aside: &Path,
) -> Result<(), EnvironmentError> {
    if !old.installed {
        return rename_to_free(root, bundle).await;
    }
    tokio::fs::rename(bundle, aside).await.map_err(EnvironmentError::io(bundle))?;
    let moved = rename_to_free(root, bundle).await;
    if moved.is_err() {
        tokio::fs::rename(aside, bundle).await.map_err(EnvironmentError::io(bundle))?;
    }
    moved
}

/// Moves a folder to where nothing may be.
async fn rename_to_free(from: &Path, to: &Path) -> Result<(), EnvironmentError> {
    let taken = || EnvironmentError::FolderTaken { folder: to.to_owned() };
    if tokio::fs::try_exists(to).await.map_err(EnvironmentError::io(to))? {
        return Err(taken());
    }
    match tokio::fs::rename(from, to).await {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(taken())
        }
        moved => moved.map_err(EnvironmentError::io(to)),
    }
}
