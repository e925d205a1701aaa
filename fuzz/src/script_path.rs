//! The path of a plugin's script.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path};

use plugin_conformance::supervisor::{Script, ScriptError};
use tempfile::TempDir;

/// Regular files of the bundle; each is found under its own name.
pub const FILES: [&str; 8] = [
    "plugin.py",
    "server/plugin.py",
    "etc/passwd",
    "-c",
    "..py",
    "a b\t.py",
    "back\\..\\slash.py",
    "\u{fc}n\u{ef}.py",
];
/// Symlinks of the bundle and where they lead. `outside` stands beside the bundle.
const LINKS: [(&str, &str); 7] = [
    ("inside.py", "server/plugin.py"),
    ("self", "."),
    ("loop", "loop"),
    ("up", ".."),
    ("outside.py", "../outside/secret.py"),
    ("outside", "../outside"),
    ("etc/back", "../../outside/secret.py"),
];

/// Whatever a manifest names: the script that is run lies in the bundle.
pub fn check(executable: &[u8]) {
    check_with(executable, Script::resolve);
}

/// As [`check`], of another way to find the script.
pub fn check_with(executable: &[u8], resolve: impl Fn(&Path, &str) -> Result<Script, ScriptError>) {
    thread_local!(static FOLDER: TempDir = folder());
    let executable = String::from_utf8_lossy(executable);
    FOLDER.with(|folder| {
        let bundle = folder.path().join("bundle");
        match resolve(&bundle, &executable) {
            Ok(script) => inside(&bundle, &script),
            Err(error) => {
                let own = FILES.contains(&&*executable);
                assert!(!own, "a file of the bundle is refused: {error}");
                assert!(!error.to_string().contains('\0'), "a NUL in an error: {error:?}");
            }
        }
    });
}

fn inside(bundle: &Path, script: &Script) {
    let Script { absolute, argument } = script;
    assert!(absolute.starts_with(bundle), "{} is outside", absolute.display());
    let real = |path: &Path| path.canonicalize().expect("the script exists");
    let found = real(absolute);
    assert!(found.starts_with(real(bundle)), "{} leads outside", absolute.display());
    assert!(found.is_file(), "{} is no file", absolute.display());
    assert_eq!(found, real(&bundle.join(argument)), "what is checked is not what is run");
    let own = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    assert!(argument.components().all(own), "the argument {}", argument.display());
    let option = argument.as_os_str().as_encoded_bytes().starts_with(b"-");
    assert!(!option, "{} is an option", argument.display());
}

/// A folder with the bundle and what is beside it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let make = || -> std::io::Result<()> {
        let (bundle, outside) = (folder.path().join("bundle"), folder.path().join("outside"));
        fs::create_dir_all(bundle.join("server"))?;
        fs::create_dir_all(bundle.join("etc"))?;
        fs::create_dir_all(&outside)?;
        fs::write(outside.join("secret.py"), "")?;
        FILES.iter().try_for_each(|name| fs::write(bundle.join(name), ""))?;
        LINKS.iter().try_for_each(|(name, target)| symlink(target, bundle.join(name)))
    };
    make().expect("the bundle can be written");
    folder
}
