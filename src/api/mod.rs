//! The server's side of `PluginAPI`: 236 RPCs, plugin → server.
//!
//! - [`PluginApi`] is the trait to implement: one async method per RPC.
//! - [`AppError`] is how a method fails, and [`Dialect`] decides how that failure travels.
//! - [`ApiServer`] serves any implementation over gRPC and can be stopped for certain.
//! - [`Recorder`] keeps what every call asked and got.
//! - [`Callers`], [`ApiToken`] and [`ConnectionLimits`] keep strangers out and floods small.
//! - [`DynamicApi`] implements all RPCs at once, for those who work with descriptors.
//! - [`GeneratedApi`] answers every RPC with a message made from its descriptor.
//! - [`Overlay`] answers some RPCs by itself and hands all others to another implementation.
//! - [`mock`] has answers and expectations for the tests of a plugin.
//!
//! ```
//! use std::sync::Arc;
//! use plugin_conformance::api::{ApiServer, AppError, PluginApi, async_trait};
//! use plugin_proto::v1::{GetServerVersionRequest, GetServerVersionResponse};
//!
//! struct Tiny;
//!
//! #[async_trait]
//! impl PluginApi for Tiny {
//!     async fn get_server_version(
//!         &self,
//!         _request: GetServerVersionRequest,
//!     ) -> Result<GetServerVersionResponse, AppError> {
//!         Ok(GetServerVersionResponse { version: "11.2.0".into(), ..Default::default() })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = ApiServer::builder(Arc::new(Tiny)).start().await?;
//! println!("MATTERMOST_PLUGIN_API_TARGET={}", server.target());
//! server.stop(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```

mod app_error;
mod call;
mod callers;
mod channel;
mod connections;
mod dynamic;
pub(crate) mod framing;
mod generated;
mod http_service;
pub(crate) mod json;
mod limits;
mod listener;
pub mod mock;
mod overlay;
mod owners;
pub(crate) mod pause;
mod peer;
mod plugin_api;
mod preface;
mod recording;
mod request;
mod server;
mod service;
pub(crate) mod shown;
mod socket_folder;
pub(crate) mod tasks;
mod token;

pub use app_error::AppError;
pub use async_trait::async_trait;
pub use call::{ApiCall, BoxCallService};
pub use callers::Callers;
pub use channel::{Dialect, app_error_of_status, code_of_http_status};
pub(crate) use channel::{embedded_failure, status_failure};
pub use dynamic::{Dynamic, DynamicApi};
pub use generated::{DEFAULT_VERSION, GeneratedApi};
pub use limits::{ConnectionLimits, MAX_BYTES_UNDER_WAY, MAX_MESSAGE_BYTES};
pub use listener::{Listen, ListenError, TARGET_VARIABLE};
pub use overlay::Overlay;
pub use owners::OwnersError;
pub use plugin_api::PluginApi;
/// Carries messages as bytes; the codec of the fake interpreters' client as well.
pub use plugin_proto::RawCodec;
pub use recording::{Outcome, RecordedCall, Recorder, RecordingLayer, RecordingService};
pub use request::ApiRequest;
pub use server::{ApiServer, ApiServerBuilder, ApiStop};
pub use service::GrpcService;
pub use token::{ApiToken, TOKEN_VARIABLE, TokenError};
