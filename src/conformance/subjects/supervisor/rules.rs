//! The rules: pure functions of what was seen of a scenario.

use std::path::{Component, Path, PathBuf};

use fake_interpreters::report::Report;

use super::super::super::catalogue::{Fault, Objection, Verdict};
use super::super::super::evidence::{Launched, Outside};

fn held() -> Verdict {
    Ok(String::new())
}

fn unseen(why: &str) -> Verdict {
    Err(Objection::not_observable(why))
}

fn want(holds: bool, fault: &str) -> Verdict {
    if holds { held() } else { Err(fault.into()) }
}

fn same<T: PartialEq + std::fmt::Debug>(field: &str, expected: &T, actual: &T) -> Verdict {
    match expected == actual {
        true => held(),
        false => Err(Fault::differs(field, expected, actual).into()),
    }
}

fn report(seen: &Launched) -> Result<&Report, Objection> {
    seen.report().ok_or_else(|| Objection::not_observable("the plugin was not started"))
}

pub(super) fn started(seen: &Launched) -> Verdict {
    if seen.report().is_some() {
        return held();
    }
    let output = seen.outside.as_ref().map(|outside| outside.output.trim()).unwrap_or_default();
    let ended = seen.outside.as_ref().and_then(|outside| outside.exit.clone());
    let ended = ended.map(|exit| format!(" (the command ended: {exit})")).unwrap_or_default();
    Err(format!("the interpreter left no report.json in the bundle{ended}\n{output}").into())
}

/// A path without `.` and `..`, links resolved where there is such a file.
fn clean(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean
}

pub(super) fn interpreter(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    let program = Path::new(&report.cwd).join(&report.interpreter);
    let expected = ["venv/bin/python", "venv/bin/python3"].map(|path| seen.bundle.join(path));
    // The links are the fake interpreter's own: only the folder is resolved.
    let folder = |path: &Path| path.parent().map(clean).unwrap_or_default();
    match expected.iter().any(|it| folder(it) == folder(&program)) {
        true => held(),
        false => Err(Fault::differs("the interpreter", &expected[0], &program).into()),
    }
}

/// The script among the arguments, as an absolute path.
fn script(report: &Report) -> Option<PathBuf> {
    let script = report.argv.iter().skip(1).find(|argument| !argument.starts_with('-'))?;
    Some(Path::new(&report.cwd).join(script))
}

pub(super) fn arguments(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    let rest = report.argv.get(1..).unwrap_or_default();
    let is_script = |argument: &str| {
        let plain = argument == "plugin.py" || argument == "./plugin.py";
        plain || clean(Path::new(argument)) == clean(&seen.bundle.join("plugin.py"))
    };
    match rest {
        [script] if is_script(script) => held(),
        _ => Err(Fault::differs("the arguments", &["plugin.py"], &rest).into()),
    }
}

pub(super) fn working_directory(seen: &Launched) -> Verdict {
    same("the working directory", &clean(&seen.bundle), &clean(Path::new(&report(seen)?.cwd)))
}

pub(super) fn cookie(seen: &Launched) -> Verdict {
    let expected = Some("Securely message teams, anywhere.".to_owned());
    same("MATTERMOST_PLUGIN", &expected, &report(seen)?.go_plugin.cookie)
}

pub(super) fn protocol_versions(seen: &Launched) -> Verdict {
    let versions = &report(seen)?.go_plugin.protocol_versions;
    let has = versions.iter().flat_map(|it| it.split(',')).any(|version| version.trim() == "1");
    match has {
        true => held(),
        false => Err(Fault::differs("PLUGIN_PROTOCOL_VERSIONS", &Some("1"), versions).into()),
    }
}

