//! What is said of scripts that cannot be followed, and of wrong command lines.

#![allow(clippy::unwrap_used)]

mod common;

use common::Bundle;
use fake_interpreters::Script;

#[track_caller]
fn error(script: &str) -> String {
    Script::parse(script, "plugin.py".as_ref()).unwrap_err().to_string()
}

#[test]
fn unknown_words() {
    let text = error("life:\n  - wait\n  - wiat\n");
    assert!(text.starts_with("plugin.py:3: there is no step `wiat`; did you mean wait?"), "{text}");
    assert!(text.contains("The steps are: require_api, call, every_rpc"), "{text}");
    assert_eq!(
        error("life:\n  - call: GetUsr\n"),
        "plugin.py:2: call: there is no RPC GetUsr; did you mean GetUser?"
    );
    assert_eq!(
        error("life:\n\n  - serve: {hooks: [OnActivated]}\n"),
        "plugin.py:3: serve: there is no hook OnActivated; did you mean OnActivate?"
    );
    let text = error("life:\n  - serve: {hooks: [OnActivate]}\non:\n  OnActivat: [hang]\n");
    assert_eq!(
        text,
        "plugin.py:4: on: there is no hook OnActivat; did you mean OnActivate? (or `each_hook`, `stop`, `after_activate`)"
    );
    let text = error("life:\n  - serve: {helth: blocked}\n");
    assert!(
        text.starts_with("plugin.py:2: serve: unknown field `helth`, expected one of"),
        "{text}"
    );
    let text = error("life:\n  - serve: {health: bad}\n");
    assert!(text.contains("unknown variant `bad`, expected one of `serving`"), "{text}");
    let text = error(
        "life:\n  - serve: {hooks: [OnInstall]}\non:\n  OnInstall:\n    - fail: {code: INTERN}\n",
    );
    assert!(
        text.starts_with("plugin.py:5: fail: no gRPC code INTERN; did you mean INTERNAL?"),
        "{text}"
    );
}

#[test]
fn messages_that_do_not_fit() {
    let text = error("life:\n  - call: {rpc: GetUser, request: {usr_id: abc}}\n");
    assert!(text.starts_with("plugin.py:2: call: this is no GetUserRequest: "), "{text}");
    assert!(text.contains("usr_id") && text.contains("its fields are: user_id"), "{text}");
    let text = error(
        "life:\n  - serve: {hooks: [MessageHasBeenPosted]}\non:\n  MessageHasBeenPosted:\n    - answer_error: {id: x}\n",
    );
    assert!(
        text.starts_with("plugin.py:5: answer_error: this is no MessageHasBeenPostedResponse"),
        "{text}"
    );
    let text =
        error("life:\n  - serve: {hooks: [ServeHTTP]}\non:\n  ServeHTTP:\n    - answer: {}\n");
    assert!(
        text.ends_with("answer: ServeHTTP is a stream and has its own answer, `reply`"),
        "{text}"
    );
}

#[test]
fn steps_in_the_wrong_place() {
    let hooks = "life:\n  - serve: {hooks: [OnActivate]}\non:\n  OnActivate:\n";
    assert_eq!(error(&format!("{hooks}    - wait\n")), "plugin.py:5: `wait` stands only in `life`");
    assert_eq!(error("life:\n  - answer: {}\n"), "plugin.py:2: `answer` stands only inside a hook");
    assert_eq!(
        error("life:\n  - fail: {code: INTERNAL}\n"),
        "plugin.py:2: `fail` stands only inside a hook"
    );
    assert_eq!(
        error("life:\n  - handshake\n"),
        "plugin.py:2: this handshake needs the address of a `serve` before it"
    );
    assert_eq!(
        error("life:\n  - serve\n  - serve\n"),
        "plugin.py:3: `serve` stands twice in `life`"
    );
    let text = error("life:\n  - serve: {hooks: [OnActivate]}\non:\n  OnDeactivate:\n    - hang\n");
    assert!(text.contains("on: no `serve` lists the hook OnDeactivate"), "{text}");
    let text = error("life:\n  - {wait: null, hang: null}\n");
    assert!(
        text.starts_with("plugin.py:2: a step is a word, or a word with its argument"),
        "{text}"
    );
}

