//! What comes of a hook: the decision, and where it comes from.

use super::HookError;

/// What comes of a hook.
///
/// There is always a decision, so that a caller can go on; the cause tells "allowed" from "allowed
/// because the plugin failed".
///
/// ```
/// # use plugin_conformance::hooks::{Cause, Filtered, HookError, HookOutcome, Hooks};
/// # use plugin_proto::v1;
/// # async fn example(hooks: Hooks, post: v1::Post) -> Option<v1::Post> {
/// let request = v1::MessageWillBePostedRequest { post: Some(post.clone()), ..Default::default() };
/// let outcome = hooks.message_will_be_posted(request).await;
/// if let Some(failure) = outcome.failure() {
///     println!("nobody has looked at this post: {failure}");
/// }
/// match outcome.decision {
///     Filtered::Unchanged => Some(post),
///     Filtered::Replaced(post) => Some(post),
///     Filtered::Rejected(_) | Filtered::Dismissed => None,
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "the decision says what to go on with"]
pub struct HookOutcome<D> {
    /// What the server goes on with.
    pub decision: D,
    /// Where the decision comes from.
    pub cause: Cause,
}

/// Where a decision comes from.
#[derive(Debug, Clone)]
pub enum Cause {
    /// The plugin answered, a refusal included.
    Answered,
    /// The plugin did not name the hook in `Implemented`: no call was made, and the decision is the
    /// hook's default.
    NotImplemented,
    /// There is no answer: the decision is what the contract says for this case, open or closed.
    Failed(HookError),
}

/// Two failures are alike when they read alike; a status has no equality of its own.
impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Answered, Self::Answered) | (Self::NotImplemented, Self::NotImplemented) => true,
            (Self::Failed(left), Self::Failed(right)) => left.to_string() == right.to_string(),
            _ => false,
        }
    }
}

impl<D> HookOutcome<D> {
    /// Why there is no answer, if there is none although the plugin was asked.
    pub fn failure(&self) -> Option<&HookError> {
        match &self.cause {
            Cause::Failed(error) => Some(error),
            Cause::Answered | Cause::NotImplemented => None,
        }
    }

    /// Whether the plugin answered.
    pub fn is_answered(&self) -> bool {
        matches!(self.cause, Cause::Answered)
    }

    /// The decision, or the failure in its place.
    ///
    /// # Errors
    /// The cause, if it is [`Cause::Failed`].
    pub fn answer(self) -> Result<D, HookError> {
        match self.cause {
            Cause::Failed(error) => Err(error),
            Cause::Answered | Cause::NotImplemented => Ok(self.decision),
        }
    }
}

/// What a filter did with the thing that it was shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Filtered<T> {
    /// It stays as it is.
    Unchanged,
    /// This takes its place.
    Replaced(T),
    /// It is refused, for this reason.
    Rejected(String),
    /// It is refused without a word to the user (`MessageWillBePosted` alone).
    Dismissed,
}

impl<T> Filtered<T> {
    /// What goes on if `original` was shown to the filter; `None` if nothing does.
    pub fn or(self, original: T) -> Option<T> {
        match self {
            Self::Unchanged => Some(original),
            Self::Replaced(other) => Some(other),
            Self::Rejected(_) | Self::Dismissed => None,
        }
    }

    /// Whether it was refused, loudly or silently.
    pub const fn is_rejected(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Dismissed)
    }
}
