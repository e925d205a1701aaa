//! How a life of a stress run ends.

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// A stop.
    Stop,
    /// Two stops at once.
    TwoStops,
    /// A stop at once.
    Kill,
    /// SIGKILL from outside.
    Crash,
    /// The handle is dropped.
    Drop,
    /// A stop, and while it is in `OnDeactivate` a kill.
    KillInStop,
    /// A stop, and while it is in `OnDeactivate` SIGKILL from outside.
    CrashInStop,
    /// The launch is dropped at the plan's moment.
    CutLaunch,
    /// A stop is asked for at the plan's moment of the launch, at the same time as what happens then.
    StopLaunch,
    /// A [`Keeper`](crate::environment::Keeper) stops it and launches it again.
    Restart,
    /// SIGKILL from outside; a keeper launches it again.
    CrashKept,
    /// The character does it.
    ByItself,
}

impl Ending {
    /// Whether a keeper has the plugin, which then has two lives.
    pub const fn is_kept(self) -> bool {
        matches!(self, Self::Restart | Self::CrashKept)
    }
}
