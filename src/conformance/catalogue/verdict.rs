//! What a rule says of the evidence.

use std::fmt;

use serde::Serialize;

/// What a rule says: it holds, with a remark that is often empty, or an objection.
pub type Verdict = Result<String, Objection>;

/// Why a rule cannot be said to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// The rule is broken.
    Broken(Fault),
    /// The evidence says nothing about the rule; why.
    NotObservable(String),
}

/// How a rule is broken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// In words.
    pub detail: String,
    /// The field, variable or value that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
}

impl Fault {
    /// A fault in words.
    pub fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::default() }
    }

    /// A value that is another one than it should be.
    pub fn differs(
        field: impl Into<String>,
        expected: &dyn fmt::Debug,
        actual: &dyn fmt::Debug,
    ) -> Self {
        let (field, expected, actual) =
            (field.into(), format!("{expected:?}"), format!("{actual:?}"));
        Self {
            detail: format!("{field}: {actual}, not {expected}"),
            field: Some(field),
            expected: Some(expected),
            actual: Some(actual),
        }
    }
}

/// A fault in words; those of a comparison (`field: expected A, got B`) are taken apart.
impl From<String> for Fault {
    fn from(detail: String) -> Self {
        let parts = detail.split_once(": expected ").and_then(|(field, rest)| {
            let (expected, actual) = rest.split_once(", got ")?;
            Some((field.to_owned(), expected.to_owned(), actual.to_owned()))
        });
        let Some((field, expected, actual)) = parts else { return Self::new(detail) };
        let (field, expected, actual) = (Some(field), Some(expected), Some(actual));
        Self { detail, field, expected, actual }
    }
}

/// In words.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl Objection {
    /// That there is nothing to look at, and why.
    pub fn not_observable(why: impl Into<String>) -> Self {
        Self::NotObservable(why.into())
    }
}

impl From<Fault> for Objection {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

/// A rule that is broken, in words.
impl From<String> for Objection {
    fn from(detail: String) -> Self {
        Self::Broken(detail.into())
    }
}

/// A rule that is broken, in words.
impl From<&str> for Objection {
    fn from(detail: &str) -> Self {
        detail.to_owned().into()
    }
}

/// In words.
impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(fault) => fault.fmt(f),
            Self::NotObservable(why) => f.write_str(why),
        }
    }
}
