//! Every check that the kit can make, of every subject: one table each, in a file of its own.
//!
//! A [`Check`] is a row: what must hold, what goes wrong for a user where it does not, where the rule
//! comes from, and how to mend it. The rule itself is a pure function from evidence to a [`Verdict`]
//! and stands with its subject, in [`subjects`](super::subjects); a test compares the two lists.
//!
//! ```
//! use plugin_conformance::conformance::catalogue::{self, Level};
//!
//! let check = catalogue::find("launch.api-first").unwrap();
//! assert_eq!(check.level, Level::Required);
//! let unknown = catalogue::find("launch.api-frist").unwrap_err();
//! assert!(unknown.to_string().contains("did you mean launch.api-first?"));
//! ```

mod kit;
mod plugin;
mod rpcs;
mod sdk;
mod supervisor;
mod verdict;

use std::fmt;
use std::sync::LazyLock;

use plugin_proto::names::suggestion;
use serde::Serialize;

pub use sdk::SdkCheck;
pub use verdict::{Fault, Objection, Verdict};

/// The check that a run with a list of known failures makes besides.
pub const LIST_CHECK: &str = "known-failures";

/// Who is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// The kit's own supervisor and API server.
    Kit,
    /// A supervisor that somebody else wrote.
    Supervisor,
    /// The client of an SDK.
    Sdk,
    /// A plugin's bundle.
    Plugin,
    /// A PluginAPI server that somebody else wrote.
    Server,
}

impl SubjectKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Kit, Self::Supervisor, Self::Sdk, Self::Plugin, Self::Server];
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kit => "kit",
            Self::Supervisor => "supervisor",
            Self::Sdk => "sdk",
            Self::Plugin => "plugin",
            Self::Server => "server",
        })
    }
}

/// How much a broken check weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The contract says so, or data is lost. A broken one fails the run.
    Required,
    /// Good practice that only this kit asks for. A broken one fails the run with `--strict`.
    Recommended,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "required",
            Self::Recommended => "recommended",
        })
    }
}

/// A row of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name, for example `rpc.GetUser.answer` or `stop.sigterm`.
    pub id: &'static str,
    /// Who is judged by it.
    pub subject: SubjectKind,
    /// How much it weighs.
    pub level: Level,
    /// What must hold, in one sentence without a capital and a full stop.
    pub title: &'static str,
    /// What goes wrong for a user where it does not.
    pub harm: &'static str,
    /// Where the rule comes from.
    pub source: &'static str,
    /// How to mend it.
    pub remedy: &'static str,
    /// Checks that must hold before this one says anything: where one of them is broken, a broken
    /// verdict of this one becomes "not observable", so that one fault is named once.
    pub needs: &'static [&'static str],
}

impl Check {
    const fn new(
        subject: SubjectKind,
        level: Level,
        id: &'static str,
        title: &'static str,
    ) -> Self {
        Self { id, subject, level, title, harm: "", source: "", remedy: "", needs: &[] }
    }

    const fn harm(self, harm: &'static str) -> Self {
        Self { harm, ..self }
    }

    const fn source(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    const fn needs(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }

    const fn remedy(self, remedy: &'static str) -> Self {
        Self { remedy, ..self }
    }
}

/// There is no check of this id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no check {id:?}{}; `plugin-conformance list` prints them all",
    suggestion(id, all().iter().map(|check| check.id)))]
pub struct UnknownCheck {
    /// What was asked for.
    pub id: String,
}

/// The whole catalogue, subject by subject, in the order in which the checks are made.
pub fn all() -> &'static [Check] {
    static ALL: LazyLock<Vec<Check>> = LazyLock::new(|| {
        let mut all = rpcs::checks();
        all.extend(kit::CHECKS);
        all.extend(supervisor::CHECKS);
        all.extend(supervisor::rpcs());
        all.extend(plugin::CHECKS);
        all.extend(sdk::checks());
        all
    });
    &ALL
}

/// The checks of one subject.
pub fn of(subject: SubjectKind) -> impl Iterator<Item = &'static Check> {
    all().iter().filter(move |check| check.subject == subject)
}

/// The check of this id.
///
/// # Errors
/// [`UnknownCheck`] suggests the nearest id.
pub fn find(id: &str) -> Result<&'static Check, UnknownCheck> {
    let found = all().iter().find(|check| check.id == id);
    found.ok_or_else(|| UnknownCheck { id: id.to_owned() })
}

/// A text that lives as long as the program; for the rows that are generated once.
fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_every_row_is_whole() {
        let mut ids = BTreeSet::new();
        for check in all() {
            assert!(ids.insert(check.id), "{} stands twice", check.id);
            for text in [check.title, check.harm, check.source, check.remedy] {
                assert!(!text.is_empty(), "{} has an empty column", check.id);
                assert!(!text.ends_with('.'), "{}: {text}", check.id);
            }
            for need in check.needs {
                let need = find(need).unwrap();
                assert_eq!(need.subject, check.subject, "{}", check.id);
            }
        }
    }
}
