//! Two checks per RPC: its answer crosses byte for byte, and its failure on its channel.

use fake_interpreters::sample;
use plugin_proto::{Method, Service};

use super::super::super::DEFAULT_VERSION;
use super::super::super::catalogue::{Check, Fault, Verdict};
use super::super::super::evidence::Observation;
use crate::api::RecordedCall;

/// What the plugin's calls are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// Every RPC with its generated response.
    Answers,
    /// Every RPC with its generated AppError.
    Failures,
}

impl Sweep {
    pub(super) const fn character(self) -> &'static str {
        match self {
            Self::Answers => "every-rpc",
            Self::Failures => "every-rpc-errors",
        }
    }

    /// Whether the check of this id is one of this sweep.
    pub(super) fn makes(self, id: &str) -> bool {
        let kind = match self {
            Self::Answers => ".answer",
            Self::Failures => ".failure",
        };
        id.starts_with("rpc.") && id.ends_with(kind)
    }

    fn id(self, method: &Method) -> String {
        match self {
            Self::Answers => format!("rpc.{}.answer", method.name),
            Self::Failures => format!("rpc.{}.failure", method.name),
        }
    }

    /// What the server recorded and the plugin reported of the RPC of this check.
    pub(super) fn judge(
        self,
        check: &Check,
        seen: &Observation,
        recorded: &[RecordedCall],
    ) -> Verdict {
        let method = Service::PluginAPI.methods().find(|method| self.id(method) == check.id);
        self.judge_rpc(method.ok_or("there is no RPC of this check")?, seen, recorded)
    }

    fn judge_rpc(self, method: &Method, seen: &Observation, recorded: &[RecordedCall]) -> Verdict {
        let report = seen.report.as_ref().map_err(Clone::clone)?;
        let mut arrived = recorded.iter().filter(|call| call.method == method);
        let arrived = arrived.next().ok_or_else(|| match &seen.launch {
            Ok(()) => "the call did not arrive at the server".to_owned(),
            Err(error) => format!("the call did not arrive at the server: {error}"),
        })?;
        if arrived.request != sample::request(method) {
            return Err("the request that arrived is not the one that was sent".into());
        }
        let mut reported = report.calls.iter().filter(|call| call.rpc == method.name);
        let reported = reported.next().ok_or("the plugin does not report the call")?;
        // The one answer of which the plugin cannot know beforehand what is right.
        if self == Self::Answers && method.name == "GetServerVersion" {
            let version = report.server_version.as_deref();
            return match version == Some(DEFAULT_VERSION) {
                true => Ok(String::new()),
                false => Err(Fault::differs("version", &Some(DEFAULT_VERSION), &version).into()),
            };
        }
        match reported.matches {
            Some(true) => Ok(String::new()),
            Some(false) => {
                let other = || format!("the plugin got something else: {}", reported.code);
                Err(reported.difference.clone().unwrap_or_else(other).into())
            }
            None => Err("the plugin did not compare the answer".into()),
        }
    }
}
