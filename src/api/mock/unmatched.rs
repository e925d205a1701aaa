//! What a call is answered for which there is no mock: what came nearest.

use std::collections::BTreeMap;
use std::sync::Arc;

use plugin_proto::names;

use super::mounted::Mounted;
use super::request::Request;
use super::times::calls;
use crate::api::AppError;

/// The AppError's id.
pub(super) const ID: &str = "plugin_api.mock.unmatched";

/// 501, as for any RPC that nobody implements: a plugin may take 404 for an answer.
pub(super) fn app_error(request: &Request, mounted: &[Arc<Mounted>]) -> AppError {
    let why = nearest(request, mounted).unwrap_or_else(|| none(request, mounted));
    AppError::new(ID, 501)
        .message(format!("No mock answers {}: {why}.", request.shown()))
        .at(request.method.name)
}

/// The mock of this RPC with the fewest mismatches; of several, the one mounted last.
fn nearest(request: &Request, mounted: &[Arc<Mounted>]) -> Option<String> {
    let candidates = mounted.iter().rev().filter(|mock| mock.is_for(request.method));
    let candidates = candidates.map(|mock| (mock.mismatches(request), mock));
    let (mismatches, mock) = candidates.min_by_key(|(mismatches, _)| mismatches.len())?;
    let why = match mismatches.is_empty() {
        true => format!("it matches, but is used up after {}", calls(mock.calls())),
        false => mismatches.join("; "),
    };
    Some(format!("the nearest is {} ({why})", mock.title()))
}

/// There is no mock of this RPC.
fn none(request: &Request, mounted: &[Arc<Mounted>]) -> String {
    let mut names = BTreeMap::<_, usize>::new();
    for mock in mounted {
        *names.entry(mock.spec.method.name).or_default() += 1;
    }
    if names.is_empty() {
        return "no mock is mounted".to_owned();
    }
    let name = request.method.name;
    let hint = match names::nearest(name, names.keys().copied()) {
        Some(near) => format!("; the nearest name is {near}"),
        None => String::new(),
    };
    let names: Vec<_> = names.into_iter().map(counted).collect();
    format!("none is mounted for {name}, but for {}{hint}", names.join(", "))
}

/// `KVGet (2)`, `GetUser`.
pub(super) fn counted((name, number): (&str, usize)) -> String {
    match number {
        1 => name.to_owned(),
        _ => format!("{name} ({number})"),
    }
}
