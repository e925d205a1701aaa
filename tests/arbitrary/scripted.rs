//! An API that answers as it was told, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use plugin_conformance::api::{AppError, Dynamic, DynamicApi, PluginApi, async_trait};
use plugin_proto::{Method, Service};
use tokio::sync::watch;

/// What each RPC answers, and what arrived. Clones share it.
#[derive(Clone)]
pub struct Scripted(Arc<Inner>);

struct Inner {
    slots: Vec<Mutex<Slot>>,
    counts: watch::Sender<Counts>,
    released: watch::Sender<bool>,
}

struct Slot {
    script: Script,
    arrived: Vec<Bytes>,
}

#[derive(Clone)]
enum Script {
    Answer(Result<Bytes, AppError>),
    /// No answer before [`Scripted::release`], and an empty one then.
    Hold,
}

/// Of the calls that are held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// So many arrived.
    pub held: usize,
    /// So many of them were dropped: the caller gave up.
    pub dropped: usize,
}

impl Default for Scripted {
    fn default() -> Self {
        let slot = || Slot { script: Script::Answer(Ok(Bytes::new())), arrived: Vec::new() };
        let slots = Service::PluginAPI.methods().map(|_| Mutex::new(slot())).collect();
        let (counts, released) = (watch::Sender::default(), watch::Sender::new(false));
        Self(Arc::new(Inner { slots, counts, released }))
    }
}

impl Scripted {
    pub fn api(&self) -> Arc<dyn PluginApi> {
        Arc::new(Dynamic(self.clone()))
    }

    /// What `method` answers from now on.
    pub fn answer(&self, method: &Method, answer: Result<Bytes, AppError>) {
        self.0.slots[method.index].lock().unwrap().script = Script::Answer(answer);
    }

    /// `method` is held back from now on.
    pub fn hold(&self, method: &Method) {
        self.0.slots[method.index].lock().unwrap().script = Script::Hold;
    }

    /// Lets all go that are held back, now and later.
    pub fn release(&self) {
        self.0.released.send_replace(true);
    }

    /// The requests of `method` that arrived since the last question.
    pub fn arrived(&self, method: &Method) -> Vec<Bytes> {
        std::mem::take(&mut self.0.slots[method.index].lock().unwrap().arrived)
    }

    /// Waits for held calls.
    pub async fn reached(&self, wanted: impl FnMut(&Counts) -> bool) {
        let mut counts = self.0.counts.subscribe();
        let reached = counts.wait_for(wanted);
        let limit = std::time::Duration::from_secs(20);
        let reached = tokio::time::timeout(limit, reached).await.is_ok();
        assert!(reached, "not reached: {:?}", *self.0.counts.borrow());
    }
}

/// A held call that has not been answered.
struct Held<'a>(&'a watch::Sender<Counts>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|counts| counts.dropped += 1);
    }
}

#[async_trait]
impl DynamicApi for Scripted {
    async fn call(&self, method: &'static Method, request: Bytes) -> Result<Bytes, AppError> {
        let script = {
            let mut slot = self.0.slots[method.index].lock().unwrap();
            slot.arrived.push(request);
            slot.script.clone()
        };
        match script {
            Script::Answer(answer) => answer,
            Script::Hold => {
                let held = Held(&self.0.counts);
                self.0.counts.send_modify(|counts| counts.held += 1);
                let mut released = self.0.released.subscribe();
                let _ = released.wait_for(|released| *released).await;
                std::mem::forget(held);
                Ok(Bytes::new())
            }
        }
    }
}
