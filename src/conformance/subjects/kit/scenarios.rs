//! The life-cycle checks: which character is launched, what the supervisor is to do with it, and
//! what must have been seen.
//!
//! A row of [`SCENARIOS`] is one launch; it may carry several rules. Each rule has a saboteur in
//! [`saboteurs`](super::saboteurs) that breaks it and no other.

use std::time::Duration;

use super::super::super::DEFAULT_VERSION;
use super::super::super::catalogue::{Fault, Objection, Verdict};
use super::super::super::evidence::{HttpSeen, Observation, get, post};
use super::launcher::{Story, Wait};
use crate::supervisor::EventKind;

/// One launch of one character.
#[derive(Debug)]
pub struct Scenario {
    /// The fake interpreter.
    pub character: &'static str,
    /// What the supervisor is to do.
    pub story: Story,
    /// Offer the API on a Unix socket.
    pub unix: bool,
    /// What the plugin lets run out.
    pub runs_out: &'static [Wait],
    /// What must hold.
    pub rules: &'static [Rule],
}

/// One rule about a launch.
#[derive(Debug)]
pub struct Rule {
    /// The check's id, in the catalogue.
    pub id: &'static str,
    /// Looks at what was seen.
    pub judge: fn(&Observation) -> Verdict,
}

const fn rule(id: &'static str, judge: fn(&Observation) -> Verdict) -> Rule {
    Rule { id, judge }
}

const fn scenario(character: &'static str, story: Story, rules: &'static [Rule]) -> Scenario {
    Scenario { character, story, unix: false, runs_out: &[], rules }
}

/// The same, with a plugin that lets limits run out.
const fn endless(
    character: &'static str,
    story: Story,
    runs_out: &'static [Wait],
    rules: &'static [Rule],
) -> Scenario {
    Scenario { runs_out, ..scenario(character, story, rules) }
}

