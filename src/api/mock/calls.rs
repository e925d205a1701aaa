//! The calls that came, or the last of them and what is to be known of the others.

use std::collections::{BTreeMap, VecDeque};

use super::ReceivedCall;

/// How many calls are kept; the last ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// So many.
    pub(super) calls: usize,
    /// Of all their requests together, encoded.
    pub(super) bytes: usize,
}

impl Default for Kept {
    /// All of them.
    fn default() -> Self {
        Self { calls: usize::MAX, bytes: usize::MAX }
    }
}

/// A call and its number, from 1 in the order of arrival.
#[derive(Clone)]
pub(super) struct Numbered {
    pub(super) number: usize,
    pub(super) call: ReceivedCall,
    bytes: usize,
}

/// The calls that came.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) kept: Kept,
    last: VecDeque<Numbered>,
    bytes: usize,
    /// How many came, kept or not.
    number: usize,
    /// The same of each RPC.
    of_rpc: BTreeMap<&'static str, usize>,
}

impl Calls {
    /// Takes a call, whose request has so many bytes: its number, and the calls that are kept no
    /// longer.
    pub(super) fn push(&mut self, call: ReceivedCall, bytes: usize) -> (usize, Vec<Numbered>) {
        self.number += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        *self.of_rpc.entry(call.method.name).or_default() += 1;
        self.last.push_back(Numbered { number: self.number, call, bytes });
        (self.number, self.let_go())
    }

    /// The calls that are to be kept no longer.
    pub(super) fn let_go(&mut self) -> Vec<Numbered> {
        let mut gone = Vec::new();
        while self.last.len() > self.kept.calls || self.bytes > self.kept.bytes {
            let Some(first) = self.last.pop_front() else { break };
            self.bytes -= first.bytes;
            gone.push(first);
        }
        gone
    }

    /// Those that are kept, in the order of arrival.
    pub(super) fn last(&self) -> impl Iterator<Item = &Numbered> {
        self.last.iter()
    }

    /// How many came.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// How many came of each RPC.
    pub(super) fn of_rpc(&self) -> &BTreeMap<&'static str, usize> {
        &self.of_rpc
    }
}
