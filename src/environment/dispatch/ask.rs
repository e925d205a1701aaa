//! How one plugin is asked. The only place here that knows the hooks' client.

use crate::hooks::{Cause, Filtered, HookError, HookOutcome};

/// A hook whose failure is an error, as a chain sees it: an error rejects (fails closed), a value
/// takes the place of what was shown.
pub(super) fn closed<T>(
    outcome: HookOutcome<Result<Option<T>, HookError>>,
) -> HookOutcome<Filtered<T>> {
    let decision = match outcome.decision {
        Ok(Some(other)) => Filtered::Replaced(other),
        Ok(None) => Filtered::Unchanged,
        Err(HookError::Refused { error, .. }) => Filtered::Rejected(error.message),
        Err(error) => Filtered::Rejected(error.to_string()),
    };
    HookOutcome { decision, cause: outcome.cause }
}

/// The replacement in other words.
pub(super) fn mapped<T, U>(
    outcome: HookOutcome<Filtered<T>>,
    map: impl FnOnce(T) -> U,
) -> HookOutcome<Filtered<U>> {
    let decision = match outcome.decision {
        Filtered::Unchanged => Filtered::Unchanged,
        Filtered::Replaced(other) => Filtered::Replaced(map(other)),
        Filtered::Rejected(reason) => Filtered::Rejected(reason),
        Filtered::Dismissed => Filtered::Dismissed,
    };
    HookOutcome { decision, cause: outcome.cause }
}

/// What became of a notification that decides nothing.
pub(super) fn told(outcome: HookOutcome<()>) -> Result<(), HookError> {
    match outcome.cause {
        Cause::Failed(error) => Err(error),
        Cause::Answered | Cause::NotImplemented => Ok(()),
    }
}
