//! The trait with a method per RPC, and the table of handlers. Both are expanded from the
//! descriptors: a new RPC in the .proto files appears here by itself.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use plugin_proto::prost::{DecodeError, Message};
use plugin_proto::{METHODS, Method, v1};

use super::AppError;

/// Why a handler has no response message.
pub(super) enum Failure {
    /// The request is no such message.
    Malformed(DecodeError),
    /// The implementation said no.
    App(Box<AppError>),
}

/// Decodes the request, calls the implementation, encodes the response.
pub(super) type Handler =
    fn(Arc<dyn PluginApi>, Bytes) -> BoxFuture<'static, Result<Bytes, Failure>>;

macro_rules! define {
    ($({ $index:literal $doc:literal $rpc:ident $method:ident $request:ident $response:ident $channel:ident })*) => {
        /// What a Mattermost server does for a plugin: one method per RPC of `PluginAPI`.
        ///
        /// Implement what you have; every other method answers AppError 501 that names its RPC.
        /// A method takes the request message and gives the response message or an [`AppError`];
        /// on which channel the failure travels is not its business (see
        /// [`Dialect`](super::Dialect)). A panic becomes `INTERNAL` for that call alone. When the
        /// caller cancels or its deadline passes, the future is dropped.
        #[async_trait]
        pub trait PluginApi: Send + Sync + 'static {
            $(
                #[doc = $doc]
                async fn $method(&self, request: v1::$request) -> Result<v1::$response, AppError> {
                    let _ = request;
                    Err(AppError::not_implemented(&METHODS[$index]))
                }
            )*
        }

        /// The handler of each method, at the method's index.
        static HANDLERS: &[Handler] = &[
            $(
                |api, request| async move {
                    let request = v1::$request::decode(request).map_err(Failure::Malformed)?;
                    let answer = api.$method(request).await;
                    let response = answer.map_err(|error| Failure::App(Box::new(error)))?;
                    Ok(Bytes::from(response.encode_to_vec()))
                }
                .boxed()
            ),*
        ];

        const _: () = {
            // The table is indexed by Method::index: the services' order must not leave a gap.
            let indexes: &[usize] = &[$($index),*];
            let mut at = 0;
            while at < indexes.len() {
                assert!(indexes[at] == at, "PluginAPI's methods are the first of the catalogue");
                at += 1;
            }
        };
    };
}

plugin_proto::plugin_api_rpcs!(define);

/// The handler of `method`; `None` for a method of another service.
pub(super) fn handler(method: &Method) -> Option<Handler> {
    HANDLERS.get(method.index).copied()
}
