//! What a stress run may do with a character, and what it expects of it.

use std::time::Duration;

use fake_interpreters::characters::{Character, UnknownCharacter};

use super::ending::Ending;
use crate::supervisor::lifecycle::Action;
use crate::supervisor::{Point, Timeouts};

/// A character on the stage of a stress run.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// The character's name.
    pub name: &'static str,
    /// Whether its launch succeeds.
    pub launches: bool,
    /// Where the driver is held until the process has exited, so that the exit is always heard
    /// before the answer: else the kernel would decide.
    pub(super) hold: Option<Point>,
    /// It implements the unary hooks.
    pub hooks: bool,
    /// It answers HTTP.
    pub http: bool,
    /// How its lives may end.
    pub endings: &'static [Ending],
    /// What of the limits is short, because it is let elapse.
    limits: fn(&mut Timeouts),
}

/// A name has one role.
impl PartialEq for Role {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Role {}

/// A launch has many moments at which it can be stopped: it is stopped more often than the others
/// happen.
const ANY: &[Ending] = &[
    Ending::Stop,
    Ending::TwoStops,
    Ending::Kill,
    Ending::Crash,
    Ending::Drop,
    Ending::KillInStop,
    Ending::CrashInStop,
    Ending::CutLaunch,
    Ending::StopLaunch,
    Ending::StopLaunch,
    Ending::StopLaunch,
    Ending::Restart,
    Ending::CrashKept,
];
const ACTIVE: &[Ending] =
    &[Ending::Stop, Ending::TwoStops, Ending::Kill, Ending::Crash, Ending::Drop];
const ITSELF: &[Ending] = &[Ending::ByItself];

const fn good(name: &'static str) -> Role {
    let limits = |_: &mut Timeouts| ();
    Role { name, launches: true, hold: None, hooks: false, http: false, endings: ANY, limits }
}

const fn refused(name: &'static str) -> Role {
    Role { launches: false, endings: ITSELF, ..good(name) }
}

const SHORT: Duration = Duration::from_millis(200);

/// The characters of a stress run, in the order in which they are reported.
pub static ROLES: &[Role] = &[
    good("well-behaved"),
    Role { hooks: true, ..good("every-hook") },
    Role { http: true, ..good("http-app") },
    good("unix-hooks"),
    good("calls-while-stopping"),
    good("leaks-open-call"),
    Role {
        endings: ACTIVE,
        hold: Some(Point::Done(Action::AskToLeave)),
        ..good("controller-exits")
    },
    Role { hooks: true, endings: ACTIVE, ..good("hang-in-hook") },
    Role { endings: ACTIVE, ..good("grandchild-new-session") },
    Role { endings: ITSELF, ..good("crash-in-hook") },
    refused("error-in-on-activate"),
    Role { hold: Some(Point::Done(Action::Activate)), ..refused("crash-in-on-activate") },
    Role { hold: Some(Point::Begun(Action::Connect)), ..refused("crash-after-handshake") },
    Role { hold: Some(Point::Done(Action::Activate)), ..refused("crash-later") },
    refused("garbage-handshake"),
    Role { endings: ACTIVE, limits: |limits| limits.grace = SHORT, ..good("ignores-sigterm") },
    Role {
        endings: ACTIVE,
        limits: |limits| limits.deactivate = SHORT,
        ..good("hang-in-on-deactivate")
    },
    Role { endings: ACTIVE, ..good("every-rpc") },
];

/// The parts of an ordinary run: the characters that answer hooks and HTTP have more of them.
pub fn ordinary() -> Vec<&'static Role> {
    let busy = ROLES.iter().filter(|role| role.hooks || role.http);
    let http = ROLES.iter().filter(|role| role.http);
    ROLES.iter().chain(busy).chain(http).collect()
}

/// Why a character cannot take part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownCharacter),
    /// There is, but stress does not know what to expect of it.
    #[error("{name} has no part in a stress run; these have: {}", names())]
    NoPart {
        /// The character.
        name: String,
    },
}

fn names() -> String {
    ROLES.iter().map(|role| role.name).collect::<Vec<_>>().join(", ")
}

impl Role {
    /// The role of this character.
    ///
    /// # Errors
    /// There is no such character (the error suggests one), or it has no role.
    pub fn by_name(name: &str) -> Result<&'static Self, RoleError> {
        Character::by_name(name)?;
        let found = ROLES.iter().find(|role| role.name == name);
        found.ok_or_else(|| RoleError::NoPart { name: name.to_owned() })
    }

    /// Long where a busy machine must not decide, short where the character lets a limit elapse.
    pub fn timeouts(&self) -> Timeouts {
        let mut limits = Timeouts {
            handshake: Duration::from_secs(20),
            connect: Duration::from_secs(20),
            health: Duration::from_secs(20),
            controller: Duration::from_secs(10),
            leave: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            api_drain: Duration::from_millis(300),
            ..Timeouts::default()
        };
        (self.limits)(&mut limits);
        limits
    }
}
