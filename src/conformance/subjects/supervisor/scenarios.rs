//! The scenarios: what the plugin does, what is awaited, and the rules that are judged on it.

use std::time::Duration;

use super::super::super::catalogue::Verdict;
use super::super::super::evidence::Launched;
use super::rules as is;

/// A check's id, and what its rule says of the evidence.
pub type Rule = (&'static str, fn(&Launched) -> Verdict);

/// One launch of one bundle.
#[derive(Debug)]
pub struct Scenario {
    /// Its name.
    pub id: &'static str,
    /// What happens, and what a launcher of one's own has to do.
    pub about: &'static str,
    /// The fake interpreter's script.
    pub script: &'static str,
    /// What is awaited before the stop.
    pub until: Until,
    /// The stop's limit in seconds.
    pub stop: u64,
    /// What is special about it.
    pub special: Special,
    /// The rules: a check's id, and what it says of the evidence.
    pub rules: &'static [Rule],
}

/// What is awaited before the stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The plugin is active; for a plugin that becomes so.
    Active,
    /// The supervisor gives the launch up by itself, within so many seconds.
    GivenUp(u64),
    /// The plugin ends by itself.
    Ended,
    /// The interpreter is not even started, for so many seconds.
    NotStarted(u64),
}

/// What is special about a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Nothing.
    None,
    /// The supervisor inherits a target of the API that is not its own.
    InheritedTarget,
    /// The manifest names another script.
    Executable(&'static str),
    /// The supervisor is asked to stop twice.
    SecondStop,
}

impl Scenario {
    /// How long the plugin is waited for.
    pub fn reach(&self) -> Duration {
        Duration::from_secs(match self.until {
            Until::Active => 20,
            Until::GivenUp(seconds) | Until::NotStarted(seconds) => seconds,
            Until::Ended => 20,
        })
    }
}

const GOOD: &str = "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n";

const fn active(
    id: &'static str,
    about: &'static str,
    script: &'static str,
    rules: &'static [Rule],
) -> Scenario {
    Scenario { id, about, script, until: Until::Active, stop: 15, special: Special::None, rules }
}

const fn refused(
    id: &'static str,
    about: &'static str,
    script: &'static str,
    rules: &'static [Rule],
) -> Scenario {
    Scenario { until: Until::GivenUp(15), ..active(id, about, script, rules) }
}

