//! What is left of a life: processes, ports, folders.

use std::path::Path;

use fake_interpreters::report::Report;
use tokio::net::{TcpStream, UnixStream};

use crate::supervisor::EventKind;

/// Processes that still live, and a target that still answers.
pub(in super::super) async fn left(events: &[EventKind], report: Option<&Report>) -> Vec<String> {
    let mut left = Vec::new();
    let spawned = events.iter().filter_map(|kind| match kind {
        EventKind::Spawned { pid } => Some(*pid),
        _ => None,
    });
    for pid in spawned.chain(report.into_iter().flat_map(|report| report.grandchildren.clone())) {
        if is_alive(pid) {
            left.push(format!("process {pid} still lives"));
        }
    }
    for kind in events {
        let EventKind::ApiListening { target } = kind else { continue };
        if answers(target).await {
            left.push(format!("the API server still accepts connections on {target}"));
        }
        if let Some(path) = target.strip_prefix("unix://")
            && let Some(folder) = Path::new(path).parent()
            && folder.exists()
        {
            left.push(format!("the folder {} is still there", folder.display()));
        }
    }
    left
}

/// Whether somebody accepts connections at an API target.
pub(in super::super) async fn answers(target: &str) -> bool {
    match target.strip_prefix("unix://") {
        Some(path) => UnixStream::connect(path).await.is_ok(),
        None => TcpStream::connect(target).await.is_ok(),
    }
}

/// Whether a process runs. A zombie whose parent has not looked yet is dead.
pub(in super::super) fn is_alive(pid: u32) -> bool {
    let Some(process) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    if rustix::process::test_kill_process(process).is_err() {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X'))
}
