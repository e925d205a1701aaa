//! What happens on the boundary, written down as it happens.
//!
//! Payloads are not written, only their sizes: they hold passwords and private messages.

mod chrome;
mod event;
mod http;
mod layer;
mod life;

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

pub use event::{Category, TraceEvent};
pub use layer::{TraceLayer, Traced};

use crate::remedy::remedy;
use chrome::Chrome;

/// Takes everything that happens; clones write to the same files.
///
/// Two forms, each in a file of its own: one JSON object a line ([`TraceEvent`]), and Chrome's
/// trace-event format, which opens in Perfetto and `chrome://tracing`. Without a file it costs
/// nothing.
#[derive(Debug, Clone)]
pub struct Trace {
    start: Instant,
    files: Option<Arc<Mutex<Files>>>,
}

#[derive(Debug, Default)]
struct Files {
    lines: Option<Output>,
    chrome: Option<(Output, Chrome)>,
    /// The first failure; nothing is written to that file after it.
    failed: Option<TraceError>,
}

#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: BufWriter<File>,
}

/// A trace that is not whole.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "cannot write the trace {}: {source}; {}",
    path.display(),
    remedy(source, "name a file in a folder that exists and is writable")
)]
pub struct TraceError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: Arc<io::Error>,
}

impl TraceError {
    fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_owned(), source: Arc::new(source) }
    }
}

impl Output {
    fn create(path: &Path) -> Result<Self, TraceError> {
        let file = File::create(path).map_err(|source| TraceError::new(path, source))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn write(&mut self, text: &str) -> Result<(), TraceError> {
        // Whoever follows the file sees each event when it happens.
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.flush());
        written.map_err(|source| TraceError::new(&self.path, source))
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self { start: Instant::now(), files: None }
    }
}

impl Trace {
    /// A trace into these files, which are created anew: one object a line into `lines`, Chrome's
    /// format into `chrome`.
    ///
    /// # Errors
    /// [`TraceError`] when a file cannot be made, or takes nothing.
    pub fn to_files(lines: Option<&Path>, chrome: Option<&Path>) -> Result<Self, TraceError> {
        if lines.is_none() && chrome.is_none() {
            return Ok(Self::default());
        }
        let mut files = Files { lines: lines.map(Output::create).transpose()?, ..Files::default() };
        if let Some(path) = chrome {
            let mut output = Output::create(path)?;
            output.write(Chrome::HEAD)?;
            files.chrome = Some((output, Chrome::default()));
        }
        let trace = Self { start: Instant::now(), files: Some(Arc::new(Mutex::new(files))) };
        #[expect(
            clippy::disallowed_methods,
            reason = "the date of the first event; all others count from it by Instant"
        )]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let detail = json!({ "unix_us": unix_us, "version": env!("CARGO_PKG_VERSION") });
        trace.instant(Category::Run, "", "started", "", detail);
        // A run of which nothing can be written is not begun.
        let failed = trace.files.as_ref().and_then(|files| lock(files).failed.clone());
        failed.map_or(Ok(trace), Err)
    }

    /// Whether anything is written.
    pub const fn is_on(&self) -> bool {
        self.files.is_some()
    }

    /// Writes something that happened at this moment.
    pub fn instant(
        &self,
        category: Category,
        plugin: &str,
        name: &str,
        outcome: &str,
        detail: serde_json::Value,
    ) {
        self.write(category, plugin, name, outcome, Instant::now(), None, detail);
    }

    /// Writes something that began at `start` and ends now.
    pub fn span(
        &self,
        category: Category,
        plugin: &str,
        name: &str,
        outcome: &str,
        start: Instant,
        detail: serde_json::Value,
    ) {
        let duration = start.elapsed();
        self.write(category, plugin, name, outcome, start, Some(duration), detail);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of an event, in their order")]
    fn write(
        &self,
        category: Category,
        plugin: &str,
        name: &str,
        outcome: &str,
        at: Instant,
        duration: Option<Duration>,
        detail: serde_json::Value,
    ) {
        let Some(files) = &self.files else { return };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let event = TraceEvent {
            at_us: micros(at.saturating_duration_since(self.start)),
            duration_us: duration.map(micros),
            category,
            plugin: plugin.to_owned(),
            name: name.to_owned(),
            outcome: outcome.to_owned(),
            detail,
        };
        lock(files).write(&event);
    }

    /// Closes the files.
    ///
    /// # Errors
    /// [`TraceError`], the first one, when not everything could be written.
    pub fn finish(&self) -> Result<(), TraceError> {
        let Some(files) = &self.files else { return Ok(()) };
        let mut files = lock(files);
        if let Some((mut output, _)) = files.chrome.take() {
            let written = output.write(Chrome::TAIL);
            files.note(written);
        }
        files.lines = None;
        files.failed.clone().map_or(Ok(()), Err)
    }
}

impl Files {
    fn write(&mut self, event: &TraceEvent) {
        if let Some(output) = &mut self.lines {
            let written = output.write(&event.to_line());
            if written.is_err() {
                self.lines = None;
            }
            self.note(written);
        }
        if let Some((output, chrome)) = &mut self.chrome {
            let written = output.write(&chrome.event(event));
            if written.is_err() {
                self.chrome = None;
            }
            self.note(written);
        }
    }

    /// The first failure is reported at once and kept for the end.
    fn note(&mut self, written: Result<(), TraceError>) {
        let Err(error) = written else { return };
        tracing::error!(%error, "the trace ends here");
        self.failed.get_or_insert(error);
    }
}

fn lock(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
    // A panic elsewhere leaves the files usable: at worst, a line is cut.
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
