//! A driver for `check sdk` around a client that is right, and can be told to be wrong.
//!
//! The client is the plainest there is: it sends what it is asked to and gives back what it gets. A
//! [`Break`] puts one fault into it, in the code that does the thing, for all RPCs or for one; each
//! trips one check. It is what proves that the checks of SDKs can fail.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::str::FromStr;

use bytes::Bytes;
use plugin_proto::names::suggestion;
use plugin_proto::prost::Message as _;
use plugin_proto::prost_reflect::{
    DynamicMessage, FieldDescriptor, ReflectMessage as _, SerializeOptions, Value,
};
use plugin_proto::{Method, Service, v1};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::compare::{app_error_of_response, app_error_of_status};
use crate::wire;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)*) => {
        /// One way to be wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// How it is written.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// There is no method.
    Missing = "missing",
    /// The first field of the request is not sent; without fields the call is not made.
    RequestLost = "request-lost",
    /// Two fields of the request are swapped, or the only one is changed.
    RequestSwapped = "request-swapped",
    /// The first field of the request is changed.
    RequestChanged = "request-changed",
    /// The call is made twice.
    RequestTwice = "request-twice",
    /// Another RPC is called.
    RequestElsewhere = "request-elsewhere",
    /// The first field of the response is not given back; without fields one is made up.
    AnswerLost = "answer-lost",
    /// Two fields of the response are swapped, or the only one is changed.
    AnswerSwapped = "answer-swapped",
    /// The first field of the response is changed.
    AnswerChanged = "answer-changed",
    /// The response of the RPC's first call is given back for ever.
    AnswerStale = "answer-stale",
    /// Fields that the client does not know are an error.
    UnknownFields = "unknown-fields",
    /// A response without fields is an error.
    Empty = "empty",
    /// An AppError in the response is not looked at.
    EmbeddedIgnored = "embedded-ignored",
    /// An AppError in the response loses its id.
    EmbeddedId = "embedded-id",
    /// An AppError in the response loses its status.
    EmbeddedStatus = "embedded-status",
    /// An AppError as a gRPC status is taken for an empty response.
    StatusIgnored = "status-ignored",
    /// An AppError as a gRPC status loses its id.
    StatusId = "status-id",
    /// An AppError as a gRPC status loses its status.
    StatusStatus = "status-status",
    /// UNAVAILABLE is taken for an empty response, and with it a dropped connection.
    UnavailableIgnored = "unavailable-ignored",
    /// DEADLINE_EXCEEDED is taken for an empty response.
    DeadlineIgnored = "deadline-ignored",
    /// The first field of the request, or else of the response, is not offered, and the driver says
    /// so.
    NotOffered = "not-offered",
    /// No `User` has a nickname, in whichever message it stands, and the driver does not say so.
    UserWithoutNickname = "user-without-nickname",
    /// The driver ends at the RPC's first case.
    Dies = "dies",
    /// The driver never answers the RPC's first case.
    Hangs = "hangs",
    /// The driver writes a line that is none before it answers the RPC's first case.
    Garbage = "garbage",
    /// The driver answers the RPC's first case twice.
    Twice = "twice",
}

/// A fault, of one RPC or of all: `KIND` or `KIND:RPC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Break {
    /// What is wrong.
    pub kind: Kind,
    /// With which RPC; with all if `None`.
    pub method: Option<&'static Method>,
}

/// Why a text names no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BreakError {
    /// There is no such kind.
    #[error("there is no fault {0:?}{hint}; faults: {all}", hint = suggestion(.0, names()),
        all = names().collect::<Vec<_>>().join(", "))]
    Kind(String),
    /// There is no such RPC.
    #[error("there is no RPC {0:?} in PluginAPI{hint}",
        hint = suggestion(.0, Service::PluginAPI.methods().map(|method| method.name)))]
    Rpc(String),
}

fn names() -> impl Iterator<Item = &'static str> {
    Kind::ALL.iter().map(|kind| kind.name())
}

impl FromStr for Break {
    type Err = BreakError;

