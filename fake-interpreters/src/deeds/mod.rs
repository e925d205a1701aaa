//! What an interpreter does: a file for each kind of deed.
//!
//! [`Life`] is what they share, [`Follow`] what they need of the interpreter that has them done.

mod calls;
mod control;
mod driver;
mod follow;
mod hooks;
mod http_reply;
mod http_request;
mod life;
mod outgoing;
pub(crate) mod process;
mod serve_http;
mod serving;

pub(crate) use follow::{Flow, Follow};
pub(crate) use life::Life;
pub(crate) use serving::Serving;
