//! The server as one plugin sees it: each RPC goes to the function of its name in `domains/`.

use async_trait::async_trait;
use plugin_proto::v1;

use super::ctx::Ctx;
use super::domains::handlers;
use crate::api::{AppError, PluginApi};

/// The API of one plugin.
#[derive(Debug)]
pub(super) struct PluginSide(pub(super) Ctx);

macro_rules! handled {
    ($({ $index:literal $doc:literal $rpc:ident $method:ident $request:ident $response:ident $channel:ident })*) => {
        #[async_trait]
        impl PluginApi for PluginSide {
            $(
                async fn $method(&self, request: v1::$request) -> Result<v1::$response, AppError> {
                    handlers::$method(&self.0, request).await.map_err(|error| placed(error, stringify!($rpc)))
                }
            )*
        }
    };
}

plugin_proto::plugin_api_rpcs!(handled);

/// An error says where it happened: the RPC, unless the handler knows it better.
fn placed(error: AppError, rpc: &str) -> AppError {
    if error.location.is_empty() { error.at(rpc) } else { error }
}