pub(super) fn ports(seen: &Launched) -> Verdict {
    let go_plugin = &report(seen)?.go_plugin;
    let number = |text: &Option<String>| text.as_ref().and_then(|it| it.parse::<u16>().ok());
    let (min, max) = (number(&go_plugin.min_port), number(&go_plugin.max_port));
    let set = min.zip(max).is_some_and(|(min, max)| min <= max);
    want(set, &format!("PLUGIN_MIN_PORT and PLUGIN_MAX_PORT: {min:?} and {max:?}"))
}

pub(super) fn environment(seen: &Launched) -> Verdict {
    let environment = &report(seen)?.environment;
    match &seen.mark {
        Some(_) => same("PLUGIN_CONFORMANCE_MARK", &seen.mark, &environment.mark),
        None => want(environment.path.is_some(), "the plugin has no PATH"),
    }
}

pub(super) fn plugin_id(seen: &Launched) -> Verdict {
    let manifest = std::fs::read(seen.bundle.join("plugin.json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
    let id = manifest["id"].as_str().map(str::to_owned);
    same("MATTERMOST_PLUGIN_ID", &id, &report(seen)?.environment.plugin_id)
}

pub(super) fn plugin_path(seen: &Launched) -> Verdict {
    let path = &report(seen)?.environment.plugin_path;
    let path = path.as_ref().map(|path| clean(Path::new(path)));
    same("MATTERMOST_PLUGIN_PATH", &Some(clean(&seen.bundle)), &path)
}

pub(super) fn api_target(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    let Some(target) = &report.api_target else {
        return Err(Fault::differs(
            "MATTERMOST_PLUGIN_API_TARGET",
            &"the API server's host:port",
            &report.api_target,
        )
        .into());
    };
    want(seen.api_reached(), &format!("nobody answers at MATTERMOST_PLUGIN_API_TARGET={target}"))
}

/// The report, if the plugin could reach the API at all.
fn with_api(seen: &Launched) -> Result<&Report, Objection> {
    let report = report(seen)?;
    match seen.api_reached() {
        true => Ok(report),
        false => Err(Objection::not_observable("the plugin could not reach the API at all")),
    }
}

pub(super) fn api_first(seen: &Launched) -> Verdict {
    let report = with_api(seen)?;
    let when = report.api_reached_ms.unwrap_or_default();
    want(
        report.api_reachable_at_start,
        &format!("the API did not answer when the process started, and did {when} ms later"),
    )
}

pub(super) fn server_version(seen: &Launched) -> Verdict {
    let report = with_api(seen)?;
    let Some(version) = &report.server_version else {
        let codes: Vec<_> = report.calls.iter().map(|call| call.code.as_str()).collect();
        return Err(format!("GetServerVersion gave no version: {}", codes.join(", ")).into());
    };
    match &seen.server_version {
        Some(expected) => same("the version", expected, version),
        None => want(!version.is_empty(), "the version is empty"),
    }
}

pub(super) fn implemented(seen: &Launched) -> Verdict {
    let hooks = &report(seen)?.hooks;
    if hooks.is_empty() {
        return Err("no hook was called, not even Implemented".into());
    }
    same("the first hook", &"Implemented", &hooks[0].as_str())
}

pub(super) fn activate(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    let times = report.hooks.iter().filter(|hook| *hook == "OnActivate").count();
    same("calls of OnActivate", &1, &times)?;
    want(seen.answered("OnActivate"), "the supervisor did not wait for the answer of OnActivate")
}

pub(super) fn stays(seen: &Launched) -> Verdict {
    report(seen)?;
    same("launches", &1, &seen.lives.len())?;
    match seen.outside.as_ref() {
        Some(outside) if outside.ended_by_itself => {
            Err("the command ended before it was asked to".into())
        }
        Some(outside) => match outside.gone_after {
            Some(after) => Err(format!("the plugin was ended after {after:.1?}").into()),
            None => held(),
        },
        None => held(),
    }
}

pub(super) fn health(seen: &Launched) -> Verdict {
    let asked = &report(seen)?.health;
    let right = asked.iter().any(|service| service == "plugin");
    want(
        right,
        &format!("grpc.health.v1.Health/Check was not asked for \"plugin\" but for {asked:?}"),
    )
}

pub(super) fn on_deactivate(seen: &Launched) -> Verdict {
    let hooks = &report(seen)?.hooks;
    let times = hooks.iter().filter(|hook| *hook == "OnDeactivate").count();
    same("calls of OnDeactivate", &1, &times)?;
    let last = hooks.last().map(String::as_str);
    same("the last hook", &Some("OnDeactivate"), &last)
}

pub(super) fn sigterm(seen: &Launched) -> Verdict {
    let stop = report(seen)?.stop.as_ref();
    match stop {
        Some(stop) => same("the signal", &Some("SIGTERM".to_owned()), &stop.signal),
        None => Err("the process was not asked to leave, by SIGTERM or otherwise".into()),
    }
}

pub(super) fn api_last(seen: &Launched) -> Verdict {
    let report = with_api(seen)?;
    if let Some(lost) = report.api_lost_ms {
        let alive = report.alive_ms.max(lost);
        return Err(format!(
            "the API refused connections {lost} ms after the start; the plugin lived on to {alive} ms"
        )
        .into());
    }
    if report.stop.as_ref().is_some_and(|stop| !stop.api_reachable) {
        return Err("the API did not answer when the plugin was asked to leave".into());
    }
    let lost = seen.outside.as_ref().is_some_and(|outside| outside.api_lost);
    want(!lost, "the API refused connections while the plugin still lived")
}

pub(super) fn no_orphan(seen: &Launched) -> Verdict {
    report(seen)?;
    want(
        seen.plugins_left.is_empty(),
        &format!("the plugin's process outlives the supervisor: {:?}", seen.plugins_left),
    )
}

/// How long the stop took, of what the plugin saw of it.
fn came_back(seen: &Launched) -> Result<Option<&Outside>, Objection> {
    let Some(outside) = seen.outside.as_ref() else {
        return match seen.plugins_left.is_empty() {
            true => Ok(None),
            false => Err("the plugin's process still lives: its stop came to no end".into()),
        };
    };
    match outside.stop_took {
        Some(_) => Ok(Some(outside)),
        None if outside.ended_by_itself => Ok(Some(outside)),
        None => {
            Err("the command did not come back after it was asked to stop; it was killed".into())
        }
    }
}

pub(super) fn stop_in_time(seen: &Launched) -> Verdict {
    report(seen)?;
    came_back(seen)?;
    held()
}

pub(super) fn api_closed(seen: &Launched) -> Verdict {
    with_api(seen)?;
    want(
        seen.apis_left.is_empty(),
        &format!("after the stop the API still answers at {}", seen.apis_left.join(", ")),
    )
}

pub(super) fn exit_status(seen: &Launched) -> Verdict {
    report(seen)?;
    let Some(outside) = came_back(seen)? else {
        return unseen("somebody else ran the command");
    };
    match outside.code {
        Some(0) => held(),
        _ => Err(Fault::differs("the command's exit status", &Some(0), &outside.code).into()),
    }
}

/// The plugin's process is gone although nobody asked for it.
fn given_up(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    match &seen.outside {
        Some(outside) if outside.gone_after.is_none() => Err(format!(
            "the supervisor let the process live, for {:.1?} until it was asked to stop",
            outside.watched
        )
        .into()),
        Some(_) => held(),
        // The report's own clock: a launcher waits as long as the scenario says.
        None => {
            let lived = std::time::Duration::from_millis(report.alive_ms);
            want(lived < seen.limit(44), &format!("the process lived for {lived:.1?}"))
        }
    }
}

pub(super) fn handshake_refused(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    if let Some(hook) = report.hooks.first() {
        return Err(format!("the handshake was taken: {hook} was called").into());
    }
    given_up(seen)
}

pub(super) fn handshake_taken(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    let asked = report.hooks.iter().any(|hook| hook == "OnActivate" || hook == "Implemented");
    if !asked {
        return Err("the plugin was not taken: no hook was called".into());
    }
    held()
}

pub(super) fn unclaimed_hooks(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    let other: Vec<_> = report.hooks.iter().filter(|hook| *hook != "Implemented").collect();
    want(other.is_empty(), &format!("hooks were called that the plugin does not have: {other:?}"))?;
    match seen.outside.as_ref().and_then(|outside| outside.gone_after) {
        Some(after) => Err(format!("the plugin was ended after {after:.1?}").into()),
        None => handshake_taken(seen),
    }
}

pub(super) fn implemented_given_up(seen: &Launched) -> Verdict {
    report(seen)?;
    if !seen.asked("Implemented") {
        return unseen("Implemented was not called");
    }
    want(!seen.asked("OnActivate"), "OnActivate was called all the same")?;
    given_up(seen)
}

pub(super) fn activate_given_up(seen: &Launched) -> Verdict {
    report(seen)?;
    if !seen.asked("OnActivate") {
        return unseen("OnActivate was not called");
    }
    given_up(seen)
}

pub(super) fn failed_launch_api(seen: &Launched) -> Verdict {
    with_api(seen)?;
    let Some(outside) = &seen.outside else {
        return want(seen.apis_left.is_empty(), "the API still answers");
    };
    if outside.gone_after.is_none() {
        return unseen("the launch did not fail");
    }
    want(!outside.api_stayed, "the launch failed and its API server still answers")
}

pub(super) fn not_healthy(seen: &Launched) -> Verdict {
    report(seen)?;
    want(!seen.asked("OnActivate"), "the plugin was activated all the same")?;
    given_up(seen)
}

fn crashed(seen: &Launched) -> Result<&Report, Objection> {
    let report = report(seen)?;
    match seen.asked("OnActivate") {
        true => Ok(report),
        false => Err(Objection::not_observable("OnActivate was not called, and nothing crashed")),
    }
}

pub(super) fn crash_noticed(seen: &Launched) -> Verdict {
    crashed(seen)?;
    let Some(outside) = &seen.outside else { return unseen("somebody else ran the command") };
    let noticed = outside.ended_by_itself || seen.lives.len() > 1 || !outside.api_stayed;
    want(
        noticed,
        "for 10 s after the crash the command neither ended, nor launched the plugin again, nor \
         closed its API",
    )
}

pub(super) fn crash_stop(seen: &Launched) -> Verdict {
    crashed(seen)?;
    came_back(seen)?;
    held()
}

pub(super) fn inherited_target(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    if !seen.prepared {
        return unseen("the supervisor was not started with the scenario's variables");
    }
    match report.api_target.as_deref() {
        None => unseen("the plugin has no target at all"),
        Some(super::INHERITED_TARGET) => {
            let field = "MATTERMOST_PLUGIN_API_TARGET";
            let ours = "the API server's own host:port";
            Err(Fault::differs(field, &ours, &super::INHERITED_TARGET).into())
        }
        Some(_) => held(),
    }
}

pub(super) fn nested_script(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    let expected = clean(&seen.bundle.join("server/plugin.py"));
    let found = script(report).map(|path| clean(&path));
    // Of a supervisor whose working directory is wrong a relative path leads elsewhere.
    let ends = report.argv.iter().any(|argument| argument.ends_with("server/plugin.py"));
    match found == Some(expected.clone()) || ends {
        true => held(),
        false => Err(Fault::differs("the script", &Some(expected), &found).into()),
    }
}

pub(super) fn no_traversal(seen: &Launched) -> Verdict {
    let Some(report) = seen.report() else { return held() };
    let script = script(report).map(|path| clean(&path)).unwrap_or_default();
    let inside = script.starts_with(clean(&seen.bundle)) || script.ends_with("plugin.py");
    want(inside, &format!("the interpreter was started with {}", script.display()))
}

pub(super) fn on_deactivate_awaited(seen: &Launched) -> Verdict {
    report(seen)?;
    if !seen.asked("OnDeactivate") {
        return unseen("OnDeactivate was not called");
    }
    want(
        seen.answered("OnDeactivate"),
        "the plugin was ended while OnDeactivate was under way, 3 s at most",
    )
}

pub(super) fn on_deactivate_hang(seen: &Launched) -> Verdict {
    report(seen)?;
    if !seen.asked("OnDeactivate") {
        return unseen("OnDeactivate was not called");
    }
    stops(seen)
}

pub(super) fn api_while_stopping(seen: &Launched) -> Verdict {
    let report = with_api(seen)?;
    if !seen.asked("OnDeactivate") {
        return unseen("OnDeactivate was not called");
    }
    let [.., before, last] = &report.calls[..] else {
        return Err("the API call of OnDeactivate came to no end".into());
    };
    if before.code != "OK" {
        return unseen("the API does not answer this call at other times, either");
    }
    match last.code == "OK" {
        true => held(),
        false => Err(Fault::differs("the call's status", &"OK", &last.code.as_str()).into()),
    }
}

pub(super) fn stops_beside_a_child(seen: &Launched) -> Verdict {
    if seen.outside.is_none() && !seen.descendants_left.is_empty() {
        return unseen("somebody else ran the command, which may have waited for the child");
    }
    stops(seen)
}

/// The command comes back, and the plugin is gone.
pub(super) fn stops(seen: &Launched) -> Verdict {
    report(seen)?;
    came_back(seen)?;
    held()
}

pub(super) fn killed_in_the_end(seen: &Launched) -> Verdict {
    stops(seen)?;
    no_orphan(seen)
}

pub(super) fn no_descendant(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    if report.grandchildren.is_empty() {
        return unseen("the plugin could not start a child");
    }
    want(
        seen.descendants_left.is_empty(),
        &format!("the plugin's child outlives the stop: {:?}", seen.descendants_left),
    )
}

pub(super) fn second_stop(seen: &Launched) -> Verdict {
    let report = report(seen)?;
    if !seen.asked("OnDeactivate") {
        return unseen("OnDeactivate was not called");
    }
    came_back(seen)?;
    let times = report.hooks.iter().filter(|hook| *hook == "OnDeactivate").count();
    same("calls of OnDeactivate", &1, &times)?;
    want(seen.answered("OnDeactivate"), "the second request ended the plugin inside OnDeactivate")?;
    want(seen.plugins_left.is_empty(), "the second request left the plugin's process behind")
}

/// The answer of one RPC, as the plugin saw it.
pub(super) fn rpc(rpc: &str, seen: &Launched) -> Verdict {
    let report = with_api(seen)?;
    if !seen.asked("OnActivate") {
        return unseen("OnActivate was not called, after which the plugin calls every RPC");
    }
    let Some(call) = report.calls.iter().find(|call| call.rpc == rpc) else {
        return Err("the plugin's call came to no end".into());
    };
    if seen.generated && rpc != "GetServerVersion" && call.matches == Some(false) {
        let other = format!("it was answered {}", call.code);
        return Err(call.difference.clone().unwrap_or(other).into());
    }
    match call.code.as_str() {
        "OK" => Ok("answered".to_owned()),
        "UNIMPLEMENTED" => unseen("not there: UNIMPLEMENTED"),
        code @ ("UNAVAILABLE" | "DEADLINE_EXCEEDED" | "CANCELLED") => {
            Err(format!("the call was lost: {code}").into())
        }
        code => {
            let id = call.error_id.as_ref().map(|id| format!(", {id}")).unwrap_or_default();
            Ok(format!("refused: {code}{id}"))
        }
    }
}
