//! An SDK's client as the subject of a run.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use async_trait::async_trait;
use plugin_proto::{Method, Service};

use super::rules;
use super::session::{DriverOptions, RpcEvidence, Session};
use crate::conformance::catalogue::{self, Check, Objection, SdkCheck, SubjectKind, Verdict};
use crate::conformance::subjects::{GateError, RunContext, Subject};

/// An SDK's client behind a driver. A case is an RPC.
pub struct Sdk {
    session: Session,
}

impl Sdk {
    /// The driver is started when the run begins.
    pub fn new(options: DriverOptions) -> Self {
        Self { session: Session::new(options) }
    }
}

/// The catalogue's rows of each RPC, with the rule of each.
fn rows(method: &Method) -> &'static [(SdkCheck, &'static Check)] {
    static ROWS: LazyLock<Vec<Vec<(SdkCheck, &'static Check)>>> = LazyLock::new(|| {
        let row = |method, check: SdkCheck| {
            // The catalogue is made from the same list; a test compares the two.
            catalogue::find(&check.id(method)).ok().map(|row| (check, row))
        };
        let rows = |method| SdkCheck::of(method).filter_map(|check| row(method, check)).collect();
        Service::PluginAPI.methods().map(rows).collect()
    });
    let place = Service::PluginAPI.methods().position(|known| known == method);
    place.and_then(|place| ROWS.get(place)).map_or(&[], Vec::as_slice)
}

#[async_trait]
impl Subject for Sdk {
    type Case = &'static Method;
    type Evidence = RpcEvidence;

    fn kind(&self) -> SubjectKind {
        SubjectKind::Sdk
    }

    fn cases(&self) -> Vec<&'static Method> {
        Service::PluginAPI.methods().collect()
    }

    fn name(&self, method: &&'static Method) -> String {
        method.name.to_owned()
    }

    fn checks(&self, method: &&'static Method) -> Vec<&'static Check> {
        rows(method).iter().map(|(_, row)| *row).collect()
    }

    async fn prepare(&self, run: &RunContext) -> Result<(), GateError> {
        tokio::select! {
            surveyed = self.session.survey() => {
                surveyed.map_err(|error| GateError::Subject(error.to_string()))
            }
            () = run.stop.cancelled() => Ok(()),
        }
    }

    async fn run(
        &self,
        method: &&'static Method,
        run: &RunContext,
    ) -> Result<RpcEvidence, GateError> {
        tokio::select! {
            seen = self.session.observe(method) => {
                seen.map_err(|error| GateError::Subject(error.to_string()))
            }
            // Cut short, it is no evidence, and the runner does not judge it.
            () = run.stop.cancelled() => Ok(RpcEvidence::none(method)),
        }
    }

    fn judge(&self, _: &&'static Method, check: &Check, evidence: &RpcEvidence) -> Verdict {
        let row = rows(evidence.method).iter().find(|(_, row)| row.id == check.id);
        match row {
            Some((check, _)) => rules::judge(*check, evidence, self.session.offered()),
            None => Err(Objection::not_observable("this is no check of the RPC")),
        }
    }

    fn exercised(&self, evidence: &RpcEvidence) -> BTreeSet<&'static str> {
        let arrived = evidence.cases.iter().flat_map(|case| &case.arrived);
        arrived.map(|arrival| arrival.method.name).collect()
    }
}
