//! Which fields an SDK chooses not to offer, and which it loses.
//!
//! A driver may say so itself (`not_offered` in its answers), and is then taken at its word: all else
//! that does not cross is lost. Of a driver that never speaks of it the kit looks for itself: a field
//! of a message that crosses in several places, and in none of them with this field, is taken for
//! one that the SDK has not; one that crosses anywhere is lost where it does not.

use std::collections::{BTreeMap, BTreeSet};

use plugin_proto::prost_reflect::DynamicMessage;

use super::case::{Case, CaseKind};
use super::fields::{Difference, Fate, crossings};
use super::protocol::{NotOffered, Said};
use super::session::{CaseEvidence, Outcome, RpcEvidence};

/// What is known of the fields that an SDK offers.
#[derive(Debug, Clone, Default)]
pub struct Offered {
    /// Full names of fields that no message carries; empty when the driver declares them.
    unseen: BTreeSet<String>,
    /// The kinds of errors with which the SDK says that a call failed.
    pub(super) error_kinds: BTreeSet<String>,
}

impl Offered {
    /// Looks through all that was seen.
    pub fn of(evidence: &[RpcEvidence]) -> Self {
        let cases = || evidence.iter().flat_map(|rpc| &rpc.cases);
        let error_kinds = cases().filter_map(proper_error).collect();
        if cases().any(|case| case.not_offered.is_some()) {
            return Self { unseen: BTreeSet::new(), error_kinds };
        }
        let mut fields: BTreeMap<String, Crossings> = BTreeMap::new();
        let mut note = |crossed: BTreeMap<String, bool>| {
            for (field, crossed) in crossed {
                let known = fields.entry(field).or_default();
                known.places += 1;
                known.crossed |= crossed;
            }
        };
        for rpc in evidence {
            // Once for each RPC and direction.
            note(merged(
                rpc.cases.iter().filter_map(request).map(|(given, found)| crossings(given, &found)),
            ));
            note(merged(
                rpc.cases
                    .iter()
                    .filter_map(response)
                    .map(|(given, found)| crossings(given, &found)),
            ));
        }
        let unseen = fields.into_iter().filter(|(_, known)| !known.crossed && known.places > 1);
        Self { unseen: unseen.map(|(field, _)| field).collect(), error_kinds }
    }

    /// Whether the difference is a field that the SDK does not offer.
    pub(super) fn excuses(&self, difference: &Difference, declared: &[String]) -> bool {
        difference.fate == Fate::Lost
            && (self.unseen.contains(&difference.owner)
                || declared.iter().any(|path| stands_for(path, &difference.field)))
    }
}

/// A declared path stands for itself and all below it.
fn stands_for(path: &str, field: &str) -> bool {
    field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What is declared in any case of an RPC.
pub(super) fn declared(rpc: &RpcEvidence) -> NotOffered {
    let mut all = NotOffered::default();
    for case in rpc.cases.iter().filter_map(|case| case.not_offered.as_ref()) {
        all.request.extend(case.request.iter().cloned());
        all.response.extend(case.response.iter().cloned());
    }
    all
}

#[derive(Default)]
struct Crossings {
    places: usize,
    crossed: bool,
}

fn merged(all: impl Iterator<Item = BTreeMap<String, bool>>) -> BTreeMap<String, bool> {
    let mut merged = BTreeMap::new();
    for (field, crossed) in all.flatten() {
        *merged.entry(field).or_default() |= crossed;
    }
    merged
}

/// What was given and what arrived, if it can be read.
pub(super) fn request(case: &CaseEvidence) -> Option<(&DynamicMessage, DynamicMessage)> {
    let arrival = case.arrived.iter().find(|arrival| arrival.method == case.case.method)?;
    let descriptor = case.case.method.request_descriptor();
    let found = DynamicMessage::decode(descriptor, arrival.request.clone()).ok()?;
    Some((&case.case.request, found))
}

/// What the server answered and what came back, if it can be read.
fn response(case: &CaseEvidence) -> Option<(&DynamicMessage, DynamicMessage)> {
    if !matches!(case.case.kind, CaseKind::Answer(_)) {
        return None;
    }
    let Outcome::Said(Said::Response(json)) = &case.outcome else { return None };
    Some((&case.case.answer, parsed(&case.case, json).ok()?))
}

/// The response that this JSON says.
pub(super) fn parsed(case: &Case, json: &serde_json::Value) -> Result<DynamicMessage, String> {
    let descriptor = case.method.response_descriptor();
    crate::api::json::to_message(&descriptor, json).map_err(|problem| {
        let path = problem.path.join(".");
        let colon = if path.is_empty() { "" } else { ": " };
        format!("the driver's response is no {}: {path}{colon}{}", descriptor.name(), problem.text)
    })
}

/// The kind of an error that is an AppError for sure.
fn proper_error(case: &CaseEvidence) -> Option<String> {
    let Outcome::Said(Said::Error(error)) = &case.outcome else { return None };
    let failed = matches!(case.case.kind, CaseKind::ErrorEmbedded | CaseKind::ErrorStatus);
    (failed && error.id.as_deref() == Some(&case.case.app_error().id)).then(|| error.kind.clone())
}
