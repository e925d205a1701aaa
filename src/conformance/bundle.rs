//! Writes ready bundles: manifest, script, interpreter.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use fake_interpreters::characters::Character;
use serde_json::json;

/// The compiled fake interpreter, and how it comes into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interpreter {
    /// Copied: the bundle can be moved to another machine of the same kind.
    Copy(PathBuf),
    /// Linked: quick, for bundles that live no longer than the program.
    Link(PathBuf),
}

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// There is something in the folder already.
    #[error("{} is not empty: name a new folder, or empty this one first", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// A plugin's folder with a fake interpreter in it, ready for any supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The folder.
    pub dir: PathBuf,
    /// The id in its manifest.
    pub id: String,
}

impl Bundle {
    /// Writes a bundle of this character.
    ///
    /// # Errors
    /// [`BundleError`] names the file.
    pub fn of_character(
        dir: &Path,
        character: &Character,
        interpreter: &Interpreter,
    ) -> Result<Self, BundleError> {
        Self::write(dir, character.name, character.script, interpreter)
    }

    /// Writes a bundle whose `plugin.py` holds this script; `name` becomes part of its id.
    ///
    /// # Errors
    /// [`BundleError`] names the file.
    pub fn write(
        dir: &Path,
        name: &str,
        script: &str,
        interpreter: &Interpreter,
    ) -> Result<Self, BundleError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| BundleError::Write { path, source }
        };
        let bin = dir.join("venv/bin");
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(BundleError::NotEmpty { folder: dir.to_owned() });
        }
        fs::create_dir_all(&bin).map_err(failed(&bin))?;

        let id = format!("com.mattermost.fake-{name}");
        let manifest = json!({
            "id": id,
            "name": format!("Fake interpreter: {name}"),
            "version": env!("CARGO_PKG_VERSION"),
            "server": { "runtime": "python", "executable": "plugin.py" },
        });
        let path = dir.join("plugin.json");
        fs::write(&path, format!("{manifest:#}\n")).map_err(failed(&path))?;
        let path = dir.join("plugin.py");
        fs::write(&path, script).map_err(failed(&path))?;

        let python = bin.join("python");
        match interpreter {
            Interpreter::Link(program) => symlink(program, &python).map_err(failed(&python))?,
            Interpreter::Copy(program) => {
                fs::copy(program, &python).map_err(failed(&python))?;
                let executable = fs::Permissions::from_mode(0o755);
                fs::set_permissions(&python, executable).map_err(failed(&python))?;
            }
        }
        Ok(Self { dir: dir.to_owned(), id })
    }

    /// Where the fake interpreter writes its report.
    pub fn report(&self) -> PathBuf {
        self.dir.join("report.json")
    }
}
