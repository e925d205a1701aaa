//! A fault for every life-cycle check: what an outside observer would see of a supervisor with this
//! one defect. Each makes exactly one check fail; a test proves it.
//!
//! The checks of the RPCs have their saboteurs between handler and wire, see
//! `Gate::fault`.

use fake_interpreters::report::{Report, StopReport};

use super::super::super::evidence::{HttpSeen, Observation};
use crate::supervisor::EventKind;

/// One defect.
#[derive(Debug)]
pub struct Saboteur {
    /// The check that fails with it.
    pub trips: &'static str,
    /// The defect in words.
    pub defect: &'static str,
    /// Changes what was seen to what would have been seen.
    pub sabotage: fn(&mut Observation),
}

const fn saboteur(
    trips: &'static str,
    defect: &'static str,
    sabotage: fn(&mut Observation),
) -> Saboteur {
    Saboteur { trips, defect, sabotage }
}

/// One saboteur, at least, for every rule of [`SCENARIOS`](super::SCENARIOS).
pub static SABOTEURS: &[Saboteur] = &[
    saboteur("launch.active", "fails every launch", |seen| {
        seen.launch = Err("unable to start plugin".to_owned());
    }),
    saboteur("launch.api-first", "starts the API server after the process", |seen| {
        report(seen, |report| report.api_reachable_at_start = false);
    }),
    saboteur("launch.target", "lets an inherited target win", |seen| {
        report(seen, |report| report.api_target = Some("127.0.0.1:50051".to_owned()));
    }),
    saboteur("launch.server-version", "answers for another server", |seen| {
        report(seen, |report| report.server_version = Some("0.0.0".to_owned()));
    }),
    saboteur("launch.working-directory", "runs the process where it runs itself", |seen| {
        report(seen, |report| report.cwd = "/".to_owned());
    }),
    saboteur("launch.arguments", "passes the script's absolute path", |seen| {
        report(seen, |report| {
            if let Some(script) = report.argv.get_mut(1) {
                script.insert(0, '/');
            }
        });
    }),
    saboteur("launch.cookie", "forgets the cookie", |seen| {
        report(seen, |report| report.go_plugin.cookie = None);
    }),
    saboteur("launch.identity", "does not tell the plugin its id", |seen| {
        report(seen, |report| report.environment.plugin_id = None);
    }),
    saboteur("launch.hooks", "calls OnActivate before Implemented", |seen| {
        report(seen, |report| {
            if report.hooks.len() > 1 {
                report.hooks.swap(0, 1);
            }
        });
    }),
    saboteur("health.serving", "asks for the health of another service", |seen| {
        seen.health = Some(Err("plugin RPC connection is not responding".to_owned()));
    }),
    saboteur("stop.on-deactivate", "forgets OnDeactivate", |seen| {
        report(seen, |report| report.hooks.retain(|hook| hook != "OnDeactivate"));
    }),
    saboteur("stop.sigterm", "interrupts instead of terminating", |seen| {
        report(seen, |report| {
            if let Some(stop) = &mut report.stop {
                stop.signal = Some("SIGINT".to_owned());
            }
        });
    }),
    saboteur("stop.api-last", "stops the API server before the process", |seen| {
        report(seen, |report| {
            let signal = report.stop.take().and_then(|stop| stop.signal);
            report.stop = Some(StopReport { signal, api_reachable: false });
        });
    }),
    saboteur("stop.exit-status", "kills instead of asking", |seen| {
        seen.exit = Some("killed by signal 9 (SIGKILL)".to_owned());
    }),
    saboteur("stop.nothing-left", "leaves the API server's port open", |seen| {
        seen.left.push("the API server still accepts connections".to_owned());
    }),
    saboteur("launch.unix-socket", "serves TCP although a socket was asked for", |seen| {
        report(seen, |report| report.api_target = Some("127.0.0.1:1".to_owned()));
    }),
    saboteur("handshake.silent", "waits on without a word", |seen| {
        seen.launch = Err("unable to start plugin".to_owned());
    }),
    saboteur("handshake.garbage", "takes any line for a handshake", succeeds),
    saboteur("handshake.short", "guesses the missing fields", succeeds),
    saboteur("handshake.netrpc", "speaks gRPC to a net/rpc plugin", succeeds),
    saboteur("handshake.core-version", "does not look at the core version", succeeds),
    saboteur("handshake.app-version", "does not look at the app version", succeeds),
    saboteur("handshake.huge-line", "reads a line for ever", |seen| {
        seen.launch = Err("timeout while waiting for plugin to start".to_owned());
    }),
    saboteur("handshake.long-line", "reads lines of at most 4 KiB", |seen| {
        seen.launch = Err("the first line on stdout is too long".to_owned());
    }),
    saboteur("handshake.certificate", "speaks plaintext to a TLS plugin", succeeds),
    saboteur("handshake.banner", "skips lines until one fits", succeeds),
    saboteur("crash.before-handshake", "waits for the timeout of a dead process", |seen| {
        seen.launch_time = std::time::Duration::from_secs(20);
    }),
    saboteur("crash.during-handshake", "does not say how the process ended", speechless),
    saboteur("crash.after-handshake", "does not say how the process ended", speechless),
    saboteur("crash.in-on-activate", "takes a lost connection for a success", succeeds),
    saboteur("crash.later", "notices a crash at the next health check", |seen| {
        seen.stop_time = std::time::Duration::from_secs(30);
    }),
    saboteur("activate.refused", "does not look at the answer's error", succeeds),
    saboteur("activate.hang", "takes a timeout for a success", succeeds),
    saboteur("implemented.hang", "takes a timeout for an empty list", succeeds),
    saboteur("stop.hang-in-on-deactivate", "waits for OnDeactivate for ever", endless),
    saboteur("stop.ignored-sigterm", "never sends SIGKILL", |seen| {
        seen.events.retain(|kind| *kind != EventKind::Killing);
    }),
    saboteur("stop.grandchild", "kills the process alone, not its group", survives),
    saboteur("stop.grandchild-new-session", "kills the group and looks no further", survives),
    saboteur("stop.blocked-event-loop", "takes a silent plugin for a healthy one", |seen| {
        seen.health = Some(Ok(()));
    }),
    saboteur("stop.controller", "sends SIGTERM to a plugin that is leaving", |seen| {
        seen.events.insert(0, EventKind::Terminating);
    }),
    saboteur("stop.controller-blocked", "waits for the controller for ever", endless),
    saboteur("stop.calls-while-stopping", "refuses calls once the stop has begun", |seen| {
        report(seen, |report| {
            if let Some(call) = report.calls.last_mut() {
                call.code = "UNAVAILABLE".to_owned();
            }
        });
    }),
    saboteur("stop.open-call", "drains without a deadline", endless),
    saboteur("health.blocked", "checks health without a deadline", succeeds),
    saboteur("health.not-serving", "takes NOT_SERVING for healthy", succeeds),
    saboteur("health.missing", "launches without a health check", succeeds),
    saboteur("output.flood", "throws the output away", |seen| seen.log.clear()),
    saboteur("http.request", "sends a body in one message", |seen| {
        report(seen, |report| {
            report.http.iter_mut().for_each(|call| call.largest_chunk = 200_000);
        });
    }),
    saboteur("http.echo", "loses a chunk", |seen| {
        http(seen, "/api/echo", |reply| reply.body.truncate(65_536));
    }),
    saboteur("http.large", "reads the first message only", |seen| {
        http(seen, "/api/large", |reply| reply.body.truncate(65_536));
    }),
    saboteur("http.headers", "keeps the last of several values", |seen| {
        http(seen, "/api/headers", |reply| reply.headers.retain(|(_, value)| value != "a=1"));
    }),
    saboteur("http.error", "puts a page of its own over a plugin's error", |seen| {
        http(seen, "/api/error", |reply| reply.body = "Internal Server Error".into());
    }),
    saboteur("http.no-init", "takes a reply without init for none", |seen| {
        http(seen, "/no-init", |reply| reply.status = 502);
    }),
    saboteur("http.bad-status", "hands any status on", |seen| {
        http(seen, "/bad-status/42", |reply| (reply.status, reply.replied) = (42, true));
    }),
    saboteur("http.half-reply", "ends a reply that failed as if it were whole", |seen| {
        http(seen, "/half-reply", |reply| reply.whole = true);
    }),
    saboteur("http.second-init", "ignores a second init", |seen| {
        http(seen, "/second-init", |reply| reply.whole = true);
    }),
    saboteur("http.after-complete", "reads on after body_complete", |seen| {
        http(seen, "/after-complete", |reply| reply.body = "completeand more".into());
    }),
    saboteur("http.no-reply", "answers for a plugin that did not", |seen| {
        http(seen, "/fails", |reply| reply.status = 200);
    }),
    saboteur("http.early-reply", "waits for the end of the upload", |seen| {
        http(seen, "/early-reply", |reply| reply.whole = false);
    }),
    saboteur("http.crash", "waits for a plugin that is gone", |seen| {
        http(seen, "/crash", |reply| reply.status = 504);
    }),
    saboteur("handshake.unix", "refuses Unix sockets", |seen| {
        seen.launch = Err("unknown address type".to_owned());
    }),
];

fn report(seen: &mut Observation, change: impl FnOnce(&mut Report)) {
    if let Ok(report) = &mut seen.report {
        change(report);
    }
}

fn http(seen: &mut Observation, path: &str, change: impl FnOnce(&mut HttpSeen)) {
    let reply = seen.http.iter_mut().find(|reply| reply.ask.path == path);
    if let Some(reply) = reply {
        change(reply);
    }
}

fn succeeds(seen: &mut Observation) {
    seen.launch = Ok(());
}

fn speechless(seen: &mut Observation) {
    seen.launch = Err("unable to start plugin".to_owned());
}

fn endless(seen: &mut Observation) {
    seen.events.retain(|kind| *kind != EventKind::Ended);
}

fn survives(seen: &mut Observation) {
    seen.left.push("process 4711 still lives".to_owned());
}
