//! Plugins that come as an archive.

mod error;
mod limits;
mod links;
mod maker;
mod member;
mod place;
mod reader;
mod staging;
mod tree;
mod unpack;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use error::{PathProblem, UnpackError};
pub use limits::UnpackLimits;
pub(super) use place::place;

use super::inner::Inner;
use super::{EnvironmentError, PluginInfo};
use staging::Staging;

/// How long a shutdown waits for an unpacking that is stuck in the system: on a disk that does not
/// answer. One that goes on notices at once that it is cancelled, and clears away.
const STUCK: Duration = Duration::from_secs(5);

/// A bundle that is unpacked and valid, beside the place where it will be.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// The plugin, as it will be in its place.
    pub(super) info: PluginInfo,
    /// The bundle's folder now.
    root: PathBuf,
    /// Holds `root`, and is deleted with whatever is left in it.
    staging: Staging,
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

/// Unpacks a bundle beside its place and checks its manifest. A shutdown cancels it, and so does
/// whoever drops it.
pub(super) async fn unpack(
    inner: &Arc<Inner>,
    archive: Bytes,
) -> Result<Unpacked, EnvironmentError> {
    let cancel = inner.closing.child_token();
    let _dropped = cancel.clone().drop_guard();
    let (folder, limits) = (Arc::clone(&inner.folder), inner.settings.unpack);
    let unpacking = {
        let cancel = cancel.clone();
        tokio::task::spawn_blocking(move || {
            let folder = folder.path()?;
            let staging = Staging::new(&folder).map_err(EnvironmentError::io(&folder))?;
            let root = unpack::unpack(&archive, &staging.path().join("new"), limits, &cancel)?;
            Ok::<_, EnvironmentError>((folder, root, staging))
        })
    };
    let stuck = async {
        cancel.cancelled().await;
        tokio::time::sleep(STUCK).await;
    };
    let unpacked = tokio::select! {
        unpacked = unpacking => unpacked,
        () = stuck => {
            tracing::warn!("an unpacking that is stuck in the system is left to itself");
            return Err(EnvironmentError::ShuttingDown);
        }
    };
    let unpacked =
        unpacked.map_err(|error| EnvironmentError::Lost { reason: error.to_string() })?;
    let (folder, root, staging) = match unpacked {
        Err(EnvironmentError::Unpack(UnpackError::Cancelled)) => {
            return Err(EnvironmentError::ShuttingDown);
        }
        unpacked => unpacked?,
    };
    let mut info = match inner.read(&root).await {
        Ok(info) => info,
        Err(error) => {
            clear(staging).await;
            return Err(error);
        }
    };
    info.bundle = folder.join(info.id());
    Ok(Unpacked { info, root, staging })
}

/// Removes what is left of an installation; it may be a whole bundle.
async fn clear(staging: Staging) {
    // An error means that it panicked, and then it is logged.
    let _ = tokio::task::spawn_blocking(move || drop(staging)).await;
}
