//! What every process of a launch inherits: by it, descendants that left the group are found, and
//! those that a supervisor has left behind because it was killed.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, getpid};

/// What no other launch on this machine has. It names the supervisor's process, see [`supervisor`].
pub(in super::super) fn marker() -> String {
    static LAUNCHES: AtomicU64 = AtomicU64::new(0);
    let launch = LAUNCHES.fetch_add(1, Ordering::Relaxed);
    let supervisor = getpid();
    let started = started();
    #[expect(
        clippy::disallowed_methods,
        reason = "only to be unlike the launches of other containers; nothing is measured by it"
    )]
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = clock.map_or(0, |clock| clock.as_nanos());
    format!("{supervisor}.{started}-{launch}-{nanos}")
}

/// When this process started, in the kernel's ticks since boot; 0 if that is not known.
#[cfg(target_os = "linux")]
fn started() -> u64 {
    super::stat::Stat::of_self().ok().flatten().map_or(0, |stat| stat.started)
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
fn started() -> u64 {
    0
}

/// The process of the supervisor that made this marker, and when that process started, in the
/// kernel's ticks since boot; 0 if it did not know.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(super) fn supervisor(marker: &str) -> Option<(Pid, u64)> {
    let (pid, rest) = marker.split_once('.')?;
    let (started, _) = rest.split_once('-')?;
    let pid = pid.parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)?;
    Some((pid, started.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_names_its_supervisor_and_is_unlike_all_others() {
        let (one, two) = (marker(), marker());
        assert_ne!(one, two);
        let (pid, started) = supervisor(&one).unwrap();
        assert_eq!(pid, getpid());
        assert_eq!(started > 0, cfg!(target_os = "linux"));
    }

    #[test]
    fn other_texts_name_nobody() {
        for text in ["", "-", "1", "1-2-3", "x.1-0-0", "0.1-0-0", "-7.1-0-0", "1.x-0-0", "1.2"] {
            assert_eq!(supervisor(text), None, "{text}");
        }
    }
}
