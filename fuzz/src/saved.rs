//! Readers that take a path.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// Hands `read` a file with this content.
pub fn saved<T>(content: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    thread_local!(static FOLDER: TempDir = tempfile::tempdir().expect("there is room for a folder"));
    FOLDER.with(|folder| {
        let path = folder.path().join("saved.json");
        fs::write(&path, content).expect("the file can be written");
        read(&path)
    })
}
