//! Cases per second of the property suite: a request and an answer are generated, cross the process
//! boundary, and are compared. The baseline is as many calls of the same RPC over the same way,
//! with fixed bytes that nobody generates or compares. The ratio says what a case costs beside its
//! call.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/arbitrary/mod.rs"]
mod arbitrary;
mod common;
#[path = "../tests/arbitrary/driver.rs"]
mod driver;

use std::time::{Duration, Instant};

use arbitrary::{Answer, Case, Messages, Scripted, fault, fixed};
use bytes::Bytes;
use common::{Figure, runtime};
use criterion::{Criterion, Throughput};
use driver::Interpreter;
use fake_interpreters::sample;
use plugin_conformance::api::{ApiServer, Listen};
use plugin_proto::{Method, Service};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use prost::Message as _;
use tokio::runtime::Runtime;

const ROUNDS: usize = 12;
const CASES: usize = 500;
/// Metadata that the interpreter takes, in bytes: as the suite has it, no failure is too large.
const ROOM: u32 = 2 << 20;
/// No call takes as long.
const LIMIT: Duration = Duration::from_secs(10);
/// One with a small message, and one with a large one.
const RPCS: [&str; 2] = ["KVGet", "CreatePost"];

/// An API server here, a fake interpreter there, and what is generated.
struct Suite {
    interpreter: Interpreter,
    scripted: Scripted,
    _server: ApiServer,
    runner: TestRunner,
}

impl Suite {
    fn new(runtime: &Runtime) -> Self {
        let scripted = Scripted::default();
        let server = ApiServer::builder(scripted.api()).listen(Listen::PrivateUnix);
        let server = server.max_error_bytes(ROOM as usize);
        let server = runtime.block_on(server.start()).unwrap();
        let interpreter = Interpreter::start(runtime, server.target(), ROOM);
        Self { interpreter, scripted, _server: server, runner: TestRunner::new(fixed(1)) }
    }

    /// Generated answers cross.
    fn cases(&mut self, method: &'static Method, count: usize) {
        let request = Messages::of(method.request_descriptor());
        let response = Messages::of(method.response_descriptor()).without(&["error"]);
        for _ in 0..count {
            let request = request.new_tree(&mut self.runner).unwrap().current();
            let answer = response.new_tree(&mut self.runner).unwrap().current();
            let case = Case { request, answer: Answer::Response(answer) };
            self.scripted.answer(method, case.answer.of_implementation());
            let sent = case.request.encode_to_vec().into();
            let result = self.interpreter.call(method, sent, LIMIT);
            let fault = fault(method, &case, &self.scripted.arrived(method), &result);
            assert_eq!(fault, None, "{}", method.name);
        }
    }

    /// The same bytes cross again and again.
    fn calls(&mut self, method: &'static Method, count: usize) {
        let (request, answer) = (sample::request(method), sample::response(method));
        self.scripted.answer(method, Ok(answer));
        for _ in 0..count {
            let result = self.interpreter.call(method, Bytes::clone(&request), LIMIT);
            assert!(result.is_ok(), "{}", method.name);
        }
        self.scripted.arrived(method);
    }
}

fn method(name: &str) -> &'static Method {
    Method::by_name(Service::PluginAPI, name).unwrap()
}

/// How many per second.
fn speed(count: usize, work: impl FnOnce(usize)) -> f64 {
    let start = Instant::now();
    work(count);
    count as f64 / start.elapsed().as_secs_f64()
}

fn compare(suite: &mut Suite) {
    for name in RPCS {
        let method = method(name);
        let mut results = [vec![], vec![]];
        for round in 0..ROUNDS {
            for turn in [round % 2, (round + 1) % 2] {
                results[turn].push(match turn {
                    0 => speed(CASES, |count| suite.cases(method, count)),
                    _ => speed(CASES, |count| suite.calls(method, count)),
                });
            }
        }
        let [cases, calls] = &results;
        let what = format!("properties/{name}");
        Figure::ratio(&what, "a second", cases, ("fixed bytes", calls)).tell();
        Figure::value(&format!("{what}, cases"), "a second", cases).tell();
    }
}

fn main() {
    let runtime = runtime();
    let mut suite = Suite::new(&runtime);
    if common::is_bench() {
        // What is made at the first call is made now.
        RPCS.iter().for_each(|name| suite.cases(method(name), 50));
        compare(&mut suite);
    }
    let mut criterion = Criterion::default().configure_from_args();
    for name in RPCS {
        let method = method(name);
        let mut group = criterion.benchmark_group(format!("property suite, {name}"));
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        group.sample_size(20).throughput(Throughput::Elements(1));
        group.bench_function("a generated case", |bencher| {
            bencher.iter(|| suite.cases(method, 1));
        });
        group.bench_function("a call with fixed bytes", |bencher| {
            bencher.iter(|| suite.calls(method, 1));
        });
        group.finish();
    }
    criterion.final_summary();
}
