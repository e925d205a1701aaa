//! The manifest of a plugin bundle: which file it is, what it says, and whether the plugin is a
//! Python plugin.
//!
//! Only what a supervisor needs is kept. Every other field (`webapp`, `settings_schema`, `props`
//! and whatever comes later) is accepted and left alone.

mod error;
mod file;
mod platform;
mod raw;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::ManifestError;
pub(crate) use platform::platform;

/// Shortest plugin id, in characters.
const MIN_ID_LENGTH: usize = 3;
/// Longest plugin id, in characters.
const MAX_ID_LENGTH: usize = 190;

/// What a supervisor needs to know of a plugin.
///
/// ```
/// use std::path::Path;
/// use plugin_conformance::supervisor::Manifest;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let manifest = Manifest::parse(
///     Path::new("plugin.yml"),
///     "id: Com.Example.Hello\nversion: 1.0\nserver: {executable: plugin.py}\n",
/// )?;
/// assert_eq!(manifest.id, "com.example.hello");
/// assert_eq!(manifest.version, "1.0");
/// assert!(manifest.is_python());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The plugin's id in lower case: 3..=190 of `a-z`, `0-9`, `-`, `_` and `.`.
    pub id: String,
    /// The name people read; empty when the manifest has none.
    pub name: String,
    /// The plugin's version as written; empty when the manifest has none. It is not checked.
    pub version: String,
    /// What the plugin is for; empty when the manifest does not say.
    pub description: String,
    /// Where its home page is; empty when the manifest does not say.
    pub homepage_url: String,
    /// Where to ask for help; empty when the manifest does not say.
    pub support_url: String,
    /// Where the release notes are; empty when the manifest does not say.
    pub release_notes_url: String,
    /// The icon, relative to the bundle; empty when the manifest names none.
    pub icon_path: String,
    /// Oldest Mattermost server that the plugin wants, as written.
    pub min_server_version: Option<String>,
    /// How to run the server part; `None` for a plugin that only has a web app.
    pub server: Option<Server>,
}

/// The `server` section of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// `python` makes the plugin a Python plugin whatever the executable is called.
    pub runtime: Option<String>,
    /// The executable for every platform that [`executables`](Self::executables) does not name;
    /// empty when the manifest has none.
    pub executable: String,
    /// Executable by platform; the keys are Go's, for example `linux-amd64`.
    pub executables: BTreeMap<String, String>,
    /// The Python version the plugin wants, free text. Nothing acts on it, as upstream.
    pub python_version: Option<String>,
    /// The `python` section. Nothing acts on it, as upstream.
    pub python: Option<PythonOptions>,
}

/// The `server.python` section of a manifest. The upstream supervisor parses it and uses none of
/// it: it installs no dependencies, and `venv_path` does not take part in finding the interpreter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PythonOptions {
    /// For example `venv`.
    pub dependency_mode: Option<String>,
    /// For example `server/venv`.
    pub venv_path: Option<String>,
    /// For example `server/requirements.txt`.
    pub requirements_path: Option<String>,
}

impl Manifest {
    /// Reads the manifest in the root of a plugin bundle: `plugin.yml`, else `plugin.yaml`, else
    /// `plugin.json`. The first that exists counts, also if it is broken.
    ///
    /// # Errors
    ///
    /// [`ManifestError::NotFound`] if none exists; what [`parse`](Self::parse) answers; and
    /// `Unreadable`, `NotAFile`, `TooLarge` (more than 1 MiB) or `NotUtf8` for the file itself.
    pub fn load(bundle_dir: &Path) -> Result<Self, ManifestError> {
        let path = file::find(bundle_dir)?;
        let text = file::read(&path)?;
        Self::parse(&path, &text)
    }

