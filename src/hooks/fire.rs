//! Any hook by its name, for tools: bytes or JSON in, words and JSON out.

use std::convert::Infallible;
use std::fmt;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use plugin_proto::prost::Message as _;
use plugin_proto::prost_reflect::ReflectMessage;
use plugin_proto::{METHODS, Method, Service, v1};
use serde_json::{Value, json};

use super::{Cause, Filtered, HookError, HookOutcome, Hooks, UploadChange};
use crate::api::{json, shown};
use crate::escape::escape_control;

/// What came of a hook, in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// The hook.
    pub hook: &'static str,
    /// What was decided.
    pub verdict: HookVerdict,
    /// The replacement or the answer, if there is one, for people to read: what is secret is left out.
    pub value: Option<Value>,
    /// Where the decision comes from.
    pub cause: Cause,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookVerdict {
    /// The plugin was notified, or agreed.
    Done,
    /// The thing stays as it is.
    Unchanged,
    /// The thing was replaced, by the value.
    Replaced,
    /// The value is the answer.
    Answered,
    /// The thing was refused.
    Rejected(String),
    /// The thing was refused silently.
    Dismissed,
    /// The server gets an error.
    Error(String),
}

impl fmt::Display for HookVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Unchanged => f.write_str("unchanged"),
            Self::Replaced => f.write_str("replaced"),
            Self::Answered => f.write_str("answered"),
            Self::Rejected(reason) => write!(f, "rejected: {}", escape_control(reason)),
            Self::Dismissed => f.write_str("dismissed"),
            Self::Error(error) => write!(f, "error: {}", escape_control(error)),
        }
    }
}

/// One line: `MessageWillBePosted: unchanged although the plugin failed: … did not answer within 30s`.
impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.hook)?;
        match (&self.verdict, &self.cause) {
            (HookVerdict::Done, Cause::Failed(error)) => return write!(f, "lost: {error}"),
            (HookVerdict::Unchanged, _) if self.hook == "UserWillLogIn" => {
                f.write_str("allowed")?
            }
            (verdict, _) => write!(f, "{verdict}")?,
        }
        if let Some(value) = &self.value {
            write!(f, " {}", escape_control(&value.to_string()))?;
        }
        match &self.cause {
            Cause::Answered
                if self.hook == "ExecuteCommand" && self.verdict == HookVerdict::Done =>
            {
                f.write_str(", without a response: the user sees nothing")
            }
            Cause::Answered => Ok(()),
            Cause::NotImplemented => f.write_str(" (the plugin does not implement it)"),
            Cause::Failed(_) if matches!(self.verdict, HookVerdict::Error(_)) => Ok(()),
            Cause::Failed(error) => write!(f, " although the plugin failed: {error}"),
        }
    }
}

/// Why a hook cannot be fired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FireError {
    /// There is no such hook.
    #[error("there is no hook {name}{suggestion}")]
    Unknown {
        /// The name.
        name: String,
        /// `; did you mean …?`, or nothing.
        suggestion: String,
    },
    /// ServeHTTP is a stream.
    #[error("{hook} is no call with an answer: ask the plugin over HTTP")]
    Stream {
        /// The hook.
        hook: &'static str,
    },
    /// The request is no such message.
    #[error("{hook}: the request is no {message}: {reason}")]
    Request {
        /// The hook.
        hook: &'static str,
        /// The message's name.
        message: &'static str,
        /// What is wrong with it, and where.
        reason: String,
    },
}

impl Hooks {
    /// Fires the unary hook of this name with a request in proto3 JSON, field names as in the .proto
    /// files.
    ///
    /// # Errors
    /// [`FireError`]: no such hook, or no such request. A plugin that fails is no error.
    pub async fn fire_json(&self, hook: &str, request: &Value) -> Result<Fired, FireError> {
        let hook = find(hook)?;
        let wrong =
            |reason: String| FireError::Request { hook: hook.name, message: hook.request, reason };
        let message = json::to_message(&hook.request_descriptor(), request).map_err(|problem| {
            let at = problem.path.join(".");
            wrong(if at.is_empty() { problem.text } else { format!("{at}: {}", problem.text) })
        })?;
        self.fire(hook, message.encode_to_vec().into()).await
    }

