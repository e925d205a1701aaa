//! Filters in a row.

use super::{Asked, Chained, Decided};
use crate::hooks::{Filtered, HookOutcome};

/// Shows `value` to one filter after the other. Each sees what those before it left; the first
/// rejection ends it. A failed filter has decided by its hook's rule, open or closed.
pub(super) async fn chain<P, T, A>(
    filters: impl IntoIterator<Item = (String, P)>,
    mut value: T,
    ask: impl Fn(P, T) -> A,
) -> Chained<T>
where
    T: Clone,
    A: Future<Output = HookOutcome<Filtered<T>>>,
{
    let mut asked = Vec::new();
    for (plugin_id, filter) in filters {
        let outcome = ask(filter, value.clone()).await;
        let changed = matches!(outcome.decision, Filtered::Replaced(_));
        asked.push(Asked { plugin_id: plugin_id.clone(), changed, cause: outcome.cause });
        match outcome.decision {
            Filtered::Unchanged => {}
            Filtered::Replaced(other) => value = other,
            Filtered::Rejected(reason) => {
                return Chained { decided: Decided::Rejected { plugin_id, reason }, asked };
            }
            Filtered::Dismissed => {
                return Chained { decided: Decided::Dismissed { plugin_id }, asked };
            }
        }
    }
    Chained { decided: Decided::Passed(value), asked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::{Cause, HookError};

    type Filter = fn(String) -> HookOutcome<Filtered<String>>;

    fn answered(decision: Filtered<String>) -> HookOutcome<Filtered<String>> {
        HookOutcome { decision, cause: Cause::Answered }
    }

    fn adds_a(text: String) -> HookOutcome<Filtered<String>> {
        answered(Filtered::Replaced(text + "a"))
    }

    fn adds_b(text: String) -> HookOutcome<Filtered<String>> {
        answered(Filtered::Replaced(text + "b"))
    }

    fn rejects(text: String) -> HookOutcome<Filtered<String>> {
        answered(Filtered::Rejected(format!("no {text}")))
    }

    fn fails(_: String) -> HookOutcome<Filtered<String>> {
        let error = HookError::Stopping { hook: "MessageWillBePosted" };
        HookOutcome { decision: Filtered::Unchanged, cause: Cause::Failed(error) }
    }

    async fn run(filters: &[Filter]) -> Chained<String> {
        let named = filters.iter().enumerate().map(|(at, filter)| (at.to_string(), *filter));
        chain(named, "x".to_owned(), |filter, text| async move { filter(text) }).await
    }

    #[tokio::test]
    async fn each_sees_what_those_before_it_left() {
        let unchanged: Filter = |_| answered(Filtered::Unchanged);
        let chained = run(&[adds_a, unchanged, adds_b]).await;
        assert_eq!(chained.decided, Decided::Passed("xab".to_owned()));
        let changed: Vec<_> = chained.asked.iter().map(|asked| asked.changed).collect();
        assert_eq!(changed, [true, false, true]);
        assert_eq!(chained.failures().count(), 0);
    }

    #[tokio::test]
    async fn the_first_rejection_ends_it_and_is_told_with_its_plugin() {
        let chained = run(&[adds_a, rejects, adds_b]).await;
        let reason = "no xa".to_owned();
        assert_eq!(chained.decided, Decided::Rejected { plugin_id: "1".to_owned(), reason });
        assert_eq!(chained.asked.len(), 2);
        assert_eq!(chained.passed(), None);

        let dismisses: Filter = |_| answered(Filtered::Dismissed);
        let chained = run(&[dismisses, adds_a]).await;
        assert_eq!(chained.decided, Decided::Dismissed { plugin_id: "0".to_owned() });
        assert_eq!(chained.asked.len(), 1);
    }

    #[tokio::test]
    async fn a_failure_is_recorded_and_the_rest_goes_on() {
        let chained = run(&[adds_a, fails, adds_b]).await;
        assert_eq!(chained.decided, Decided::Passed("xab".to_owned()));
        let failed: Vec<_> = chained.failures().map(|asked| asked.plugin_id.as_str()).collect();
        assert_eq!(failed, ["1"]);
    }

    #[tokio::test]
    async fn without_filters_the_value_passes() {
        let chained = run(&[]).await;
        assert_eq!(chained.passed(), Some("x".to_owned()));
    }
}
