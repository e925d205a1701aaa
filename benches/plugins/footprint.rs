//! What this process holds at a moment, as Linux tells it; elsewhere all is 0.

use std::fs;

use serde::{Deserialize, Serialize};

/// Sums, or shares of one plugin: see [`Footprint::each`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Footprint {
    /// Private memory that was written to, heap above all, in KiB. Nobody else pays for it.
    pub(crate) private_kib: f64,
    /// Resident memory in KiB; pages of the program itself are in it.
    pub(crate) resident_kib: f64,
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
    /// Tasks of the runtime.
    pub(crate) tasks: f64,
}

impl Footprint {
    /// Must be called inside a tokio runtime.
    pub(crate) fn now() -> Self {
        let entries = |folder| fs::read_dir(folder).map_or(0, Iterator::count) as f64;
        Self {
            private_kib: field("/proc/self/smaps_rollup", "Private_Dirty:"),
            resident_kib: field("/proc/self/status", "VmRSS:"),
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks() as f64,
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        self.with(before, |after, before| after - before)
    }

    /// Of `count` plugins, one's share.
    pub(crate) fn each(self, count: usize) -> Self {
        self.with(self, |all, _| all / count as f64)
    }

    fn with(self, other: Self, make: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            private_kib: make(self.private_kib, other.private_kib),
            resident_kib: make(self.resident_kib, other.resident_kib),
            descriptors: make(self.descriptors, other.descriptors),
            threads: make(self.threads, other.threads),
            tasks: make(self.tasks, other.tasks),
        }
    }
}

/// A number of a file under `/proc` whose lines are names and values in kB.
fn field(file: &str, name: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0)
}
