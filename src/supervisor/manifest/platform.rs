//! Go's names for the machine we run on.

use std::env::consts;

/// Go's names of this operating system and architecture, for example `("linux", "amd64")`: the
/// halves of a key of `server.executables`. Where Go has no other name it is Rust's.
pub(crate) fn platform() -> (&'static str, &'static str) {
    (goos(consts::OS), goarch(consts::ARCH))
}

fn goos(rust: &'static str) -> &'static str {
    match rust {
        "macos" => "darwin",
        same => same,
    }
}

fn goarch(rust: &'static str) -> &'static str {
    let little_endian = cfg!(target_endian = "little");
    match rust {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "loongarch64" => "loong64",
        "powerpc64" if little_endian => "ppc64le",
        "powerpc64" => "ppc64",
        "mips" if little_endian => "mipsle",
        "mips64" if little_endian => "mips64le",
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_platforms_have_gos_names() {
        assert_eq!(goos("linux"), "linux");
        assert_eq!(goos("macos"), "darwin");
        assert_eq!(goos("windows"), "windows");
        assert_eq!(goarch("x86_64"), "amd64");
        assert_eq!(goarch("aarch64"), "arm64");
        assert_eq!(goarch("x86"), "386");
        assert_eq!(goarch("arm"), "arm");
        assert_eq!(goarch("riscv64"), "riscv64");
        assert_eq!(goarch("s390x"), "s390x");
    }
}
