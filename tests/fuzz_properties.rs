//! The properties of the fuzz targets (`fuzz/src`), in the ordinary suite: over the committed corpus
//! first, then over mutations of it. `docs/fuzzing.md` tells the rest.
//!
//! Every property has its own random numbers, the same ones in each run: `PROPTEST_RNG_SEED` gives
//! others, `PROPTEST_CASES` gives more cases.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fuzz;
#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, unreachable_pub)]
mod properties;

use std::collections::BTreeSet;
use std::fs;

use fuzz::{Corpus, assert_holds};
use properties::PROPERTIES;

/// Files of a corpus are to be read by people.
const LARGEST_SEED: usize = 4 * 1024;

macro_rules! hold {
    ($($property:ident)*) => {
        const TESTED: &[&str] = &[$(stringify!($property)),*];

        $(
            #[test]
            fn $property() {
                assert_holds(stringify!($property), properties::$property::check);
            }
        )*
    };
}

hold! {
    coverage handshake interpreter_script known_failures manifest messages mocks report script_path
    serve_http status stderr
}

#[test]
fn every_property_has_a_test_a_target_and_a_corpus() {
    let names: Vec<_> = PROPERTIES.iter().map(|property| property.name).collect();
    assert_eq!(TESTED, names);
    let folder = fuzz::folder();
    let listed = |folder| -> BTreeSet<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(folder).unwrap().map(name);
        names.map(|name| name.into_string().unwrap()).collect()
    };
    let named = |end: &str| names.iter().map(|name| format!("{name}{end}")).collect();
    let targets: BTreeSet<_> = named(".rs");
    assert_eq!(listed(folder.join("fuzz_targets")), targets);
    assert_eq!(listed(folder.join("corpus")), named(""));
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for target in targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}\"")), "{target}");
    }
}

#[test]
fn the_corpus_is_text_and_small() {
    for property in PROPERTIES {
        for (file, bytes) in Corpus::of(property.name).files() {
            assert!(bytes.len() <= LARGEST_SEED, "{file} has {} bytes", bytes.len());
            assert!(str::from_utf8(bytes).is_ok(), "{file} is no text");
        }
    }
}
