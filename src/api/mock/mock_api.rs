//! The API of mocks.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use plugin_proto::Method;

use super::calls::{Calls, Kept};
use super::given::Given;
use super::mounted::{Mounted, Spec};
use super::reply::bad_request;
use super::request::Request;
use super::verification::Received;
use super::{
    AnsweredBy, ApiRequest, MockFile, MockFileError, ReceivedCall, Rpc, Unverified, request,
    unmatched, verification,
};
use crate::api::DEFAULT_VERSION;
use crate::api::plugin_api::{Failure, handler};
use crate::api::{AppError, Dynamic, DynamicApi, PluginApi};

/// A `PluginAPI` with configured answers, which records what it was asked.
///
/// # Which mock answers
///
/// The one mounted last, of those that match and are not [used up](super::Mock::up_to): a test
/// mounts what is special about it on top of what its fixture has mounted for all. A call that no
/// mock matches goes to the API set with [`otherwise`](Self::otherwise); without one it fails with
/// an AppError 501 whose id is `plugin_api.mock.unmatched` and whose message says which mock came
/// nearest, and what it expected instead.
///
/// # Verification
///
/// [`verify`](Self::verify) says whether each mock got the calls it [expects](super::Mock::expect).
/// It is done on drop too, and then panics if an expectation is broken (unless the thread is
/// panicking already). Only the value made by [`new`](Self::new) or
/// [`from_yaml_file`](Self::from_yaml_file) does it. Its clones share mocks and calls, but are
/// verified by nobody, so it is a clone that goes into the server ([`plugin_api`](Self::plugin_api)
/// is one) and the original that stays in the test.
///
/// ```
/// use plugin_conformance::api::ApiServer;
/// use plugin_conformance::api::mock::{MockApi, field, rpc};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let api = MockApi::new();
/// api.given(rpc("GetUser"))
///     .with(field("user_id").equals("abc"))
///     .respond_with(json!({"user": {"id": "abc", "username": "ada"}}))
///     .expect(1..)
///     .mount();
///
/// let server = ApiServer::builder(api.plugin_api()).start().await?;
/// // … a plugin calls GetUser; here without a process between …
/// # use plugin_proto::v1::GetUserRequest;
/// let request = GetUserRequest { user_id: "abc".into() };
/// let answer = api.plugin_api().get_user(request).await?;
/// assert_eq!(answer.user.unwrap().username, "ada");
/// server.stop(std::time::Duration::ZERO).await;
/// # Ok(())
/// # } // `api` is dropped: had nobody called, this would panic
/// ```
pub struct MockApi {
    state: Arc<Mutex<State>>,
    verifies: bool,
}

#[derive(Default)]
struct State {
    mounted: Vec<Arc<Mounted>>,
    calls: Calls,
    otherwise: Option<Arc<dyn PluginApi>>,
}

impl MockApi {
    /// Without a mock, every call fails.
    pub fn new() -> Self {
        Self { state: Arc::default(), verifies: true }
    }

