//! Mocks on their way to be mounted.

use std::sync::Arc;
use std::time::Duration;

use super::mounted::Spec;
use super::{Matcher, MockApi, MockError, Reply, Rpc, Times};

/// The first half of a mock: the calls it answers. Made by [`MockApi::given`].
///
/// Without a matcher it answers every call of its RPC; with several, those that meet all of them.
#[derive(Debug)]
#[must_use = "a mock needs an answer and must be mounted: .respond_with(..).mount()"]
pub struct Given {
    api: MockApi,
    rpc: Rpc,
    matchers: Vec<Matcher>,
}

impl Given {
    pub(super) fn new(api: MockApi, rpc: Rpc) -> Self {
        Self { api, rpc, matchers: Vec::new() }
    }

    /// Demands this too: a matcher made by [`field`](super::field) or [`any`](super::any), or a
    /// request message that the request must be equal to.
    ///
    /// ```
    /// use plugin_conformance::api::mock::{MockApi, field, rpc};
    /// use serde_json::json;
    ///
    /// let api = MockApi::new();
    /// api.given(rpc("GetUser"))
    ///     .with(field("user_id").equals("abc"))
    ///     .respond_with(json!({"user": {"id": "abc", "username": "ada"}}))
    ///     .mount();
    /// ```
    pub fn with(mut self, matcher: impl Into<Matcher>) -> Self {
        self.matchers.push(matcher.into());
        self
    }

    /// The answer; see [`Reply`] for all there is.
    pub fn respond_with(self, reply: impl Into<Reply>) -> Mock {
        let (expect, limit) = (Times::default(), u64::MAX);
        Mock { given: self, reply: reply.into(), name: None, expect, limit }
    }
}

/// A mock that is complete, but for [`mount`](Self::mount).
#[derive(Debug)]
#[must_use = "a mock does nothing until it is mounted: .mount()"]
pub struct Mock {
    given: Given,
    reply: Reply,
    name: Option<String>,
    expect: Times,
    limit: u64,
}

impl Mock {
    /// Answers only after this time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use plugin_conformance::api::mock::{MockApi, rpc};
    /// use serde_json::json;
    ///
    /// let api = MockApi::new();
    /// let slow = Duration::from_secs(2);
    /// api.given(rpc("GetServerVersion")).respond_with(json!({})).delay(slow).mount();
    /// ```
    pub fn delay(mut self, delay: Duration) -> Self {
        self.reply = self.reply.after(delay);
        self
    }

    /// How many calls this mock must get, until it is verified: a number or a range. By default any
    /// number. The expectation is no limit: the mock answers the calls that are too many as well;
    /// [`up_to`](Self::up_to) is the limit.
    ///
    /// ```
    /// use plugin_conformance::api::AppError;
    /// use plugin_conformance::api::mock::{MockApi, rpc};
    ///
    /// let api = MockApi::new();
    /// let never = AppError::new("test.never", 500);
    /// api.given(rpc("DeleteUser")).respond_with(never).expect(0).named("nobody is deleted").mount();
    /// api.verify()?;
    /// # Ok::<_, plugin_conformance::api::mock::Unverified>(())
    /// ```
    pub fn expect(mut self, times: impl Into<Times>) -> Self {
        self.expect = times.into();
        self
    }

    /// Answers only so many calls; those after them go to the mocks mounted before.
    ///
    /// ```
    /// use plugin_conformance::api::AppError;
    /// use plugin_conformance::api::mock::{MockApi, rpc};
    /// use serde_json::json;
    ///
    /// let api = MockApi::new();
    /// api.given(rpc("KVGet")).respond_with(json!({"value": "aGVsbG8="})).mount();
    /// api.given(rpc("KVGet")).respond_with(AppError::new("test.once", 503)).up_to(1).mount();
    /// ```
    pub fn up_to(mut self, calls: u64) -> Self {
        self.limit = calls;
        self
    }

    /// A name for the messages.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Puts the mock to work.
    ///
    /// # Panics
    /// When the mock makes no sense, with the text of the [`MockError`]: an RPC or a field that does
    /// not exist, an answer of another RPC. [`try_mount`](Self::try_mount) does not panic.
    #[track_caller]
    pub fn mount(self) {
        if let Err(error) = self.try_mount() {
            panic!("{error}");
        }
    }

    /// Puts the mock to work.
    ///
    /// # Errors
    /// When the mock makes no sense: an RPC or a field that does not exist, an answer of another RPC.
    pub fn try_mount(self) -> Result<(), MockError> {
        let method = self.given.rpc.method()?;
        if self.expect.is_empty() {
            return Err(MockError::NoNumber { rpc: method.name });
        }
        let matchers = self.given.matchers.into_iter().map(|matcher| matcher.bind(method));
        let spec = Spec {
            method,
            name: self.name,
            matchers: matchers.collect::<Result<_, _>>()?,
            reply: self.reply.bind(method)?,
            expect: self.expect,
            limit: self.limit,
        };
        self.given.api.mount(Arc::new(spec));
        Ok(())
    }
}