/// Every launch that `check` makes, besides those for the RPCs.
pub static SCENARIOS: &[Scenario] = &[
    scenario(
        "well-behaved",
        Story::LaunchCheckAndStop,
        &[
            rule("launch.active", active),
            rule("launch.api-first", |seen| {
                let report = report(seen)?;
                want(
                    report.api_reachable_at_start,
                    "the plugin could not reach the API at its start",
                )
            }),
            rule("launch.target", |seen| {
                let listening = seen.events.iter().find_map(|kind| match kind {
                    EventKind::ApiListening { target } => Some(target.clone()),
                    _ => None,
                });
                same("the variable", &report(seen)?.api_target, &listening)
            }),
            rule("launch.server-version", |seen| {
                let version = report(seen)?.server_version.clone();
                same("the version", &version, &Some(DEFAULT_VERSION.to_owned()))
            }),
            rule("launch.working-directory", |seen| {
                same_folder("the working directory", &report(seen)?.cwd, seen)
            }),
            rule("launch.arguments", |seen| {
                same(
                    "the arguments",
                    &report(seen)?.argv[1..].to_vec(),
                    &vec!["plugin.py".to_owned()],
                )
            }),
            rule("launch.cookie", |seen| {
                let go_plugin = &report(seen)?.go_plugin;
                let cookie = Some("Securely message teams, anywhere.".to_owned());
                same("the cookie", &go_plugin.cookie, &cookie)?;
                same("the versions", &go_plugin.protocol_versions, &Some("1".to_owned()))
            }),
            rule("launch.identity", |seen| {
                let environment = &report(seen)?.environment;
                let id = Some("com.mattermost.fake-well-behaved".to_owned());
                same("MATTERMOST_PLUGIN_ID", &environment.plugin_id, &id)?;
                let path = environment.plugin_path.clone().unwrap_or_default();
                same_folder("MATTERMOST_PLUGIN_PATH", &path, seen)
            }),
            rule("launch.hooks", |seen| {
                let hooks = &report(seen)?.hooks;
                let first: Vec<_> = hooks.iter().take(2).map(String::as_str).collect();
                same("the first hooks", &first, &vec!["Implemented", "OnActivate"])
            }),
            rule("health.serving", |seen| match &seen.health {
                Some(Ok(())) => Ok(String::new()),
                Some(Err(error)) => Err(error.as_str().into()),
                None => Err("no health check was made".into()),
            }),
            rule("stop.on-deactivate", |seen| {
                let last = report(seen)?.hooks.last().cloned();
                same("the last hook", &last, &Some("OnDeactivate".to_owned()))
            }),
            rule("stop.sigterm", |seen| {
                let stop = report(seen)?.stop.as_ref().and_then(|stop| stop.signal.clone());
                same("the signal", &stop, &Some("SIGTERM".to_owned()))
            }),
            rule("stop.api-last", |seen| {
                let stop = report(seen)?.stop.as_ref();
                let reachable = stop.is_some_and(|stop| stop.api_reachable);
                want(reachable, "the plugin could not reach the API while it was stopping")?;
                let at = |wanted: fn(&EventKind) -> bool| seen.events.iter().position(wanted);
                let exited = at(|kind| matches!(kind, EventKind::Exited { .. }));
                let stopped = at(|kind| matches!(kind, EventKind::ApiStopped { .. }));
                want(
                    exited.is_some() && exited < stopped,
                    "the API server was stopped before the process",
                )
            }),
            rule("stop.exit-status", |seen| {
                same("the exit", &seen.exit, &Some("exit status 0".to_owned()))
            }),
            rule("stop.nothing-left", nothing_left),
        ],
    ),
    Scenario {
        character: "well-behaved",
        story: Story::LaunchAndStop,
        unix: true,
        runs_out: &[],
        rules: &[rule("launch.unix-socket", |seen| {
            active(seen)?;
            let report = report(seen)?;
            let target = report.api_target.clone().unwrap_or_default();
            want(target.starts_with("unix:///"), &format!("the target is {target:?}"))?;
            want(report.server_version.is_some(), "GetServerVersion did not answer")?;
            nothing_left(seen)
        })],
    },
    endless(
        "silent",
        Story::LaunchAndStop,
        &[Wait::Handshake],
        &[rule("handshake.silent", |seen| refused(seen, &["timeout"]))],
    ),
    scenario(
        "garbage-handshake",
        Story::LaunchAndStop,
        &[rule("handshake.garbage", |seen| refused(seen, &["Unrecognized remote plugin message"]))],
    ),
    scenario(
        "short-handshake",
        Story::LaunchAndStop,
        &[rule("handshake.short", |seen| refused(seen, &["Unrecognized remote plugin message"]))],
    ),
    scenario(
        "netrpc-handshake",
        Story::LaunchAndStop,
        &[rule("handshake.netrpc", |seen| refused(seen, &["protocol", "netrpc"]))],
    ),
    scenario(
        "wrong-core-version",
        Story::LaunchAndStop,
        &[rule("handshake.core-version", |seen| refused(seen, &["core", "version"]))],
    ),
    scenario(
        "wrong-app-version",
        Story::LaunchAndStop,
        &[rule("handshake.app-version", |seen| refused(seen, &["API version"]))],
    ),
    scenario(
        "huge-first-line",
        Story::LaunchAndStop,
        &[rule("handshake.huge-line", |seen| refused(seen, &["65536 bytes or more"]))],
    ),
    scenario("long-handshake-field", Story::LaunchAndStop, &[rule("handshake.long-line", stops)]),
    scenario(
        "tls-handshake",
        Story::LaunchAndStop,
        &[rule("handshake.certificate", |seen| refused(seen, &["cert"]))],
    ),
    scenario(
        "banner-before-handshake",
        Story::LaunchAndStop,
        &[rule("handshake.banner", |seen| refused(seen, &["Unrecognized remote plugin message"]))],
    ),
    scenario(
        "crash-before-handshake",
        Story::LaunchAndStop,
        &[rule("crash.before-handshake", |seen| {
            want(
                seen.launch_time < Duration::from_secs(10),
                "the launch waited for a dead process",
            )?;
            refused(seen, &["the process ended: "])
        })],
    ),
    scenario(
        "crash-during-handshake",
        Story::LaunchAndStop,
        &[rule("crash.during-handshake", |seen| refused(seen, &["the process ended: "]))],
    ),
    scenario(
        "crash-after-handshake",
        Story::LaunchAndStop,
        &[rule("crash.after-handshake", |seen| refused(seen, &["the process ended: "]))],
    ),
    scenario(
        "crash-in-on-activate",
        Story::LaunchAndStop,
        &[rule("crash.in-on-activate", |seen| refused(seen, &["the process ended: "]))],
    ),
    scenario(
        "crash-later",
        Story::LaunchAndWait,
        &[rule("crash.later", |seen| {
            active(seen)?;
            want(seen.stop_time < Duration::from_secs(10), "it was noticed late")?;
            nothing_left(seen)
        })],
    ),
    scenario(
        "error-in-on-activate",
        Story::LaunchAndStop,
        &[rule("activate.refused", |seen| refused(seen, &["OnActivate", "refused"]))],
    ),
    endless(
        "hang-in-on-activate",
        Story::LaunchAndStop,
        &[Wait::Hook],
        &[rule("activate.hang", |seen| refused(seen, &["OnActivate did not answer"]))],
    ),
    endless(
        "hang-in-implemented",
        Story::LaunchAndStop,
        &[Wait::Hook],
        &[rule("implemented.hang", |seen| refused(seen, &["Implemented did not answer"]))],
    ),
    endless(
        "hang-in-on-deactivate",
        Story::LaunchAndStop,
        &[Wait::Deactivate],
        &[rule("stop.hang-in-on-deactivate", stops)],
    ),
    endless(
        "ignores-sigterm",
        Story::LaunchAndStop,
        &[Wait::Grace],
        &[rule("stop.ignored-sigterm", |seen| {
            stops(seen)?;
            want(seen.events.contains(&EventKind::Killing), "it was not killed")
        })],
    ),
    scenario(
        "grandchild-holds-stdout",
        Story::LaunchAndStop,
        &[rule("stop.grandchild", stops_with_descendant)],
    ),
    scenario(
        "grandchild-new-session",
        Story::LaunchAndStop,
        &[rule("stop.grandchild-new-session", stops_with_descendant)],
    ),
    endless(
        "blocks-thread",
        Story::LaunchCheckAndStop,
        &[Wait::Health, Wait::Deactivate, Wait::Controller, Wait::Grace],
        &[rule("stop.blocked-event-loop", |seen| {
            want(matches!(seen.health, Some(Err(_))), "the health check passed")?;
            stops(seen)
        })],
    ),
    scenario(
        "controller-exits",
        Story::LaunchAndStop,
        &[rule("stop.controller", |seen| {
            stops(seen)?;
            want(!seen.events.contains(&EventKind::Terminating), "it was sent SIGTERM all the same")
        })],
    ),
    endless(
        "controller-blocked",
        Story::LaunchAndStop,
        &[Wait::Controller],
        &[rule("stop.controller-blocked", stops)],
    ),
    scenario(
        "calls-while-stopping",
        Story::LaunchAndStop,
        &[rule("stop.calls-while-stopping", |seen| {
            stops(seen)?;
            let last = report(seen)?.calls.last().map(|call| call.code.clone());
            same("the last call", &last, &Some("OK".to_owned()))
        })],
    ),
    scenario("leaks-open-call", Story::LaunchAndStop, &[rule("stop.open-call", stops)]),
    endless(
        "blocks-health",
        Story::LaunchAndStop,
        &[Wait::Health],
        &[rule("health.blocked", |seen| refused(seen, &["health check"]))],
    ),
    scenario(
        "not-serving",
        Story::LaunchAndStop,
        &[rule("health.not-serving", |seen| refused(seen, &["NOT_SERVING"]))],
    ),
    scenario(
        "no-health",
        Story::LaunchAndStop,
        &[rule("health.missing", |seen| refused(seen, &["grpc.health.v1.Health"]))],
    ),
    scenario(
        "floods-output",
        Story::LaunchCheckAndStop,
        &[rule("output.flood", |seen| {
            stops(seen)?;
            want(matches!(seen.health, Some(Ok(()))), "the health check failed")?;
            want(!seen.log.is_empty(), "nothing of it was logged")
        })],
    ),
    scenario("unix-hooks", Story::LaunchAndStop, &[rule("handshake.unix", stops)]),
    scenario(
        "http-app",
        Story::AskHttpAndStop(&[
            get("/api/status"),
            post("/api/echo", BODY),
            get("/api/large"),
            get("/api/headers"),
            get("/api/error"),
            get("/nowhere"),
        ]),
        &[
            rule("http.request", |seen| {
                let asked = report(seen)?.http.get(1).ok_or("the request did not arrive")?;
                let init = asked.init.as_ref().ok_or("there was no init")?;
                same("method", &init["method"], &"POST".into())?;
                same("url", &init["url"], &"/api/echo".into())?;
                same("content_length", &init["content_length"], &BODY.into())?;
                same("headers", &init["headers"][0]["values"], &vec!["one", "two"].into())?;
                same("bytes of the body", &asked.body_bytes, &(BODY as u64))?;
                want(asked.largest_chunk <= 64 << 10, "a chunk has more than 64 KiB")?;
                want(!asked.late_init, "init came again after the first message")?;
                want(asked.body_complete, "body_complete did not come")?;
                same("messages after body_complete", &asked.after_complete, &0)
            }),
            rule("http.echo", |seen| {
                let reply = reply(seen, "/api/echo")?;
                same("status", &(reply.status, reply.replied), &(200, true))?;
                let same = reply.body == fake_interpreters::sample::letters(0, BODY);
                want(same && reply.whole, "the body is another one")
            }),
            rule("http.large", |seen| {
                let reply = reply(seen, "/api/large")?;
                same("bytes", &(reply.body.len(), reply.whole), &(102_400, true))
            }),
            rule("http.headers", |seen| {
                let reply = reply(seen, "/api/headers")?;
                let cookies = reply.headers.iter().filter(|(name, _)| name == "set-cookie");
                let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
                same("Set-Cookie", &cookies, &vec!["a=1", "b=2"])
            }),
            rule("http.error", |seen| {
                let error = reply(seen, "/api/error")?;
                same("status", &(error.status, error.replied), &(500, true))?;
                same("body", &&error.body[..], &&b"internal error"[..])?;
                same("an unknown path", &reply(seen, "/nowhere")?.status, &404)
            }),
        ],
    ),
    scenario(
        "http-misbehaves",
        Story::AskHttpAndStop(&[
            get("/no-init"),
            get("/bad-status/42"),
            get("/half-reply"),
            get("/second-init"),
            get("/after-complete"),
            get("/fails"),
            post("/early-reply", 4 << 20),
            get("/crash"),
        ]),
        &[
            rule("http.no-init", |seen| {
                let reply = reply(seen, "/no-init")?;
                same("status", &(reply.status, reply.whole), &(200, true))?;
                same("body", &&reply.body[..], &&b"no init"[..])
            }),
            rule("http.bad-status", |seen| {
                let reply = reply(seen, "/bad-status/42")?;
                same("status", &(reply.status, reply.replied), &(500, false))
            }),
            rule("http.half-reply", |seen| {
                let reply = reply(seen, "/half-reply")?;
                same("status and end", &(reply.status, reply.whole), &(200, false))
            }),
            rule("http.second-init", |seen| {
                want(!reply(seen, "/second-init")?.whole, "the reply was taken for a whole one")
            }),
            rule("http.after-complete", |seen| {
                let reply = reply(seen, "/after-complete")?;
                same("body", &(&reply.body[..], reply.whole), &(&b"complete"[..], true))
            }),
            rule("http.no-reply", |seen| {
                let reply = reply(seen, "/fails")?;
                same("status", &(reply.status, reply.replied), &(502, false))
            }),
            rule("http.early-reply", |seen| {
                let reply = reply(seen, "/early-reply")?;
                same("status", &(reply.status, reply.whole), &(413, true))?;
                same("body", &&reply.body[..], &&b"too large"[..])
            }),
            rule("http.crash", |seen| {
                let reply = reply(seen, "/crash")?;
                same("status", &(reply.status, reply.replied), &(502, false))
            }),
        ],
    ),
];

