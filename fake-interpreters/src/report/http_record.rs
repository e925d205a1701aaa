//! One call of `ServeHTTP`, in the report.

use super::hooks::{HttpReport, MOST_CALLS, ReplyEnd};
use super::reporter::Reporter;

/// The place of one call in the report.
#[derive(Clone)]
pub(crate) struct HttpRecord {
    reporter: Reporter,
    /// None when the report is full.
    at: Option<usize>,
}

impl HttpRecord {
    pub(crate) fn begin(reporter: &Reporter) -> Self {
        let at = reporter.update(|report| {
            let at = report.http.len();
            (at < MOST_CALLS).then(|| {
                report.http.push(HttpReport::default());
                at
            })
        });
        Self { reporter: reporter.clone(), at }
    }

    /// Changes the entry, which is written with the next event.
    pub(crate) fn note(&self, change: impl FnOnce(&mut HttpReport)) {
        self.reporter.note(|report| {
            if let Some(call) = self.at.and_then(|at| report.http.get_mut(at)) {
                change(call);
            }
        });
    }

    /// Changes the entry, which is written soon.
    pub(crate) fn event(&self, change: impl FnOnce(&mut HttpReport)) {
        self.reporter.update_unless_complete(|report| {
            if let Some(call) = self.at.and_then(|at| report.http.get_mut(at)) {
                change(call);
            }
        });
    }

    /// The reply is over.
    pub(crate) fn reply_end(&self, end: ReplyEnd) {
        self.event(|call| call.reply_end = end);
    }
}
