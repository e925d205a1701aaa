//! What to do about an error of the system whose cause is the machine, not what was asked for.

use std::io;

use rustix::io::Errno;

/// The remedy for a machine that has run out of something; `otherwise` for all other errors.
pub(crate) fn remedy(error: &io::Error, otherwise: &'static str) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            "this process has too many open files; raise its limit (ulimit -n, LimitNOFILE in a \
             systemd unit), or have it do less at once"
        }
        Some(Errno::NFILE) => {
            "the system has too many open files; raise its limit (sysctl fs.file-max), or close some"
        }
        Some(Errno::NOSPC | Errno::DQUOT) => {
            "make room on that disk or in its quota, or choose a place on another one"
        }
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_run_out_is_named() {
        let of = |errno: Errno| remedy(&errno.into(), "otherwise");
        assert!(of(Errno::MFILE).contains("ulimit -n"));
        assert!(of(Errno::NFILE).contains("fs.file-max"));
        assert!(of(Errno::NOSPC).contains("make room"));
        assert_eq!(of(Errno::DQUOT), of(Errno::NOSPC));
        assert_eq!(of(Errno::ADDRINUSE), "otherwise");
        assert_eq!(remedy(&io::Error::other("none of the system's"), "otherwise"), "otherwise");
    }
}
