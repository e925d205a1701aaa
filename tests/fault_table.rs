//! docs/faults.md says of each fault which test proves that it is survived: those tests exist.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of a row of a Markdown table; `None` for all other lines, heads and rules of tables too.
fn row(line: &str) -> Option<Vec<&str>> {
    let cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect::<Vec<_>>();
    (cells.last() != Some(&"Proof")).then_some(cells)
}

/// `tests/file.rs::name` in backquotes: file and name.
fn proofs(cell: &str) -> Vec<(&str, &str)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.map(|proof| proof.split_once("::").expect("a file and a test")).collect()
}

/// Whether a source has a function of this name with an attribute that makes it a test.
fn has_test(source: &str, name: &str) -> bool {
    let Some(at) = source.find(&format!("fn {name}()")) else { return false };
    let start = source[..at].rfind('\n').unwrap_or(0);
    let mut attributes =
        source[..start].lines().rev().map(str::trim).take_while(|line| line.starts_with("#["));
    attributes.any(|line| line == "#[test]" || line.starts_with("#[tokio::test"))
}

/// What is wrong with a table of faults; the sources are read with `read`.
fn problems(text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for cells in text.lines().filter_map(row) {
        let proofs = cells.last().map(|cell| proofs(cell)).unwrap_or_default();
        if proofs.is_empty() {
            problems.push(format!("no test proves: {}", cells.join(" | ")));
        }
        for (file, name) in proofs {
            match read(file) {
                None => problems.push(format!("there is no file {file}")),
                Some(source) if !has_test(&source, name) => {
                    problems.push(format!("there is no test {name} in {file}"));
                }
                Some(_) => {}
            }
        }
    }
    problems
}

#[test]
fn every_fault_has_tests_that_exist() {
    let text = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let rows = text.lines().filter_map(row).count();
    assert!(rows > 70, "only {rows} rows were understood");
    let problems = problems(&text, |file| fs::read_to_string(root().join(file)).ok());
    assert!(problems.is_empty(), "docs/faults.md:\n{}", problems.join("\n"));
}

/// Each of the files of tests made for faults stands there with all that it has.
#[test]
fn every_test_of_faults_stands_in_the_table() {
    let text = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    for file in ["tests/fault_process.rs", "tests/fault_machine.rs", "tests/api_faults.rs"] {
        let source = fs::read_to_string(root().join(file)).unwrap();
        let names = source.lines().filter_map(|line| {
            line.strip_prefix("async fn ").and_then(|rest| rest.split_once("()")).map(|it| it.0)
        });
        for name in names.filter(|name| has_test(&source, name)) {
            let proof = format!("`{file}::{name}`");
            assert!(text.contains(&proof), "docs/faults.md does not name {proof}");
        }
    }
}

#[test]
fn a_table_that_has_lost_a_test_is_found() {
    let sources = BTreeMap::from([
        ("tests/a.rs", "#[tokio::test(flavor = \"x\")]\n#[cfg(unix)]\nasync fn proof() {}\n"),
        ("tests/b.rs", "fn helper() {}\n"),
    ]);
    let read = |file: &str| sources.get(file).map(|source| (*source).to_owned());
    let of =
        |cell: &str| problems(&format!("| Fault | Proof |\n|---|---|\n| x | {cell} |\n"), read);
    assert_eq!(of("`tests/a.rs::proof`"), [""; 0]);
    assert_eq!(of("–"), ["no test proves: x | –"]);
    assert_eq!(of("`tests/c.rs::proof`"), ["there is no file tests/c.rs"]);
    assert_eq!(of("`tests/a.rs::gone`"), ["there is no test gone in tests/a.rs"]);
    assert_eq!(of("`tests/b.rs::helper`"), ["there is no test helper in tests/b.rs"]);
    assert_eq!(of("`tests/a.rs::proof` `tests/a.rs::pro`").len(), 1);
}

/// The lint in clippy.toml refuses the wall clock wherever it is not allowed by name; here is where it
/// is. Whatever waits, counts or measures takes `Instant`.
#[test]
fn the_wall_clock_is_read_for_dates_only() {
    let mut readers = BTreeSet::new();
    for folder in ["src", "proto/src", "fake-interpreters/src"] {
        look(&root().join(folder), &mut readers);
    }
    let allowed =
        ["src/embedded/clock.rs", "src/host/trace.rs", "src/supervisor/process/marker.rs"];
    assert_eq!(readers, BTreeSet::from(allowed.map(str::to_owned)));
    let lint = fs::read_to_string(root().join("clippy.toml")).unwrap();
    assert!(lint.contains("\"std::time::SystemTime::now\""), "{lint}");
}

/// The sources below a folder in which the wall clock is read.
fn look(folder: &Path, readers: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            look(&path, readers);
        } else if path.extension() == Some("rs".as_ref()) {
            let source = fs::read_to_string(&path).unwrap();
            if source.contains("SystemTime::now") || source.contains("SystemTime::elapsed") {
                let path = path.strip_prefix(root()).unwrap();
                readers.insert(path.to_str().unwrap().to_owned());
            }
        }
    }
}
