//! Runs properties, one RPC after the other, and keeps the faults that they find.

use std::cell::Cell;
use std::collections::BTreeMap;

use plugin_proto::Method;
use plugin_proto::prost_reflect::DynamicMessage;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use prost::Message as _;

/// Cases for each RPC and property, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 64;
/// After so many faults no more are looked for: to shrink a case takes its time.
const ENOUGH: usize = 8;
/// Where a failure is cut in what is printed.
const SHOWN: usize = 600;

/// The test binary's name, for the command that runs it again.
fn module_of_test() -> String {
    let program = std::env::current_exe().unwrap();
    let name = program.file_stem().unwrap().to_string_lossy().into_owned();
    name.rsplit_once('-').map_or(name.clone(), |(name, _)| name.to_owned())
}

/// A runner for one property of one RPC, with random numbers of its own.
pub fn runner(property: &str, method: &Method, share: u32) -> TestRunner {
    let seed = super::hash(&format!("{property} {}", method.name)) ^ seed();
    let mut config = fixed(seed);
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    config.cases = config.cases.div_ceil(share);
    TestRunner::new(config)
}

/// The same random numbers in each run.
pub fn fixed(seed: u64) -> Config {
    Config {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 500,
        max_shrink_time: 20_000,
        ..Config::default()
    }
}

pub fn seed() -> u64 {
    std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// Faults found, a line for each RPC, and how many cases each RPC has held.
#[derive(Default)]
pub struct Faults(pub Vec<String>, pub BTreeMap<&'static str, Cell<u32>>);

impl Faults {
    /// Runs a property of one RPC; `test` tells the fault.
    pub fn run<S: Strategy>(
        &mut self,
        (property, method, share): (&str, &'static Method, u32),
        strategy: S,
        test: impl Fn(&S::Value) -> Option<String>,
        shown: impl Fn(&S::Value) -> String,
    ) {
        if self.0.len() == ENOUGH {
            return;
        }
        let mut runner = runner(property, method, share);
        let cases = runner.config().cases * share;
        let held = &*self.1.entry(method.name).or_default();
        let result = runner.run(&strategy, |case| match test(&case) {
            Some(fault) => Err(TestCaseError::fail(fault)),
            None => {
                held.set(held.get() + 1);
                Ok(())
            }
        });
        let (fault, least) = match result {
            Ok(()) => return,
            Err(TestError::Fail(fault, least)) => (fault.message().to_owned(), shown(&least)),
            Err(TestError::Abort(reason)) => (reason.message().to_owned(), String::new()),
        };
        let seed = seed();
        self.0.push(format!(
            "{}: {property}: {}; again: PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} \
             cargo test --test {}; least case: {}",
            method.name,
            cut(&fault),
            module_of_test(),
            cut(&least)
        ));
    }

    pub fn assert_none(self) {
        let Self(faults, _) = self;
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    }
}

pub fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

pub fn hex(message: &DynamicMessage) -> String {
    hex::encode(message.encode_to_vec())
}
