//! Mocks for plugin tests, in the manner of wiremock: an API that answers as the test says, and
//! says afterwards what it was asked.
//!
//! - [`MockApi`] holds the mocks: `given(..)` a call, `with(..)` such fields, `respond_with(..)`
//!   this, `expect(..)` so many calls, `mount()`.
//! - [`rpc`] and [`request`] say which RPC; [`field`] and [`any`] which requests ([`Matcher`]).
//! - [`Reply`] is what can be answered: messages, JSON, failures, functions, [`sequence`]s.
//! - [`MockApi::verify`] says what was expected and did not come ([`Unverified`]);
//!   [`MockApi::received`] what came ([`ReceivedCall`]).
//! - [The module `file`](mod@file) has the same as YAML, for `serve --mocks` and `check plugin --mocks`.
//!
//! ```
//! use plugin_conformance::api::AppError;
//! use plugin_conformance::api::mock::{MockApi, field, request, rpc};
//! use plugin_proto::v1::{GetUserRequest, GetUserResponse, User};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), AppError> {
//! let ada = User { id: "abc".into(), username: "ada".into(), ..User::default() };
//! let api = MockApi::new();
//! api.given(request::<GetUserRequest>())
//!     .respond_with(AppError::new("app.user.missing_account.const", 404))
//!     .named("nobody else is there")
//!     .mount();
//! api.given(rpc("GetUser"))
//!     .with(field("user_id").equals("abc"))
//!     .respond_with(GetUserResponse { user: Some(ada), error: None })
//!     .expect(1)
//!     .mount();
//!
//! let plugin_sees = api.plugin_api();
//! let answer = plugin_sees.get_user(GetUserRequest { user_id: "abc".into() }).await?;
//! assert_eq!(answer.user.unwrap_or_default().username, "ada");
//! let failure = plugin_sees.get_user(GetUserRequest { user_id: "xyz".into() }).await;
//! assert_eq!(failure.unwrap_err().status_code, 404);
//! assert_eq!(api.received_of("GetUser").len(), 2);
//! # Ok(())
//! # }
//! ```

mod calls;
mod error;
pub mod file;
mod given;
mod matcher;
mod mock_api;
mod mounted;
mod path;
mod received;
mod reply;
mod request;
mod rpc;
mod times;
mod unmatched;
mod verification;

pub use error::MockError;
pub use file::{MockFile, MockFileError, Otherwise};
pub use given::{Given, Mock};
pub use matcher::{Field, Matcher, any, field};
pub use mock_api::MockApi;
pub use received::{AnsweredBy, ReceivedCall};
pub use reply::{Reply, sequence};
pub use rpc::{ApiRequest, Rpc, request, rpc};
pub use times::Times;
pub use verification::{BrokenExpectation, Evidence, Unverified};
