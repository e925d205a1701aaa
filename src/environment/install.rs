//! Plugins that come as an archive.

mod error;
mod limits;
mod place;
mod unpack;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

pub use error::UnpackError;
pub use limits::UnpackLimits;
pub(super) use place::place;

use super::inner::Inner;
use super::{EnvironmentError, PluginInfo};

/// A bundle that is unpacked and valid, beside the place where it will be.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// The plugin, as it will be in its place.
    pub(super) info: PluginInfo,
    /// The bundle's folder now.
    root: PathBuf,
    /// Holds `root`, and is deleted with whatever is left in it.
    staging: TempDir,
}

/// Unpacks a bundle and puts it in its place.
pub(super) async fn install(
    inner: &Arc<Inner>,
    archive: Bytes,
    replace: bool,
) -> Result<PluginInfo, EnvironmentError> {
    let unpacked = unpack(inner, archive).await?;
    place(inner, unpacked, replace).await
}

/// Unpacks a bundle beside its place and checks its manifest.
pub(super) async fn unpack(
    inner: &Arc<Inner>,
    archive: Bytes,
) -> Result<Unpacked, EnvironmentError> {
    let (folder, limits) = (inner.folder.clone(), inner.settings.unpack);
    let unpacked = tokio::task::spawn_blocking(move || {
        let staging = tempfile::Builder::new().prefix(".unpack-").tempdir_in(&folder);
        let staging = staging.map_err(EnvironmentError::io(folder))?;
        let root = unpack::unpack(&archive, &staging.path().join("new"), limits)?;
        Ok::<_, EnvironmentError>((root, staging))
    });
    let unpacked = unpacked.await;
    let (root, staging) =
        unpacked.map_err(|error| EnvironmentError::Lost { reason: error.to_string() })??;
    let mut info = inner.read(&root).await?;
    info.bundle = inner.folder.join(info.id());
    Ok(Unpacked { info, root, staging })
}
