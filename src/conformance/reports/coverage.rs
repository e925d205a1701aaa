//! What is proven of each RPC, as a table that can be saved and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use plugin_proto::{Method, Service};
use serde::{Deserialize, Serialize};

use super::super::Gate;
use super::super::fixtures::GeneratedApi;
use super::super::subjects::GateError;
use super::super::subjects::kit::Sweep;
use super::finding::{Finding, Status};
use crate::api::{Outcome, RecordedCall};
use crate::embedded::{KvApi, KvStore};

/// Below the folder of snapshots: one file per RPC.
const RPC_SNAPSHOTS: &str = "rpc";
/// Below the folder of snapshots: how many cases the property tests try, a line per RPC.
const PROPERTY_CASES: &str = "property-cases";

/// The coverage of all RPCs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The version of this form.
    pub schema: u32,
    /// One row per RPC, in the order of the .proto file.
    pub rpcs: Vec<RpcCoverage>,
}

/// What is proven of one RPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcCoverage {
    /// The RPC.
    pub rpc: String,
    /// Its topic.
    pub group: String,
    /// How its failures travel.
    pub error_channel: String,
    /// The server has a handler for it.
    pub handler: bool,
    /// Its generated request and response crossed the process boundary byte for byte.
    pub success: bool,
    /// Its generated failure crossed the process boundary whole, on its channel.
    pub failure: bool,
    /// Generated cases that the property tests try, both channels together.
    pub property_cases: u32,
    /// There is a snapshot of its request, response and failure.
    pub snapshot: bool,
    /// The embedded Mattermost implements it.
    pub embedded: bool,
}

/// A saved table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CoverageError {
    /// The file cannot be read.
    #[error("cannot read the saved coverage {}: {source}; write one with `plugin-conformance coverage --json`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is no saved coverage: {source}; write one with `plugin-conformance coverage --json`", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// The file was written by another version of this program.
    #[error("{} has schema {found}, this program reads schema {}; write one with `plugin-conformance coverage --json`", path.display(), super::SCHEMA)]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema that it names.
        found: u32,
    },
    /// The file has two rows of an RPC.
    #[error("{} has two rows of {rpc}; remove one, or write it with `plugin-conformance coverage --json`", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The RPC.
        rpc: String,
    },
}

impl Gate {
    /// Makes both sweeps and looks at the snapshots in `snapshots`.
    ///
    /// # Errors
    /// [`GateError`] when the run cannot be made.
    pub async fn coverage(&self, snapshots: &Path) -> Result<Coverage, GateError> {
        let (answers, recorded) = self.sweep(Sweep::Answers).await?;
        let (failures, _) = self.sweep(Sweep::Failures).await?;
        let passed = |checks: &[Finding]| -> BTreeSet<String> {
            let passed = checks.iter().filter(|check| check.status == Status::Passed);
            passed.filter_map(|check| check.id.split('.').nth(1).map(str::to_owned)).collect()
        };
        let (answers, failures) = (passed(&answers), passed(&failures));
        let cases = property_cases(&snapshots.join(PROPERTY_CASES));
        let embedded = embedded();
        let row = |method: &'static Method| RpcCoverage {
            rpc: method.name.to_owned(),
            group: method.group.to_owned(),
            error_channel: method.error_channel.to_string(),
            handler: recorded.iter().any(|call| call.method == method && is_handled(call)),
            success: answers.contains(method.name),
            failure: failures.contains(method.name),
            property_cases: cases.get(method.name).copied().unwrap_or(0),
            snapshot: snapshots.join(RPC_SNAPSHOTS).join(format!("{}.snap", method.name)).is_file(),
            embedded: embedded.contains(method.name),
        };
        let rpcs = Service::PluginAPI.methods().map(row).collect();
        Ok(Coverage { schema: super::SCHEMA, rpcs })
    }
}

/// The RPCs that the in-memory Mattermost answers by itself.
fn embedded() -> BTreeSet<&'static str> {
    let kv = KvApi::over(&KvStore::default(), "", GeneratedApi::failing());
    kv.rpcs().map(|method| method.name).collect()
}

/// Without a handler the server says so, in words of its own.
fn is_handled(call: &RecordedCall) -> bool {
    let missing = format!("method {} not implemented", call.method.name);
    !matches!(&call.outcome, Outcome::Status(tonic::Code::Unimplemented, text) if *text == missing)
}

