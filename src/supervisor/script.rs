//! Which script of a bundle the interpreter runs.
//!
//! The path that is checked is the path that is run. The upstream supervisor checks a cleaned path
//! and runs the manifest's raw one, so that an absolute path with a decoy inside the bundle runs a
//! file outside of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::remedy::remedy;

/// A plugin's script: a regular file inside the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The script's absolute path below the bundle directory; symlinks are not resolved.
    pub absolute: PathBuf,
    /// The cleaned path relative to the bundle. This is the interpreter's first argument, with the
    /// bundle as working directory. It never begins with `-`, so it cannot be taken for an option.
    pub argument: PathBuf,
}

/// Why a manifest's executable cannot be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The manifest names no executable for this platform.
    #[error(
        "the plugin's executable is not specified in manifest; set `server.executable`, for example to plugin.py"
    )]
    NotSpecified,
    /// The executable contains a NUL byte.
    #[error("`server.executable` {executable:?} contains a NUL byte; remove it")]
    NulByte {
        /// The executable as the manifest has it.
        executable: String,
    },
    /// The executable leads out of the bundle with `..`.
    #[error(
        "path traversal: `server.executable` {executable:?} leaves the plugin bundle; name a file inside of it"
    )]
    Traversal {
        /// The executable as the manifest has it.
        executable: String,
    },
    /// There is no such file.
    #[error("script not found: {path}; add it to the bundle or correct `server.executable`")]
    NotFound {
        /// Where the script should be.
        path: PathBuf,
    },
    /// A directory, pipe or device is there instead.
    #[error("{path} is not a regular file; let `server.executable` name the script itself")]
    NotAFile {
        /// What the executable names.
        path: PathBuf,
    },
    /// A symlink on the way leads out of the bundle.
    #[error(
        "symlink leaves the bundle: {path} leads to {target}; put the script itself into the bundle"
    )]
    SymlinkLeaves {
        /// Where the script should be.
        path: PathBuf,
        /// Where it is.
        target: PathBuf,
    },
    /// The operating system refuses to look.
    #[error(
        "cannot look at {path}: {source}; {}",
        remedy(source, "check the owner and mode of the bundle")
    )]
    Unreadable {
        /// What was looked at.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl Script {
    /// Finds the script that a manifest's executable names.
    ///
    /// The path is cleaned as text, `a/../b` to `b`. An absolute path is taken as relative to the
    /// bundle: `/etc/passwd` is `<bundle>/etc/passwd`. A backslash is an ordinary character.
    /// Symlinks may lead to any place inside the bundle.
    ///
    /// # Errors
    ///
    /// In this order: the executable is empty, holds a NUL byte, leaves the bundle with `..`; the
    /// script does not exist, lies outside the bundle by way of a symlink, is not a regular file.
    pub fn resolve(bundle_dir: &Path, executable: &str) -> Result<Self, ScriptError> {
        if executable.is_empty() {
            return Err(ScriptError::NotSpecified);
        }
        if executable.contains('\0') {
            return Err(ScriptError::NulByte { executable: executable.to_owned() });
        }
        let relative = clean(executable)
            .ok_or_else(|| ScriptError::Traversal { executable: executable.to_owned() })?;
        let bundle = std::path::absolute(bundle_dir).map_err(unreadable(bundle_dir))?;
        let absolute = bundle.join(&relative);
        check_file(&bundle, &absolute)?;
        Ok(Self { absolute, argument: argument(relative) })
    }
}

