//! The bytes of an archive, and when no more of them are read.

use std::error::Error;
use std::io::{self, Read};

use tokio_util::sync::CancellationToken;

use super::{UnpackError, UnpackLimits};

/// Fails once more than a number of bytes were read, or nobody wants them any more.
pub(super) struct Bounded<'a, R> {
    inner: R,
    left: u64,
    cancel: &'a CancellationToken,
}

impl<'a, R> Bounded<'a, R> {
    pub(super) fn new(inner: R, limit: u64, cancel: &'a CancellationToken) -> Self {
        Self { inner, left: limit, cancel }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other(Enough::Cancelled));
        }
        let read = self.inner.read(buffer)?;
        let Some(left) = self.left.checked_sub(read as u64) else {
            return Err(io::Error::other(Enough::Full));
        };
        self.left = left;
        Ok(read)
    }
}

/// Why no more is read.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Enough {
    #[error("the archive is too large")]
    Full,
    #[error("cancelled")]
    Cancelled,
}

/// Why an archive could not be read on.
pub(super) fn unreadable(error: io::Error, limits: UnpackLimits) -> UnpackError {
    // The tar crate wraps what its reader says.
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        match error.downcast_ref::<Enough>() {
            Some(Enough::Full) => return UnpackError::TooLarge { limit: limits.bytes },
            Some(Enough::Cancelled) => return UnpackError::Cancelled,
            None => {}
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    UnpackError::NoArchive(error)
}
