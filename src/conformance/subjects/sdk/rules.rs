//! The rules: from what was seen of an RPC to a verdict.

use plugin_proto::prost_reflect::DynamicMessage;

use super::case::CaseKind;
use super::fields::{Difference, Fate, differences};
use super::offered::{Offered, declared, parsed};
use super::protocol::{Said, SdkError};
use super::session::{CaseEvidence, Outcome, RpcEvidence};
use crate::api::code_of_http_status;
use crate::conformance::catalogue::{Fault, Objection, SdkCheck, Verdict};

/// So many fields are named, and the rest is counted.
const NAMED: usize = 20;

/// What the rule says of what was seen of an RPC.
pub fn judge(check: SdkCheck, rpc: &RpcEvidence, offered: &Offered) -> Verdict {
    if check == SdkCheck::Present {
        return present(rpc);
    }
    if let Some(why) = missing(rpc) {
        return Err(Objection::not_observable(format!("the SDK has no method: {why}")));
    }
    match check {
        SdkCheck::Present => present(rpc),
        SdkCheck::Request => request(rpc, offered),
        SdkCheck::Answer => answer(rpc, offered),
        SdkCheck::UnknownFields => unknown_fields(rpc, offered),
        SdkCheck::Empty => empty(rpc, offered),
        SdkCheck::ErrorEmbedded => error_embedded(rpc),
        SdkCheck::ErrorStatus => error_status(rpc),
        SdkCheck::GrpcFailures => grpc_failures(rpc),
        SdkCheck::Offers => offers(rpc, offered),
    }
}

fn missing(rpc: &RpcEvidence) -> Option<&str> {
    rpc.cases.iter().find_map(|case| match &case.outcome {
        Outcome::Said(Said::Missing(why)) => Some(why.as_str()),
        _ => None,
    })
}

fn present(rpc: &RpcEvidence) -> Verdict {
    if let Some(why) = missing(rpc) {
        let why = match why {
            "" => String::new(),
            why => format!(": {}", super::protocol::cut(why)),
        };
        return Err(format!("the SDK has no method for {}{why}", rpc.method.name).into());
    }
    if rpc.cases.iter().any(|case| matches!(case.outcome, Outcome::Said(_))) {
        return Ok(String::new());
    }
    let why = rpc.cases.first().map_or_else(String::new, |case| match &case.outcome {
        Outcome::NotAsked(why) => why.clone(),
        Outcome::Fault(fault) => format!("no case was answered: {fault}"),
        Outcome::Said(_) => String::new(),
    });
    Err(Objection::not_observable(why))
}

fn request(rpc: &RpcEvidence, offered: &Offered) -> Verdict {
    let declared = declared(rpc);
    let mut found: Vec<Difference> = Vec::new();
    let mut problems: Vec<String> = Vec::new();
    let mut compared = false;
    for case in &rpc.cases {
        let kind = case.case.kind;
        let (own, others): (Vec<_>, Vec<_>) =
            case.arrived.iter().partition(|arrival| arrival.method == rpc.method);
        if own.is_empty() {
            if let Outcome::Said(said) = &case.outcome {
                let instead = others.first().map_or_else(String::new, |other| {
                    format!(": {} was called instead", other.method.name)
                });
                let said = match said {
                    Said::Error(error) if others.is_empty() => format!(": {error}"),
                    _ => String::new(),
                };
                add(&mut problems, format!("no request arrived{instead}{said}"));
            }
            continue;
        }
        if own.len() > 1 && !kind.may_be_retried() {
            let times = own.len();
            add(&mut problems, format!("the request arrived {times} times (answered with {kind})"));
        }
        for arrival in own {
            let descriptor = rpc.method.request_descriptor();
            match DynamicMessage::decode(descriptor, arrival.request.clone()) {
                Ok(arrived) => {
                    compared = true;
                    let differences = differences(&case.case.request, &arrived);
                    let lost = differences
                        .into_iter()
                        .filter(|difference| !offered.excuses(difference, &declared.request));
                    add_new(&mut found, lost);
                }
                Err(error) => {
                    let name = rpc.method.request.rsplit('.').next().unwrap_or_default();
                    add(&mut problems, format!("what arrived is no {name}: {error}"));
                }
            }
        }
    }
    if let Some(fault) = fault_of("", problems, &found) {
        return Err(fault.into());
    }
    match compared {
        true => Ok(String::new()),
        false => Err(not_answered(&rpc.cases)),
    }
}

/// Why nothing can be said of these cases.
fn not_answered<'a>(cases: impl IntoIterator<Item = &'a CaseEvidence>) -> Objection {
    let why = cases.into_iter().find_map(|case| match &case.outcome {
        Outcome::NotAsked(why) => Some(why.clone()),
        Outcome::Fault(fault) => Some(fault.to_string()),
        Outcome::Said(_) => None,
    });
    Objection::not_observable(why.unwrap_or_else(|| "the request did not arrive".to_owned()))
}

