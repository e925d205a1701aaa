//! One call of a unary hook, in the report.

use plugin_proto::Method;

use super::hooks::{HookCallReport, HookEnd, MOST_CALLS};
use super::reporter::Reporter;

/// Notes that the call was cancelled if it is dropped before it was answered.
pub(crate) struct HookCall {
    reporter: Reporter,
    /// Its place in the report; none when that is full.
    at: Option<usize>,
    answered: bool,
}

impl HookCall {
    pub(crate) fn begin(reporter: &Reporter, hook: &Method, request: &[u8]) -> Self {
        let at = reporter.update(|report| {
            let at = report.hook_calls.len();
            (at < MOST_CALLS).then(|| {
                report.hook_calls.push(HookCallReport::new(hook.name, request));
                at
            })
        });
        Self { reporter: reporter.clone(), at, answered: false }
    }

    /// The answer is on its way.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for HookCall {
    fn drop(&mut self) {
        let end = if self.answered { HookEnd::Answered } else { HookEnd::Cancelled };
        let Some(at) = self.at else { return };
        self.reporter.update_unless_complete(|report| {
            if let Some(call) = report.hook_calls.get_mut(at) {
                call.end = end;
            }
        });
    }
}
