//! How steps end, and who follows them.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tonic::Status;

use crate::script::{Reply, Route, Step};

/// How a list of steps ends.
pub(crate) enum Flow {
    /// All steps are done.
    Done,
    /// The hook is answered with this message.
    Answer(Bytes),
    /// The hook is answered with this status.
    Fail(Status),
    /// `ServeHTTP` is answered so.
    Reply(Box<Reply>),
    /// `ServeHTTP` is answered as one of these says.
    Routes(Vec<Route>),
    /// The interpreter exits.
    Exit(u8),
}

/// Follows steps: what hooks need of the interpreter that serves them.
pub(crate) trait Follow: Send + Sync {
    /// Does steps until one of them ends the list.
    fn follow<'a>(self: Arc<Self>, steps: &'a [Step]) -> BoxFuture<'a, Flow>;

    /// Exits from anywhere.
    fn exit(&self, code: u8) -> !;
}
