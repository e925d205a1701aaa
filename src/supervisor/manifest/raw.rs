//! The manifest as it is written: every field optional, YAML or JSON.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ManifestError, PythonOptions, Server};

/// Fields that hold a text, by JSON pointer.
const TEXTS: [&str; 15] = [
    "/id",
    "/name",
    "/version",
    "/description",
    "/homepage_url",
    "/support_url",
    "/release_notes_url",
    "/icon_path",
    "/min_server_version",
    "/server/runtime",
    "/server/executable",
    "/server/python_version",
    "/server/python/dependency_mode",
    "/server/python/venv_path",
    "/server/python/requirements_path",
];

/// Fields that hold a mapping, by JSON pointer.
const MAPPINGS: [&str; 4] = ["", "/server", "/server/executables", "/server/python"];

#[derive(Deserialize)]
pub(super) struct RawManifest {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) description: Option<String>,
    pub(super) homepage_url: Option<String>,
    pub(super) support_url: Option<String>,
    pub(super) release_notes_url: Option<String>,
    pub(super) icon_path: Option<String>,
    pub(super) min_server_version: Option<String>,
    pub(super) server: Option<RawServer>,
}

#[derive(Deserialize)]
pub(super) struct RawServer {
    runtime: Option<String>,
    executable: Option<String>,
    executables: Option<BTreeMap<String, Option<String>>>,
    python_version: Option<String>,
    python: Option<RawPython>,
}

#[derive(Deserialize)]
struct RawPython {
    dependency_mode: Option<String>,
    venv_path: Option<String>,
    requirements_path: Option<String>,
}

impl RawManifest {
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ManifestError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let format = Format::of(path);
        format.parse(text).map_err(|failure| {
            // A document that parses in itself has a field of the wrong type: better to name it.
            let document = format.parse::<Value>(text).ok();
            let wrong = document.and_then(|document| WrongField::find(&document, format));
            match wrong {
                Some(wrong) => wrong.in_file(path),
                None => failure.in_file(path),
            }
        })
    }
}

impl From<RawServer> for Server {
    fn from(raw: RawServer) -> Self {
        let executables = raw.executables.unwrap_or_default();
        Self {
            runtime: raw.runtime.filter(|text| !text.is_empty()),
            executable: raw.executable.unwrap_or_default(),
            executables: executables
                .into_iter()
                .map(|(platform, executable)| (platform, executable.unwrap_or_default()))
                .collect(),
            python_version: raw.python_version,
            python: raw.python.map(|python| PythonOptions {
                dependency_mode: python.dependency_mode,
                venv_path: python.venv_path,
                requirements_path: python.requirements_path,
            }),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Yaml,
    Json,
}

impl Format {
    fn of(path: &Path) -> Self {
        if path.extension().is_some_and(|it| it == "json") { Self::Json } else { Self::Yaml }
    }

    fn parse<T: DeserializeOwned>(self, text: &str) -> Result<T, Failure> {
        match self {
            Self::Json => serde_json::from_str(text).map_err(Failure::from),
            Self::Yaml => {
                let options = serde_saphyr::options! {
                    with_snippet: false,
                    // Even in a field that nobody reads `.inf` would be refused by default.
                    non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
                };
                serde_saphyr::from_str_with_options(text, options).map_err(Failure::from)
            }
        }
    }
}

/// A parser's refusal; line and column from 1, 0 if unknown.
struct Failure {
    line: u64,
    column: u64,
    reason: String,
}

impl Failure {
    fn new(line: u64, column: u64, message: &str) -> Self {
        // The parsers end their messages with the place, which we write in front.
        let reason = message.split_once(" at line ").map_or(message, |(it, _)| it);
        Self { line, column, reason: reason.to_owned() }
    }

    fn in_file(self, path: &Path) -> ManifestError {
        ManifestError::Syntax {
            path: path.into(),
            line: self.line,
            column: self.column,
            reason: self.reason,
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(error.line() as u64, error.column() as u64, &error.to_string())
    }
}

impl From<serde_saphyr::Error> for Failure {
    fn from(error: serde_saphyr::Error) -> Self {
        let (line, column) =
            error.location().map_or((0, 0), |place| (place.line(), place.column()));
        let message = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        Self::new(line, column, &message)
    }
}

/// The first field that does not hold what it should.
struct WrongField {
    pointer: String,
    expected: &'static str,
    found: String,
}

impl WrongField {
    fn find(document: &Value, format: Format) -> Option<Self> {
        let wrong = |pointer: String, expected, found: &Value| Self {
            pointer,
            expected,
            found: describe(found),
        };
        let is_text = |value: &Value| match value {
            Value::Null | Value::String(_) => true,
            Value::Bool(_) | Value::Number(_) => format == Format::Yaml,
            Value::Array(_) | Value::Object(_) => false,
        };
        for pointer in MAPPINGS {
            if let Some(value) = document.pointer(pointer)
                && !(value.is_object() || value.is_null() && !pointer.is_empty())
            {
                return Some(wrong(pointer.to_owned(), "a mapping", value));
            }
        }
        for pointer in TEXTS {
            if let Some(value) = document.pointer(pointer)
                && !is_text(value)
            {
                return Some(wrong(pointer.to_owned(), "a text", value));
            }
        }
        let executables = document.pointer("/server/executables")?.as_object()?;
        executables
            .iter()
            .find(|(_, value)| !is_text(value))
            .map(|(key, value)| wrong(format!("/server/executables/{key}"), "a text", value))
    }

    fn in_file(self, path: &Path) -> ManifestError {
        let field = match self.pointer.strip_prefix('/') {
            Some(pointer) => format!("`{}`", pointer.replace('/', ".")),
            None => "the whole document".to_owned(),
        };
        ManifestError::WrongType {
            path: path.into(),
            field,
            expected: self.expected,
            found: self.found,
        }
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("the truth value {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}
