//! Who asks.

/// Who a session token belongs to.
pub trait Sessions: Send + Sync + 'static {
    /// The user's id; `None` for a token that is not, or no longer, valid.
    fn user_of(&self, token: &str) -> Option<String>;

    /// The session's id, for the plugin's context; `None` by default.
    fn session_of(&self, _token: &str) -> Option<String> {
        None
    }
}

/// Nobody has a session.
pub(super) struct NoSessions;

impl Sessions for NoSessions {
    fn user_of(&self, _: &str) -> Option<String> {
        None
    }
}
