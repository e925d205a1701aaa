//! The process of a plugin: starting it, waiting for it, and making sure that nothing of it remains.
//!
//! [`spawn`] starts a [`Command`] as the leader of a process group of its own. From then on the
//! [`Process`] owns everything that comes of it: [`Process::finish`] ends the group and what left
//! the group, and reports how the leader ended; dropping the [`Process`] does the same in the
//! background.
//!
//! # What holds on which system
//!
//! | | Linux | macOS |
//! |---|---|---|
//! | waiting for the leader | a pidfd, no polling (kernels before 5.3: as on macOS) | asked every 20 ms |
//! | the supervisor dies, even by SIGKILL | the kernel kills the leader | the plugin goes on |
//! | descendants that left the group (`setsid`) | found by [`LAUNCH_MARKER`] and killed | go on |
//!
//! # Limits
//!
//! - If the supervisor itself is killed, only the leader dies with it (on Linux), not the leader's
//!   children: nobody is left to kill those. The next process of the same user that launches a
//!   plugin kills them before its first launch, if they kept their environment (on Linux).
//! - A descendant escapes if it left the group *and* overwrote or dropped its environment, changed
//!   its user, or made itself unreadable (`PR_SET_DUMPABLE`).
//! - The signal mask is inherited from the thread that asked for the first plugin ever.

mod command;
#[cfg(target_os = "linux")]
mod environ;
mod error;
mod exit;
#[cfg_attr(not(target_os = "linux"), path = "no_eyes.rs")]
mod eyes;
mod group;
mod marker;
mod owned_group;
#[cfg(target_os = "linux")]
mod parent_death;
#[expect(clippy::module_inception, reason = "the room is named after what stands in it")]
mod process;
#[cfg(target_os = "linux")]
mod processes;
mod program;
mod spawner;
mod start_time;
#[cfg(target_os = "linux")]
mod stat;
mod sweep;
mod sweeper;
// They look into `/proc`.
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod watch;

pub(super) use self::command::Command;
pub use self::error::SpawnError;
pub use self::exit::{ExitReport, ExitStatus, Unseen};
pub(super) use self::marker::marker;
pub(super) use self::process::{Process, spawn};
