//! What a mock answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plugin_proto::Method;
use plugin_proto::prost::Message;
use serde_json::Value;

use super::{ApiRequest, MockError};
use crate::api::AppError;
use crate::api::json;

/// An answer. Made of
///
/// - a response message: `GetUserResponse { .. }`,
/// - its proto3 JSON: `json!({"user": {"id": "abc"}})`,
/// - an [`AppError`], which takes the error channel of its RPC by itself,
/// - a function of the request: [`Reply::from_fn`],
/// - several of them, one after the other: [`sequence`].
///
/// ```
/// use std::time::Duration;
/// use plugin_conformance::api::AppError;
/// use plugin_conformance::api::mock::{MockApi, Reply, rpc, sequence};
/// use plugin_proto::v1::GetServerVersionResponse;
/// use serde_json::json;
///
/// let api = MockApi::new();
/// api.given(rpc("GetServerVersion"))
///     .respond_with(sequence([
///         Reply::from(GetServerVersionResponse { version: "11.1.0".into(), error: None }),
///         Reply::from(json!({"version": "11.2.0"})).after(Duration::from_millis(50)),
///         Reply::from(AppError::new("app.gone", 503)),
///     ]))
///     .mount();
/// ```
#[derive(Debug, Clone)]
pub struct Reply {
    content: Content,
    delay: Duration,
}

#[derive(Clone)]
enum Content {
    Message { of: &'static Method, bytes: Bytes },
    Json(Value),
    Failure(AppError),
    Function { of: &'static Method, function: Function },
    Sequence(Vec<Reply>),
}

type Function = Arc<dyn Fn(Bytes) -> Result<Bytes, AppError> + Send + Sync>;

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { of, .. } => write!(f, "a {}", of.response),
            // Of which message is not known, and so not whether it has secrets.
            Self::Json(_) => f.write_str("a message in JSON"),
            Self::Failure(error) => write!(f, "{error:?}"),
            Self::Function { of, .. } => write!(f, "a function of {}", of.request),
            Self::Sequence(replies) => f.debug_list().entries(replies).finish(),
        }
    }
}

/// One answer after the other; the last one repeats.
///
/// ```
/// use plugin_conformance::api::mock::{MockApi, rpc, sequence};
/// use serde_json::json;
///
/// let api = MockApi::new();
/// api.given(rpc("KVList"))
///     .respond_with(sequence([json!({"keys": ["a", "b"]}), json!({"keys": []})]))
///     .mount();
/// ```
pub fn sequence(replies: impl IntoIterator<Item = impl Into<Reply>>) -> Reply {
    Content::Sequence(replies.into_iter().map(Into::into).collect()).into()
}

impl Reply {
    pub(super) fn message(of: &'static Method, response: &impl Message) -> Self {
        Content::Message { of, bytes: response.encode_to_vec().into() }.into()
    }

    /// An answer that is worked out from the request. A panic in the function is `INTERNAL` for
    /// that call alone.
    ///
    /// ```
    /// use plugin_conformance::api::AppError;
    /// use plugin_conformance::api::mock::{MockApi, Reply, rpc};
    /// use plugin_proto::v1::{GetUserRequest, GetUserResponse, User};
    ///
    /// let api = MockApi::new();
    /// api.given(rpc("GetUser"))
    ///     .respond_with(Reply::from_fn(|request: GetUserRequest| match &*request.user_id {
    ///         "" => Err(AppError::new("app.user.missing_account.const", 404)),
    ///         id => {
    ///             let user = User { id: id.into(), ..User::default() };
    ///             Ok(GetUserResponse { user: Some(user), error: None })
    ///         }
    ///     }))
    ///     .mount();
    /// ```
    pub fn from_fn<Q: ApiRequest>(
        function: impl Fn(Q) -> Result<Q::Response, AppError> + Send + Sync + 'static,
    ) -> Self {
        let function = move |request| {
            let request = Q::decode(request).map_err(|error| bad_request(Q::method(), error))?;
            function(request).map(|response| response.encode_to_vec().into())
        };
        Content::Function { of: Q::method(), function: Arc::new(function) }.into()
    }

    /// The same answer, given so much later; of a sequence, each of its answers.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = self.delay.saturating_add(delay);
        self
    }

    /// Checks that this can be an answer of the RPC.
    pub(super) fn bind(self, method: &'static Method) -> Result<BoundReply, MockError> {
        let mut steps = Vec::new();
        self.steps(method, Duration::ZERO, &mut steps)?;
        let Some(last) = steps.pop() else {
            return Err(wrong(method, Vec::new(), "a sequence needs at least one answer"));
        };
        Ok(BoundReply { first: steps, last })
    }

    fn steps(
        self,
        method: &'static Method,
        delay: Duration,
        steps: &mut Vec<Step>,
    ) -> Result<(), MockError> {
        let delay = self.delay.saturating_add(delay);
        let other = |what| Err(wrong(method, Vec::new(), what));
        let answer = match self.content {
            Content::Message { of, bytes } if of.index == method.index => Answer::Message(bytes),
            Content::Message { of, .. } => {
                let (wanted, given) = (method.response_descriptor(), of.response_descriptor());
                return other(format!("it is a {}, not a {}", wanted.name(), given.name()));
            }
            Content::Json(json) => match json::to_message(&method.response_descriptor(), &json) {
                Ok(message) => Answer::Message(message.encode_to_vec().into()),
                Err(problem) => return Err(wrong(method, problem.path, problem.text)),
            },
            Content::Failure(error) => Answer::Failure(error),
            Content::Function { of, function } if of.index == method.index => {
                Answer::Function(function)
            }
            Content::Function { of, .. } => {
                return other(format!("the function answers {}", of.name));
            }
            Content::Sequence(replies) => {
                return replies.into_iter().try_for_each(|reply| reply.steps(method, delay, steps));
            }
        };
        steps.push(Step { answer, delay });
        Ok(())
    }
}

fn wrong(method: &'static Method, path: Vec<String>, problem: impl Into<String>) -> MockError {
    MockError::Answer { rpc: method.name, path, problem: problem.into() }
}

/// What a request is answered that does not decode.
pub(super) fn bad_request(method: &Method, error: impl fmt::Display) -> AppError {
    AppError::new("plugin_api.mock.bad_request", 500)
        .message(format!("The request is no {}.", method.request))
        .detail(error.to_string())
        .at(method.name)
}

impl From<Content> for Reply {
    fn from(content: Content) -> Self {
        Self { content, delay: Duration::ZERO }
    }
}

impl From<AppError> for Reply {
    fn from(error: AppError) -> Self {
        Content::Failure(error).into()
    }
}

impl From<Value> for Reply {
    fn from(json: Value) -> Self {
        Content::Json(json).into()
    }
}

/// A reply that fits its RPC.
pub(super) struct BoundReply {
    first: Vec<Step>,
    last: Step,
}

struct Step {
    answer: Answer,
    delay: Duration,
}

enum Answer {
    Message(Bytes),
    Failure(AppError),
    Function(Function),
}

impl BoundReply {
    /// Answers the call that is the mock's `number`th, counted from 0.
    pub(super) async fn answer(&self, number: u64, request: Bytes) -> Result<Bytes, AppError> {
        let first = usize::try_from(number).ok().and_then(|number| self.first.get(number));
        let step = first.unwrap_or(&self.last);
        if !step.delay.is_zero() {
            tokio::time::sleep(step.delay).await;
        }
        match &step.answer {
            Answer::Message(bytes) => Ok(bytes.clone()),
            Answer::Failure(error) => Err(error.clone()),
            Answer::Function(function) => function(request),
        }
    }
}
