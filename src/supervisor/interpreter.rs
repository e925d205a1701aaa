//! Which Python runs a plugin: the virtual environment of its bundle, else the system's.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Interpreters inside a bundle, in the order in which they are tried.
const VENV_INTERPRETERS: [&str; 4] =
    ["venv/bin/python", "venv/bin/python3", ".venv/bin/python", ".venv/bin/python3"];

/// Interpreters looked up on `PATH` for a bundle without a virtual environment, in this order.
const PATH_INTERPRETERS: [&str; 2] = ["python3", "python"];

/// Why there is no interpreter.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InterpreterError {
    /// Neither the bundle nor `PATH` has one.
    #[error(
        "no Python interpreter found (checked venv and system PATH) for {bundle_dir}; \
         make a virtual environment there with `python3 -m venv venv`, or install Python 3"
    )]
    NotFound {
        /// The bundle directory.
        bundle_dir: PathBuf,
    },
    /// The path of the interpreter could not be made absolute.
    #[error(
        "cannot make the interpreter path {path} absolute: {source}; name the bundle by an absolute path"
    )]
    NotAbsolute {
        /// The path of the interpreter.
        path: PathBuf,
        /// The operating system's reason, usually that the working directory is gone.
        source: io::Error,
    },
}

/// The interpreter for the plugin in `bundle_dir`: the first that exists of `venv/bin/python`,
/// `venv/bin/python3`, `.venv/bin/python` and `.venv/bin/python3`, else `python3` or `python` on this
/// process's `PATH`. Entries of `PATH` that are not absolute are skipped. The result is absolute.
///
/// As upstream, existence decides: a file in the bundle is taken even if it is not executable, and
/// running it then shows what is wrong. Symlinks are not resolved, because a virtual environment
/// only works through its own path. Unlike upstream, a directory does not count, and a symlink
/// that leads nowhere is warned about before the next candidate is tried.
///
/// # Errors
///
/// [`InterpreterError`] if there is none, or if its path cannot be made absolute.
pub fn discover(bundle_dir: &Path) -> Result<PathBuf, InterpreterError> {
    discover_in(bundle_dir, env::var_os("PATH").as_deref())
}

/// [`discover`] with the given value of `PATH` instead of this process's; `None` is an empty one.
///
/// # Errors
///
/// The same as [`discover`].
pub(crate) fn discover_in(
    bundle_dir: &Path,
    path_var: Option<&OsStr>,
) -> Result<PathBuf, InterpreterError> {
    if let Some(path) = in_venv(bundle_dir) {
        return std::path::absolute(&path)
            .map_err(|source| InterpreterError::NotAbsolute { path, source });
    }
    path_var
        .and_then(on_path)
        .ok_or_else(|| InterpreterError::NotFound { bundle_dir: bundle_dir.into() })
}

fn in_venv(bundle_dir: &Path) -> Option<PathBuf> {
    VENV_INTERPRETERS
        .into_iter()
        .map(|candidate| bundle_dir.join(candidate))
        .find(|candidate| is_interpreter(candidate))
}

fn is_interpreter(candidate: &Path) -> bool {
    match fs::metadata(candidate) {
        Ok(metadata) => !metadata.is_dir(),
        Err(error) => {
            if fs::symlink_metadata(candidate).is_ok() {
                tracing::warn!(
                    path = %candidate.display(), %error,
                    "skipped a Python interpreter that leads nowhere; make its virtual environment anew"
                );
            }
            false
        }
    }
}

fn on_path(path_var: &OsStr) -> Option<PathBuf> {
    // A relative entry would pick an interpreter by whatever the working directory happens to be.
    let absolute = env::split_paths(path_var).filter(|entry| entry.is_absolute());
    let entries = env::join_paths(absolute).ok()?;
    PATH_INTERPRETERS.into_iter().find_map(|name| which::which_in(name, Some(&entries), "/").ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    fn bundle_with(interpreters: &[&str]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for interpreter in interpreters {
            let path = dir.path().join(interpreter);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "not a program").unwrap();
        }
        dir
    }

    fn found(bundle: &TempDir) -> PathBuf {
        discover_in(bundle.path(), None).unwrap()
    }

    fn make_program(path: &Path) {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn s_10_venv_is_found() {
        let bundle = bundle_with(&["venv/bin/python"]);
        assert_eq!(found(&bundle), bundle.path().join("venv/bin/python"));
    }

    #[test]
    fn s_11_dot_venv_is_found() {
        let bundle = bundle_with(&[".venv/bin/python"]);
        assert_eq!(found(&bundle), bundle.path().join(".venv/bin/python"));
    }

    #[test]
    fn s_12_venv_wins_over_dot_venv() {
        let bundle = bundle_with(&[".venv/bin/python", "venv/bin/python"]);
        assert_eq!(found(&bundle), bundle.path().join("venv/bin/python"));
        let bundle = bundle_with(&[".venv/bin/python", "venv/bin/python3"]);
        assert_eq!(found(&bundle), bundle.path().join("venv/bin/python3"));
    }

    #[test]
    fn s_13_else_path_is_searched_for_python3_then_python() {
        let bundle = bundle_with(&[]);
        let (first, second) = (bundle_with(&[]), bundle_with(&[]));
        let path_var = env::join_paths([first.path(), second.path()]).unwrap();

        make_program(&first.path().join("python"));
        let interpreter = discover_in(bundle.path(), Some(&path_var)).unwrap();
        assert_eq!(interpreter, first.path().join("python"));

        make_program(&second.path().join("python3"));
        let interpreter = discover_in(bundle.path(), Some(&path_var)).unwrap();
        assert_eq!(interpreter, second.path().join("python3"));
    }

    #[test]
    fn nothing_found_says_what_to_do() {
        let bundle = bundle_with(&[]);
        for path_var in [None, Some(OsStr::new("")), Some(OsStr::new(".:relative"))] {
            let text = discover_in(bundle.path(), path_var).unwrap_err().to_string();
            assert!(
                text.contains("no Python interpreter found (checked venv and system PATH)"),
                "{text}"
            );
            assert!(text.contains("python3 -m venv venv"), "{text}");
        }
    }

    #[test]
    fn symlinks_are_kept_and_dead_ones_skipped() {
        let bundle = bundle_with(&["base/python3.12", ".venv/bin/python"]);
        let link = bundle.path().join("venv/bin/python");
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink("../../base/python3.12", &link).unwrap();
        assert_eq!(found(&bundle), link);

        fs::remove_file(bundle.path().join("base/python3.12")).unwrap();
        assert_eq!(found(&bundle), bundle.path().join(".venv/bin/python"));
    }

    #[test]
    fn a_directory_is_no_interpreter() {
        let bundle = bundle_with(&["venv/bin/python/x", "venv/bin/python3"]);
        assert_eq!(found(&bundle), bundle.path().join("venv/bin/python3"));
    }

    #[test]
    fn a_relative_bundle_gives_an_absolute_interpreter() {
        let here = env::current_dir().unwrap();
        let bundle = tempfile::tempdir_in(&here).unwrap();
        let interpreter = bundle.path().join("venv/bin/python");
        fs::create_dir_all(interpreter.parent().unwrap()).unwrap();
        fs::write(&interpreter, "").unwrap();
        let relative = bundle.path().strip_prefix(&here).unwrap();
        assert_eq!(discover_in(relative, None).unwrap(), interpreter);
    }
}
