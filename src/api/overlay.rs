//! A few RPCs answered in front of another implementation.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use plugin_proto::{METHODS, Method, v1};

use super::{ApiRequest, AppError, PluginApi};

/// Answers some RPCs by itself; all others go to the implementation below. The type of a handler's
/// request says which RPC it answers, so that an overlay reads as a table.
///
/// ```
/// # use std::sync::Arc;
/// use plugin_conformance::api::{AppError, Overlay, PluginApi};
/// use plugin_proto::v1::{GetPluginIdRequest, GetPluginIdResponse, GetUserRequest};
///
/// struct Nothing;
/// impl PluginApi for Nothing {}
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), AppError> {
/// let api = Overlay::over(Arc::new(Nothing)).answer(|_: GetPluginIdRequest| async {
///     Ok(GetPluginIdResponse { plugin_id: "com.example.hello".into(), error: None })
/// });
/// assert_eq!(api.get_plugin_id(GetPluginIdRequest {}).await?.plugin_id, "com.example.hello");
/// assert_eq!(api.get_user(GetUserRequest::default()).await.unwrap_err().status_code, 501);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Overlay {
    below: Arc<dyn PluginApi>,
    /// By the method's index; each is the `Handler` of that method's request.
    handlers: BTreeMap<usize, Arc<dyn Any + Send + Sync>>,
}

type Answer<Q> = BoxFuture<'static, Result<<Q as ApiRequest>::Response, AppError>>;

struct Handler<Q: ApiRequest>(Box<dyn Fn(Q) -> Answer<Q> + Send + Sync>);

impl Overlay {
    /// Nothing is answered here yet.
    pub fn over(below: Arc<dyn PluginApi>) -> Self {
        Self { below, handlers: BTreeMap::new() }
    }

    /// Answers the RPC that takes `Q`; the last handler of an RPC counts.
    #[must_use]
    pub fn answer<Q, F, A>(mut self, handler: F) -> Self
    where
        Q: ApiRequest + 'static,
        F: Fn(Q) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Q::Response, AppError>> + Send + 'static,
    {
        let handler = Handler::<Q>(Box::new(move |request| handler(request).boxed()));
        self.handlers.insert(Q::method().index, Arc::new(handler));
        self
    }

    /// The RPCs that are answered here.
    pub fn rpcs(&self) -> impl Iterator<Item = &'static Method> {
        self.handlers.keys().filter_map(|&index| METHODS.get(index))
    }

    fn handler<Q: ApiRequest + 'static>(&self) -> Option<&Handler<Q>> {
        self.handlers.get(&Q::method().index)?.downcast_ref()
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.rpcs().map(|method| method.name)).finish()
    }
}

macro_rules! overlaid {
    ($({ $index:literal $doc:literal $rpc:ident $method:ident $request:ident $response:ident $channel:ident })*) => {
        #[async_trait]
        impl PluginApi for Overlay {
            $(
                async fn $method(&self, request: v1::$request) -> Result<v1::$response, AppError> {
                    match self.handler::<v1::$request>() {
                        Some(handler) => (handler.0)(request).await,
                        None => self.below.$method(request).await,
                    }
                }
            )*
        }
    };
}

plugin_proto::plugin_api_rpcs!(overlaid);