    /// Parses the text of a manifest; a byte order mark in front is skipped. `path` is shown in
    /// errors, and its extension decides the format: JSON for `json`, YAML for any other.
    ///
    /// In YAML an unquoted number is taken as the text that is written (`version: 1.10` is
    /// "1.10"). In JSON a number has lost its spelling, so it is refused.
    ///
    /// # Errors
    ///
    /// `Syntax` with line and column, `WrongType` for a field that is not what it should be,
    /// `MissingId` or `InvalidId`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ManifestError> {
        let raw = raw::RawManifest::parse(path, text)?;
        let id = validated_id(path, raw.id.as_deref().unwrap_or_default())?;
        Ok(Self {
            id,
            name: raw.name.unwrap_or_default(),
            version: raw.version.unwrap_or_default(),
            description: raw.description.unwrap_or_default(),
            homepage_url: raw.homepage_url.unwrap_or_default(),
            support_url: raw.support_url.unwrap_or_default(),
            release_notes_url: raw.release_notes_url.unwrap_or_default(),
            icon_path: raw.icon_path.unwrap_or_default(),
            min_server_version: raw.min_server_version.filter(|text| !text.is_empty()),
            server: raw.server.map(Server::from),
        })
    }

    /// Is this a Python plugin, on this machine? It is if `server.runtime` is exactly `python`, or
    /// if the executable for this platform ends in `.py`, even with another runtime. Both are
    /// case-sensitive.
    pub fn is_python(&self) -> bool {
        let (goos, goarch) = platform();
        self.is_python_on(goos, goarch)
    }

    /// [`is_python`](Self::is_python) for any platform, in Go's names.
    pub fn is_python_on(&self, goos: &str, goarch: &str) -> bool {
        let runtime = self.server.as_ref().and_then(|it| it.runtime.as_deref());
        runtime == Some("python")
            || self
                .executable_for(goos, goarch)
                .is_some_and(|executable| executable.ends_with(".py"))
    }

    /// The executable for this machine, as the manifest writes it; `None` if there is none.
    pub fn executable(&self) -> Option<&str> {
        let (goos, goarch) = platform();
        self.executable_for(goos, goarch)
    }

    /// The executable for a platform in Go's names (`linux`, `amd64`):
    /// `server.executables["linux-amd64"]` if that is not empty, else `server.executable`;
    /// `None` if both are empty or there is no `server` section.
    pub fn executable_for(&self, goos: &str, goarch: &str) -> Option<&str> {
        let server = self.server.as_ref()?;
        let specific = server.executables.get(&format!("{goos}-{goarch}"));
        [specific, Some(&server.executable)]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .find(|executable| !executable.is_empty())
    }
}

