//! What is seen of a subject, from outside: the only thing that rules look at.

mod http;
mod launched;
mod left;
mod observation;

pub use http::{Ask, HttpSeen};
pub(super) use http::{get, post};
pub use launched::{Launched, Outside};
pub(super) use left::{answers, is_alive, left};
pub use observation::{HookSeen, Observation};