    /// With the mocks of a file, which [`file`](super::file) explains.
    ///
    /// # Errors
    /// [`MockFileError`] names the file, the line, the RPC and the field, and what is allowed there.
    ///
    /// ```
    /// use plugin_conformance::api::mock::MockApi;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let file = folder.path().join("mocks.yaml");
    /// std::fs::write(&file, "mocks:\n  - given: GetUsr\n    respond: {}\n")?;
    /// let error = MockApi::from_yaml_file(&file).unwrap_err().to_string();
    /// assert!(error.ends_with("mocks.yaml:2: there is no RPC GetUsr; did you mean GetUser?"));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn from_yaml_file(path: impl AsRef<Path>) -> Result<Self, MockFileError> {
        Ok(MockFile::load(path.as_ref())?.api(DEFAULT_VERSION))
    }

    /// Begins a mock: `.with(..)` what the request must be like, `.respond_with(..)` what it is
    /// answered, `.mount()`.
    ///
    /// ```
    /// use plugin_conformance::api::AppError;
    /// use plugin_conformance::api::mock::{MockApi, field, rpc};
    ///
    /// let api = MockApi::new();
    /// api.given(rpc("GetUser"))
    ///     .with(field("user_id").is_unset())
    ///     .respond_with(AppError::new("app.user.missing_account.const", 404))
    ///     .mount();
    /// ```
    pub fn given(&self, rpc: impl Into<Rpc>) -> Given {
        Given::new(self.clone(), rpc.into())
    }

    /// Who answers the calls that no mock matches.
    ///
    /// ```
    /// use plugin_conformance::api::mock::MockApi;
    /// use plugin_conformance::api::{DEFAULT_VERSION, GeneratedApi};
    ///
    /// let api = MockApi::new();
    /// api.otherwise(GeneratedApi::answering(DEFAULT_VERSION));
    /// ```
    pub fn otherwise(&self, api: Arc<dyn PluginApi>) {
        self.lock().otherwise = Some(api);
    }

    /// Whether this value verifies on drop; by default the original does and no clone.
    ///
    /// ```
    /// use plugin_conformance::api::mock::{MockApi, rpc};
    /// use serde_json::json;
    ///
    /// let api = MockApi::new().verify_on_drop(false);
    /// api.given(rpc("GetUser")).respond_with(json!({})).expect(1).mount();
    /// ```
    #[must_use]
    pub fn verify_on_drop(mut self, yes: bool) -> Self {
        self.verifies = yes;
        self
    }

    /// Keeps only the last `calls` calls, and of them only as many of the last as have together no
    /// more than `bytes` bytes of encoded requests; by default all are kept. For mocks that serve for
    /// long: what [`verify`](Self::verify) says, and [`count_of`](Self::count_of), are the same.
    ///
    /// ```
    /// use plugin_conformance::api::mock::MockApi;
    ///
    /// let api = MockApi::new().keep_last(1000, 16 * 1024 * 1024);
    /// assert!(api.received().is_empty());
    /// ```
    #[must_use]
    pub fn keep_last(self, calls: usize, bytes: usize) -> Self {
        let mut state = self.lock();
        state.calls.kept = Kept { calls, bytes };
        let (gone, mounted) = (state.calls.let_go(), state.mounted.clone());
        drop(state);
        verification::remember(&gone, &mounted);
        self
    }

    /// The API to be served: a clone of this value behind the trait.
    pub fn plugin_api(&self) -> Arc<dyn PluginApi> {
        Arc::new(Dynamic(self.clone()))
    }

    /// Every call so far that is [kept](Self::keep_last), in the order of arrival.
    pub fn received(&self) -> Vec<ReceivedCall> {
        self.lock().calls.last().map(|numbered| numbered.call.clone()).collect()
    }

    /// How many calls of one RPC have come so far, whether or not they are
    /// [kept](Self::keep_last).
    ///
    /// # Panics
    /// When there is no such RPC.
    #[track_caller]
    pub fn count_of(&self, rpc: impl Into<Rpc>) -> usize {
        let method = match rpc.into().method() {
            Ok(method) => method,
            Err(error) => panic!("{error}"),
        };
        self.lock().calls.of_rpc().get(method.name).copied().unwrap_or_default()
    }

    /// The calls of one RPC so far that are [kept](Self::keep_last).
    ///
    /// # Panics
    /// When there is no such RPC, lest a misspelt name pass for an RPC that nobody called.
    ///
    /// ```
    /// use plugin_conformance::api::mock::MockApi;
    ///
    /// let api = MockApi::new();
    /// assert!(api.received_of("GetUser").is_empty());
    /// ```
    #[track_caller]
    pub fn received_of(&self, rpc: impl Into<Rpc>) -> Vec<ReceivedCall> {
        let method = match rpc.into().method() {
            Ok(method) => method,
            Err(error) => panic!("{error}"),
        };
        let state = self.lock();
        let calls = state.calls.last().map(|numbered| &numbered.call);
        calls.filter(|call| call.method.index == method.index).cloned().collect()
    }

    /// The requests of one RPC so far.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use plugin_conformance::api::mock::MockApi;
    /// use plugin_proto::v1::GetUserRequest;
    ///
    /// let api = MockApi::new();
    /// let request = GetUserRequest { user_id: "abc".into() };
    /// let answer = api.plugin_api().get_user(request.clone()).await;
    /// assert_eq!(answer.unwrap_err().id, "plugin_api.mock.unmatched");
    /// assert_eq!(api.received_requests::<GetUserRequest>(), [request]);
    /// # }
    /// ```
    pub fn received_requests<Q: ApiRequest>(&self) -> Vec<Q> {
        let calls = self.received_of(request::<Q>());
        calls.iter().filter_map(ReceivedCall::decode).collect()
    }

    /// Whether each mock got the calls it expects so far.
    ///
    /// # Errors
    /// [`Unverified`], which names each mock that did not.
    pub fn verify(&self) -> Result<(), Unverified> {
        // The closures of matchers must not run under the lock.
        let (mounted, received) = {
            let state = self.lock();
            let received = Received {
                last: state.calls.last().cloned().collect(),
                of_rpc: state.calls.of_rpc().clone(),
            };
            (state.mounted.clone(), received)
        };
        verification::verify(mounted.iter().map(|mock| &**mock), &received)
    }

    pub(super) fn mount(&self, spec: Arc<Spec>) {
        let mut state = self.lock();
        let number = state.mounted.len() + 1;
        state.mounted.push(Arc::new(Mounted::new(number, spec)));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state whole: every change is one push or one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, request: &Request, bytes: usize, answered_by: AnsweredBy) -> usize {
        let Request { method, message, .. } = request;
        let call = ReceivedCall { method, request: message.clone(), answered_by };
        let mut state = self.lock();
        let (number, gone) = state.calls.push(call, bytes);
        if !gone.is_empty() {
            let mounted = state.mounted.clone();
            drop(state);
            verification::remember(&gone, &mounted);
        }
        number
    }
}

