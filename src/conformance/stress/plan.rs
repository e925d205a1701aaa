//! What one life of a stress run is to be: a function of seed, plugin and cycle.

use std::fmt;
use std::time::Duration;

use super::ending::Ending;
use super::role::Role;
use crate::supervisor::lifecycle::Action;
use crate::supervisor::{Point, SeededSchedule};

/// How far an action of the launch is when something interrupts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It was begun.
    Begun,
    /// It has its outcome, which was not heard.
    Done,
    /// Its outcome was heard.
    Heard,
}

/// What is done with a plugin while it is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A health check.
    Health,
    /// A hook with its generated request; given up after 10 ms, if so wanted.
    Hook {
        /// Its name.
        name: &'static str,
        /// Dropped before it can be answered, perhaps.
        cancelled: bool,
    },
    /// A `ServeHTTP` request.
    Http {
        /// The path.
        path: &'static str,
        /// Its reply is dropped unread.
        cancelled: bool,
        /// Through an [`HttpFront`](crate::http_front::HttpFront), over a connection of its own.
        front: bool,
    },
    /// A hook that is under way when the end begins.
    UnderWay {
        /// Its name.
        name: &'static str,
    },
}

/// The plan of one life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifePlan {
    /// Which plugin, from 0.
    pub plugin: u64,
    /// Which of its lives, from 0.
    pub cycle: u64,
    /// What the plugin is.
    pub role: &'static Role,
    /// The API on a Unix socket.
    pub unix: bool,
    /// What is done while it is active, one after the other.
    pub deeds: Vec<Deed>,
    /// How it ends.
    pub ending: Ending,
    /// The action in which the launch is dropped or stopped, for [`Ending::CutLaunch`] and
    /// [`Ending::StopLaunch`].
    pub cut: Action,
    /// How far it is, for [`Ending::StopLaunch`].
    pub stage: Stage,
    /// The seed of the injected delays.
    pub delays: u64,
    /// The longest of them.
    pub longest: Duration,
}

/// The actions in which a launch can be cut.
const CUTS: [Action; 6] = [
    Action::StartApi,
    Action::ReadHandshake,
    Action::Connect,
    Action::CheckHealth,
    Action::AskHooks,
    Action::Activate,
];

/// Those at which it can be stopped: also when it spawns, which is not interrupted.
const STOPS: [Action; 7] = [
    Action::StartApi,
    Action::Spawn,
    Action::ReadHandshake,
    Action::Connect,
    Action::CheckHealth,
    Action::AskHooks,
    Action::Activate,
];
const STAGES: [Stage; 3] = [Stage::Begun, Stage::Done, Stage::Heard];

const HOOKS: [&str; 6] = [
    "MessageWillBePosted",
    "MessageHasBeenPosted",
    "UserHasBeenCreated",
    "ChannelHasBeenCreated",
    "OnConfigurationChange",
    "UserHasJoinedChannel",
];
const PATHS: [&str; 4] = ["/hello", "/api/large", "/bytes/70000", "/missing"];

impl LifePlan {
    /// The plan of this life, with these roles.
    pub fn of(
        seed: u64,
        (plugin, cycle): (u64, u64),
        roles: &[&'static Role],
        longest: Duration,
    ) -> Option<Self> {
        let dice = SeededSchedule::new(seed, longest);
        let name = format!("plugin-{plugin}");
        let roll = |number: u64| dice.roll(&name, [cycle, number]);
        let role: &'static Role = pick(roles, roll(0))?;
        let ending = *pick(role.endings, roll(1))?;
        let deed = |number: u64| {
            let (what, which, cancelled) =
                (roll(10 + number), roll(20 + number), roll(30 + number) % 4 == 0);
            if role.hooks {
                let name = *pick(&HOOKS, which)?;
                // Who never answers is not waited for.
                let cancelled =
                    cancelled || (role.name == "hang-in-hook" && name == "MessageWillBePosted");
                return Some(match what % 4 {
                    0 => Deed::UnderWay { name },
                    _ => Deed::Hook { name, cancelled },
                });
            }
            Some(match role.http {
                true => {
                    let (path, front) = (*pick(&PATHS, which)?, what % 2 == 0);
                    Deed::Http { path, cancelled, front }
                }
                false => Deed::Health,
            })
        };
        let mut deeds: Vec<_> = (0..roll(2) % 5).filter_map(deed).collect();
        if role.name == "crash-in-hook" {
            deeds = vec![Deed::UnderWay { name: "MessageHasBeenPosted" }];
        }
        Some(Self {
            plugin,
            cycle,
            role,
            unix: roll(3) % 2 == 0,
            deeds,
            ending,
            cut: match ending {
                Ending::StopLaunch => *pick(&STOPS, roll(4))?,
                _ => *pick(&CUTS, roll(4))?,
            },
            stage: *pick(&STAGES, roll(6))?,
            delays: roll(5),
            longest,
        })
    }

    /// Where the driver is held until something interrupts it, so that the order of the two is the
    /// plan's and not the kernel's.
    pub(super) fn hold(&self) -> Option<Point> {
        match self.ending {
            Ending::KillInStop | Ending::CrashInStop => Some(Point::Begun(Action::Deactivate)),
            Ending::CutLaunch => Some(Point::Begun(self.cut)),
            _ => self.role.hold,
        }
    }

    /// Simpler plans of the same life, the simplest first.
    pub fn simpler(&self) -> Vec<Self> {
        let mut simpler = Vec::new();
        let bare = Self { deeds: Vec::new(), longest: Duration::ZERO, unix: false, ..self.clone() };
        // This one is ended by its deed.
        if self.role.name != "crash-in-hook" {
            simpler.push(bare);
            simpler.push(Self { deeds: Vec::new(), ..self.clone() });
            for at in 0..self.deeds.len() {
                let mut less = self.clone();
                less.deeds.remove(at);
                simpler.push(less);
            }
        }
        simpler.push(Self { longest: Duration::ZERO, ..self.clone() });
        simpler.push(Self { unix: false, ..self.clone() });
        simpler.retain(|plan| plan != self);
        simpler
    }
}

fn pick<T>(of: &[T], roll: u64) -> Option<&T> {
    let count = u64::try_from(of.len()).ok().filter(|count| *count > 0)?;
    of.get(usize::try_from(roll % count).ok()?)
}

/// One line: all that was decided.
impl fmt::Display for LifePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, cycle, role, .. } = self;
        let api = if self.unix { "Unix socket" } else { "TCP" };
        write!(
            f,
            "plugin {plugin}, cycle {cycle}: {}, API on {api}, {:?}",
            role.name, self.ending
        )?;
        match self.ending {
            Ending::CutLaunch => write!(f, " in {:?}", self.cut)?,
            Ending::StopLaunch => write!(f, " at {:?} {:?}", self.stage, self.cut)?,
            _ => {}
        }
        write!(f, ", delays {:016x} up to {:?}", self.delays, self.longest)?;
        for deed in &self.deeds {
            write!(f, "; {deed:?}")?;
        }
        Ok(())
    }
}
