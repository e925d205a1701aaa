//! The members of a tar archive that describe the one behind them: long names, PAX.
//!
//! The tar crate reads such a member whole, however large it is; so it gives us all members as they
//! are, and those are read here.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use tar::{Entry, EntryType, Header, PaxExtensions};

use super::limits::EXTENSION;
use super::reader::unreadable;
use super::{UnpackError, UnpackLimits};

/// What was said of the next member.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
}

/// How a member is called, and what it links to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
}

impl Extensions {
    /// Takes in what `entry` says of the next member. False if it is a member of its own.
    pub(super) fn take(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        limits: UnpackLimits,
    ) -> Result<bool, UnpackError> {
        let place = match entry.header().entry_type() {
            EntryType::GNULongName => &mut self.long_path,
            EntryType::GNULongLink => &mut self.long_link,
            EntryType::XHeader => &mut self.pax,
            _ => return Ok(false),
        };
        if place.is_some() {
            return Err(malformed("two extension headers of one kind describe the same entry"));
        }
        let bytes = entry.header().entry_size().map_err(UnpackError::NoArchive)?;
        if bytes > EXTENSION {
            return Err(UnpackError::Extension { bytes, limit: EXTENSION });
        }
        let mut text = Vec::new();
        entry.read_to_end(&mut text).map_err(|error| unreadable(error, limits))?;
        if text.len() as u64 != bytes {
            return Err(malformed("it ends within an extension header"));
        }
        *place = Some(text);
        Ok(true)
    }

    /// The names of the member with this header, which everything taken in describes.
    pub(super) fn names_of(self, header: &Header) -> Result<Names, UnpackError> {
        let mut path = header.path_bytes().into_owned();
        let mut link = header.link_name_bytes().unwrap_or_default().into_owned();
        for record in PaxExtensions::new(self.pax.as_deref().unwrap_or_default()) {
            let record = record.map_err(UnpackError::NoArchive)?;
            match record.key_bytes() {
                b"path" => path = record.value_bytes().to_vec(),
                b"linkpath" => link = record.value_bytes().to_vec(),
                b"size" => same_size(record.value_bytes(), header)?,
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(UnpackError::Kind {
                        entry: to_path(&path),
                        kind: "sparse file".into(),
                    });
                }
                _ => {}
            }
        }
        path = self.long_path.map_or(path, without_zero);
        link = self.long_link.map_or(link, without_zero);
        Ok(Names { path, link })
    }

    /// What was said of a member must be followed by one.
    pub(super) fn at_the_end(&self) -> Result<(), UnpackError> {
        if self.long_path.is_some() || self.long_link.is_some() || self.pax.is_some() {
            return Err(malformed("it ends behind an extension header"));
        }
        Ok(())
    }
}

pub(super) fn to_path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

pub(super) fn malformed(problem: &'static str) -> UnpackError {
    UnpackError::NoArchive(io::Error::new(io::ErrorKind::InvalidData, problem))
}

/// The size in a PAX record and that in the header are one: programs differ in which counts, so they
/// would see different archives.
fn same_size(said: &[u8], header: &Header) -> Result<(), UnpackError> {
    let said = std::str::from_utf8(said).ok().and_then(|said| said.parse().ok());
    if said == Some(header.entry_size().map_err(UnpackError::NoArchive)?) {
        return Ok(());
    }
    Err(malformed("a PAX header gives an entry another size than its own header"))
}

/// GNU tar ends a long name with a zero byte.
fn without_zero(mut name: Vec<u8>) -> Vec<u8> {
    name.pop_if(|last| *last == 0);
    name
}
