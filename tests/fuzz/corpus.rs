//! The committed corpus.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::sample::Index;

/// The folder of the fuzz targets.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The corpus of one property, in the order of the files' names.
#[derive(Debug, Clone)]
pub(crate) struct Corpus {
    files: Arc<[(String, Vec<u8>)]>,
    words: Arc<[Vec<u8>]>,
}

impl Corpus {
    pub(crate) fn of(property: &str) -> Self {
        let entries = fs::read_dir(folder().join("corpus").join(property)).unwrap();
        let mut files: Vec<_> = entries
            .map(|entry| {
                let path = entry.unwrap().path();
                (path.display().to_string(), fs::read(path).unwrap())
            })
            .collect();
        files.sort();
        assert!(!files.is_empty(), "no corpus of {property}");
        let words: Arc<[_]> = files.iter().flat_map(|(_, bytes)| words(bytes)).collect();
        assert!(!words.is_empty(), "nothing in the corpus of {property}");
        Self { files: files.into(), words }
    }

    /// Names and contents.
    pub(crate) fn files(&self) -> &[(String, Vec<u8>)] {
        &self.files
    }

    /// The content of one of the files.
    pub(crate) fn file(&self, which: &Index) -> &[u8] {
        &self.files[which.index(self.files.len())].1
    }

    /// One of the words of which the corpus is made.
    pub(crate) fn word(&self, which: &Index) -> &[u8] {
        &self.words[which.index(self.words.len())]
    }
}

/// Runs of letters and digits, and each run of anything else.
fn words(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    bytes
        .chunk_by(|one, next| one.is_ascii_alphanumeric() == next.is_ascii_alphanumeric())
        .map(<[u8]>::to_vec)
}