    fn from_str(text: &str) -> Result<Self, BreakError> {
        let (name, rpc) = match text.split_once(':') {
            Some((name, rpc)) => (name, Some(rpc)),
            None => (text, None),
        };
        let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
        let kind = *kind.ok_or_else(|| BreakError::Kind(name.to_owned()))?;
        let method = rpc
            .map(|rpc| {
                let found = Method::by_name(Service::PluginAPI, rpc);
                found.ok_or_else(|| BreakError::Rpc(rpc.to_owned()))
            })
            .transpose()?;
        Ok(Self { kind, method })
    }
}

/// Why the driver cannot drive.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The variable with the target is missing.
    #[error("{} is not set: `check sdk` sets it", wire::API_TARGET)]
    NoTarget,
    /// The target is no address.
    #[error(transparent)]
    Target(#[from] wire::TargetError),
    /// A line from the kit is no case.
    #[error("a line on standard input is no case: {0}")]
    Line(String),
    /// Standard input or output is gone.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

#[derive(serde::Deserialize)]
struct Case {
    case: u64,
    rpc: String,
    request: serde_json::Value,
}

/// Answers cases until standard input ends.
///
/// # Errors
/// [`DriveError`].
pub async fn drive(breaks: &[Break]) -> Result<(), DriveError> {
    let target = std::env::var(wire::API_TARGET).map_err(|_| DriveError::NoTarget)?;
    let channel = wire::connect(&target)?;
    let mut client = Client { channel, breaks, stale: BTreeMap::new() };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let case: Case =
            serde_json::from_str(&line).map_err(|error| DriveError::Line(error.to_string()))?;
        let method = Method::by_name(Service::PluginAPI, &case.rpc)
            .ok_or_else(|| DriveError::Line(format!("there is no RPC {}", case.rpc)))?;
        // The kit counts an RPC's cases from 1 on, and a new driver must not die of the next one.
        let first = case.case % 100 == 1;
        let broken = |kind| first && client.broken(method, kind);
        if broken(Kind::Dies) {
            return Err(DriveError::Line("told to die".to_owned()));
        }
        if broken(Kind::Hangs) {
            std::future::pending::<()>().await;
        }
        let twice = broken(Kind::Twice);
        if broken(Kind::Garbage) {
            say("Traceback (most recent call last):")?;
        }
        let mut answer = client.answer(method, &case.request).await;
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("case".to_owned(), case.case.into());
        }
        say(&answer.to_string())?;
        if twice {
            say(&answer.to_string())?;
        }
    }
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

struct Client<'a> {
    channel: Channel,
    breaks: &'a [Break],
    /// Each RPC's first response.
    stale: BTreeMap<&'static str, Bytes>,
}

/// How a call failed.
enum Failed {
    App(Box<v1::AppError>, bool),
    Grpc(Box<Status>),
    Client(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(error, _) => f.write_str(&error.message),
            Self::Grpc(status) => f.write_str(status.message()),
            Self::Client(why) => f.write_str(why),
        }
    }
}