#[async_trait]
impl DynamicApi for MockApi {
    async fn call(&self, method: &'static Method, bytes: Bytes) -> Result<Bytes, AppError> {
        let request = Request::decode(method, bytes.clone());
        let request = request.map_err(|error| bad_request(method, error))?;
        let mounted = self.lock().mounted.clone();
        let matching =
            mounted.iter().rev().filter(|mock| mock.is_for(method) && mock.matches(&request));
        let taken = matching.filter_map(|mock| Some((mock, mock.take()?))).next();
        if let Some((mock, number)) = taken {
            let call = self.push(&request, bytes.len(), AnsweredBy::Mock(mock.number));
            if number == mock.spec.expect.max() {
                mock.note_surplus(call, request.shown());
            }
            return mock.spec.reply.answer(number, bytes).await;
        }
        let otherwise = self.lock().otherwise.clone();
        let Some(otherwise) = otherwise else {
            let error = unmatched::app_error(&request, &mounted);
            self.push(&request, bytes.len(), AnsweredBy::Nobody);
            return Err(error);
        };
        self.push(&request, bytes.len(), AnsweredBy::Otherwise);
        let Some(handler) = handler(method) else {
            return Err(AppError::not_implemented(method));
        };
        handler(otherwise, bytes).await.map_err(|failure| match failure {
            Failure::App(error) => *error,
            Failure::Malformed(error) => bad_request(method, error),
        })
    }
}

impl Default for MockApi {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MockApi {
    /// Shares mocks and calls, and does not verify on drop.
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state), verifies: false }
    }
}

impl fmt::Debug for MockApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let (mocks, received) = (state.mounted.len(), state.calls.number());
        f.debug_struct("MockApi").field("mocks", &mocks).field("received", &received).finish()
    }
}

impl Drop for MockApi {
    /// # Panics
    /// When an expectation is broken and the thread is not panicking already: that is how a test
    /// hears of it.
    fn drop(&mut self) {
        if self.verifies
            && !std::thread::panicking()
            && let Err(error) = self.verify()
        {
            panic!("{error}");
        }
    }
}