fn of(rpc: &RpcEvidence, kind: fn(CaseKind) -> bool) -> impl Iterator<Item = &CaseEvidence> {
    rpc.cases.iter().filter(move |case| kind(case.case.kind))
}

/// What the driver said, if the server had a part in it. A driver that died or hung breaks the rule
/// of the case.
fn said(case: &CaseEvidence) -> Result<&Said, Objection> {
    match &case.outcome {
        Outcome::Fault(fault) => Err(format!("answered with {}: {fault}", case.case.kind).into()),
        Outcome::NotAsked(why) => Err(Objection::not_observable(why)),
        Outcome::Said(said) => {
            match case.arrived.iter().any(|arrival| arrival.method == case.case.method) {
                true => Ok(said),
                false => Err(Objection::not_observable("the request did not arrive")),
            }
        }
    }
}

/// What is lost between the server's answer and the driver's.
fn lost_of_answer(
    case: &CaseEvidence,
    json: &serde_json::Value,
    offered: &Offered,
    declared: &[String],
) -> Result<Vec<Difference>, String> {
    let found = parsed(&case.case, json)?;
    let differences = differences(&case.case.answer, &found).into_iter();
    Ok(differences.filter(|difference| !offered.excuses(difference, declared)).collect())
}

fn answer(rpc: &RpcEvidence, offered: &Offered) -> Verdict {
    let declared = declared(rpc).response;
    let mut found = Vec::new();
    for case in of(rpc, |kind| matches!(kind, CaseKind::Answer(_))) {
        match said(case)? {
            Said::Response(json) => {
                add_new(&mut found, lost_of_answer(case, json, offered, &declared)?);
            }
            Said::Error(error) => {
                return Err(format!("the server answered, and the SDK failed: {error}").into());
            }
            Said::Missing(_) => {}
        }
    }
    match fault_of("", Vec::new(), &found) {
        Some(fault) => Err(fault.into()),
        None => Ok(String::new()),
    }
}

/// How a plain filled answer fails: another rule says so already.
fn fails_anyway(rpc: &RpcEvidence) -> Option<&SdkError> {
    of(rpc, |kind| matches!(kind, CaseKind::Answer(_))).find_map(|case| match &case.outcome {
        Outcome::Said(Said::Error(error)) => Some(error),
        _ => None,
    })
}

fn unknown_fields(rpc: &RpcEvidence, offered: &Offered) -> Verdict {
    let declared = declared(rpc).response;
    for case in of(rpc, |kind| kind == CaseKind::UnknownFields) {
        match said(case)? {
            Said::Response(json) => {
                let lost =
                    |case: &CaseEvidence, json| lost_of_answer(case, json, offered, &declared);
                let mut found = match lost(case, json) {
                    Ok(found) => found,
                    Err(why) => {
                        // Without unknown fields it is as bad: then the answer's rule says so.
                        let plain = of(rpc, |kind| kind == CaseKind::Answer(0)).next();
                        let readable = plain.is_some_and(|plain| match &plain.outcome {
                            Outcome::Said(Said::Response(json)) => lost(plain, json).is_ok(),
                            _ => false,
                        });
                        return Err(match readable {
                            true => why.into(),
                            false => Objection::not_observable("a plain answer fails already"),
                        });
                    }
                };
                for plain in of(rpc, |kind| matches!(kind, CaseKind::Answer(_))) {
                    if let Outcome::Said(Said::Response(json)) = &plain.outcome {
                        let known = lost(plain, json).unwrap_or_default();
                        found.retain(|new| known.iter().all(|old| old.field != new.field));
                    }
                }
                if let Some(fault) = fault_of("beside unknown fields ", Vec::new(), &found) {
                    return Err(fault.into());
                }
            }
            Said::Error(error) => {
                if fails_anyway(rpc).is_some() {
                    return Err(Objection::not_observable("a plain answer fails already"));
                }
                return Err(format!("unknown fields are taken for an error: {error}").into());
            }
            Said::Missing(_) => {}
        }
    }
    Ok(String::new())
}

fn empty(rpc: &RpcEvidence, offered: &Offered) -> Verdict {
    for case in of(rpc, |kind| kind == CaseKind::Empty) {
        if let Said::Error(error) = said(case)? {
            if fails_anyway(rpc).is_some_and(|plain| plain.kind == error.kind) {
                return Err(Objection::not_observable("a filled answer fails already"));
            }
            // An error of the SDK's own, such as "there is no such user", is a decision.
            if !offered.error_kinds.contains(&error.kind) {
                return Err(format!("an answer without fields makes the SDK fail: {error}").into());
            }
            return Ok(format!("an answer without fields is an error: {error}"));
        }
    }
    Ok(String::new())
}

