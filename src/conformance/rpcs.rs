//! Two checks per RPC: its answer crosses byte for byte, and its failure on its channel.

use std::collections::BTreeSet;

use fake_interpreters::sample;
use plugin_proto::{Method, Service};

use super::check::{Check, Verdict};
use super::subject::Observation;
use crate::api::DEFAULT_VERSION;
use crate::api::RecordedCall;

/// What the plugin's calls are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sweep {
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

    fn id(self, method: &Method) -> String {
        match self {
            Self::Answers => format!("rpc.{}.answer", method.name),
            Self::Failures => format!("rpc.{}.failure", method.name),
        }
    }

    fn title(self, method: &Method) -> String {
        match self {
            Self::Answers => format!("{}: request and response cross byte for byte", method.name),
            Self::Failures => format!(
                "{}: a failure crosses whole, on the channel \"{}\"",
                method.name, method.error_channel
            ),
        }
    }

    /// One check per RPC, of what the server recorded and what the plugin reported.
    pub(super) fn checks(self, seen: &Observation, recorded: &[RecordedCall]) -> Vec<Check> {
        let methods = Service::PluginAPI.methods();
        let check = |method| {
            let verdict = self.judge(method, seen, recorded);
            let mut check = Check::new(self.id(method), self.title(method), verdict);
            check.millis = u64::try_from(seen.launch_time.as_millis()).unwrap_or(u64::MAX);
            check
        };
        methods.map(check).collect()
    }

    fn judge(self, method: &Method, seen: &Observation, recorded: &[RecordedCall]) -> Verdict {
        let report = seen.report.as_ref().map_err(Clone::clone)?;
        let mut arrived = recorded.iter().filter(|call| call.method == method);
        let arrived = arrived.next().ok_or_else(|| match &seen.launch {
            Ok(()) => "the call did not arrive at the server".to_owned(),
            Err(error) => format!("the call did not arrive at the server: {error}"),
        })?;
        if arrived.request != sample::request(method) {
            return Err("the request that arrived is not the one that was sent".to_owned());
        }
        let mut reported = report.calls.iter().filter(|call| call.rpc == method.name);
        let reported = reported.next().ok_or("the plugin does not report the call")?;
        // The one answer of which the plugin cannot know beforehand what is right.
        if self == Self::Answers && method.name == "GetServerVersion" {
            let version = report.server_version.as_deref();
            return match version == Some(DEFAULT_VERSION) {
                true => Ok(String::new()),
                false => Err(format!("version: {version:?}, not {DEFAULT_VERSION:?}")),
            };
        }
        match reported.matches {
            Some(true) => Ok(String::new()),
            Some(false) => Err(reported.difference.clone().unwrap_or_else(|| {
                format!("the plugin got something else, with status {}", reported.code)
            })),
            None => Err("the plugin did not compare the answer".to_owned()),
        }
    }
}

/// The RPCs that arrived and were answered.
pub(super) fn exercised(recorded: &[RecordedCall]) -> BTreeSet<&'static str> {
    recorded.iter().map(|call| call.method.name).collect()
}
