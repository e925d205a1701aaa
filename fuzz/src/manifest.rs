//! The manifest of a plugin.

use std::path::Path;

use plugin_conformance::supervisor::{Manifest, ManifestError};
use serde_json::Value;

use super::text::{is_unsafe, names_the_file};

/// In each format a text is refused with an error that names the file, or gives a manifest with a
/// valid id.
pub fn check(data: &[u8]) {
    check_with(data, Manifest::parse);
}

/// As [`check`], of another parser.
pub fn check_with(data: &[u8], parse: impl Fn(&Path, &str) -> Result<Manifest, ManifestError>) {
    let text = String::from_utf8_lossy(data);
    let [yml, yaml, json] = ["plugin.yml", "plugin.yaml", "plugin.json"].map(|name| {
        let result = parse(Path::new(name), &text);
        match &result {
            Ok(manifest) => taken(manifest),
            Err(error) => refused(name, &error.to_string()),
        }
        result.ok()
    });
    assert_eq!(yml, yaml, "the name of a YAML file matters");
    if let Some(manifest) = json {
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let value: Value = serde_json::from_str(text).expect("what was taken is JSON");
        let id = value["id"].as_str().map(str::to_ascii_lowercase);
        assert_eq!(id.as_deref(), Some(&*manifest.id), "the id is another than in the file");
    }
}

fn taken(manifest: &Manifest) {
    let id = &manifest.id;
    assert!((3..=190).contains(&id.len()), "an id of {} characters", id.len());
    let known = |it: char| matches!(it, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
    assert!(id.chars().all(known), "an id: {id:?}");
    let executable = manifest.executable_for("plan9", "mips");
    assert!(executable != Some(""), "an empty executable");
    let runtime = manifest.server.as_ref().and_then(|server| server.runtime.as_deref());
    let python = runtime == Some("python") || executable.is_some_and(|it| it.ends_with(".py"));
    assert_eq!(manifest.is_python_on("plan9", "mips"), python, "Python or not: {manifest:?}");
}

fn refused(name: &str, error: &str) {
    let rest = names_the_file(error, name);
    assert!(rest.starts_with(':'), "an error: {error}");
    assert!(!error.contains(is_unsafe), "control characters in an error: {error:?}");
}
