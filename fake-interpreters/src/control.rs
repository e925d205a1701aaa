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

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plugin_proto::prost::Message;
use plugin_proto::{METHODS, Service};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{AbortHandle, JoinSet};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::driver::{Driver, Telling};
use crate::hook_control::OrderFrame;
use crate::life::Life;
use crate::reporter::lock;
use crate::wire::{self, MAX_MESSAGE};

/// The largest frame: a message, and what stands around it.
const MAX_FRAME: usize = MAX_MESSAGE + (1 << 20);

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
    /// The RPC's place in [`METHODS`].
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

    fn telling(&self) -> Telling {
        Telling::new(frame(self))
    }

    fn new(id: u64, result: Result<Bytes, Status>) -> Self {
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

/// The message of one frame, as encoded.
pub(crate) fn read_frame(reader: &mut impl io::Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let mut bytes = vec![0; checked(u32::from_be_bytes(length))?];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn frame(message: &impl Message) -> Vec<u8> {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&(length as u32).to_be_bytes());
    bytes.extend(message.encode_to_vec());
    bytes
}

fn checked(length: u32) -> io::Result<usize> {
    let length = length as usize;
    if length > MAX_FRAME {
        let problem = format!("a frame of {length} bytes, more than {MAX_FRAME}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    Ok(length)
}

impl Life {
    /// Does what a driver says until it has said all, or beside the steps that follow.
    pub(crate) async fn control(self: &Arc<Self>, control: &Control) {
        let stream = match UnixStream::connect(&control.socket).await {
            Ok(stream) => stream,
            Err(error) => return self.uncontrolled(control, &error),
        };
        let (tell, told) = mpsc::unbounded_channel();
        if !control.hooks {
            return self.obey(control, stream, tell, told, None).await;
        }
        let driver = Driver::new(tell.clone(), control.lifecycle);
        *lock(&self.driver) = Some(Arc::clone(&driver));
        let (life, control) = (Arc::clone(self), control.clone());
        tokio::spawn(async move {
            life.obey(&control, stream, tell, told, Some(&driver)).await;
            driver.gone();
        });
    }

    fn uncontrolled(&self, control: &Control, error: &io::Error) {
        self.report.failure(format!("control {}: {error}", control.socket.display()));
    }

    /// Where the driver's calls go.
    fn api_of(&self, control: &Control) -> io::Result<Channel> {
        let target = self.report.update(|report| report.api_target.clone()).unwrap_or_default();
        let mut endpoint = wire::endpoint(&target).map_err(io::Error::other)?;
        if let Some(bytes) = control.max_header_bytes {
            endpoint = endpoint.http2_max_header_list_size(bytes);
        }
        Ok(endpoint.connect_lazy())
    }

    async fn obey(
        &self,
        control: &Control,
        stream: UnixStream,
        tell: UnboundedSender<Telling>,
        told: UnboundedReceiver<Telling>,
        driver: Option<&Driver>,
    ) {
        if let Err(error) = self.listen(control, stream, tell, told, driver).await {
            self.uncontrolled(control, &error);
        }
    }

    async fn listen(
        &self,
        control: &Control,
        stream: UnixStream,
        tell: UnboundedSender<Telling>,
        mut told: UnboundedReceiver<Telling>,
        driver: Option<&Driver>,
    ) -> io::Result<()> {
        let api = match self.api_of(control) {
            Ok(channel) => Ok(channel),
            // A plugin without an API has hooks all the same.
            Err(error) if control.hooks => Err(Status::unavailable(error.to_string())),
            Err(error) => return Err(error),
        };
        let (mut orders, mut driver_side) = stream.into_split();
        let speak = async {
            while let Some(telling) = told.recv().await {
                driver_side.write_all(&telling.bytes).await?;
            }
            Ok(())
        };
        let listen = async {
            let mut calls = JoinSet::new();
            let mut open: HashMap<u64, AbortHandle> = HashMap::new();
            loop {
                let length = match orders.read_u32().await {
                    Ok(length) => checked(length)?,
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    Err(error) => return Err(error),
                };
                let mut bytes = vec![0; length];
                orders.read_exact(&mut bytes).await?;
                if let (Some(driver), Some(order)) =
                    (driver, OrderFrame::decode(bytes.as_slice())?.order)
                {
                    if let Some(step) = order.step {
                        driver.order(order.call, step);
                    }
                    continue;
                }
                let order = Order::decode(bytes.as_slice())?;
                while calls.try_join_next().is_some() {}
                open.retain(|_, call| !call.is_finished());
                let id = order.id;
                // A failed `send` is the driver's going away, which ends this loop as well.
                if order.cancel {
                    if let Some(call) = open.remove(&id) {
                        call.abort();
                        let cancelled = Err(Status::cancelled("cancelled by the driver"));
                        let _ = tell.send(Outcome::new(id, cancelled).telling());
                    }
                    continue;
                }
                let method = METHODS.get(order.method as usize);
                let Some(method) = method.filter(|method| method.service == Service::PluginAPI)
                else {
                    let problem = format!("the PluginAPI has no RPC {}", order.method);
                    let refused = Err(Status::unimplemented(problem));
                    let _ = tell.send(Outcome::new(id, refused).telling());
                    continue;
                };
                let (api, tell) = (api.clone(), tell.clone());
                let deadline = order.deadline_ms.map(Duration::from_millis);
                let call = async move {
                    let result = match api {
                        Ok(api) => wire::unary(&api, method, order.request, deadline).await,
                        Err(status) => Err(status),
                    };
                    let _ = tell.send(Outcome::new(id, result).telling());
                };
                open.insert(id, calls.spawn(call));
            }
        };
        tokio::select! {
            ended = listen => ended,
            ended = speak => ended,
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
