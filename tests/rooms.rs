//! The rooms of the sources depend on each other in one direction only, and production code does
//! not know the fake interpreters. ARCHITECTURE.md draws the same order.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A crate and its rooms, from the top down; rooms of one line do not import each other.
struct House {
    sources: &'static str,
    floors: &'static [&'static [&'static str]],
    /// Crates that only these rooms may import.
    guarded: &'static [(&'static str, &'static [&'static str])],
}

const KIT: House = House {
    sources: "src",
    floors: &[
        &["main"],
        &["cli"],
        &["host"],
        &["conformance"],
        &["http_front"],
        &["environment"],
        &["supervisor"],
        &["hooks"],
        &["embedded"],
        &["api"],
        &["error_chain"],
        &["escape", "remedy", "sync"],
    ],
    guarded: &[("fake_interpreters", &["main", "cli", "conformance"])],
};

const FAKES: House = House {
    sources: "fake-interpreters/src",
    floors: &[
        &["bin"],
        &["run", "sdk_driver"],
        &["deeds"],
        &["characters"],
        &["script"],
        &["protocol", "report"],
        &["compare", "wire"],
        &["lock", "say"],
    ],
    guarded: &[],
};

impl House {
    fn floor(&self, room: &str) -> Option<usize> {
        self.floors.iter().position(|floor| floor.contains(&room))
    }

    /// What is wrong with one source file.
    fn problems(&self, file: &str, source: &str) -> Vec<String> {
        let Some(room) = room_of(file) else { return Vec::new() };
        let Some(floor) = self.floor(room) else {
            return vec![format!("{file}: the room `{room}` has no floor in tests/rooms.rs")];
        };
        let code: Vec<_> =
            source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let mut problems = Vec::new();
        for imported in imports(&code) {
            // A name that is no room is an item that lib.rs re-exports: of whichever room, it hides
            // an arrow.
            match self.floor(&imported) {
                _ if imported == room => {}
                Some(below) if below > floor => {}
                Some(_) => problems.push(format!("{file}: `{room}` imports `{imported}` above it")),
                None => problems.push(format!("{file}: `crate::{imported}` is no room")),
            }
        }
        for (guarded, allowed) in self.guarded {
            if code.contains(guarded) && !allowed.contains(&room) {
                problems.push(format!("{file}: `{room}` imports `{guarded}`"));
            }
        }
        problems
    }
}

/// The first part of a path below the sources; none for `lib.rs`, which declares all rooms.
fn room_of(file: &str) -> Option<&str> {
    let room = file.split('/').next().unwrap_or(file).trim_end_matches(".rs");
    (room != "lib").then_some(room)
}

/// The first name after each `crate::`, in braces too.
fn imports(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => names.extend(first_names(list)),
            None => names.extend(name(rest)),
        }
    }
    names
}

fn name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The first names of the entries of a list, up to the brace that closes it.
fn first_names(list: &str) -> BTreeSet<String> {
    let (mut names, mut depth, mut entry) = (BTreeSet::new(), 0, String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.extend(name(std::mem::take(&mut entry).trim())),
            _ if depth == 0 => entry.push(c),
            _ => {}
        }
    }
    names.extend(name(entry.trim()));
    names
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension() == Some("rs".as_ref()) {
            found.push(path);
        }
    }
    found
}

fn all_problems(house: &House) -> Vec<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join(house.sources);
    let problems = files(&sources).into_iter().flat_map(|path| {
        let file = path.strip_prefix(&sources).unwrap().to_str().unwrap().to_owned();
        house.problems(&file, &fs::read_to_string(&path).unwrap())
    });
    problems.collect()
}

#[test]
fn no_room_imports_one_above_it() {
    assert_eq!(all_problems(&KIT), [""; 0]);
    assert_eq!(all_problems(&FAKES), [""; 0]);
}

#[test]
fn an_arrow_upwards_is_found() {
    let up = "use crate::{api::ApiServer, supervisor::{Supervisor, Timeouts}};";
    assert_eq!(
        KIT.problems("hooks/client.rs", up),
        ["hooks/client.rs: `hooks` imports `supervisor` above it"]
    );
    let inline = "fn f() { crate::environment::Keeper::new(); }";
    assert_eq!(KIT.problems("supervisor/driver.rs", inline).len(), 1);
    assert_eq!(KIT.problems("sync.rs", "use crate::remedy::remedy;").len(), 1);
    assert_eq!(FAKES.problems("script/steps.rs", "use crate::deeds::Life;").len(), 1);
    let hidden = "use crate::Report;";
    assert_eq!(FAKES.problems("wire.rs", hidden), ["wire.rs: `crate::Report` is no room"]);
    let unknown = KIT.problems("cellar/mod.rs", "");
    assert_eq!(unknown, ["cellar/mod.rs: the room `cellar` has no floor in tests/rooms.rs"]);
    // Downwards, inside the room, and in comments.
    let fine =
        "/// See [`Environment`](crate::environment::Environment).\nuse crate::{api, hooks};";
    assert_eq!(KIT.problems("supervisor/driver.rs", fine), [""; 0]);
    assert_eq!(KIT.problems("hooks/call.rs", "use crate::hooks::HookCall;"), [""; 0]);
}

#[test]
fn production_that_imports_a_fake_is_found() {
    let fake = "use fake_interpreters::wire;";
    for file in ["api/mod.rs", "hooks/call.rs", "http_front/body.rs", "host/answers.rs"] {
        let found = KIT.problems(file, fake);
        assert!(found[0].ends_with("imports `fake_interpreters`"), "{found:?}");
    }
    assert_eq!(KIT.problems("conformance/gate.rs", fake), [""; 0]);
}
