//! Whether the mocks got the calls they expect.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::calls::Numbered;
use super::mounted::{Mounted, Near};
use super::request::Request;
use super::times::calls;
use super::unmatched::counted;
use super::{AnsweredBy, ReceivedCall, Times};
use crate::api::json;

/// Mocks that did not get the calls they expect. Its text shows of each what was expected, what
/// was received, and the call that came nearest.
///
/// ```
/// use plugin_conformance::api::mock::{MockApi, rpc};
/// use serde_json::json;
///
/// let api = MockApi::new().verify_on_drop(false);
/// api.given(rpc("GetUser")).respond_with(json!({})).expect(1).mount();
/// let error = api.verify().unwrap_err();
/// assert_eq!(error.broken[0].received, 0);
/// assert!(error.to_string().contains("expected: exactly 1 call"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// Each of them.
    pub broken: Vec<BrokenExpectation>,
    mocks: usize,
}

/// A mock that did not get the calls it expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenExpectation {
    /// The mock: its number, its name, what it is given.
    pub mock: String,
    /// How many calls it expects.
    pub expected: Times,
    /// How many it got.
    pub received: u64,
    /// What else is to be said.
    pub evidence: Evidence,
}

/// What shows why an expectation is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The call that came nearest to what the mock is given.
    Nearest {
        /// Its number, from 1 in the order of arrival.
        call: usize,
        /// RPC and request.
        request: String,
        /// What was expected and what it was instead; or who answered it, if it fits.
        why: Vec<String>,
    },
    /// The first call that was one too many.
    Surplus {
        /// Its number, from 1 in the order of arrival.
        call: usize,
        /// RPC and request.
        request: String,
    },
    /// Only other RPCs were called, so often.
    OtherRpcs(BTreeMap<&'static str, usize>),
    /// Nothing was called.
    NoCall,
}

impl std::error::Error for Unverified {}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (broken, mocks) = (self.broken.len(), self.mocks);
        write!(f, "{broken} of {mocks} mocks did not get the calls expected")?;
        self.broken.iter().try_for_each(|broken| write!(f, "\n\n{broken}"))
    }
}

impl fmt::Display for BrokenExpectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.mock)?;
        writeln!(f, "  expected: {}", self.expected)?;
        writeln!(f, "  received: {}", calls(self.received))?;
        match &self.evidence {
            Evidence::Nearest { call, request, why } => {
                write!(f, "  nearest:  call {call}, {request}")?;
                why.iter().try_for_each(|why| write!(f, "\n            {why}"))
            }
            Evidence::Surplus { call, request } => {
                write!(f, "  too many: from call {call} on, {request}")
            }
            Evidence::OtherRpcs(others) => {
                let others: Vec<_> =
                    others.iter().map(|(name, number)| counted((name, *number))).collect();
                write!(f, "  nearest:  none of this RPC, only calls of {}", others.join(", "))
            }
            Evidence::NoCall => write!(f, "  nearest:  none, nothing was called"),
        }
    }
}

/// What is known of the calls that came.
pub(super) struct Received {
    /// Those that are kept.
    pub(super) last: Vec<Numbered>,
    /// How many came of each RPC.
    pub(super) of_rpc: BTreeMap<&'static str, usize>,
}

/// Remembers what is to be known of calls that are kept no longer.
pub(super) fn remember(gone: &[Numbered], mounted: &[Arc<Mounted>]) {
    for (mock, numbered) in
        mounted.iter().flat_map(|mock| gone.iter().map(move |call| (mock, call)))
    {
        // Nothing that comes later is nearer than what fits.
        let fits = || mock.nearest().is_some_and(|near| near.mismatches.is_empty());
        if mock.is_for(numbered.call.method)
            && !fits()
            && let Some(near) = near(mock, numbered)
        {
            mock.note_near(near);
        }
    }
}

pub(super) fn verify<'a>(
    mounted: impl ExactSizeIterator<Item = &'a Mounted>,
    received: &Received,
) -> Result<(), Unverified> {
    let mocks = mounted.len();
    let broken: Vec<_> = mounted.filter_map(|mock| look_at(mock, received)).collect();
    match broken.is_empty() {
        true => Ok(()),
        false => Err(Unverified { broken, mocks }),
    }
}

fn look_at(mock: &Mounted, received: &Received) -> Option<BrokenExpectation> {
    let (expected, calls) = (mock.spec.expect, mock.calls());
    if expected.contains(calls) {
        return None;
    }
    let evidence = match calls > expected.max() {
        true => surplus(mock),
        false => nearest(mock, received),
    };
    Some(BrokenExpectation {
        mock: format!("{}: {}", mock.title(), mock.given()),
        expected,
        received: calls,
        evidence: evidence.unwrap_or_else(|| others(received)),
    })
}

fn surplus(mock: &Mounted) -> Option<Evidence> {
    let surplus = mock.surplus()?;
    Some(Evidence::Surplus { call: surplus.call, request: surplus.request.clone() })
}

/// The call of this RPC with the fewest mismatches; of several, the first.
fn nearest(mock: &Mounted, received: &Received) -> Option<Evidence> {
    let last = received.last.iter().filter_map(|numbered| near(mock, numbered));
    let nearest = mock.nearest().into_iter().chain(last).min_by_key(Near::distance)?;
    let Near { call, request, mismatches: mut why, answered_by } = nearest;
    if why.is_empty() {
        why.push(match answered_by {
            AnsweredBy::Mock(other) => format!("it fits, but mock {other} answered it"),
            _ if mock.is_used_up() => "it fits, but the mock was used up".to_owned(),
            _ => "it fits, but the mock was mounted later".to_owned(),
        });
    }
    Some(Evidence::Nearest { call, request, why })
}

/// How near a call came that the mock has not answered, if it is of its RPC.
fn near(mock: &Mounted, numbered: &Numbered) -> Option<Near> {
    let Numbered { number, call, .. } = numbered;
    if !mock.is_for(call.method) || call.answered_by == AnsweredBy::Mock(mock.number) {
        return None;
    }
    let request = as_request(call);
    Some(Near {
        call: *number,
        mismatches: mock.mismatches(&request),
        request: request.shown(),
        answered_by: call.answered_by,
    })
}

fn others(received: &Received) -> Evidence {
    match received.of_rpc.is_empty() {
        true => Evidence::NoCall,
        false => Evidence::OtherRpcs(received.of_rpc.clone()),
    }
}

fn as_request(call: &ReceivedCall) -> Request {
    let json = json::of_message(&call.request);
    Request { method: call.method, message: call.request.clone(), json }
}
