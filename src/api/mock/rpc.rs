//! Which RPC a mock answers: by name, or by the type of its request.

use plugin_proto::names::suggestion;
use plugin_proto::{METHODS, Method, Service, v1};

use super::{Matcher, MockError, Reply};

pub use crate::api::request::ApiRequest;

macro_rules! requests {
    ($({ $index:literal $doc:literal $rpc:ident $method:ident $request:ident $response:ident $channel:ident })*) => {
        $(
            impl From<v1::$request> for Matcher {
                fn from(request: v1::$request) -> Self {
                    Self::whole(&request)
                }
            }

            impl From<v1::$response> for Reply {
                fn from(response: v1::$response) -> Self {
                    Self::message(&METHODS[$index], &response)
                }
            }
        )*
    };
}

plugin_proto::plugin_api_rpcs!(requests);

/// An RPC of `PluginAPI`, made by [`rpc`] or [`request`].
#[derive(Debug, Clone)]
pub struct Rpc(Named);

#[derive(Debug, Clone)]
enum Named {
    Known(&'static Method),
    Name(String),
}

/// The RPC of this name. A name that does not exist is found out when the mock is mounted.
///
/// ```
/// use plugin_conformance::api::AppError;
/// use plugin_conformance::api::mock::{MockApi, rpc};
///
/// let api = MockApi::new();
/// let mock = api.given(rpc("GetUsr")).respond_with(AppError::new("app.user.gone", 404));
/// let error = mock.try_mount().unwrap_err();
/// assert_eq!(error.to_string(), "there is no RPC GetUsr; did you mean GetUser?");
/// ```
pub fn rpc(name: impl Into<String>) -> Rpc {
    Rpc(Named::Name(name.into()))
}

/// The RPC that takes this request.
///
/// ```
/// use plugin_conformance::api::mock::{MockApi, request};
/// use plugin_proto::v1::{GetServerVersionRequest, GetServerVersionResponse};
///
/// let api = MockApi::new();
/// api.given(request::<GetServerVersionRequest>())
///     .respond_with(GetServerVersionResponse { version: "11.2.0".into(), error: None })
///     .mount();
/// ```
pub fn request<Q: ApiRequest>() -> Rpc {
    Rpc(Named::Known(Q::method()))
}

impl Rpc {
    pub(super) fn method(self) -> Result<&'static Method, MockError> {
        let name = match self.0 {
            Named::Known(method) => return Ok(method),
            Named::Name(name) => name,
        };
        Method::by_name(Service::PluginAPI, &name).ok_or_else(|| {
            let hook = Method::by_name(Service::PluginHooks, &name).is_some();
            let hint = match hook {
                true => ": it is a hook, which the server calls and the plugin answers".to_owned(),
                false => suggestion(&name, Service::PluginAPI.methods().map(|method| method.name)),
            };
            MockError::UnknownRpc { name, hint }
        })
    }
}

impl From<&str> for Rpc {
    fn from(name: &str) -> Self {
        rpc(name)
    }
}
