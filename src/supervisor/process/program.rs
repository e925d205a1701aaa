//! Whether the kernel can run a program at all.
//!
//! The C library hands a file that the kernel does not know to `/bin/sh`: a binary for another
//! machine, or a Python file without a `#!` line, then runs as a shell script and fails with
//! confusing words on stderr or, worse, does something. So the file is looked at before.

use std::path::PathBuf;

use super::command::Command;

/// The file that would be run, unless it is to be looked up on `PATH`.
pub(super) fn path(command: &Command) -> Option<PathBuf> {
    let program = &command.program;
    (program.components().count() > 1 || program.is_absolute()).then(|| command.dir.join(program))
}

/// Why the kernel cannot run the program. `None` also when that is not known.
#[cfg(target_os = "linux")]
pub(super) fn refuse(command: &Command) -> Option<&'static str> {
    use std::io::Read as _;

    let path = path(command)?;
    // Not a FIFO, for example, which would block. What may not be executed, the kernel refuses.
    let executable = rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).is_ok();
    if !executable || !std::fs::metadata(&path).ok()?.is_file() {
        return None;
    }
    let mut head = Vec::new();
    std::fs::File::open(&path).ok()?.take(20).read_to_end(&mut head).ok()?;
    if head.starts_with(b"#!") {
        return None;
    }
    let problem = if let [0x7f, b'E', b'L', b'F', _, order, .., low, high] = *head
        && head.len() == 20
    {
        let machine = if order == 2 { [high, low] } else { [low, high] };
        if runs_here(u16::from_le_bytes(machine)) {
            return None;
        }
        "it is a binary for another architecture"
    } else {
        "it is neither a binary nor a script that begins with #!"
    };
    (!other_formats()).then_some(problem)
}

/// Elsewhere the loader's own answer has to do.
#[cfg(not(target_os = "linux"))]
pub(super) fn refuse(_: &Command) -> Option<&'static str> {
    None
}

/// Whether the kernel runs binaries for this machine (its number in an ELF header).
#[cfg(target_os = "linux")]
fn runs_here(machine: u16) -> bool {
    const X86: u16 = 3;
    const ARM: u16 = 40;
    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;
    if cfg!(target_arch = "x86_64") {
        matches!(machine, X86 | X86_64)
    } else if cfg!(target_arch = "aarch64") {
        matches!(machine, ARM | AARCH64)
    } else {
        true
    }
}

/// Whether somebody taught the kernel further formats (`binfmt_misc`, e.g. for an emulator).
#[cfg(target_os = "linux")]
fn other_formats() -> bool {
    std::fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name() != "register" && entry.file_name() != "status")
    })
}
