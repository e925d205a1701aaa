//! Where installed plugins are.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::EnvironmentError;
use super::remove_folder::remove_folder;

/// The folder that was asked for, else a temporary one, made when it is needed first.
#[derive(Debug)]
pub(super) struct PluginsFolder {
    /// Absolute.
    made: Mutex<Option<PathBuf>>,
    temporary: bool,
}

impl PluginsFolder {
    /// Makes the folder `wanted` if it is missing.
    pub(super) fn new(wanted: Option<PathBuf>) -> Result<Self, EnvironmentError> {
        let Some(folder) = wanted else {
            return Ok(Self { made: Mutex::default(), temporary: true });
        };
        std::fs::create_dir_all(&folder).map_err(EnvironmentError::io(&folder))?;
        let folder = folder.canonicalize().map_err(EnvironmentError::io(&folder))?;
        Ok(Self { made: Mutex::new(Some(folder)), temporary: false })
    }

    /// The folder. The first call may make it, and so waits for the disk.
    pub(super) fn path(&self) -> Result<PathBuf, EnvironmentError> {
        // A panic leaves it made or not made.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = &*made {
            return Ok(folder.clone());
        }
        let place = std::env::temp_dir();
        let folder = place.canonicalize().and_then(|place| {
            Ok(tempfile::Builder::new().prefix("plugins-").tempdir_in(place)?.keep())
        });
        let folder = folder.map_err(EnvironmentError::io(place))?;
        *made = Some(folder.clone());
        Ok(folder)
    }
}

impl Drop for PluginsFolder {
    fn drop(&mut self) {
        let made = self.made.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = made.as_deref().filter(|_| self.temporary)
            && let Err(error) = remove_folder(folder)
        {
            let folder = folder.display();
            tracing::error!(%error, %folder, "the folder of installed plugins is not removed");
        }
    }
}
