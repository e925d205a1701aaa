//! Why a process could not be started, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::Access;
use rustix::io::Errno;
use thiserror::Error;

use super::command::Command;

/// Why there is no process.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// There is no such program.
    #[error(
        "cannot start {program} in {dir}: there is no such program; check the path, \
         or make the virtual environment anew"
    )]
    NotFound {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
    },
    /// The program is there, but what the kernel needs to run it is not.
    #[error(
        "cannot start {program} in {dir}: the program is there, but the interpreter in its #! line \
         or its dynamic loader is not; install that, or make the virtual environment anew"
    )]
    LoaderNotFound {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
    },
    /// The program may not be executed.
    #[error(
        "cannot start {program} in {dir}: permission denied; make it a file that can be executed \
         (chmod +x), also by the server's user and through all directories above it, on a file \
         system that is not mounted noexec"
    )]
    NotExecutable {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
    },
    /// The program is not in a format that the kernel runs.
    #[error(
        "cannot start {program} in {dir}: exec format error: {problem}; install a build for this \
         machine, or begin a script with a #! line"
    )]
    WrongFormat {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The working directory is no directory.
    #[error(
        "cannot start {program} in {dir}: the working directory does not exist or is not a \
         directory; unpack the plugin there again"
    )]
    NoDirectory {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
    },
    /// The working directory may not be entered.
    #[error(
        "cannot start {program} in {dir}: the working directory may not be entered; give the \
         server's user the x permission on it and on all directories above it"
    )]
    DirectoryDenied {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
    },
    /// No more files can be opened.
    #[error(
        "cannot start {program} in {dir}: too many open files; raise the limit (ulimit -n, \
         LimitNOFILE in a systemd unit)"
    )]
    TooManyFiles {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
    },
    /// No more processes can be started, or there is no memory for one.
    #[error(
        "cannot start {program} in {dir}: no more processes or memory ({source}); raise the limit \
         (ulimit -u, TasksMax in a systemd unit, pids.max of the container), or free memory"
    )]
    TooManyProcesses {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The arguments and the environment are too long together.
    #[error(
        "cannot start {program} in {dir}: the arguments and the environment are too long; \
         start the server with a smaller environment"
    )]
    TooLong {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
    },
    /// Something still has the program open for writing.
    #[error(
        "cannot start {program} in {dir}: the program is still being written; \
         try again once it is closed"
    )]
    Busy {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
    },
    /// Something cannot be passed to a process.
    #[error("cannot start {}: {problem}; correct the command", printable(.program))]
    Malformed {
        /// What was to be started.
        program: PathBuf,
        /// What is wrong with which part of the command.
        problem: &'static str,
    },
    /// The system did not start the program in time. If it does so later, the process is killed.
    #[error(
        "cannot start {program} in {dir}: not started after {after:?}; \
         check that the disk it is on answers"
    )]
    TimedOut {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// The start was not begun, because other programs do not come to be started.
    #[error(
        "cannot start {program} in {dir}: not begun within {after:?}, because {stuck} other programs \
         are being started and that does not come to an end; check that the disks they are on answer"
    )]
    Behind {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
        /// How long it was waited for.
        after: Duration,
        /// How many others there are.
        stuck: usize,
    },
    /// Anything else.
    #[error("cannot start {program} in {dir}: {source}")]
    Other {
        /// What was to be started.
        program: PathBuf,
        /// Its working directory.
        dir: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

fn printable(path: &Path) -> String {
    path.to_string_lossy().replace('\0', "\\0")
}

/// Finds out what an error of the system means for this command.
pub(super) fn explain(command: &Command, source: io::Error) -> SpawnError {
    let (program, dir) = (command.program.clone(), command.dir.clone());
    let no_directory = || !dir.is_dir();
    match Errno::from_io_error(&source) {
        Some(Errno::NOENT | Errno::NOTDIR) if no_directory() => {
            SpawnError::NoDirectory { program, dir }
        }
        Some(Errno::NOENT) if super::program::path(command).is_some_and(|path| path.exists()) => {
            SpawnError::LoaderNotFound { program, dir }
        }
        Some(Errno::NOENT | Errno::NOTDIR) => SpawnError::NotFound { program, dir },
        Some(Errno::ACCESS | Errno::PERM) if rustix::fs::access(&dir, Access::EXEC_OK).is_err() => {
            SpawnError::DirectoryDenied { program, dir }
        }
        Some(Errno::ACCESS) => SpawnError::NotExecutable { program, dir },
        Some(Errno::NOEXEC) => {
            let problem = "it is for another architecture, or has no #! line";
            SpawnError::WrongFormat { program, dir, problem }
        }
        Some(Errno::MFILE | Errno::NFILE) => SpawnError::TooManyFiles { program, dir },
        Some(Errno::AGAIN | Errno::NOMEM) => SpawnError::TooManyProcesses { program, dir, source },
        Some(Errno::TOOBIG) => SpawnError::TooLong { program, dir },
        Some(Errno::TXTBSY) => SpawnError::Busy { program, dir },
        _ => SpawnError::Other { program, dir, source },
    }
}
