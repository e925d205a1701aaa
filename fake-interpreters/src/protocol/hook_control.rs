//! Hooks at the word of another process: what a [driver](crate::control) is told of them, and how
//! it has them answered.
//!
//! With `control: {socket: .., hooks: true}` each call of a hook that `serve` lists is told to the
//! driver: with its request, or, for `ServeHTTP`, with each message of the request as it comes. The
//! answer is what the driver says, and as long as it says nothing there is none. `OnActivate` and
//! `OnDeactivate` are answered by themselves unless `lifecycle: true`, and `Implemented` always is;
//! so is a hook that has steps in `on`. What the driver decides does not stand in the report.
//!
//! The frames are those of [`control`](crate::control), on the same socket. A frame that is about a
//! hook is a message whose only field is 16, a [`HookEvent`] to the driver and a [`HookOrder`] from
//! it; any other frame is an [`Outcome`] or an [`Order`](crate::control::Order). Ids of hook calls
//! are the interpreter's, from 1 on; they have nothing to do with the ids of orders.
//!
//! When the driver closes the socket, what it has left open fails with `UNAVAILABLE`, as does each
//! later call.

use std::io;

use bytes::Bytes;
use plugin_proto::prost::{Message, Oneof};

use super::control::Outcome;
use super::frame::{frame, read_frame};

/// What happened to the call of a hook.
#[derive(Clone, PartialEq, Message)]
pub struct HookEvent {
    /// The call.
    #[prost(uint64, tag = "1")]
    pub call: u64,
    /// The hook's place in [`METHODS`](plugin_proto::METHODS).
    #[prost(uint32, tag = "2")]
    pub hook: u32,
    /// What happened.
    #[prost(oneof = "HookNews", tags = "3, 4, 5")]
    pub news: Option<HookNews>,
}

/// What can happen to the call of a hook.
#[derive(Clone, PartialEq, Oneof)]
pub enum HookNews {
    /// The request came; for `ServeHTTP` one message of it, as encoded.
    #[prost(bytes = "bytes", tag = "3")]
    Request(Bytes),
    /// `ServeHTTP` only: the request is over; true when the caller closed its side, false when the
    /// stream was broken off.
    #[prost(bool, tag = "4")]
    RequestEnd(bool),
    /// The caller gave the call up before the driver had ended it; nothing more
    /// is told of it. Always true.
    #[prost(bool, tag = "5")]
    Cancelled(bool),
}

/// What is done with the call of a hook. One for a call that is over is passed over.
#[derive(Clone, PartialEq, Message)]
pub struct HookOrder {
    /// The call.
    #[prost(uint64, tag = "1")]
    pub call: u64,
    /// What is done.
    #[prost(oneof = "HookStep", tags = "2, 3, 4, 5")]
    pub step: Option<HookStep>,
}

/// What can be done with the call of a hook.
#[derive(Clone, PartialEq, Oneof)]
pub enum HookStep {
    /// Answers with these bytes, whatever they are; for `ServeHTTP` sends one message.
    #[prost(bytes = "bytes", tag = "2")]
    Message(Bytes),
    /// Ends the reply of `ServeHTTP` with OK; a unary hook is answered with an empty message.
    #[prost(bool, tag = "3")]
    End(bool),
    /// Answers with a gRPC status; for `ServeHTTP` after the messages that were sent.
    #[prost(message, tag = "4")]
    Fail(HookStatus),
    /// The process dies of SIGKILL, after the messages that were sent.
    #[prost(bool, tag = "5")]
    Crash(bool),
}

/// A gRPC status.
#[derive(Clone, PartialEq, Message)]
pub struct HookStatus {
    /// The code; one that gRPC does not know is `UNKNOWN`.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// The message.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// One frame that comes from the interpreter.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A call of the PluginAPI is over.
    Outcome(Outcome),
    /// Something happened to the call of a hook.
    Hook(HookEvent),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct EventFrame {
    #[prost(message, optional, tag = "16")]
    pub(crate) event: Option<HookEvent>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct OrderFrame {
    #[prost(message, optional, tag = "16")]
    pub(crate) order: Option<HookOrder>,
}

impl HookOrder {
    /// An order for the call with this id.
    pub fn new(call: u64, step: HookStep) -> Self {
        Self { call, step: Some(step) }
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, writer: &mut impl io::Write) -> io::Result<()> {
        writer.write_all(&frame(&OrderFrame { order: Some(self.clone()) }))
    }
}

impl Told {
    /// Reads one frame.
    ///
    /// # Errors
    /// What the reader says, or that this is neither an event nor an outcome.
    pub fn read(reader: &mut impl io::Read) -> io::Result<Self> {
        let bytes = read_frame(reader)?;
        match EventFrame::decode(bytes.as_slice())?.event {
            Some(event) => Ok(Self::Hook(event)),
            None => Ok(Self::Outcome(Outcome::decode(bytes.as_slice())?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_outcomes_are_told_apart() {
        let event = HookEvent { call: 1, hook: 3, news: Some(HookNews::Request(Bytes::new())) };
        let bytes = frame(&EventFrame { event: Some(event.clone()) });
        assert_eq!(Told::read(&mut bytes.as_slice()).unwrap(), Told::Hook(event));
        let outcome = Outcome { id: 7, response: Bytes::from_static(b"x"), ..Outcome::default() };
        let bytes = frame(&outcome);
        assert_eq!(Told::read(&mut bytes.as_slice()).unwrap(), Told::Outcome(outcome));
    }
}
