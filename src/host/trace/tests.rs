#![allow(clippy::unwrap_used)]

use std::fs;

use serde_json::{Value, json};

use super::*;

#[test]
fn both_files_hold_every_event_and_the_chrome_file_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, chrome) = (folder.path().join("events.jsonl"), folder.path().join("trace.json"));
    let trace = Trace::to_files(Some(&lines), Some(&chrome)).unwrap();
    trace.instant(Category::Life, "com.example.a", "active", "", Value::Null);
    trace.span(Category::Api, "com.example.a", "KVGet", "OK", Instant::now(), json!({"n": 1}));
    trace.finish().unwrap();

    let lines = fs::read_to_string(lines).unwrap();
    let events: Vec<TraceEvent> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["started", "active", "KVGet"]);
    assert!(events[2].duration_us.is_some() && events[1].duration_us.is_none());

    let chrome: Value = serde_json::from_str(&fs::read_to_string(chrome).unwrap()).unwrap();
    let phases: Vec<_> =
        chrome.as_array().unwrap().iter().filter_map(|event| event["ph"].as_str()).collect();
    assert_eq!(phases, ["M", "i", "M", "i", "X"]);
}

#[test]
fn a_file_that_cannot_be_made_is_named() {
    let error = Trace::to_files(Some(Path::new("/nowhere/events.jsonl")), None).unwrap_err();
    assert!(error.to_string().contains("/nowhere/events.jsonl"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_before_anything_begins() {
    let full = Path::new("/dev/full");
    for (lines, chrome) in [(Some(full), None), (None, Some(full))] {
        let error = Trace::to_files(lines, chrome).unwrap_err().to_string();
        assert!(error.starts_with("cannot write the trace /dev/full: "), "{error}");
        assert!(error.contains("make room"), "{error}");
    }
}

/// The files are there, and then the disk fills.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_is_told_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let trace = Trace::to_files(Some(&folder.path().join("events.jsonl")), None).unwrap();
    if let Some(files) = &trace.files {
        lock(files).lines = Some(Output::create(Path::new("/dev/full")).unwrap());
    }
    trace.instant(Category::Run, "", "again", "", Value::Null);
    trace.instant(Category::Run, "", "and again", "", Value::Null);
    let error = trace.finish().unwrap_err();
    assert!(error.to_string().starts_with("cannot write the trace /dev/full: "), "{error}");
}
