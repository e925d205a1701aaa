//! Keeps `report.json` up to date without holding up the interpreter.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::{fs, thread};

use super::contents::{FILE_NAME, Report};
use crate::lock::lock;
use crate::say::say;

/// The report being written. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Reporter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
    /// Held while writing: a newer report never gives way to an older one. Its value says
    /// whether a failure has been reported.
    writing: Mutex<bool>,
}

#[derive(Debug)]
struct State {
    report: Report,
    /// Whether there is something to write.
    dirty: bool,
}

impl Reporter {
    /// Starts to write `report` into `dir`.
    pub(crate) fn start(dir: &Path, report: Report) -> Self {
        let inner = Arc::new(Inner {
            path: dir.join(FILE_NAME),
            state: Mutex::new(State { report, dirty: true }),
            changed: Condvar::new(),
            writing: Mutex::new(false),
        });
        let writer = Arc::clone(&inner);
        // Without the thread the report is written at the exit only.
        let _ = thread::Builder::new().name("report".into()).spawn(move || writer.follow());
        Self(inner)
    }

    /// Changes the report; it is written soon.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        let mut state = lock(&self.0.state);
        let result = change(&mut state.report);
        state.dirty = true;
        self.0.changed.notify_one();
        result
    }

    /// Changes the report, but writes it with the next change only.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Report)) {
        change(&mut lock(&self.0.state).report);
    }

    /// Changes the report, unless its last word has been said: what is dropped at the exit was not
    /// given up by anybody.
    pub(crate) fn update_unless_complete(&self, change: impl FnOnce(&mut Report)) {
        let mut state = lock(&self.0.state);
        if !state.report.complete {
            change(&mut state.report);
            state.dirty = true;
            self.0.changed.notify_one();
        }
    }

    /// Tells of a step that could not be done.
    pub(crate) fn failure(&self, text: impl Into<String>) {
        let text = text.into();
        self.update(|report| report.failures.push(text));
    }

    /// Writes the report now.
    pub(crate) fn flush(&self) {
        self.0.write();
    }

    /// Writes the last report.
    pub(crate) fn complete(&self, code: i32) {
        self.update(|report| (report.exit, report.complete) = (Some(code), true));
        self.flush();
    }
}

impl Inner {
    fn follow(&self) {
        loop {
            let state = lock(&self.state);
            let waited = self.changed.wait_while(state, |state| !state.dirty);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
            self.write();
        }
    }

    fn write(&self) {
        let mut told = lock(&self.writing);
        let text = {
            let mut state = lock(&self.state);
            if !std::mem::take(&mut state.dirty) {
                return;
            }
            serde_json::to_vec_pretty(&state.report).unwrap_or_default()
        };
        let part = self.path.with_extension("json.part");
        let written = fs::write(&part, text).and_then(|()| fs::rename(&part, &self.path));
        if let Err(error) = written
            && !std::mem::replace(&mut *told, true)
        {
            say(format_args!("cannot write {}: {error}", self.path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_report_stands() {
        let dir = tempfile::tempdir().unwrap();
        let reporter = Reporter::start(dir.path(), Report { schema: 1, ..Report::default() });
        for _ in 0..100 {
            reporter.update(|report| report.hooks.push("OnActivate".into()));
        }
        reporter.complete(3);
        let report = Report::read(&dir.path().join(FILE_NAME)).unwrap();
        assert_eq!((report.hooks.len(), report.exit, report.complete), (100, Some(3), true));
        assert!(!dir.path().join("report.json.part").exists());
    }

    #[test]
    fn a_report_that_cannot_be_written_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let reporter = Reporter::start(&dir.path().join("none"), Report::default());
        reporter.complete(0);
    }
}
