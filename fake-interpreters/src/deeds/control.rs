//! The step `control`: calls at the word of a driver.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plugin_proto::prost::Message as _;
use plugin_proto::{METHODS, Service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{AbortHandle, JoinSet};
use tonic::Status;
use tonic::transport::Channel;

use super::driver::{Driver, Telling};
use super::life::Life;
use crate::lock::lock;
use crate::protocol::control::{Order, Outcome};
use crate::protocol::frame::{checked, frame};
use crate::protocol::hook_control::OrderFrame;
use crate::script::Control;
use crate::wire;

fn telling(id: u64, result: Result<Bytes, Status>) -> Telling {
    Telling::new(frame(&Outcome::new(id, result)))
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
                        let _ = tell.send(telling(id, cancelled));
                    }
                    continue;
                }
                let method = METHODS.get(order.method as usize);
                let Some(method) = method.filter(|method| method.service == Service::PluginAPI)
                else {
                    let problem = format!("the PluginAPI has no RPC {}", order.method);
                    let refused = Err(Status::unimplemented(problem));
                    let _ = tell.send(telling(id, refused));
                    continue;
                };
                let (api, tell) = (api.clone(), tell.clone());
                let deadline = order.deadline_ms.map(Duration::from_millis);
                let call = async move {
                    let result = match api {
                        Ok(api) => wire::unary(&api, method, order.request, deadline).await,
                        Err(status) => Err(status),
                    };
                    let _ = tell.send(telling(id, result));
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
