//! How large an installed plugin may be.

/// The most that an archive may unpack to. A small archive can hold a great deal.
///
/// Other limits are fixed: a path or the target of a link has at most 1024 bytes, a path at most 64
/// names of at most 255 bytes, all of them together 16 MiB; a GNU or PAX header that describes an
/// entry has at most 128 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Bytes of the unpacked archive, its own headers included; 1 GiB.
    pub bytes: u64,
    /// Files, folders and links; 100 000. Folders count that no entry names but that others are in.
    pub entries: usize,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self { bytes: 1 << 30, entries: 100_000 }
    }
}

/// Bytes of a path, and of the target of a link.
pub(super) const PATH: usize = 1024;
/// Bytes of one name in a path.
pub(super) const NAME: usize = 255;
/// Names in a path.
pub(super) const DEPTH: usize = 64;
/// Bytes of all names and targets of links together; they are held in memory.
pub(super) const NAMES: usize = 16 << 20;
/// Bytes of one header that describes the next entry; it is held in memory.
pub(super) const EXTENSION: u64 = 128 << 10;
/// Links that lead to each other, until one leads to something else. Systems follow 32 or 40.
pub(super) const LINKS: u32 = 32;
