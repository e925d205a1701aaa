//! Whether the server is new enough for a plugin.

use semver::Version;

use super::EnvironmentError;
use crate::supervisor::Manifest;

/// Compares the manifest's `min_server_version` with the server's version, both
/// `MAJOR.MINOR.PATCH`. A manifest without one fits any server.
pub(super) fn check(manifest: &Manifest, server: &str) -> Result<(), EnvironmentError> {
    let Some(needed) = &manifest.min_server_version else { return Ok(()) };
    if parse("the server's version", server)? < parse("min_server_version", needed)? {
        return Err(EnvironmentError::ServerTooOld {
            plugin_id: manifest.id.clone(),
            needed: needed.clone(),
            server: server.to_owned(),
        });
    }
    Ok(())
}

fn parse(field: &'static str, version: &str) -> Result<Version, EnvironmentError> {
    Version::parse(version).map_err(|error| EnvironmentError::BadVersion {
        field,
        version: version.to_owned(),
        reason: error.to_string(),
    })
}
