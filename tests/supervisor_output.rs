//! What a plugin writes, as log records.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Plugin, quick_stop, soon};
use plugin_conformance::supervisor::{Level, LogRecord, Stream};

/// The records of one life, stream by stream.
async fn live(plugin: &Plugin) -> (Vec<LogRecord>, Vec<LogRecord>) {
    let supervisor = soon(plugin.builder().timeouts(quick_stop()).launch()).await.unwrap();
    soon(supervisor.shutdown()).await;
    let records = plugin.log.lock().unwrap().clone();
    assert!(records.iter().all(|record| record.plugin_id == plugin.bundle.id));
    records.into_iter().partition(|record| record.stream == Stream::Stdout)
}

fn messages(records: &[LogRecord]) -> Vec<&str> {
    records.iter().map(|record| record.message.as_str()).collect()
}

/// Upstream throws stdout away.
#[tokio::test]
async fn stdout_is_logged_line_by_line_to_the_last() {
    let plugin = Plugin::new(
        "prints",
        r#"
life:
  - serve: {hooks: [OnActivate, OnDeactivate]}
  - handshake: "1|1|{network}|{address}|grpc\nin the same write\n"
  - print: next
  - wait
on:
  OnActivate:
    - print: "\e[31mred\e[0m\ttab"
    - print: ""
    - print: "ä, 漢字"
    - print: "[ERROR] only stderr has levels"
  OnDeactivate:
    - print: "first\r\nsecond"
  stop:
    - print: stopping
    - print_raw: no end of line
"#,
    );
    let (out, err) = live(&plugin).await;
    assert_eq!(
        messages(&out),
        [
            "in the same write",
            "",
            "next",
            "\\u{1b}[31mred\\u{1b}[0m\ttab",
            "",
            "ä, 漢字",
            "[ERROR] only stderr has levels",
            "first",
            "second",
            "stopping",
            "no end of line",
        ]
    );
    assert!(out.iter().all(|record| record.level == Level::Info && record.fields.is_empty()));
    assert_eq!(messages(&err), [""; 0]);
}

/// Upstream every record of Python's logging arrives as debug.
#[tokio::test]
async fn stderr_has_levels() {
    let plugin = Plugin::new(
        "logs",
        r#"
life:
  - serve: {hooks: [OnActivate, OnDeactivate]}
  - log: before the handshake
  - handshake
  - wait
on:
  OnActivate:
    - log: "2026-01-02 03:04:05,678 - my.plugin - ERROR - it broke"
    - log: "2026-01-02 03:04:05,678 - my.plugin - WARNING - it bends"
    - log: "2026-01-02 03:04:05,678 - my.plugin - INFO - it stands"
    - log: "2026-01-02 03:04:05,678 - my.plugin - DEBUG - it is"
    - log: "2026-01-02 03:04:05,678 - my.plugin - CRITICAL - it is no more"
    - log: "WARNING:root:basic"
    - log: "[WARN] tagged"
    - log: "[TRACE] fine"
    - log: '{"level": "warn", "msg": "json", "user": "u1"}'
    - log: "plain"
    - log: |-
        Traceback (most recent call last):
          File "plugin.py", line 3, in <module>
        ValueError: no
    - log: "plain again"
  OnDeactivate:
    - log: "panic: all is lost"
    - log: "and what follows"
"#,
    );
    let (out, err) = live(&plugin).await;
    assert_eq!(messages(&out), [""; 0]);
    let seen: Vec<_> = err.iter().map(|record| (record.level, record.message.as_str())).collect();
    assert_eq!(
        seen,
        [
            (Level::Debug, "before the handshake"),
            (Level::Error, "it broke"),
            (Level::Warn, "it bends"),
            (Level::Info, "it stands"),
            (Level::Debug, "it is"),
            (Level::Error, "it is no more"),
            (Level::Warn, "basic"),
            (Level::Warn, "tagged"),
            (Level::Trace, "fine"),
            (Level::Warn, "json"),
            (Level::Debug, "plain"),
            (Level::Error, "Traceback (most recent call last):"),
            (Level::Error, "  File \"plugin.py\", line 3, in <module>"),
            (Level::Error, "ValueError: no"),
            (Level::Debug, "plain again"),
            (Level::Error, "panic: all is lost"),
            (Level::Error, "and what follows"),
        ]
    );
    assert_eq!(err[1].fields["logger"], "my.plugin");
    assert_eq!(err[1].fields["timestamp"], "2026-01-02 03:04:05,678");
    assert_eq!(err[9].fields["user"], "u1");
}

