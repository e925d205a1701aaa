//! The HTTP server before the plugins: `/plugins/{id}/…` becomes a `ServeHTTP` stream.
//!
//! It speaks HTTP/1.1 and HTTP/2 (with prior knowledge) on one port and does what a plugin relies on
//! the Mattermost server for: it knows who asks, and keeps the session's secrets to itself.
//!
//! | What is asked | What is answered |
//! |---|---|
//! | `/plugins/{id}`, `/plugins/{id}/…` | what the plugin says |
//! | another path, an unknown plugin, one without `ServeHTTP` | 404 |
//! | an upgrade (WebSocket), or `CONNECT` | 501; the connection can be used on |
//! | a plugin that stops, cannot be reached, or has as much to do as it may | 503 |
//! | an upload beyond [`FrontLimits::uploads`] | 503 |
//! | an upload of which nothing comes within [`FrontLimits::stall`], while there is no reply yet | 408 |
//! | a plugin that dies, says nothing or breaks the rules before its headers | 502 |
//! | a status code that does not exist | 500 |
//! | no headers within [`HttpFrontBuilder::first_message_limit`] | 504 |
//!
//! A reply that fails after its headers is cut so that it shows: HTTP/1.1 closes the connection
//! without the last chunk, HTTP/2 resets the stream. A client that goes away, or closes its sending
//! side, cancels the plugin's stream at once. One limit is TCP's: over HTTP/1, while a plugin does not
//! read, the hang-up of a client that had sent more than the buffers between hold stays behind that data.

mod answer;
mod body;
mod caller;
mod connection;
mod exchange;
mod front;
mod init;
mod limits;
mod request_id;
mod route;
mod sessions;
mod shared;
mod socket;
mod stall;

pub use exchange::{Exchange, ExchangeEnd, ExchangeObserver};
pub use front::{HttpFront, HttpFrontBuilder, HttpFrontError};
pub use limits::FrontLimits;
pub use sessions::Sessions;
pub use shared::FindHooks;
