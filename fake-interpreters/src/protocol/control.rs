//! Calls at the word of another process: one interpreter serves thousands of test cases.
//!
//! The step `control` connects to a Unix socket, on which a driver listens. In both directions a
//! frame is a length of four bytes, the most significant first, and a message: [`Order`]s come,
//! [`Outcome`]s go, each when its call is over, so that many calls may be under way. The step ends
//! when the driver closes its side; what is still under way then is cancelled.
//!
//! With `hooks: true` the driver also decides how hooks are answered, by frames of the module
//! [`hook_control`](crate::hook_control). The step is then over once it is connected, so that
//! `handshake` and `wait` can follow, and the driver is obeyed beside them.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use plugin_proto::prost::Message;
use serde::Deserialize;
use tonic::{Code, Status};

use super::frame::{frame, read_frame};

/// Where the driver is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The driver's Unix socket.
    pub socket: PathBuf,
    /// The largest header list that a reply may have, in bytes as HPACK counts them; without it
    /// the transport's own limit.
    #[serde(default)]
    pub max_header_bytes: Option<u32>,
    /// Whether the driver decides the hooks.
    #[serde(default)]
    pub hooks: bool,
    /// With `hooks`: whether it decides `OnActivate` and `OnDeactivate` as well.
    #[serde(default)]
    pub lifecycle: bool,
}

/// What the driver asks for.
#[derive(Clone, PartialEq, Message)]
pub struct Order {
    /// Of the driver's choice; the outcome bears it, too.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The RPC's place in [`METHODS`](plugin_proto::METHODS).
    #[prost(uint32, tag = "2")]
    pub method: u32,
    /// The encoded request, whatever it is.
    #[prost(bytes = "bytes", tag = "3")]
    pub request: Bytes,
    /// When to give up.
    #[prost(uint64, optional, tag = "4")]
    pub deadline_ms: Option<u64>,
    /// No new call: the one with this id is cancelled.
    #[prost(bool, tag = "5")]
    pub cancel: bool,
}

/// How a call ended.
#[derive(Clone, PartialEq, Message)]
pub struct Outcome {
    /// The order's.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The gRPC code.
    #[prost(int32, tag = "2")]
    pub code: i32,
    /// The status message, percent-decoded.
    #[prost(string, tag = "3")]
    pub message: String,
    /// `grpc-status-details-bin`, base64-decoded.
    #[prost(bytes = "bytes", tag = "4")]
    pub details: Bytes,
    /// The encoded response, if the code is OK.
    #[prost(bytes = "bytes", tag = "5")]
    pub response: Bytes,
}

impl Order {
    /// Writes one frame.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, writer: &mut impl io::Write) -> io::Result<()> {
        writer.write_all(&frame(self))
    }
}

impl Outcome {
    /// Reads one frame.
    ///
    /// # Errors
    /// What the reader says, or that this is no outcome.
    pub fn read(reader: &mut impl io::Read) -> io::Result<Self> {
        Ok(Self::decode(read_frame(reader)?.as_slice())?)
    }

    /// The response, or the status.
    ///
    /// # Errors
    /// The status of a call that failed.
    pub fn result(self) -> Result<Bytes, Status> {
        match Code::from_i32(self.code) {
            Code::Ok => Ok(self.response),
            code => Err(Status::with_details(code, self.message, self.details)),
        }
    }

    pub(crate) fn new(id: u64, result: Result<Bytes, Status>) -> Self {
        match result {
            Ok(response) => Self { id, response, ..Self::default() },
            Err(status) => Self {
                id,
                code: status.code().into(),
                message: status.message().to_owned(),
                details: Bytes::copy_from_slice(status.details()),
                response: Bytes::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_and_too_long_ones_are_refused() {
        let status = Status::with_details(Code::NotFound, "ä\n", Bytes::from_static(b"\0\xff"));
        let outcome = Outcome::new(7, Err(status));
        let bytes = frame(&outcome);
        assert_eq!(Outcome::read(&mut bytes.as_slice()).unwrap(), outcome);
        let status = outcome.result().unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "ä\n"));
        assert_eq!(status.details(), b"\0\xff");
        let long = Outcome::read(&mut [0xff; 8].as_slice()).unwrap_err();
        assert_eq!(long.kind(), io::ErrorKind::InvalidData);
        let short = Outcome::read(&mut &bytes[..bytes.len() - 1]).unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
