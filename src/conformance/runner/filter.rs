//! Which checks of a run are made.

use std::fmt;

use plugin_proto::names::suggestion;

use super::super::catalogue::{Check, SubjectKind, of};

/// A choice of checks: ids and patterns, separated by commas. `*` stands for any characters, and `!`
/// before a pattern takes away. Without a pattern that adds, everything is there to take away from.
///
/// ```
/// use plugin_conformance::conformance::runner::Filter;
///
/// let filter = Filter::parse("launch.*,stop.sigterm,!launch.unix-socket").unwrap();
/// assert!(filter.selects("launch.target") && filter.selects("stop.sigterm"));
/// assert!(!filter.selects("launch.unix-socket") && !filter.selects("http.echo"));
/// assert!(Filter::parse("!http.*").unwrap().selects("launch.target"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    with: Vec<String>,
    without: Vec<String>,
}

/// Why a text is no choice of checks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A part of it is no pattern.
    #[error(
        "{0:?} is no pattern for checks; write ids of letters, digits and .-_*, separated by commas, \
         with ! before those to leave out"
    )]
    Pattern(String),
    /// It fits no check of the subject.
    #[error(
        "no check of the {subject} is called {pattern}{suggestion}; `plugin-conformance list --subject {subject}` prints them all"
    )]
    NoCheck {
        /// The pattern.
        pattern: String,
        /// Who is judged.
        subject: SubjectKind,
        /// The nearest id, as an addition to the sentence.
        suggestion: String,
    },
    /// It leaves nothing.
    #[error("the filter leaves no check to be made; take a pattern with ! away")]
    Nothing,
}

impl Filter {
    /// Reads a choice.
    ///
    /// # Errors
    /// [`FilterError`] names the part that is no pattern.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        for part in text.split(',').map(str::trim) {
            let (into, pattern) = match part.strip_prefix('!') {
                Some(pattern) => (&mut filter.without, pattern.trim()),
                None => (&mut filter.with, part),
            };
            let fits = |it: char| it.is_ascii_alphanumeric() || ".-_*".contains(it);
            if pattern.is_empty() || !pattern.chars().all(fits) {
                return Err(FilterError::Pattern(part.to_owned()));
            }
            into.push(pattern.to_owned());
        }
        Ok(filter)
    }

    /// Whether the check of this id is made.
    pub fn selects(&self, id: &str) -> bool {
        let fits = |pattern: &String| fits(pattern, id);
        (self.with.is_empty() || self.with.iter().any(fits)) && !self.without.iter().any(fits)
    }

    /// Whether each pattern fits a check of this subject, and something is left to be made.
    ///
    /// # Errors
    /// [`FilterError`] names the pattern that fits none.
    pub fn fits(&self, subject: SubjectKind) -> Result<(), FilterError> {
        for pattern in self.with.iter().chain(&self.without) {
            if !of(subject).any(|check| fits(pattern, check.id)) {
                let suggestion = suggestion(pattern, of(subject).map(|check: &Check| check.id));
                let pattern = pattern.clone();
                return Err(FilterError::NoCheck { pattern, subject, suggestion });
            }
        }
        match of(subject).any(|check| self.selects(check.id)) {
            true => Ok(()),
            false => Err(FilterError::Nothing),
        }
    }
}

/// As it can be read again.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without = self.without.iter().map(|pattern| format!("!{pattern}"));
        f.write_str(&self.with.iter().cloned().chain(without).collect::<Vec<_>>().join(","))
    }
}

/// Whether a pattern, in which `*` stands for any characters, fits an id.
pub(super) fn fits(pattern: &str, id: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = id.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_or_fits_nothing_is_named() {
        for text in ["", "a,,b", "!", "a b", "a;b"] {
            let error = Filter::parse(text).unwrap_err();
            assert!(matches!(error, FilterError::Pattern(_)), "{text}");
        }
        let error = |text: &str| Filter::parse(text).unwrap().fits(SubjectKind::Kit).unwrap_err();
        assert!(error("launch.traget").to_string().contains("did you mean launch.target?"));
        assert!(error("plugin.*").to_string().contains("no check of the kit"));
        assert_eq!(error("launch.target,!launch.*"), FilterError::Nothing);
        assert_eq!(Filter::parse("rpc.*,!rpc.Get*").unwrap().fits(SubjectKind::Kit), Ok(()));
        assert_eq!(Filter::parse(" a , !b ").unwrap().to_string(), "a,!b");
    }
}
