//! When a process started, which with its number names it for certain.

/// A time before a start.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(super) struct Start(pub(super) u64);

impl Start {
    pub(super) fn now() -> Self {
        #[cfg(target_os = "linux")]
        return Self(super::stat::now());
        #[cfg(not(target_os = "linux"))]
        Self(0)
    }
}
