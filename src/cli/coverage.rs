//! `coverage`.

use std::process::ExitCode;

use plugin_conformance::conformance::{Coverage, Gate, Interpreter};

use super::args::CoverageArguments;
use super::{Failure, out};

pub(super) async fn coverage(arguments: &CoverageArguments) -> Result<ExitCode, Failure> {
    // Before the run: an invalid file is reported at once.
    let saved = arguments.check.as_deref().map(Coverage::read).transpose()?;
    if !arguments.snapshots.is_dir() {
        let folder = arguments.snapshots.display();
        return Err(format!(
            "there is no folder {folder}; name the one with the snapshots by --snapshots DIR"
        )
        .into());
    }
    let gate = Gate::new(Interpreter::Link(super::interpreter()?));
    let coverage = gate.coverage(&arguments.snapshots).await?;
    let Some(saved) = saved else {
        let table = match (arguments.json, arguments.markdown) {
            (true, _) => coverage.to_json(),
            (_, true) => coverage.to_markdown(),
            _ => coverage.to_text(),
        };
        out::print(&table);
        return Ok(ExitCode::SUCCESS);
    };
    let lost = coverage.regressions(&saved);
    for line in &lost {
        out::say(line);
    }
    let new = coverage.rpcs.len().saturating_sub(saved.rpcs.len());
    out::say(&format!(
        "{} RPCs, {new} of them new; {} regressions",
        coverage.rpcs.len(),
        lost.len()
    ));
    Ok(match lost.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