    /// Fires the unary hook `hook` with an encoded request.
    ///
    /// # Errors
    /// [`FireError`]: it is no unary hook, or the request is no such message. A plugin that fails is
    /// no error.
    pub async fn fire(&self, hook: &'static Method, request: Bytes) -> Result<Fired, FireError> {
        let row = FIRE.iter().find(|(index, _)| *index == hook.index);
        let Some((_, fire)) = row else { return Err(FireError::Stream { hook: hook.name }) };
        fire(self.clone(), request).await
    }
}

fn find(name: &str) -> Result<&'static Method, FireError> {
    Method::by_name(Service::PluginHooks, name).ok_or_else(|| {
        let names = Service::PluginHooks.methods().map(|method| method.name);
        FireError::Unknown {
            name: name.to_owned(),
            suggestion: plugin_proto::names::suggestion(name, names),
        }
    })
}

type Fire = fn(Hooks, Bytes) -> BoxFuture<'static, Result<Fired, FireError>>;

macro_rules! table {
    ($({ $index:literal $doc:literal $rpc:ident $method:ident $request:ident $response:ident $channel:ident })*) => {
        static FIRE: &[(usize, Fire)] = &[
            $(
                ($index, |hooks, request| async move {
                    let method = &METHODS[$index];
                    let request = v1::$request::decode(request).map_err(|error| {
                        let (hook, message) = (method.name, method.request);
                        FireError::Request { hook, message, reason: error.to_string() }
                    })?;
                    let HookOutcome { decision, cause } = hooks.$method(request).await;
                    let (verdict, value) = decision.tell();
                    Ok(Fired { hook: method.name, verdict, value, cause })
                }
                .boxed())
            ),*
        ];
    };
}

plugin_proto::plugin_hooks_rpcs!(table);

/// A decision in words.
trait Tell {
    fn tell(self) -> (HookVerdict, Option<Value>);
}

impl Tell for () {
    fn tell(self) -> (HookVerdict, Option<Value>) {
        (HookVerdict::Done, None)
    }
}

impl Tell for bool {
    fn tell(self) -> (HookVerdict, Option<Value>) {
        (HookVerdict::Answered, Some(self.into()))
    }
}

impl<T: Show> Tell for Result<T, HookError> {
    fn tell(self) -> (HookVerdict, Option<Value>) {
        match self.map(Show::show) {
            Ok(Some(value)) => (HookVerdict::Answered, Some(value)),
            Ok(None) => (HookVerdict::Done, None),
            Err(error) => (HookVerdict::Error(error.to_string()), None),
        }
    }
}

impl<T: Show> Tell for Filtered<T> {
    fn tell(self) -> (HookVerdict, Option<Value>) {
        match self {
            Self::Unchanged => (HookVerdict::Unchanged, None),
            Self::Replaced(value) => (HookVerdict::Replaced, value.show()),
            Self::Rejected(reason) => (HookVerdict::Rejected(reason), None),
            Self::Dismissed => (HookVerdict::Dismissed, None),
        }
    }
}

/// A value as JSON; `None` if there is nothing to show.
trait Show {
    fn show(self) -> Option<Value>;
}

impl Show for () {
    fn show(self) -> Option<Value> {
        None
    }
}

impl Show for Infallible {
    fn show(self) -> Option<Value> {
        match self {}
    }
}

impl Show for i64 {
    fn show(self) -> Option<Value> {
        Some(self.into())
    }
}

impl Show for String {
    fn show(self) -> Option<Value> {
        Some(self.into())
    }
}

impl Show for UploadChange {
    fn show(self) -> Option<Value> {
        let bytes = self.content.map(|content| content.len());
        Some(json!({ "file_info": self.file_info.and_then(Show::show), "content_bytes": bytes }))
    }
}

impl<T: Show> Show for Option<T> {
    fn show(self) -> Option<Value> {
        self.and_then(Show::show)
    }
}

impl<T: Show> Show for Vec<T> {
    fn show(self) -> Option<Value> {
        Some(self.into_iter().filter_map(Show::show).collect())
    }
}

macro_rules! show {
    ($($message:ident)*) => {
        $(impl Show for v1::$message {
            fn show(self) -> Option<Value> {
                Some(shown::of_message(&self.transcode_to_dynamic()))
            }
        })*
    };
}

show! { CommandResponse ConfigJson EmailNotificationContent FileData FileInfo Post PushNotification SyncResponse }
