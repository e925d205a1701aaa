//! `list` and `explain`.

use std::process::ExitCode;

use plugin_conformance::conformance::catalogue::{self, Check};

use super::args::{ExplainArguments, ListArguments};
use super::{Failure, out};

pub(super) fn list(arguments: &ListArguments) -> Result<ExitCode, Failure> {
    let wanted = |check: &&Check| arguments.subject.is_none_or(|kind| check.subject == kind);
    let checks: Vec<_> = catalogue::all().iter().filter(wanted).collect();
    if arguments.json {
        out::say(&serde_json::to_string_pretty(&checks)?);
        return Ok(ExitCode::SUCCESS);
    }
    let width = checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
    for check in checks {
        let level = check.level.to_string();
        out::say(&format!("{:<width$}  {level:<11}  {}", check.id, check.title));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn explain(arguments: &ExplainArguments) -> Result<ExitCode, Failure> {
    let check = catalogue::find(&arguments.id)?;
    out::say(&format!("{}: {}\n", check.id, check.title));
    let needs = check.needs.join(", ");
    for (word, text) in [
        ("subject", check.subject.to_string().as_str()),
        ("level", &check.level.to_string()),
        ("where it is broken", check.harm),
        ("from", check.source),
        ("remedy", check.remedy),
        ("needs", &needs),
    ] {
        if !text.is_empty() {
            out::say(&format!("{word:>18}: {text}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
