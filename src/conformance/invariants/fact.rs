//! One thing that is known of a life.

use crate::supervisor::EventKind;
use crate::supervisor::lifecycle::Action;

/// What a life acquires and has to release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The API server: its port, or its socket and the folder around it.
    Api,
    /// The process and its group.
    Process,
    /// The readers of stdout and stderr.
    Pipes,
    /// The gRPC connection to the plugin.
    Connection,
}

/// An entry of the event log, without its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "EventKind says what each one means")]
pub enum Mark {
    ApiListening,
    Spawned,
    Handshaken,
    Healthy,
    HooksKnown,
    Active,
    Stopping,
    Deactivated,
    AskedToLeave,
    Terminating,
    Killing,
    Exited,
    ApiStopped,
    Ended,
}

impl From<&EventKind> for Mark {
    fn from(kind: &EventKind) -> Self {
        match kind {
            EventKind::ApiListening { .. } => Self::ApiListening,
            EventKind::Spawned { .. } => Self::Spawned,
            EventKind::Handshaken { .. } => Self::Handshaken,
            EventKind::Healthy => Self::Healthy,
            EventKind::HooksKnown { .. } => Self::HooksKnown,
            EventKind::Active => Self::Active,
            EventKind::Stopping { .. } => Self::Stopping,
            EventKind::Deactivated { .. } => Self::Deactivated,
            EventKind::AskedToLeave { .. } => Self::AskedToLeave,
            EventKind::Terminating => Self::Terminating,
            EventKind::Killing => Self::Killing,
            EventKind::Exited { .. } => Self::Exited,
            EventKind::ApiStopped { .. } => Self::ApiStopped,
            EventKind::Ended => Self::Ended,
        }
    }
}

/// One thing that is known of a life. A trace need not have every kind of fact: a bare event log is
/// all [`Fact::Logged`]. Rules judge what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fact {
    /// A caller asked for a stop, or dropped what it had of the plugin.
    StopAsked,
    /// A caller asked for a stop at once.
    KillAsked,
    /// The driver begins an action.
    Begins(Action),
    /// The action's outcome was heard, or the action was dropped.
    Over(Action),
    /// The driver wrote this into the event log.
    Logged(Mark),
    /// The process exits, whoever is the cause.
    Exits,
    /// Something came into being.
    Acquired(Resource),
    /// It is gone.
    Released(Resource),
    /// A caller's hook call was let through to the plugin.
    HookCalled,
    /// The caller that launched the plugin got its answer.
    Answered,
    /// The caller that launched the plugin does not want an answer any more.
    CallerGone,
    /// Nothing more happens by itself.
    Quiet,
}
