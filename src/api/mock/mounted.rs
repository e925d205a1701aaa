//! A mock at work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use plugin_proto::Method;

use super::matcher::Bound;
use super::reply::BoundReply;
use super::request::Request;
use super::{AnsweredBy, Times};

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
    /// The first call that was one too many.
    surplus: OnceLock<Surplus>,
    /// Of the calls that are kept no longer, the one that came nearest.
    nearest: Mutex<Option<Near>>,
}

/// A call that was one too many.
pub(super) struct Surplus {
    /// Its number.
    pub(super) call: usize,
    /// RPC and request.
    pub(super) request: String,
}

/// A call of the mock's RPC that another has answered, or nobody.
#[derive(Clone)]
pub(super) struct Near {
    /// Its number.
    pub(super) call: usize,
    /// RPC and request.
    pub(super) request: String,
    /// What it lacks; empty if it fits.
    pub(super) mismatches: Vec<String>,
    /// Who answered it.
    pub(super) answered_by: AnsweredBy,
}

impl Near {
    /// By how little a call missed, and when it came.
    pub(super) fn distance(&self) -> (usize, usize) {
        (self.mismatches.len(), self.call)
    }
}

impl Mounted {
    pub(super) fn new(number: usize, spec: Arc<Spec>) -> Self {
        Self {
            number,
            spec,
            calls: AtomicU64::new(0),
            surplus: OnceLock::new(),
            nearest: Mutex::default(),
        }
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

    pub(super) fn note_surplus(&self, call: usize, request: String) {
        self.surplus.get_or_init(|| Surplus { call, request });
    }

    pub(super) fn surplus(&self) -> Option<&Surplus> {
        self.surplus.get()
    }

    /// Remembers a call if it comes nearer than those before.
    pub(super) fn note_near(&self, near: Near) {
        let mut nearest = self.nearest.lock().unwrap_or_else(PoisonError::into_inner);
        if nearest.as_ref().is_none_or(|other| near.distance() < other.distance()) {
            *nearest = Some(near);
        }
    }

    /// The nearest of those that are remembered.
    pub(super) fn nearest(&self) -> Option<Near> {
        self.nearest.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
