//! All RPCs through one method, for implementations that work with descriptors.

use async_trait::async_trait;
use bytes::Bytes;
use plugin_proto::prost::Message;
use plugin_proto::{METHODS, Method, v1};

use super::{AppError, PluginApi};

/// Answers any RPC: request bytes in, response bytes out.
#[async_trait]
pub trait DynamicApi: Send + Sync + 'static {
    /// Answers `method`. Bytes that are not a `method.response` become an AppError 500.
    ///
    /// # Errors
    /// The failure to send to the plugin.
    async fn call(&self, method: &'static Method, request: Bytes) -> Result<Bytes, AppError>;
}

/// Makes a [`PluginApi`] of a [`DynamicApi`].
///
/// Requests and answers pass through the generated types on their way, so that what crosses is
/// what a hand-written implementation would send.
#[derive(Debug, Clone)]
pub struct Dynamic<D>(pub D);

impl<D: DynamicApi> Dynamic<D> {
    async fn answer<Q: Message, R: Message + Default>(
        &self,
        method: &'static Method,
        request: Q,
    ) -> Result<R, AppError> {
        let answer = self.0.call(method, request.encode_to_vec().into()).await?;
        R::decode(answer).map_err(|error| {
            AppError::new("plugin_api.dynamic.bad_answer", 500)
                .message(format!("The answer is no {}.", method.response))
                .detail(error.to_string())
                .at(method.name)
        })
    }
}

macro_rules! forward {
    ($({ $index:literal $doc:literal $rpc:ident $method:ident $request:ident $response:ident $channel:ident })*) => {
        #[async_trait]
        impl<D: DynamicApi> PluginApi for Dynamic<D> {
            $(
                async fn $method(&self, request: v1::$request) -> Result<v1::$response, AppError> {
                    self.answer(&METHODS[$index], request).await
                }
            )*
        }
    };
}

plugin_proto::plugin_api_rpcs!(forward);
