//! Which RPC a request message belongs to.

use plugin_proto::prost::Message;
use plugin_proto::prost_reflect::ReflectMessage;
use plugin_proto::{METHODS, Method, v1};

/// The request message of an RPC. All 236 have one of their own, so the type says which RPC is
/// meant, and what it answers.
///
/// ```
/// use plugin_conformance::api::ApiRequest;
/// use plugin_proto::v1::GetUserRequest;
///
/// assert_eq!(GetUserRequest::method().name, "GetUser");
/// ```
pub trait ApiRequest: Message + ReflectMessage + Default {
    /// What the RPC answers.
    type Response: Message + Default;

    /// The RPC.
    fn method() -> &'static Method;
}

macro_rules! requests {
    ($({ $index:literal $doc:literal $rpc:ident $method:ident $request:ident $response:ident $channel:ident })*) => {
        $(
            impl ApiRequest for v1::$request {
                type Response = v1::$response;

                fn method() -> &'static Method {
                    &METHODS[$index]
                }
            }
        )*
    };
}

plugin_proto::plugin_api_rpcs!(requests);