impl Client<'_> {
    fn broken(&self, method: &'static Method, kind: Kind) -> bool {
        let of = |fault: &Break| fault.method.is_none_or(|broken| broken == method);
        self.breaks.iter().any(|fault| fault.kind == kind && of(fault))
    }

    async fn answer(
        &mut self,
        method: &'static Method,
        request: &serde_json::Value,
    ) -> serde_json::Value {
        if self.broken(method, Kind::Missing) {
            return json!({ "missing": format!("no method for {}", method.name) });
        }
        let lacking = self.broken(method, Kind::NotOffered).then(|| lacking(method)).flatten();
        let mut answer = match self.call(method, request, lacking.as_ref()).await {
            Ok(response) => json!({ "response": response }),
            Err(failed) => {
                let (kind, id, status) = match &failed {
                    Failed::App(error, embedded) => {
                        let (no_id, no_status) = match embedded {
                            true => (Kind::EmbeddedId, Kind::EmbeddedStatus),
                            false => (Kind::StatusId, Kind::StatusStatus),
                        };
                        let id = (!self.broken(method, no_id)).then(|| error.id.clone());
                        let status = (!self.broken(method, no_status)).then_some(error.status_code);
                        ("AppError", id, status)
                    }
                    Failed::Grpc(_) => ("RpcError", None, None),
                    Failed::Client(_) => ("ClientError", None, None),
                };
                let message = failed.to_string();
                json!({ "error": {
                    "kind": kind, "id": id, "status_code": status, "message": message,
                } })
            }
        };
        if let (Some(lacking), Some(answer)) = (&lacking, answer.as_object_mut()) {
            let side = match lacking.parent_message().full_name() == method.request {
                true => "request",
                false => "response",
            };
            answer.insert("not_offered".to_owned(), json!({ side: [lacking.name()] }));
        }
        answer
    }

    async fn call(
        &mut self,
        method: &'static Method,
        request: &serde_json::Value,
        lacking: Option<&FieldDescriptor>,
    ) -> Result<serde_json::Value, Failed> {
        let client = |error: &dyn fmt::Display| Failed::Client(error.to_string());
        let mut request = DynamicMessage::deserialize(method.request_descriptor(), request)
            .map_err(|error| client(&error))?;
        if let Some(lacking) = lacking.filter(|field| request.has_field(field)) {
            request.clear_field(lacking);
        }
        let faults = [
            (Kind::RequestLost, lose as fn(&mut DynamicMessage)),
            (Kind::RequestSwapped, swap),
            (Kind::RequestChanged, change),
        ];
        for (kind, fault) in faults {
            if self.broken(method, kind) {
                fault(&mut request);
            }
        }
        if self.broken(method, Kind::RequestLost) && method.request_descriptor().fields().len() == 0
        {
            return Err(Failed::Client("the call is not made".to_owned()));
        }
        if self.broken(method, Kind::UserWithoutNickname) {
            forget_nicknames(&mut request);
        }
        let bytes = Bytes::from(request.encode_to_vec());
        if self.broken(method, Kind::RequestTwice) {
            let _ = wire::unary(&self.channel, method, bytes.clone(), None).await;
        }
        let called = match self.broken(method, Kind::RequestElsewhere) {
            true => other(method),
            false => method,
        };
        let mut response = match wire::unary(&self.channel, called, bytes, None).await {
            Ok(response) => response,
            Err(status) => match app_error_of_status(&status) {
                Some(_) if self.broken(method, Kind::StatusIgnored) => Bytes::new(),
                Some(error) => return Err(Failed::App(Box::new(error), false)),
                None if self.swallowed(method, &status) => Bytes::new(),
                None => return Err(Failed::Grpc(Box::new(status))),
            },
        };
        if let Some(error) = app_error_of_response(&response)
            && !self.broken(method, Kind::EmbeddedIgnored)
        {
            return Err(Failed::App(Box::new(error), true));
        }
        if response.is_empty() && self.broken(method, Kind::Empty) {
            return Err(Failed::Client("there is nothing in the response".to_owned()));
        }
        if self.broken(method, Kind::AnswerStale) {
            response = self.stale.entry(method.name).or_insert(response).clone();
        }
        let mut message = DynamicMessage::decode(method.response_descriptor(), response)
            .map_err(|error| client(&error))?;
        if self.broken(method, Kind::UnknownFields) && message.unknown_fields().count() > 0 {
            return Err(Failed::Client("there are unknown fields".to_owned()));
        }
        if let Some(lacking) =
            lacking.filter(|field| field.parent_message() == &message.descriptor())
        {
            message.clear_field(lacking);
        }
        let faults = [
            (Kind::AnswerLost, lose as fn(&mut DynamicMessage)),
            (Kind::AnswerSwapped, swap),
            (Kind::AnswerChanged, change),
        ];
        for (kind, fault) in faults {
            if self.broken(method, kind) {
                fault(&mut message);
            }
        }
        if self.broken(method, Kind::UserWithoutNickname) {
            forget_nicknames(&mut message);
        }
        let options = SerializeOptions::new().use_proto_field_name(true);
        let mut json = message
            .serialize_with_options(serde_json::value::Serializer, &options)
            .map_err(|error| client(&error))?;
        if self.broken(method, Kind::AnswerLost)
            && fields(&message.descriptor()).is_empty()
            && let Some(json) = json.as_object_mut()
        {
            json.insert("made_up".to_owned(), true.into());
        }
        Ok(json)
    }

    fn swallowed(&self, method: &'static Method, status: &Status) -> bool {
        match status.code() {
            Code::DeadlineExceeded => self.broken(method, Kind::DeadlineIgnored),
            _ => self.broken(method, Kind::UnavailableIgnored),
        }
    }
}

