//! Runs a property until it breaks.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::Corpus;
use super::mutation::mutations;

/// Mutations of the corpus for each property, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 500;
/// Where an input is cut in what is printed, in bytes.
const SHOWN: usize = 400;

/// Bytes of which a property does not hold.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What the property said.
    pub(crate) said: String,
    /// A file of the corpus, or how to find the mutation again.
    found: String,
    input: Vec<u8>,
}

/// Fails with the least input that breaks the property.
pub(crate) fn assert_holds(property: &str, check: impl Fn(&[u8])) {
    if let Some(fault) = search(property, 500, check) {
        panic!("the property {property} does not hold: {fault}");
    }
}

/// The first fault: in the corpus, else among mutations of it, made smaller in at most `shrink`
/// steps.
pub(crate) fn search(property: &str, shrink: u32, check: impl Fn(&[u8])) -> Option<Fault> {
    let corpus = Corpus::of(property);
    for (file, input) in corpus.files() {
        if let Err(said) = run(&check, input) {
            return Some(Fault { said, found: file.clone(), input: input.clone() });
        }
    }
    let seed = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(0);
    let mut config = Config {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: shrink,
        max_shrink_time: 20_000,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let cases = config.cases;
    let result = TestRunner::new(config)
        .run(&mutations(&corpus), |input| run(&check, &input).map_err(TestCaseError::fail));
    let (said, input) = match result {
        Ok(()) => return None,
        Err(TestError::Fail(said, input)) => (said.message().to_owned(), input),
        Err(TestError::Abort(reason)) => (reason.message().to_owned(), Vec::new()),
    };
    let found = format!(
        "PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} cargo test --test fuzz_properties {property}"
    );
    Some(Fault { said, found, input })
}

/// Runs the property once; what it says when it panics.
fn run(check: &impl Fn(&[u8]), input: &[u8]) -> Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(|| check(input)));
    result.map_err(|panic| match panic.downcast::<String>() {
        Ok(said) => *said,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "a panic".into(), |it| (*it).into()),
    })
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { said, found, input } = self;
        let shown = &input[..input.len().min(SHOWN)];
        let more = if shown.len() < input.len() { "…" } else { "" };
        let (length, shown) = (input.len(), shown.escape_ascii());
        write!(f, "{said}\nagain: {found}\nthe input, {length} bytes: \"{shown}\"{more}")
    }
}
