//! Finding and reading the manifest file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::ManifestError;

/// The manifest's possible names; the first that exists counts.
pub(super) const MANIFEST_NAMES: [&str; 3] = ["plugin.yml", "plugin.yaml", "plugin.json"];

/// Largest manifest, in bytes.
pub(super) const MAX_MANIFEST_BYTES: usize = 1024 * 1024;

/// The manifest of the bundle. It is a regular file, so opening it cannot block.
pub(super) fn find(bundle_dir: &Path) -> Result<PathBuf, ManifestError> {
    for name in MANIFEST_NAMES {
        let path = bundle_dir.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => return Ok(path),
            Ok(_) => return Err(ManifestError::NotAFile { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ManifestError::Unreadable { path, source }),
        }
    }
    Err(ManifestError::NotFound { dir: bundle_dir.into() })
}

/// The text of the file.
pub(super) fn read(path: &Path) -> Result<String, ManifestError> {
    let bytes = read_at_most(path, MAX_MANIFEST_BYTES + 1)
        .map_err(|source| ManifestError::Unreadable { path: path.into(), source })?;
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(ManifestError::TooLarge { path: path.into(), limit: MAX_MANIFEST_BYTES });
    }
    String::from_utf8(bytes).map_err(|error| ManifestError::NotUtf8 {
        path: path.into(),
        offset: error.utf8_error().valid_up_to(),
    })
}

fn read_at_most(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