#[test]
fn replies_that_cannot_be() {
    let reply = |reply: &str| {
        error(&format!(
            "life:\n  - serve: {{hooks: all}}\non:\n  ServeHTTP:\n    - reply: {reply}\n"
        ))
    };
    for (argument, problem) in [
        ("{stats: 200}", "unknown field `stats`, expected one of `read`, `status`"),
        ("{read: some}", "unknown variant `some`, expected one of `all`, `first`, `none`, `echo`"),
        ("{body: a, body_bytes: 1}", "`body` and `body_bytes` are two ways to say one thing"),
        ("{read: echo, body: a}", "with `read: echo` the request's body is the reply's"),
        ("{body_bytes: many}", "body_bytes must be a number of bytes or `from_path`"),
        ("{chunk_bytes: 0}", "chunk_bytes is 0; it must be from 1 to 33554432"),
        ("{flush: often}", "flush must be true, false or a list of chunks"),
        ("{headers: {a: 1}}", "they are a map of texts or lists of texts"),
        ("{end: later}", "unknown variant `later`, expected one of `complete`, `close`"),
        ("{end: {fail: {code: INTERN}}}", "no gRPC code INTERN; did you mean INTERNAL?"),
        ("{end: close, after_complete: x}", "`after_complete` needs `end: complete`"),
    ] {
        let text = reply(argument);
        assert!(text.starts_with("plugin.py:5: reply: "), "{argument}: {text}");
        assert!(text.contains(problem), "{argument}: {text}");
    }
    let hook = |step: &str| {
        error(&format!("life:\n  - serve: {{hooks: all}}\non:\n  OnInstall:\n    - {step}\n"))
    };
    assert_eq!(hook("reply"), "plugin.py:5: `reply` stands only inside the hook ServeHTTP");
    assert!(hook("answer_hex: 0x").starts_with("plugin.py:5: answer_hex: "));
    let routes = |routes: &str| {
        error(&format!(
            "life:\n  - serve: {{hooks: all}}\non:\n  ServeHTTP:\n    - routes: {routes}\n"
        ))
    };
    let text = routes("[{path: /}]");
    let either = "plugin.py:5: routes: number 1: a route needs either `reply` or a list of steps";
    assert!(text.starts_with(either), "{text}");
    let text = routes("[{reply: {}}, {do: [{reply: {status: x}}]}]");
    assert!(text.starts_with("plugin.py:5: routes: number 2: reply: invalid type"), "{text}");
    assert!(routes("[{do: [{routes: []}]}]").ends_with("`routes` does not stand inside `routes`"));
    let text = error("life:\n  - serve: {hooks: some}\n");
    assert!(text.contains("expected a list of hooks, or `all`"), "{text}");
    let text = error("life: [{serve: {hooks: all}}]\non:\n  each_hook: [{answer: {x: 1}}]\n");
    assert!(text.starts_with("plugin.py:3: answer: this is no "), "{text}");
}

#[test]
fn files_that_are_no_scripts() {
    let text = error("#!/usr/bin/env python3\nimport os\n");
    assert!(
        text.starts_with("plugin.py:1: this is Python, but fake-python is no Python"),
        "{text}"
    );
    let text = error("# A plugin.\nfrom mattermost_plugin import Plugin\n");
    assert!(text.starts_with("plugin.py:2: this is Python"), "{text}");
    for text in ["", "print('hello')\n", "- wait\n", "on: {}\n", "life: wait\n", "life: [\n"] {
        let error = error(text);
        assert!(error.contains("not a script of fake-python"), "{text:?}: {error}");
    }
    let text = error("life: [wait]\nlive: 1\n");
    assert!(text.starts_with("plugin.py:2: ") && text.contains("live"), "{text}");
    let text = Script::load("nowhere/plugin.py".as_ref()).unwrap_err().to_string();
    assert!(text.starts_with("cannot read the script nowhere/plugin.py"), "{text}");
}

#[test]
fn short_forms() {
    let script = "life: [{exit: 3}, exit, {every_rpc: any}, {print_raw: x}, {open_call: GetUser}, grandchild,\
        {serve: null}, {wait: null}, {handshake: x}]";
    let script = Script::parse(script, "plugin.py".as_ref()).unwrap();
    assert_eq!(script.life.len(), 9);
}

#[tokio::test]
async fn the_program_says_it_on_stderr() {
    let bundle = Bundle::new("import os\n");
    let (status, stdout, stderr) = bundle.run(None).await;
    assert_eq!((status.code(), &*stdout), (Some(2), ""));
    assert!(stderr.starts_with("fake-python: plugin.py:1: this is Python"), "{stderr}");
}

#[test]
fn command_lines() {
    let run = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_fake-python");
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    for version in ["-V", "--version"] {
        let (code, stdout, _) = run(&[version]);
        assert_eq!(code, Some(0));
        assert!(stdout.starts_with("Python 3.11.0 (fake-python "), "{stdout}");
    }
    let (code, _, stderr) = run(&[]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("usage: python"), "{stderr}");
}