/// The fields of a message, in the order of their numbers, without `error`.
fn fields(descriptor: &plugin_proto::prost_reflect::MessageDescriptor) -> Vec<FieldDescriptor> {
    let mut fields: Vec<_> = descriptor.fields().filter(|field| field.name() != "error").collect();
    fields.sort_by_key(FieldDescriptor::number);
    fields
}

/// The field that is not offered.
fn lacking(method: &Method) -> Option<FieldDescriptor> {
    let of = |descriptor| fields(&descriptor).into_iter().next();
    of(method.request_descriptor()).or_else(|| of(method.response_descriptor()))
}

/// Another RPC, with a request that is not asked for.
fn other(method: &'static Method) -> &'static Method {
    let others = Service::PluginAPI.methods();
    others
        .skip_while(|other| *other != method)
        .nth(1)
        .or_else(|| Service::PluginAPI.methods().next())
        .unwrap_or(method)
}

fn lose(message: &mut DynamicMessage) {
    if let Some(field) = fields(&message.descriptor()).first() {
        message.clear_field(field);
    }
}

/// Swaps the values of the first two fields of the same type that can be told apart; looks into
/// messages when there are none.
fn swap(message: &mut DynamicMessage) {
    let fields = fields(&message.descriptor());
    for (place, first) in fields.iter().enumerate() {
        for second in &fields[place + 1..] {
            let alike =
                first.kind() == second.kind() && first.cardinality() == second.cardinality();
            let (one, two) =
                (message.get_field(first).into_owned(), message.get_field(second).into_owned());
            if alike && !first.is_map() && !second.is_map() && one != two {
                message.set_field(first, two);
                message.set_field(second, one);
                return;
            }
        }
    }
    let inner = fields.iter().find(|field| {
        matches!(&*message.get_field(field), Value::Message(inner) if inner.fields().count() > 1)
    });
    match inner {
        Some(field) => {
            if let Value::Message(inner) = message.get_field_mut(field) {
                swap(inner);
            }
        }
        None => change(message),
    }
}

fn forget_nicknames(message: &mut DynamicMessage) {
    if message.descriptor().name() == "User" {
        message.clear_field_by_name("nickname");
    }
    for (_, value) in message.fields_mut() {
        forget_below(value);
    }
}

fn forget_below(value: &mut Value) {
    match value {
        Value::Message(message) => forget_nicknames(message),
        Value::List(items) => items.iter_mut().for_each(forget_below),
        Value::Map(entries) => entries.values_mut().for_each(forget_below),
        _ => {}
    }
}

fn change(message: &mut DynamicMessage) {
    let Some(field) = fields(&message.descriptor()).into_iter().next() else { return };
    if message.has_field(&field) || matches!(field.kind(), plugin_proto::prost_reflect::Kind::Bool)
    {
        changed(message.get_field_mut(&field));
    }
}

fn changed(value: &mut Value) {
    match value {
        Value::Bool(value) => *value = !*value,
        Value::I32(number) => *number += 1,
        Value::I64(number) => *number += 1,
        Value::U32(number) => *number += 1,
        Value::U64(number) => *number += 1,
        Value::F32(number) => *number += 1.0,
        Value::F64(number) => *number += 1.0,
        Value::EnumNumber(number) => *number = *number % 2 + 1,
        Value::String(text) => text.push('!'),
        Value::Bytes(bytes) => *bytes = [bytes.as_ref(), b"!"].concat().into(),
        Value::List(items) => {
            items.pop();
        }
        Value::Map(entries) => {
            let first = entries.keys().next().cloned();
            if let Some(first) = first {
                entries.remove(&first);
            }
        }
        Value::Message(message) => {
            let set: Vec<_> = message.fields().map(|(field, _)| field).collect();
            if let Some(field) = set.first() {
                changed(message.get_field_mut(field));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_are_read_and_others_are_named() {
        let one: Break = "answer-lost:GetUser".parse().unwrap();
        assert_eq!((one.kind, one.method.unwrap().name), (Kind::AnswerLost, "GetUser"));
        assert_eq!("dies".parse::<Break>().unwrap().method, None);
        let kind = "answer-lots".parse::<Break>().unwrap_err().to_string();
        assert!(kind.contains("did you mean answer-lost?"), "{kind}");
        let rpc = "dies:GetUsr".parse::<Break>().unwrap_err().to_string();
        assert!(rpc.contains("GetUser"), "{rpc}");
    }
}
