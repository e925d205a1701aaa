//! The server's side of a plugin process: launch it, call it, keep it running, stop it for certain.
//!
//! - [`Supervisor`] is one life of one plugin: API server, process, handshake, hooks, stop.
//! - [`lifecycle`] is the pure state machine under it.
//!
//! Everything here holds for a plugin that is broken or hostile as well: every wait has a deadline
//! ([`Timeouts`]), every failure leaves nothing behind, and [`Supervisor::shutdown`] comes back.

mod active;
mod config;
mod driver;
mod ended;
mod error;
mod events;
mod handshake;
mod interpreter;
mod leash;
pub mod lifecycle;
mod log;
mod manifest;
mod output;
mod plan;
mod process;
mod pump;
mod schedule;
mod script;
#[expect(clippy::module_inception, reason = "the room is named after what stands in it")]
mod supervisor;

pub use config::{SupervisorBuilder, Timeouts};
pub use ended::Ended;
pub use error::{LaunchError, LaunchFailure};
pub use events::{EventKind, EventLog, EventReader, LifeEvent};
pub use handshake::{
    APP_VERSION, COOKIE_KEY, COOKIE_VALUE, CORE_VERSION, Handshake, HandshakeAddress,
    HandshakeError, HandshakeProtocol, MAX_LINE,
};
pub use interpreter::{InterpreterError, discover};
pub use log::{LogRecord, LogSink, Stream, tracing_sink};
pub use manifest::{Manifest, ManifestError, PythonOptions, Server};
pub use output::{Level, ParsedLine, StderrParser};
pub use process::{ExitReport, ExitStatus, SpawnError, Unseen};
#[cfg(feature = "sabotage")]
pub use schedule::Fault;
pub use schedule::{Moment, Point, Schedule, SeededSchedule};
pub use script::{Script, ScriptError};

pub use supervisor::Supervisor;

pub(crate) use driver::STOP_ASKED;
pub(crate) use leash::Leash;
