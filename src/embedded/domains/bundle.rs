//! The manifest in a plugin's archive. Nothing is unpacked onto the disk.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::super::refusal::invalid;
use crate::api::AppError;

/// In the order in which they are looked for.
const NAMES: [&str; 3] = ["plugin.yml", "plugin.yaml", "plugin.json"];
/// An archive may hold so much, unpacked.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
const MIN_ID_CHARACTERS: usize = 3;
const MAX_ID_CHARACTERS: usize = 190;

/// The manifest in a `tar.gz`, at its top or in its only top folder. Blocks.
pub(super) fn manifest(archive: &[u8]) -> Result<Value, AppError> {
    let unreadable = |error: std::io::Error| {
        let message = "Encountered error extracting plugin.";
        invalid("app.plugin.extract.app_error", message).detail(error.to_string())
    };
    let unpacked = GzDecoder::new(archive).take(MAX_UNPACKED_BYTES);
    let mut found: Option<(usize, String, String)> = None;
    for entry in tar::Archive::new(unpacked).entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.to_string_lossy().into_owned();
        let path = path.trim_start_matches("./").to_owned();
        let depth = path.matches('/').count();
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let nearer = found.as_ref().is_none_or(|(at, best, _)| {
            let rank = |name: &str| NAMES.iter().position(|it| *it == name);
            (depth, rank(&name)) < (*at, rank(best))
        });
        if depth <= 1 && NAMES.contains(&name.as_str()) && nearer {
            let mut text = String::new();
            entry.take(MAX_MANIFEST_BYTES).read_to_string(&mut text).map_err(unreadable)?;
            found = Some((depth, name, text));
        }
    }
    let no_manifest = |detail: String| {
        let message = "Unable to find manifest for extracted plugin.";
        invalid("app.plugin.manifest.app_error", message).detail(detail)
    };
    let Some((_, name, text)) = found else {
        return Err(no_manifest("the archive has no plugin.json".to_owned()));
    };
    let parsed: Result<Value, String> = match name.as_str() {
        "plugin.json" => serde_json::from_str(&text).map_err(|error| error.to_string()),
        _ => serde_saphyr::from_str(&text).map_err(|error| error.to_string()),
    };
    let manifest = parsed.map_err(|error| no_manifest(format!("{name}: {error}")))?;
    if !manifest.is_object() {
        return Err(no_manifest(format!("{name} is no object")));
    }
    if !is_plugin_id(manifest["id"].as_str().unwrap_or_default()) {
        let message = "Plugin Id must be 3 to 190 letters, digits, dots, hyphens or underscores.";
        return Err(invalid("app.plugin.invalid_id.app_error", message));
    }
    Ok(manifest)
}

fn is_plugin_id(id: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    (MIN_ID_CHARACTERS..=MAX_ID_CHARACTERS).contains(&id.len()) && id.bytes().all(allowed)
}