/// The length of the body of `http.echo`, in bytes: more than a chunk, and no multiple of it.
const BODY: usize = 200_000;

/// What came of a request.
fn reply<'a>(seen: &'a Observation, path: &str) -> Result<&'a HttpSeen, Objection> {
    active(seen)?;
    let mut found = seen.http.iter().filter(|reply| reply.ask.path == path);
    found.next().ok_or_else(|| format!("{path} was not asked").into())
}

/// Ok with no remark, or the fault.
fn want(holds: bool, fault: &str) -> Verdict {
    if holds { Ok(String::new()) } else { Err(fault.into()) }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, seen: &T, wanted: &T) -> Verdict {
    match seen == wanted {
        true => Ok(String::new()),
        false => Err(Fault::differs(what, wanted, seen).into()),
    }
}

/// Whether this path, links resolved, is the bundle.
fn same_folder(what: &str, path: &str, seen: &Observation) -> Verdict {
    let found = std::fs::canonicalize(path).map_err(|error| format!("{what} {path:?}: {error}"))?;
    let bundle = seen.bundle.canonicalize().map_err(|error| format!("the bundle: {error}"))?;
    same(what, &found, &bundle)
}

fn report(seen: &Observation) -> Result<&fake_interpreters::report::Report, String> {
    seen.report.as_ref().map_err(Clone::clone)
}

fn active(seen: &Observation) -> Verdict {
    Ok(seen.launch.clone().map(|()| String::new())?)
}

fn nothing_left(seen: &Observation) -> Verdict {
    want(seen.left.is_empty(), &seen.left.join("; "))
}

/// The plugin became active, was stopped, and nothing is left.
fn stops(seen: &Observation) -> Verdict {
    active(seen)?;
    let ended = seen.events.last() == Some(&EventKind::Ended);
    want(ended, "the stop did not come to its end")?;
    nothing_left(seen)
}

/// The same, for a plugin that has a descendant.
fn stops_with_descendant(seen: &Observation) -> Verdict {
    want(!report(seen)?.grandchildren.is_empty(), "the plugin could not start a descendant")?;
    stops(seen)
}

/// The launch failed, its error says all of `words`, and nothing is left.
fn refused(seen: &Observation, words: &[&str]) -> Verdict {
    let Err(error) = &seen.launch else {
        return Err("the launch succeeded".into());
    };
    let missing: Vec<_> = words.iter().filter(|word| !error.contains(**word)).collect();
    want(missing.is_empty(), &format!("the error does not say {missing:?}: {error}"))?;
    nothing_left(seen)
}