/// Lines of RPC and number, of all files in `folder`; none if there is no such folder.
fn property_cases(folder: &Path) -> BTreeMap<String, u32> {
    let mut cases = BTreeMap::new();
    for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        let row = |line: &str| {
            let (rpc, cases) = line.split_once(' ')?;
            Some((rpc.to_owned(), cases.parse().ok()?))
        };
        cases.extend(text.lines().filter_map(row));
    }
    cases
}

impl Coverage {
    /// Reads a table saved as JSON.
    ///
    /// # Errors
    /// [`CoverageError`] names the file.
    pub fn read(path: &Path) -> Result<Self, CoverageError> {
        let text = std::fs::read(path)
            .map_err(|source| CoverageError::Read { path: path.to_owned(), source })?;
        let coverage: Self = serde_json::from_slice(&text)
            .map_err(|source| CoverageError::Parse { path: path.to_owned(), source })?;
        if coverage.schema != super::SCHEMA {
            return Err(CoverageError::Schema { path: path.to_owned(), found: coverage.schema });
        }
        let mut seen = BTreeSet::new();
        match coverage.rpcs.iter().find(|row| !seen.insert(&row.rpc)) {
            Some(row) => Err(CoverageError::Twice { path: path.to_owned(), rpc: row.rpc.clone() }),
            None => Ok(coverage),
        }
    }

    /// The table as JSON, a line per RPC: a lost RPC is a diff of one line.
    pub fn to_json(&self) -> String {
        let rows: Vec<_> =
            self.rpcs.iter().filter_map(|row| serde_json::to_string(row).ok()).collect();
        format!("{{\"schema\":{},\"rpcs\":[\n{}\n]}}\n", self.schema, rows.join(",\n"))
    }

    /// The table as text: aligned columns, a line per RPC, the sums last.
    pub fn to_text(&self) -> String {
        let mut text = format!("{:<42}", "RPC");
        for (title, _) in COLUMNS {
            let _ = write!(text, "{title:>10}");
        }
        for row in &self.rpcs {
            let _ = write!(text, "\n{:<42}", row.rpc);
            for (_, cell) in COLUMNS {
                let _ = write!(text, "{:>10}", cell(row).shown());
            }
        }
        let _ = write!(text, "\n{:<42}", format!("{} RPCs", self.rpcs.len()));
        for (_, cell) in COLUMNS {
            let count = self.rpcs.iter().filter(|row| cell(row).0 > 0).count();
            let _ = write!(text, "{count:>10}");
        }
        text.push('\n');
        text
    }

    /// The table as Markdown.
    pub fn to_markdown(&self) -> String {
        let titles: Vec<_> = COLUMNS.iter().map(|(title, _)| *title).collect();
        let mut text =
            format!("| RPC | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(COLUMNS.len()));
        for row in &self.rpcs {
            let cells: Vec<_> = COLUMNS.iter().map(|(_, cell)| cell(row).shown()).collect();
            let _ = writeln!(text, "| {} | {} |", row.rpc, cells.join(" | "));
        }
        text
    }

    /// What `saved` had and this table has not, in words, one regression a line.
    pub fn regressions(&self, saved: &Self) -> Vec<String> {
        let mut lost = Vec::new();
        for before in &saved.rpcs {
            let Some(now) = self.rpcs.iter().find(|now| now.rpc == before.rpc) else {
                lost.push(format!("{} is gone", before.rpc));
                continue;
            };
            if now.error_channel != before.error_channel {
                let (from, to) = (&before.error_channel, &now.error_channel);
                lost.push(format!("{}: its error channel was {from} and is {to}", now.rpc));
            }
            for (title, cell) in COLUMNS {
                let (had, has) = (cell(before), cell(now));
                if has.0 < had.0 {
                    let (had, has) = (had.shown(), has.shown());
                    lost.push(format!("{} lost \"{title}\": it was {had} and is {has}", now.rpc));
                }
            }
        }
        lost
    }
}

/// A cell: yes and no are 1 and 0.
struct Cell(u32, bool);

impl Cell {
    fn shown(&self) -> String {
        match (self.1, self.0) {
            (true, 0) => "-".to_owned(),
            (true, _) => "yes".to_owned(),
            (false, number) => number.to_string(),
        }
    }
}

type Column = (&'static str, fn(&RpcCoverage) -> Cell);

const COLUMNS: [Column; 6] = [
    ("handler", |row| Cell(row.handler.into(), true)),
    ("success", |row| Cell(row.success.into(), true)),
    ("failure", |row| Cell(row.failure.into(), true)),
    ("cases", |row| Cell(row.property_cases, false)),
    ("snapshot", |row| Cell(row.snapshot.into(), true)),
    ("embedded", |row| Cell(row.embedded.into(), true)),
];
