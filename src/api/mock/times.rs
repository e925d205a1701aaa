//! How many calls a mock expects.

use std::fmt;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// A number of calls, or a range of such numbers. [`Mock::expect`](super::Mock::expect) takes
/// anything that can become one.
///
/// ```
/// use plugin_conformance::api::mock::Times;
///
/// assert_eq!(Times::from(1).to_string(), "exactly 1 call");
/// assert_eq!(Times::from(2..).to_string(), "at least 2 calls");
/// assert_eq!(Times::from(..=3).to_string(), "at most 3 calls");
/// assert_eq!(Times::from(1..=3).to_string(), "1 to 3 calls");
/// assert_eq!(Times::from(0).to_string(), "no call");
/// assert_eq!(Times::default().to_string(), "any number of calls");
/// assert!(Times::from(1..3).contains(2) && !Times::from(1..3).contains(3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    min: u64,
    /// Inclusive; `u64::MAX` is no limit.
    max: u64,
}

impl Times {
    /// Whether `calls` are as many as expected.
    pub fn contains(&self, calls: u64) -> bool {
        (self.min..=self.max).contains(&calls)
    }

    /// Whether no number of calls would do, as in `3..1`.
    pub(super) fn is_empty(&self) -> bool {
        self.min > self.max
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }
}

impl Default for Times {
    /// Any number.
    fn default() -> Self {
        Self { min: 0, max: u64::MAX }
    }
}

impl From<u64> for Times {
    fn from(calls: u64) -> Self {
        Self { min: calls, max: calls }
    }
}

impl From<RangeInclusive<u64>> for Times {
    fn from(range: RangeInclusive<u64>) -> Self {
        Self { min: *range.start(), max: *range.end() }
    }
}

impl From<Range<u64>> for Times {
    fn from(range: Range<u64>) -> Self {
        match range.end.checked_sub(1) {
            Some(max) => Self { min: range.start, max },
            // Nothing is below 0.
            None => Self { min: range.start.max(1), max: 0 },
        }
    }
}

impl From<RangeFrom<u64>> for Times {
    fn from(range: RangeFrom<u64>) -> Self {
        Self { min: range.start, max: u64::MAX }
    }
}

impl From<RangeTo<u64>> for Times {
    fn from(range: RangeTo<u64>) -> Self {
        (0..range.end).into()
    }
}

impl From<RangeToInclusive<u64>> for Times {
    fn from(range: RangeToInclusive<u64>) -> Self {
        (0..=range.end).into()
    }
}

impl From<RangeFull> for Times {
    fn from(_: RangeFull) -> Self {
        Self::default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (0, 0) => write!(f, "no call"),
            (0, u64::MAX) => write!(f, "any number of calls"),
            (0, max) => write!(f, "at most {}", calls(max)),
            (min, u64::MAX) => write!(f, "at least {}", calls(min)),
            (min, max) if min == max => write!(f, "exactly {}", calls(min)),
            (min, max) => write!(f, "{min} to {}", calls(max)),
        }
    }
}

/// `1 call`, `2 calls`.
pub(super) fn calls(number: u64) -> String {
    match number {
        1 => "1 call".to_owned(),
        _ => format!("{number} calls"),
    }
}
