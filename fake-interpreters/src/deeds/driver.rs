//! The interpreter's side of a driver that decides the answers of hooks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::FusedFuture as _;
use plugin_proto::Method;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status, Streaming};

use super::http_reply::{HttpReplies, Part, replies, sent};
use super::outgoing::Outgoing;
use super::process;
use crate::lock::lock;
use crate::protocol::frame::frame;
use crate::protocol::hook_control::{EventFrame, HookEvent, HookNews, HookStatus, HookStep};
use crate::report::Reporter;
use crate::script::Crash;

/// So many messages of requests may wait for a driver that does not read, and one for each stream;
/// more are not taken from their streams.
const WINDOW: usize = 16;

/// A frame for the driver.
pub(crate) struct Telling {
    pub(crate) bytes: Vec<u8>,
    /// Given back when the frame was written.
    _room: Option<OwnedSemaphorePermit>,
}

impl Telling {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, _room: None }
    }
}

/// The calls that wait for orders.
pub(crate) struct Driver {
    tell: UnboundedSender<Telling>,
    lifecycle: bool,
    last: AtomicU64,
    /// None when the driver has gone.
    calls: Mutex<Option<HashMap<u64, UnboundedSender<HookStep>>>>,
    room: Arc<Semaphore>,
}

impl Driver {
    /// One that is told by `tell`; with `lifecycle` it decides `OnActivate` and `OnDeactivate` too.
    pub(crate) fn new(tell: UnboundedSender<Telling>, lifecycle: bool) -> Arc<Self> {
        Arc::new(Self {
            tell,
            lifecycle,
            last: AtomicU64::new(0),
            calls: Mutex::new(Some(HashMap::new())),
            room: Arc::new(Semaphore::new(WINDOW)),
        })
    }

    pub(crate) fn decides(&self, hook: &Method) -> bool {
        match hook.name {
            "Implemented" => false,
            "OnActivate" | "OnDeactivate" => self.lifecycle,
            _ => true,
        }
    }

    /// An order for a call.
    pub(crate) fn order(&self, call: u64, step: HookStep) {
        if let Some(call) = lock(&self.calls).as_ref().and_then(|calls| calls.get(&call)) {
            // A call that has just ended needs no order.
            let _ = call.send(step);
        }
    }

    /// No order will come any more.
    pub(crate) fn gone(&self) {
        *lock(&self.calls) = None;
    }

    fn begin(self: Arc<Self>, hook: &Method) -> DrivenCall {
        let id = self.last.fetch_add(1, Relaxed) + 1;
        let (order, orders) = mpsc::unbounded_channel();
        if let Some(calls) = &mut *lock(&self.calls) {
            calls.insert(id, order);
        }
        let teller = Teller { driver: self, id, hook: hook.index as u32 };
        DrivenCall { teller, orders, ended: false }
    }

    /// The answer of a unary hook.
    pub(crate) async fn answer(
        self: Arc<Self>,
        hook: &'static Method,
        request: Bytes,
        report: &Reporter,
    ) -> Result<Bytes, Status> {
        let mut call = self.begin(hook);
        call.teller.tell(HookNews::Request(request), None);
        let step = call.orders.recv().await;
        call.ended = true;
        match step {
            Some(HookStep::Message(answer)) => Ok(answer),
            Some(HookStep::End(_)) => Ok(Bytes::new()),
            Some(HookStep::Fail(status)) => Err(status.into()),
            Some(HookStep::Crash(_)) => crash(report),
            None => Err(no_driver()),
        }
    }

    /// The replies of `ServeHTTP`.
    pub(crate) async fn serve_http(
        self: Arc<Self>,
        hook: &'static Method,
        request: Streaming<Bytes>,
        report: Reporter,
        outgoing: Outgoing,
    ) -> HttpReplies {
        let (sender, receiver) = mpsc::channel(1);
        let call = self.begin(hook);
        tokio::spawn(call.run(request, sender, report, outgoing));
        replies(receiver).await
    }
}

/// A call that the driver decides; it tells that the call was cancelled if it is dropped before.
struct DrivenCall {
    teller: Teller,
    orders: UnboundedReceiver<HookStep>,
    ended: bool,
}

#[derive(Clone)]
struct Teller {
    driver: Arc<Driver>,
    id: u64,
    hook: u32,
}

impl Teller {
    fn tell(&self, news: HookNews, room: Option<OwnedSemaphorePermit>) {
        let event = HookEvent { call: self.id, hook: self.hook, news: Some(news) };
        let bytes = frame(&EventFrame { event: Some(event) });
        // Where the driver has gone nobody needs to know.
        let _ = self.driver.tell.send(Telling { bytes, _room: room });
    }

    /// Tells the whole request of `ServeHTTP`, as fast as the driver reads.
    async fn request(self, mut request: Streaming<Bytes>) {
        loop {
            let message = request.message().await;
            // Only now: a request that sends nothing takes no room.
            let room = Arc::clone(&self.driver.room).acquire_owned().await.ok();
            match message {
                Ok(Some(message)) => self.tell(HookNews::Request(message), room),
                end => return self.tell(HookNews::RequestEnd(end.is_ok()), room),
            }
        }
    }
}

impl DrivenCall {
    async fn run(
        mut self,
        request: Streaming<Bytes>,
        sender: mpsc::Sender<Part>,
        report: Reporter,
        outgoing: Outgoing,
    ) {
        let mut reading = Box::pin(self.teller.clone().request(request).fuse());
        let both = async {
            let read = async {
                (&mut reading).await;
                std::future::pending::<()>().await
            };
            tokio::select! {
                () = read => {}
                () = self.reply(&sender, &report, &outgoing) => {}
            }
        };
        let ended = tokio::select! {
            biased;
            () = both => true,
            () = sender.closed() => false,
        };
        self.ended = ended;
        drop((self, sender));
        if ended && !reading.is_terminated() {
            reading.await;
        }
    }

    async fn reply(&mut self, sender: &mpsc::Sender<Part>, report: &Reporter, outgoing: &Outgoing) {
        // That a message cannot be sent any more is seen by `run`.
        loop {
            let _ = match self.orders.recv().await {
                Some(HookStep::Message(message)) => sender.send(Part::Message(message)).await,
                Some(HookStep::End(_)) => return,
                Some(HookStep::Fail(status)) => {
                    let _ = sender.send(Part::Fail(status.into())).await;
                    return;
                }
                Some(HookStep::Crash(_)) => {
                    sent(sender, outgoing).await;
                    crash(report)
                }
                None => {
                    let _ = sender.send(Part::Fail(no_driver())).await;
                    return;
                }
            };
        }
    }
}

impl Drop for DrivenCall {
    fn drop(&mut self) {
        if let Some(calls) = &mut *lock(&self.teller.driver.calls) {
            calls.remove(&self.teller.id);
        }
        if !self.ended {
            self.teller.tell(HookNews::Cancelled(true), None);
        }
    }
}

impl From<HookStatus> for Status {
    fn from(status: HookStatus) -> Self {
        Self::new(Code::from_i32(status.code), status.message)
    }
}

fn no_driver() -> Status {
    Status::unavailable("the driver that decides the hooks has gone")
}

fn crash(report: &Reporter) -> ! {
    report.flush();
    process::crash(Crash::Sigkill)
}
