//! What a plugin may take of the server's memory and descriptors.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::Endpoint;

use crate::api::framing::{Gathered, Share, UnderWay};
use crate::api::{MAX_BYTES_UNDER_WAY, MAX_MESSAGE_BYTES};

/// What a reply may have under way while its client does not read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// HTTP/2 knows no larger window, in bytes.
const LARGEST_WINDOW: u32 = i32::MAX.cast_unsigned();

/// Limits of one plugin's hooks and of its HTTP. The defaults are generous for a good plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookLimits {
    /// The largest answer of a hook, and the largest message of a reply over HTTP, in bytes; 100 MiB,
    /// as for the API. A larger one fails the call, or cuts the reply.
    pub max_message_bytes: usize,
    /// What all answers and messages of one plugin that are under way may have together, in bytes;
    /// 512 MiB. A call that goes beyond fails.
    pub bytes_under_way: usize,
    /// Requests over HTTP that a plugin may have open, their replies included; 1024. One more is
    /// answered 503. Each may have 256 KiB under way that nobody reads, so that together they never
    /// use up what their connection allows, and none waits for another's client.
    pub requests: usize,
    /// How many of them may have a body; 128. Each of these has a connection of its own. One more is
    /// answered 503.
    pub uploads: usize,
    /// A connection on which nothing has come for so long, with a call or request under way, is
    /// pinged; 310 s. A gRPC server closes connections that ping more often than every 5 minutes.
    pub ping_interval: Duration,
    /// How long a plugin's gRPC server has to answer the ping; 20 s. Then what is under way on the
    /// connection fails.
    pub ping_timeout: Duration,
}

impl Default for HookLimits {
    fn default() -> Self {
        Self {
            max_message_bytes: MAX_MESSAGE_BYTES,
            bytes_under_way: MAX_BYTES_UNDER_WAY,
            requests: 1024,
            uploads: 128,
            ping_interval: Duration::from_secs(310),
            ping_timeout: Duration::from_secs(20),
        }
    }
}

impl HookLimits {
    /// Windows of which every open request has its full share.
    pub(super) fn tuned(&self, endpoint: Endpoint) -> Endpoint {
        let requests = u32::try_from(self.requests).unwrap_or(u32::MAX).max(1);
        let stream = STREAM_WINDOW.min(LARGEST_WINDOW / requests).max(1);
        // Hooks have as much on their own connection; HTTP/2 itself gives 64 KiB.
        let connection = stream.saturating_mul(requests).clamp(STREAM_WINDOW, LARGEST_WINDOW);
        endpoint
            .initial_stream_window_size(stream)
            .initial_connection_window_size(connection)
            .http2_keep_alive_interval(self.ping_interval)
            .keep_alive_timeout(self.ping_timeout)
            .keep_alive_while_idle(false)
    }
}

/// What is left of the limits; shared by all clones of a plugin's hooks.
#[derive(Debug, Clone)]
pub(super) struct Room {
    pub(super) max_message_bytes: usize,
    under_way: Arc<UnderWay>,
    requests: Places,
    uploads: Places,
}

/// There is no place for one more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Full {
    /// `requests` or `uploads`.
    pub(super) what: &'static str,
    /// How many there may be.
    pub(super) most: usize,
}

#[derive(Debug, Clone)]
struct Places {
    free: Arc<Semaphore>,
    most: usize,
}

impl Places {
    fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(most)), most }
    }

    fn take(&self, what: &'static str) -> Result<OwnedSemaphorePermit, Full> {
        let place = Arc::clone(&self.free).try_acquire_owned();
        place.map_err(|_| Full { what, most: self.most })
    }
}

/// The place of one request over HTTP.
#[derive(Debug)]
pub(super) struct Place {
    _request: OwnedSemaphorePermit,
    _upload: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(super) fn new(limits: &HookLimits) -> Self {
        Self {
            max_message_bytes: limits.max_message_bytes,
            under_way: UnderWay::new(limits.bytes_under_way),
            requests: Places::new(limits.requests),
            uploads: Places::new(limits.uploads),
        }
    }

    /// A place for a request, if there is one.
    pub(super) fn request(&self, has_body: bool) -> Result<Place, Full> {
        let upload = has_body.then(|| self.uploads.take("uploads")).transpose()?;
        Ok(Place { _request: self.requests.take("requests")?, _upload: upload })
    }

    /// For the answer to one call.
    pub(super) fn answer(&self) -> Gathering {
        Gathering { limit: self.max_message_bytes, share: self.under_way.share(), stream: false }
    }

    /// For the messages of one stream.
    pub(super) fn stream(&self) -> Gathering {
        Gathering { stream: true, ..self.answer() }
    }
}

/// How the messages of one call are gathered, and what they have of the total.
#[derive(Debug, Clone)]
pub(super) struct Gathering {
    pub(super) limit: usize,
    share: Arc<Share>,
    stream: bool,
}

impl Gathering {
    /// For one small message.
    pub(super) fn small() -> Self {
        const SMALL: usize = 4 * 1024 * 1024;
        Self { limit: SMALL, share: UnderWay::new(SMALL).share(), stream: false }
    }

    /// What the present message has of the total, for who keeps it beyond the next one.
    pub(super) fn hand_over(&self) -> Share {
        self.share.hand_over()
    }

    pub(super) fn of<B>(&self, body: B) -> Gathered<B> {
        let gathered = Gathered::new(body, self.limit, Arc::clone(&self.share));
        if self.stream { gathered.one_by_one() } else { gathered }
    }
}