/// Upstream one line of 64 KiB on stdout ends the reading for good: the pipe fills, and the plugin
/// blocks on a later print.
#[tokio::test]
async fn long_lines_come_in_pieces_and_hold_nobody_up() {
    const PIECE: usize = 64 * 1024;
    let plugin = Plugin::new(
        "long-lines",
        r#"
life:
  - serve: {hooks: [OnActivate, OnDeactivate]}
  - handshake
  - wait
on:
  OnActivate:
    - print_raw: {text: o, repeat: 200000}
    - print: ""
    - print_raw: {text: o, repeat: 65536}
    - print: ""
    - print: after
    - flood: {stream: stderr, bytes: 200000, line_bytes: 200000}
    - log: after
  OnDeactivate:
    - flood: {stream: stdout, bytes: 1048576}
    - print: the last line
"#,
    );
    let (out, err) = live(&plugin).await;
    let after = out.iter().position(|record| record.message == "after").unwrap();
    let lengths: Vec<_> = out[..after].iter().map(|record| record.message.len()).collect();
    assert_eq!(lengths, [PIECE, PIECE, PIECE, 200_000 - 3 * PIECE, PIECE]);
    assert!(out[..after].iter().all(|record| record.message.bytes().all(|byte| byte == b'o')));
    assert_eq!(out.last().unwrap().message, "the last line");
    let flood: usize = out[after + 1..out.len() - 1].iter().map(|it| it.message.len() + 1).sum();
    assert_eq!(flood, 1 << 20);

    let lengths: Vec<_> = err.iter().map(|record| record.message.len()).collect();
    assert_eq!(lengths, [PIECE, PIECE, PIECE, 199_999 - 3 * PIECE, "after".len()]);
}

#[tokio::test]
async fn floods_are_read_to_the_end_and_the_plugin_stays_healthy() {
    let plugin = Plugin::of("floods-output");
    let supervisor = soon(plugin.builder().launch()).await.unwrap();
    soon(supervisor.health_check()).await.unwrap();
    soon(supervisor.shutdown()).await;
    let log = plugin.log.lock().unwrap();
    for (stream, bytes) in [(Stream::Stdout, 4 << 20), (Stream::Stderr, 4 << 20)] {
        let records = log.iter().filter(|record| record.stream == stream);
        let seen: usize =
            records.filter(|it| it.message.starts_with('x')).map(|it| it.message.len()).sum();
        // What is missing are the ends of the lines.
        assert!(seen <= bytes && seen > bytes - (bytes / 40), "{stream:?}: {seen} of {bytes}");
    }
    assert!(log.iter().any(|record| record.message == "after the flood"));
}

/// What a launch that failed had to say is logged as well.
#[tokio::test]
async fn the_output_of_a_failed_launch_is_logged() {
    let plugin = Plugin::new("fails", "life:\n  - log: oh no\n  - exit: 1\n");
    let error = plugin.refused(quick_stop()).await;
    assert_eq!(error.stderr.trim_end(), "oh no");
    let log = plugin.log.lock().unwrap();
    assert_eq!(messages(&log), ["oh no"]);
}

/// A descendant that holds the pipes is waited for no longer than `Timeouts::output`; what was
/// written before is there.
#[tokio::test]
async fn output_that_is_held_open_is_let_go() {
    let plugin = Plugin::good(
        "OnActivate",
        "on:
  OnActivate:
    - print: before
    - grandchild: {holds_output: true}
    - print: after
",
    );
    let (out, _) = live(&plugin).await;
    assert_eq!(messages(&out), ["before", "after"]);
}

/// Without a sink of the caller's, the records go to `tracing`; that is no reason to fail.
#[tokio::test]
async fn the_default_sink_takes_everything() {
    let plugin = Plugin::of("floods-output");
    let builder = plugin_conformance::supervisor::Supervisor::builder(plugin.dir());
    let supervisor = soon(builder.launch()).await.unwrap();
    let ended = soon(supervisor.shutdown()).await;
    assert!(ended.exit.unwrap().status.success());
}