fn error_embedded(rpc: &RpcEvidence) -> Verdict {
    for case in of(rpc, |kind| kind == CaseKind::ErrorEmbedded) {
        let wanted = case.case.app_error();
        is_failure(
            said(case)?,
            &wanted.id,
            |status| status == i64::from(wanted.status_code),
            wanted.status_code,
        )?;
    }
    Ok(String::new())
}

fn error_status(rpc: &RpcEvidence) -> Verdict {
    for case in of(rpc, |kind| kind == CaseKind::ErrorStatus) {
        let wanted = case.case.app_error();
        let code = code_of_http_status(wanted.status_code);
        // A client that does not look into the details knows the HTTP status by the code alone.
        let right = |status: i64| {
            i32::try_from(status).is_ok_and(|status| {
                status == wanted.status_code || code_of_http_status(status) == code
            })
        };
        is_failure(said(case)?, &wanted.id, right, wanted.status_code)?;
    }
    Ok(String::new())
}

fn is_failure(
    said: &Said,
    id: &str,
    is_right: impl Fn(i64) -> bool,
    status: i32,
) -> Result<(), Objection> {
    let error = match said {
        Said::Response(_) => return Err("the failure is taken for a success".to_owned().into()),
        Said::Missing(_) => return Ok(()),
        Said::Error(error) => error,
    };
    if error.id.as_deref() != Some(id) {
        let detail = match &error.id {
            None => format!("the AppError's id is lost: {error}"),
            Some(other) => format!("the AppError's id is {other:?}, not {id:?}"),
        };
        return Err(Objection::Broken(Fault {
            detail,
            field: Some("id".to_owned()),
            expected: Some(id.to_owned()),
            actual: error.id.clone(),
        }));
    }
    match error.status_code {
        Some(found) if is_right(found) => Ok(()),
        found => Err(Objection::Broken(Fault {
            detail: match found {
                None => format!("the AppError's status is lost: {error}"),
                Some(found) => format!("the AppError's status is {found}, not {status}"),
            },
            field: Some("status_code".to_owned()),
            expected: Some(status.to_string()),
            actual: found.map(|found| found.to_string()),
        })),
    }
}

fn grpc_failures(rpc: &RpcEvidence) -> Verdict {
    let kinds = |kind| {
        matches!(kind, CaseKind::Unavailable | CaseKind::DeadlineExceeded | CaseKind::Dropped)
    };
    for case in of(rpc, kinds) {
        if let Said::Response(_) = said(case)? {
            return Err(format!("{} is taken for a success", case.case.kind).into());
        }
    }
    Ok(String::new())
}

fn offers(rpc: &RpcEvidence, offered: &Offered) -> Verdict {
    let declared = declared(rpc);
    let mut fields = Vec::new();
    let mut looked = false;
    for case in &rpc.cases {
        if let Some((given, arrived)) = super::offered::request(case) {
            looked = true;
            for difference in differences(given, &arrived) {
                if offered.excuses(&difference, &declared.request) {
                    add(&mut fields, format!("{} of the request", difference.field));
                }
            }
        }
        if let (CaseKind::Answer(_), Outcome::Said(Said::Response(json))) =
            (case.case.kind, &case.outcome)
            && let Ok(found) = parsed(&case.case, json)
        {
            looked = true;
            for difference in differences(&case.case.answer, &found) {
                if offered.excuses(&difference, &declared.response) {
                    add(&mut fields, format!("{} of the response", difference.field));
                }
            }
        }
    }
    if !fields.is_empty() {
        fields.sort();
        let first = fields.first().cloned();
        let detail = format!("the SDK does not offer {}", fields.join(", "));
        return Err(Fault { field: first, ..Fault::new(detail) }.into());
    }
    match looked {
        true => Ok(String::new()),
        false => Err(not_answered(&rpc.cases)),
    }
}

fn add(problems: &mut Vec<String>, problem: String) {
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

/// Adds what is not there yet: each field and fate once, whatever its place in a list, and whatever
/// the case.
fn add_new(found: &mut Vec<Difference>, new: impl IntoIterator<Item = Difference>) {
    for difference in new {
        let fate = std::mem::discriminant(&difference.fate);
        let known = found.iter().any(|known| {
            known.field == difference.field && std::mem::discriminant(&known.fate) == fate
        });
        if !known {
            found.push(difference);
        }
    }
}

/// One fault for all of it, if there is any.
fn fault_of(before: &str, mut lines: Vec<String>, found: &[Difference]) -> Option<Fault> {
    lines.extend(found.iter().take(NAMED).map(|difference| format!("{before}{difference}")));
    if found.len() > NAMED {
        lines.push(format!("and {} more fields", found.len() - NAMED));
    }
    if lines.is_empty() {
        return None;
    }
    let mut fault = Fault::new(lines.join("\n"));
    if let Some(first) = found.first() {
        fault.field = Some(first.path.clone());
        if let Fate::Changed(given, found) = &first.fate {
            (fault.expected, fault.actual) = (Some(given.clone()), Some(found.clone()));
        }
    }
    Some(fault)
}