/// The id in lower case, if it is a valid one.
fn validated_id(path: &Path, id: &str) -> Result<String, ManifestError> {
    if id.is_empty() {
        return Err(ManifestError::MissingId { path: path.into() });
    }
    let lower = id.to_ascii_lowercase();
    let valid_length = (MIN_ID_LENGTH..=MAX_ID_LENGTH).contains(&lower.len());
    let valid_characters =
        lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if valid_length && valid_characters {
        Ok(lower)
    } else {
        Err(ManifestError::InvalidId {
            path: path.into(),
            id: id.chars().take(MAX_ID_LENGTH + 1).collect(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn yaml(text: &str) -> Manifest {
        Manifest::parse(Path::new("plugin.yml"), text).unwrap()
    }

    fn json(text: &str) -> Manifest {
        Manifest::parse(Path::new("plugin.json"), text).unwrap()
    }

    fn yaml_error(text: &str) -> String {
        Manifest::parse(Path::new("plugin.yml"), text).unwrap_err().to_string()
    }

    fn json_error(text: &str) -> String {
        Manifest::parse(Path::new("plugin.json"), text).unwrap_err().to_string()
    }

    #[test]
    fn s_01_without_a_manifest_there_is_no_python_plugin() {
        let dir = tempfile::tempdir().unwrap();
        let error = Manifest::load(dir.path()).unwrap_err();
        assert!(matches!(error, ManifestError::NotFound { .. }));
        let text = error.to_string();
        for part in ["plugin.yml", "plugin.yaml", "plugin.json"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
    }

    #[test]
    fn s_02_a_plain_executable_is_not_python() {
        assert!(!yaml("id: abc\nserver: {executable: plugin}").is_python());
    }

    #[test]
    fn s_03_a_py_executable_is_python() {
        assert!(yaml("id: abc\nserver: {executable: plugin.py}").is_python());
        assert!(!yaml("id: abc\nserver: {executable: plugin.PY}").is_python());
    }

    #[test]
    fn s_04_runtime_python_is_python_whatever_the_executable() {
        assert!(yaml("id: abc\nserver: {runtime: python, executable: server/plugin}").is_python());
        assert!(!yaml("id: abc\nserver: {runtime: Python, executable: server/plugin}").is_python());
    }

    #[test]
    fn s_05_runtime_go_is_not_python() {
        assert!(!yaml("id: abc\nserver: {runtime: go, executable: server/plugin}").is_python());
        // As upstream: the extension wins over another runtime.
        assert!(yaml("id: abc\nserver: {runtime: go, executable: plugin.py}").is_python());
    }

    #[test]
    fn s_06_a_full_python_section_is_python() {
        let manifest = yaml(
            "id: abc\nserver:\n  runtime: python\n  python_version: 3.10\n  executable: server/main.py\n  \
             python: {dependency_mode: venv, venv_path: server/venv}\n",
        );
        assert!(manifest.is_python());
        let server = manifest.server.unwrap();
        assert_eq!(server.python_version.as_deref(), Some("3.10"));
        let python = server.python.unwrap();
        assert_eq!(python.dependency_mode.as_deref(), Some("venv"));
        assert_eq!(python.venv_path.as_deref(), Some("server/venv"));
        assert_eq!(python.requirements_path, None);
    }

    #[test]
    fn s_07_the_executables_map_is_python_on_its_platforms_only() {
        let manifest = json(
            r#"{"id":"abc","server":{"executables":{"linux-amd64":"plugin.py","darwin-amd64":"plugin.py"}}}"#,
        );
        assert!(manifest.is_python_on("linux", "amd64"));
        assert!(manifest.is_python_on("darwin", "amd64"));
        assert!(!manifest.is_python_on("linux", "arm64"));
        assert_eq!(manifest.executable_for("linux", "arm64"), None);
    }

    #[test]
    fn s_08_without_a_server_section_it_is_not_python() {
        assert!(!yaml("id: abc\nwebapp: {bundle_path: x}").is_python());
        assert!(!yaml("id: abc\nserver:").is_python());
    }

    #[test]
    fn s_09_props_no_longer_count() {
        let manifest = yaml("id: abc\nprops: {runtime: python}\nserver: {executable: main}");
        assert!(!manifest.is_python());
    }

    #[test]
    fn the_platform_executable_wins_unless_it_is_empty() {
        let manifest = yaml(
            "id: abc\nserver:\n  executable: any.py\n  executables: {linux-amd64: special, linux-arm64: '', darwin-arm64: }",
        );
        assert_eq!(manifest.executable_for("linux", "amd64"), Some("special"));
        assert_eq!(manifest.executable_for("linux", "arm64"), Some("any.py"));
        assert_eq!(manifest.executable_for("darwin", "arm64"), Some("any.py"));
    }

    #[test]
    fn the_names_are_tried_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["plugin.json", "plugin.yaml", "plugin.yml"] {
            let id = name.replace('.', "-");
            fs::write(dir.path().join(name), format!("{{\"id\": \"{id}\"}}")).unwrap();
            assert_eq!(Manifest::load(dir.path()).unwrap().id, id);
        }
    }

    #[test]
    fn yaml_numbers_keep_their_spelling() {
        let manifest = yaml("id: abc\nversion: 1.10\nmin_server_version: 9.0\nname: no");
        assert_eq!(manifest.version, "1.10");
        assert_eq!(manifest.min_server_version.as_deref(), Some("9.0"));
        assert_eq!(manifest.name, "no");
    }

    #[test]
    fn fields_that_nobody_reads_may_hold_anything() {
        let manifest = yaml(
            "id: abc\nwebapp: [.inf, &a {b: ~}, *a, !custom 1, !!float 1.0]\nprops: 2026-01-02\nversion: .nan",
        );
        assert_eq!(manifest.version, ".nan");
    }

    #[test]
    fn a_json_number_is_refused_with_the_remedy() {
        let text = json_error(r#"{"id":"abc","version":1.0}"#);
        for part in ["plugin.json", "`version`", "1.0", "quotes"] {
            assert!(text.contains(part), "{text}");
        }
        let text = json_error(r#"{"id":"abc","server":{"executables":{"linux-amd64":7}}}"#);
        assert!(text.contains("`server.executables.linux-amd64`"), "{text}");
    }

    #[test]
    fn wrong_shapes_name_the_field() {
        let text = yaml_error("id: abc\nserver: plugin.py");
        assert!(text.contains("`server`"), "{text}");
        let text = yaml_error("id: abc\nserver: {executable: [a]}");
        assert!(text.contains("`server.executable`"), "{text}");
        let text = yaml_error("- id: abc");
        assert!(text.contains("whole document"), "{text}");
    }

    #[test]
    fn syntax_errors_name_file_line_and_column() {
        let text = yaml_error("id: abc\n  bad: : y\n");
        assert!(text.starts_with("plugin.yml:2:"), "{text}");
        assert_eq!(text.matches("line 2").count(), 0, "{text}");
        let text = json_error("{\"id\":\n\"abc\",}");
        assert!(text.starts_with("plugin.json:2:"), "{text}");
        for text in ["id: abc\nid: abd", "id: abc\n---\nid: abd"] {
            let error = yaml_error(text);
            assert!(!error.contains("Policy"), "{error}");
            assert!(!error.contains("from_str"), "{error}");
        }
    }

    #[test]
    fn ids_are_lower_cased_and_checked() {
        assert_eq!(yaml("id: Com.Example_A-1").id, "com.example_a-1");
        assert!(yaml_error("name: x").contains("`id`"));
        assert!(yaml_error("id: ''").contains("`id`"));
        for id in ["ab", "a/b", "a b", "äbc", "\u{212A}abc", &"a".repeat(191)] {
            let text = yaml_error(&format!("id: \"{id}\""));
            assert!(text.contains("3 to 190"), "{text}");
        }
        assert_eq!(yaml(&format!("id: {}", "a".repeat(190))).id.len(), 190);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_in_both_formats() {
        assert_eq!(yaml("\u{feff}id: abc").id, "abc");
        assert_eq!(json("\u{feff}{\"id\":\"abc\"}").id, "abc");
    }

    #[test]
    fn unreadable_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin.yml");

        fs::create_dir(&path).unwrap();
        let error = Manifest::load(dir.path()).unwrap_err();
        assert!(matches!(error, ManifestError::NotAFile { .. }), "{error}");
        fs::remove_dir(&path).unwrap();

        fs::write(&path, b"id: abc\nname: \xff\n").unwrap();
        let error = Manifest::load(dir.path()).unwrap_err();
        assert!(matches!(error, ManifestError::NotUtf8 { offset: 14, .. }), "{error}");

        fs::write(&path, "#".repeat(file::MAX_MANIFEST_BYTES + 1)).unwrap();
        let error = Manifest::load(dir.path()).unwrap_err();
        assert!(matches!(error, ManifestError::TooLarge { .. }), "{error}");
        assert!(error.to_string().contains("plugin.yml"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            for path in ["plugin.yml", "plugin.json"] {
                if let Err(error) = Manifest::parse(Path::new(path), &text) {
                    prop_assert!(error.to_string().contains(path));
                }
            }
        }
    }
}