/// Every launch that `check supervisor` makes; the long ones come first.
pub static SCENARIOS: &[Scenario] = &[
    active(
        "lifecycle",
        "a good plugin; stop it when it is active",
        "life:\n  - call: GetServerVersion\n  - serve: {hooks: [OnActivate, OnDeactivate]}\n  \
         - handshake\n  - wait\non:\n  OnActivate: [{call: GetServerVersion}]\n  \
         OnDeactivate: [{call: GetServerVersion}]\n",
        &[
            ("supervisor.start", is::started),
            ("supervisor.interpreter", is::interpreter),
            ("supervisor.arguments", is::arguments),
            ("supervisor.working-directory", is::working_directory),
            ("supervisor.cookie", is::cookie),
            ("supervisor.protocol-versions", is::protocol_versions),
            ("supervisor.ports", is::ports),
            ("supervisor.environment", is::environment),
            ("supervisor.plugin-id", is::plugin_id),
            ("supervisor.plugin-path", is::plugin_path),
            ("supervisor.api-target", is::api_target),
            ("supervisor.api-first", is::api_first),
            ("supervisor.server-version", is::server_version),
            ("supervisor.implemented", is::implemented),
            ("supervisor.activate", is::activate),
            ("supervisor.stays", is::stays),
            ("supervisor.health", is::health),
            ("supervisor.on-deactivate", is::on_deactivate),
            ("supervisor.sigterm", is::sigterm),
            ("supervisor.api-last", is::api_last),
            ("supervisor.no-orphan", is::no_orphan),
            ("supervisor.stop-in-time", is::stop_in_time),
            ("supervisor.api-closed", is::api_closed),
            ("supervisor.exit-status", is::exit_status),
        ],
    ),
    Scenario {
        until: Until::GivenUp(45),
        ..active(
            "hang-in-on-activate",
            "OnActivate never answers; wait until the process is gone, 45 s at most",
            "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
             on: {OnActivate: [hang]}\n",
            &[("supervisor.activate-hang", is::activate_given_up)],
        )
    },
    Scenario {
        until: Until::GivenUp(45),
        ..active(
            "hang-in-implemented",
            "Implemented never answers; wait until the process is gone, 45 s at most",
            "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
             on: {Implemented: [hang]}\n",
            &[("supervisor.implemented-hang", is::implemented_given_up)],
        )
    },
    Scenario {
        stop: 45,
        ..active(
            "hang-in-on-deactivate",
            "OnDeactivate never answers; stop it when it is active",
            "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
             on: {OnDeactivate: [hang]}\n",
            &[("supervisor.on-deactivate-hang", is::on_deactivate_hang)],
        )
    },
    refused(
        "silent",
        "no handshake; wait until the process is gone, 15 s at most",
        "life: [hang]\n",
        &[("supervisor.handshake-silent", is::handshake_refused)],
    ),
    refused(
        "garbage",
        "a first line that is no handshake",
        "life: [{delay: 500}, {print: \"Traceback (most recent call last):\"}, hang]\n",
        &[
            ("supervisor.handshake-garbage", is::handshake_refused),
            ("supervisor.refused-launch-api", is::failed_launch_api),
        ],
    ),
    refused(
        "banner",
        "a line before a good handshake",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, {print: Welcome!}, handshake, wait]\n",
        &[("supervisor.handshake-banner", is::handshake_refused)],
    ),
    refused(
        "short",
        "a handshake of three fields",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, {handshake: \"1|1|{network}\"}, wait]\n",
        &[("supervisor.handshake-short", is::handshake_refused)],
    ),
    refused(
        "no-protocol",
        "a handshake of four fields, which means net/rpc",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, {handshake: \"1|1|{network}|{address}\"}, wait]\n",
        &[("supervisor.handshake-no-protocol", is::handshake_refused)],
    ),
    refused(
        "netrpc",
        "a handshake for net/rpc",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, {handshake: \"1|1|{network}|{address}|netrpc\"}, wait]\n",
        &[("supervisor.handshake-netrpc", is::handshake_refused)],
    ),
    refused(
        "core-version",
        "a handshake of another core protocol version",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, {handshake: \"2|1|{network}|{address}|grpc\"}, wait]\n",
        &[("supervisor.handshake-core-version", is::handshake_refused)],
    ),
    refused(
        "app-version",
        "a handshake of another app protocol version",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, {handshake: \"1|2|{network}|{address}|grpc\"}, wait]\n",
        &[("supervisor.handshake-app-version", is::handshake_refused)],
    ),
    refused(
        "network",
        "a handshake with a network that is neither tcp nor unix",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, {handshake: \"1|1|udp|{address}|grpc\"}, wait]\n",
        &[("supervisor.handshake-network", is::handshake_refused)],
    ),
    refused(
        "certificate",
        "a handshake that wants TLS",
        "life:\n  - serve: {hooks: [OnActivate, OnDeactivate]}\n  - handshake: {line: \"1|1|{network}|{address}|grpc|{filler}\", filler: 600}\n  - wait\n",
        &[("supervisor.handshake-certificate", is::handshake_refused)],
    ),
    refused(
        "huge-line",
        "a first line of 70,000 bytes",
        "life: [{print_raw: {text: x, repeat: 70000}}, hang]\n",
        &[("supervisor.handshake-huge-line", is::handshake_refused)],
    ),
    active(
        "extra-fields",
        "a good handshake with two more fields",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, {handshake: \"1|1|{network}|{address}|grpc||false\"}, wait]\n",
        &[("supervisor.handshake-extra-fields", is::handshake_taken)],
    ),
    active(
        "long-line",
        "a good handshake of 60,000 bytes",
        "life:\n  - serve: {hooks: [OnActivate, OnDeactivate]}\n  - handshake: {line: \"1|1|{network}|{address}|grpc||{filler}\", filler: 60000}\n  - wait\n",
        &[("supervisor.handshake-long-line", is::handshake_taken)],
    ),
    active(
        "unix-hooks",
        "the hooks are served on a Unix socket",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate], network: unix}}, handshake, wait]\n",
        &[("supervisor.handshake-unix", is::handshake_taken)],
    ),
    active(
        "slow-start",
        "a good handshake after 5 s",
        "life: [{delay: 5000}, {serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n",
        &[("supervisor.handshake-slow", is::handshake_taken)],
    ),
    active(
        "no-hooks",
        "a plugin that implements no hook at all",
        "life: [{serve: {hooks: []}}, handshake, wait]\n",
        &[("supervisor.unclaimed-hooks", is::unclaimed_hooks)],
    ),
    refused(
        "implemented-fails",
        "Implemented fails with a gRPC status",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
         on: {Implemented: [{fail: {code: INTERNAL, message: broken}}]}\n",
        &[("supervisor.implemented-fails", is::implemented_given_up)],
    ),
    refused(
        "activate-refused",
        "OnActivate answers an AppError",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
         on: {OnActivate: [{answer_error: {id: refused, message: refused, status_code: 500}}]}\n",
        &[("supervisor.activate-refused", is::activate_given_up)],
    ),
    refused(
        "activate-fails",
        "OnActivate fails with a gRPC status",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
         on: {OnActivate: [{fail: {code: INTERNAL, message: broken}}]}\n",
        &[
            ("supervisor.activate-fails", is::activate_given_up),
            ("supervisor.failed-launch-api", is::failed_launch_api),
        ],
    ),
    refused(
        "not-serving",
        "the health service says NOT_SERVING",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate], health: not_serving}}, handshake, wait]\n",
        &[("supervisor.health-not-serving", is::not_healthy)],
    ),
    Scenario {
        until: Until::Ended,
        ..active(
            "crash-later",
            "the plugin aborts when it is active",
            "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
             on: {after_activate: [{crash: SIGABRT}]}\n",
            &[
                ("supervisor.crash-noticed", is::crash_noticed),
                ("supervisor.crash-stop", is::crash_stop),
            ],
        )
    },
    active(
        "inherited-target",
        "a good plugin; the supervisor inherits MATTERMOST_PLUGIN_API_TARGET=127.0.0.1:1",
        GOOD,
        &[("supervisor.inherited-target", is::inherited_target)],
    )
    .special(Special::InheritedTarget),
    active(
        "nested-script",
        "the manifest's script is server/plugin.py",
        GOOD,
        &[("supervisor.nested-script", is::nested_script)],
    )
    .special(Special::Executable("server/plugin.py")),
    Scenario {
        until: Until::NotStarted(5),
        special: Special::Executable("../../../../../../../../../../../../etc/passwd"),
        ..active(
            "traversal",
            "the manifest's script is outside the bundle; nothing is to be started",
            GOOD,
            &[("supervisor.traversal", is::no_traversal)],
        )
    },
    active(
        "stdout-flood",
        "4 MiB in short lines on stdout right after the handshake",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, {flood: {stream: stdout, bytes: 4194304}}, wait]\n",
        &[("supervisor.stdout-flood", is::handshake_taken)],
    ),
    active(
        "stdout-long-lines",
        "4 MiB in lines of 200,000 bytes on stdout right after the handshake",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, {flood: {stream: stdout, bytes: 4194304, line_bytes: 200000}}, wait]\n",
        &[("supervisor.stdout-long-lines", is::handshake_taken)],
    ),
    active(
        "stderr-flood",
        "8 MiB in short and long lines on stderr right after the handshake",
        "life:\n  - serve: {hooks: [OnActivate, OnDeactivate]}\n  - handshake\n  - flood: {stream: stderr, bytes: 4194304}\n  - flood: {stream: stderr, bytes: 4194304, line_bytes: 200000}\n  - wait\n",
        &[("supervisor.stderr-flood", is::handshake_taken)],
    ),
    active(
        "slow-on-deactivate",
        "OnDeactivate answers after 3 s",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
         on: {OnDeactivate: [{delay: 3000}]}\n",
        &[("supervisor.on-deactivate-awaited", is::on_deactivate_awaited)],
    ),
    active(
        "calls-while-stopping",
        "OnDeactivate calls the API",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
         on: {OnActivate: [{call: GetServerVersion}], OnDeactivate: [{call: GetServerVersion}]}\n",
        &[("supervisor.api-while-stopping", is::api_while_stopping)],
    ),
    active(
        "open-call",
        "the plugin leaves an API call open",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, {open_call: GetServerVersion}, handshake, wait]\n",
        &[("supervisor.open-call", is::stops)],
    ),
    active(
        "ignores-sigterm",
        "the plugin ignores SIGTERM",
        "life: [ignore_sigterm, {serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n",
        &[("supervisor.ignored-sigterm", is::killed_in_the_end)],
    ),
    Scenario {
        stop: 45,
        ..active(
            "blocked-event-loop",
            "the plugin blocks its only thread when it is active",
            "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
             on: {after_activate: [block_thread]}\n",
            &[("supervisor.blocked-event-loop", is::stops)],
        )
    },
    active(
        "grandchild",
        "the plugin has a child that ignores SIGTERM",
        "life: [{grandchild: {holds_output: false}}, {serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n",
        &[("supervisor.grandchild", is::no_descendant)],
    ),
    active(
        "grandchild-holds-output",
        "the plugin has a child that keeps stdout and stderr open",
        "life: [{grandchild: {holds_output: true}}, {serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n",
        &[("supervisor.grandchild-holds-output", is::stops_beside_a_child)],
    ),
    active(
        "grandchild-new-session",
        "the plugin has a child in a session of its own",
        "life: [{grandchild: {holds_output: false, new_session: true}}, {serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n",
        &[("supervisor.grandchild-new-session", is::no_descendant)],
    ),
    active(
        "second-stop",
        "a good plugin whose OnDeactivate takes a second; ask the supervisor to stop twice",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
         on: {OnDeactivate: [{delay: 1000}]}\n",
        &[("supervisor.second-stop", is::second_stop)],
    )
    .special(Special::SecondStop),
    active(
        "every-rpc",
        "the plugin calls every RPC of PluginAPI",
        "life: [{serve: {hooks: [OnActivate, OnDeactivate]}}, handshake, wait]\n\
         on: {after_activate: [{every_rpc: {expect: generated}}]}\n",
        &[],
    ),
];

impl Scenario {
    const fn special(mut self, special: Special) -> Self {
        self.special = special;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::catalogue::{self, SubjectKind};
    use super::*;

    #[test]
    fn every_check_belongs_to_one_scenario_and_every_rule_is_in_the_catalogue() {
        for check in catalogue::of(SubjectKind::Supervisor) {
            let made = SCENARIOS.iter().filter(|scenario| scenario.checks().contains(&check));
            assert_eq!(made.count(), 1, "{}", check.id);
        }
        for (id, _) in SCENARIOS.iter().flat_map(|scenario| scenario.rules) {
            assert_eq!(catalogue::find(id).unwrap().subject, SubjectKind::Supervisor);
        }
    }
}
