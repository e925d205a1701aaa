//! How large an installed plugin may be.

/// The most that an archive may unpack to. A small archive can hold a great deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Bytes of the unpacked archive, its own headers included; 1 GiB.
    pub bytes: u64,
    /// Files, folders and links; 100 000.
    pub entries: usize,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self { bytes: 1 << 30, entries: 100_000 }
    }
}
