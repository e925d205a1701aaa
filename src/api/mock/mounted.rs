//! A mock at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plugin_proto::Method;

use super::Times;
use super::matcher::Bound;
use super::reply::BoundReply;
use super::request::Request;

/// A mock as it was written, all of it checked.
pub(super) struct Spec {
    pub(super) method: &'static Method,
    pub(super) name: Option<String>,
    pub(super) matchers: Vec<Bound>,
    pub(super) reply: BoundReply,
    pub(super) expect: Times,
    /// Calls after which the mock is used up.
    pub(super) limit: u64,
}

/// A mock and its calls.
pub(super) struct Mounted {
    /// From 1, in the order of mounting.
    pub(super) number: usize,
    pub(super) spec: Arc<Spec>,
    calls: AtomicU64,
}

impl Mounted {
    pub(super) fn new(number: usize, spec: Arc<Spec>) -> Self {
        Self { number, spec, calls: AtomicU64::new(0) }
    }

    pub(super) fn is_for(&self, method: &Method) -> bool {
        self.spec.method.index == method.index
    }

    /// What the request lacks; empty if the mock matches.
    pub(super) fn mismatches(&self, request: &Request) -> Vec<String> {
        let checks = self.spec.matchers.iter().map(|matcher| matcher.check(request));
        checks.filter_map(Result::err).collect()
    }

    pub(super) fn matches(&self, request: &Request) -> bool {
        self.spec.matchers.iter().all(|matcher| matcher.check(request).is_ok())
    }

    /// Takes a call, unless the mock is used up: how many it has had before.
    pub(super) fn take(&self) -> Option<u64> {
        let more = |calls| (calls < self.spec.limit).then_some(calls + 1);
        self.calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.calls() >= self.spec.limit
    }

    /// `mock 2 "ada"`, or `mock 2`.
    pub(super) fn title(&self) -> String {
        match &self.spec.name {
            Some(name) => format!("mock {} {name:?}", self.number),
            None => format!("mock {}", self.number),
        }
    }

    /// `GetUser with user_id equals "abc"`.
    pub(super) fn given(&self) -> String {
        let matchers: Vec<_> =
            self.spec.matchers.iter().map(|matcher| matcher.shown.as_str()).collect();
        match matchers.is_empty() {
            true => self.spec.method.name.to_owned(),
            false => format!("{} with {}", self.spec.method.name, matchers.join(" and ")),
        }
    }
}
