//! Counts what a program has: before and after, the counts should be the same.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// What this program has at one moment. Linux; elsewhere only the tasks are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// Our children, zombies among them.
    pub children: usize,
    /// Those of them that are zombies.
    pub zombies: usize,
    /// Processes, of whatever parent, whose environment names the run's folder.
    pub descendants: usize,
    /// Open file descriptors.
    pub fds: usize,
    /// Those of them that are sockets.
    pub sockets: usize,
    /// Entries of the run's folder: one for each life under way.
    pub files: usize,
    /// Tasks of the runtime.
    pub tasks: usize,
    /// Resident memory in KiB.
    pub resident: usize,
}

impl Census {
    /// Counts.
    pub fn take(root: &Path) -> Self {
        let us = std::process::id().to_string();
        let mut census = Self { files: entries(root), ..Self::default() };
        let runtime = tokio::runtime::Handle::try_current();
        census.tasks = runtime.map_or(0, |runtime| runtime.metrics().num_alive_tasks());
        let folder = root.to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
            let (state, parent) = (fields.next(), fields.next());
            if parent == Some(us.as_str()) {
                census.children += 1;
                census.zombies += usize::from(state == Some("Z"));
            }
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            census.descendants +=
                usize::from(String::from_utf8_lossy(&environment).contains(&folder));
        }
        for fd in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
            census.fds += 1;
            let target = fs::read_link(fd.path()).unwrap_or_default();
            census.sockets += usize::from(target.to_string_lossy().starts_with("socket:"));
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
        census.resident = resident.unwrap_or_default();
        census
    }

    /// What there is more of than before, in words. Memory is judged by its growth over many lives.
    pub fn leaks_since(&self, before: &Self) -> Vec<String> {
        let counts = [
            ("children", before.children, self.children),
            ("zombies", before.zombies, self.zombies),
            ("descendants", before.descendants, self.descendants),
            ("fds", before.fds, self.fds),
            ("sockets", before.sockets, self.sockets),
            ("files", before.files, self.files),
            ("tasks", before.tasks, self.tasks),
        ];
        let more = counts.into_iter().filter(|(_, before, after)| after > before);
        more.map(|(what, before, after)| format!("{what}: {before} before, {after} after"))
            .collect()
    }
}

/// How many entries the run's folder has.
fn entries(root: &Path) -> usize {
    fs::read_dir(root).map_or(0, Iterator::count)
}

/// So much memory may be kept for each life, in KiB.
pub const KEPT_PER_LIFE: f64 = 2.0;
/// Growth is judged from so many lives on: fewer say nothing about an allocator.
pub const ENOUGH_LIVES: u64 = 500;

/// Looks at the second half of a run: pairs of lives so far and resident KiB.
pub fn memory_leak(samples: &[(u64, usize)]) -> Option<String> {
    let (&(until, last), half) = (samples.last()?, samples.last()?.0 / 2);
    let &(from, first) = samples.iter().find(|(lives, _)| *lives >= half)?;
    let lives = until - from;
    let grown = last.saturating_sub(first);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = grown as f64 / (lives.max(1)) as f64;
    (lives >= ENOUGH_LIVES && each > KEPT_PER_LIFE).then(|| {
        format!("memory: {grown} KiB more after {lives} further lives, {each:.1} KiB each")
    })
}
