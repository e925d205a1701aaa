//! Known deviations of somebody else's software, by name.
//!
//! The file has the form of a list of [known failures](KnownFailures). It describes software that the
//! reader cannot mend: what it lists may fail, and what passes all the same is a suggestion, not a
//! fault of the list.

use std::path::Path;

use plugin_proto::names::suggestion;

use super::known_failures::{KnownFailures, KnownFailuresError};

/// The profiles that the program has in it: name and text.
pub static PROFILES: &[(&str, &str)] =
    &[("mattermost-go-2026-01", include_str!("../../../profiles/mattermost-go-2026-01.txt"))];

/// Why there is no such profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No name that is known, and no file.
    #[error("there is no profile {name:?} and no file of that name{}; the profiles are: {}",
        suggestion(name, PROFILES.iter().map(|(name, _)| *name)),
        PROFILES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KnownFailuresError),
}

/// The profile of this name, or of this file.
///
/// # Errors
/// [`ProfileError`] names the nearest profile, or the file and the line.
///
/// ```
/// use plugin_conformance::conformance::runner::profile;
///
/// let go = profile("mattermost-go-2026-01").unwrap();
/// assert!(go.find("supervisor.plugin-id").is_some());
/// let unknown = profile("mattermost-go-2026").unwrap_err();
/// assert!(unknown.to_string().contains("did you mean mattermost-go-2026-01?"));
/// ```
pub fn profile(name: &str) -> Result<KnownFailures, ProfileError> {
    if let Some((name, text)) = PROFILES.iter().find(|(known, _)| *known == name) {
        return Ok(KnownFailures::parse(text, Path::new(name))?);
    }
    let path = Path::new(name);
    match path.exists() || name.contains('/') {
        true => Ok(KnownFailures::load(path)?),
        false => Err(ProfileError::Unknown { name: name.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::catalogue;
    use super::*;

    #[test]
    fn every_line_of_a_profile_names_a_check() {
        for (name, _) in PROFILES {
            for line in profile(name).unwrap().lines() {
                let named = catalogue::all().iter().any(|check| line.names(check.id));
                assert!(named, "{name}:{}: {}", line.line, line.pattern);
            }
        }
    }
}