/// The path without empty, `.` and `..` parts, relative to where it starts; `None` if it leaves
/// that place. The place itself is the empty path.
fn clean(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn argument(relative: String) -> PathBuf {
    if relative.starts_with('-') { format!("./{relative}").into() } else { relative.into() }
}

/// Is this a regular file which, with all symlinks followed, lies in the bundle?
fn check_file(bundle: &Path, script: &Path) -> Result<(), ScriptError> {
    let real_bundle = bundle.canonicalize().map_err(unreadable(bundle))?;
    let real_script = script.canonicalize().map_err(|source| {
        let path = script.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                ScriptError::NotFound { path }
            }
            _ => ScriptError::Unreadable { path, source },
        }
    })?;
    if !real_script.starts_with(&real_bundle) {
        return Err(ScriptError::SymlinkLeaves { path: script.into(), target: real_script });
    }
    let metadata = fs::metadata(&real_script).map_err(unreadable(script))?;
    if metadata.is_file() { Ok(()) } else { Err(ScriptError::NotAFile { path: script.into() }) }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ScriptError {
    let path = path.to_path_buf();
    |source| ScriptError::Unreadable { path, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Component;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn bundle_with(files: &[&str]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    fn resolved(bundle: &TempDir, executable: &str) -> Script {
        Script::resolve(bundle.path(), executable).unwrap()
    }

    fn refusal(bundle: &TempDir, executable: &str) -> String {
        Script::resolve(bundle.path(), executable).unwrap_err().to_string()
    }

    #[test]
    fn s_14_a_script_in_the_root_is_accepted() {
        let bundle = bundle_with(&["plugin.py"]);
        let script = resolved(&bundle, "plugin.py");
        assert_eq!(script.absolute, bundle.path().join("plugin.py"));
        assert_eq!(script.argument, Path::new("plugin.py"));
    }

    #[test]
    fn s_15_a_script_in_a_directory_is_accepted() {
        let bundle = bundle_with(&["server/plugin.py"]);
        let script = resolved(&bundle, "./server//x/../plugin.py");
        assert_eq!(script.absolute, bundle.path().join("server/plugin.py"));
        assert_eq!(script.argument, Path::new("server/plugin.py"));
    }

    #[test]
    fn s_16_dot_dot_is_path_traversal() {
        let bundle = bundle_with(&["plugin.py"]);
        let text = refusal(&bundle, "../../../etc/passwd");
        assert!(text.contains("path traversal"), "{text}");
    }

    #[test]
    fn s_17_dot_dot_after_a_directory_is_path_traversal() {
        let bundle = bundle_with(&["server/plugin.py"]);
        for executable in ["server/../../../etc/passwd", "..", "a/../../b", "/../x"] {
            let text = refusal(&bundle, executable);
            assert!(text.contains("path traversal"), "{text}");
        }
    }

    #[test]
    fn s_18_an_absolute_path_is_below_the_bundle() {
        let bundle = bundle_with(&["etc/passwd"]);
        let script = resolved(&bundle, "/etc/passwd");
        assert_eq!(script.absolute, bundle.path().join("etc/passwd"));
        assert_eq!(script.argument, Path::new("etc/passwd"));
    }

    #[test]
    fn s_25_traversal_is_told_before_existence() {
        let bundle = bundle_with(&["venv/bin/python"]);
        let text = refusal(&bundle, "../../../etc/passwd.py");
        assert!(text.contains("path traversal"), "{text}");
    }

    #[test]
    fn s_26_a_missing_script_is_not_found() {
        let bundle = bundle_with(&["file"]);
        for executable in ["nonexistent.py", "file/nonexistent.py"] {
            let text = refusal(&bundle, executable);
            assert!(text.contains("script not found: "), "{text}");
        }
    }

    #[test]
    fn an_empty_executable_is_not_specified() {
        let text = refusal(&bundle_with(&[]), "");
        assert!(text.contains("not specified in manifest"), "{text}");
    }

    #[test]
    fn two_dots_may_begin_a_name() {
        let bundle = bundle_with(&["..foo.py"]);
        assert_eq!(resolved(&bundle, "..foo.py").argument, Path::new("..foo.py"));
    }

    #[test]
    fn a_script_is_never_an_option() {
        let bundle = bundle_with(&["-c", "-"]);
        for name in ["-c", "-"] {
            let script = resolved(&bundle, name);
            assert_eq!(script.argument.to_str().unwrap(), format!("./{name}"));
            assert_eq!(script.absolute, bundle.path().join(name));
        }
    }

    #[test]
    fn a_nul_byte_is_refused() {
        let bundle = bundle_with(&["plugin.py"]);
        assert!(refusal(&bundle, "plugin.py\0.txt").contains("NUL"));
    }

    #[test]
    fn a_backslash_is_an_ordinary_character() {
        let bundle = bundle_with(&["..\\plugin.py"]);
        let script = resolved(&bundle, "..\\plugin.py");
        assert_eq!(script.argument, Path::new("..\\plugin.py"));
    }

    #[test]
    fn a_directory_is_refused() {
        let bundle = bundle_with(&["server/plugin.py"]);
        for executable in ["server", ".", "/", "server/.."] {
            let text = refusal(&bundle, executable);
            assert!(text.contains("not a regular file"), "{text}");
        }
    }

    #[test]
    fn symlinks_may_not_leave_the_bundle() {
        let bundle = bundle_with(&["server/plugin.py"]);
        let outside = bundle_with(&["plugin.py"]);
        let target = outside.path().join("plugin.py");
        symlink(&target, bundle.path().join("file.py")).unwrap();
        symlink(outside.path(), bundle.path().join("dir")).unwrap();
        for executable in ["file.py", "dir/plugin.py"] {
            let text = refusal(&bundle, executable);
            assert!(text.contains("symlink leaves the bundle"), "{text}");
        }

        symlink("server", bundle.path().join("inside")).unwrap();
        let script = resolved(&bundle, "inside/plugin.py");
        assert_eq!(script.argument, Path::new("inside/plugin.py"));
        symlink("loop.py", bundle.path().join("loop.py")).unwrap();
        assert!(refusal(&bundle, "loop.py").contains("cannot look at"));
    }

    #[test]
    fn the_bundle_itself_may_be_a_symlink() {
        let bundle = bundle_with(&["plugin.py"]);
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("bundle");
        symlink(bundle.path(), &link).unwrap();
        let script = Script::resolve(&link, "plugin.py").unwrap();
        assert_eq!(script.absolute, link.join("plugin.py"));
    }

    proptest! {
        #[test]
        fn a_cleaned_path_stays_inside(path in "[./a-]{0,12}") {
            if let Some(cleaned) = clean(&path) {
                let mut components = Path::new(&cleaned).components();
                prop_assert!(components.all(|it| matches!(it, Component::Normal(_))));
                prop_assert_eq!(clean(&cleaned), Some(cleaned.clone()));
                prop_assert!(!argument(cleaned).to_string_lossy().starts_with('-'));
            }
        }

        #[test]
        fn no_executable_panics(executable in any::<String>()) {
            let bundle = tempfile::tempdir().unwrap();
            prop_assert!(Script::resolve(bundle.path(), &executable).is_err());
        }
    }
}
