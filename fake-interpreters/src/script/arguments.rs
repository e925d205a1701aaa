//! The arguments of the steps.

use std::time::Duration;

use bytes::Bytes;
use plugin_proto::names::suggestion;
use plugin_proto::prost::Message as _;
use plugin_proto::prost_reflect::{DynamicMessage, MessageDescriptor};
use plugin_proto::{Method, Service};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use tonic::Status;

use crate::wire;

/// An RPC of the PluginAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rpc(pub &'static Method);

/// An RPC of the PluginHooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook(pub &'static Method);

/// One call.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "CallFields")]
pub struct Call {
    /// The RPC.
    pub rpc: Rpc,
    /// The encoded request; none stands for the generated one.
    pub request: Option<Bytes>,
    /// When to give up.
    pub deadline: Option<Duration>,
    /// What must come back.
    pub expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallFields {
    rpc: Rpc,
    request: Option<Value>,
    request_hex: Option<String>,
    deadline_ms: Option<u64>,
    #[serde(default = "any")]
    expect: Expect,
}

fn any() -> Expect {
    Expect::Any
}

impl TryFrom<CallFields> for Call {
    type Error = String;

    fn try_from(fields: CallFields) -> Result<Self, String> {
        let encode = |json| encode(&fields.rpc.0.request_descriptor(), json);
        let decode = |text| match hex::decode(text) {
            Ok(bytes) => Ok(Bytes::from(bytes)),
            Err(error) => Err(format!("request_hex: {error}")),
        };
        if fields.request.is_some() && fields.request_hex.is_some() {
            return Err("`request` and `request_hex` are two ways to say one thing".to_owned());
        }
        Ok(Self {
            rpc: fields.rpc,
            request: match fields.request_hex {
                Some(text) => Some(decode(text)?),
                None => fields.request.map(encode).transpose()?,
            },
            deadline: fields.deadline_ms.map(Duration::from_millis),
            expect: fields.expect,
        })
    }
}

/// What an answer is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// The generated response.
    #[default]
    Generated,
    /// Nothing.
    Any,
    /// A failure.
    Errors(Errors),
}

/// Which failure is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errors {
    /// The generated AppError.
    Generated,
}

/// All RPCs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EveryRpc {
    /// What must come back.
    pub expect: Expect,
    /// What `GetServerVersion` must answer.
    pub server_version: Option<String>,
}

/// Many calls.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatCall {
    /// The RPC.
    pub rpc: Rpc,
    /// How often.
    pub times: u32,
    /// How many at once.
    #[serde(default = "one")]
    pub in_flight: u32,
}

fn one() -> u32 {
    1
}

/// A call that never ends.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenCall {
    /// The RPC.
    pub rpc: Rpc,
}

/// The plugin's server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// The hooks implemented.
    #[serde(deserialize_with = "hooks")]
    pub hooks: Vec<Hook>,
    /// How health answers.
    pub health: Health,
    /// How go-plugin's controller answers.
    pub controller: Controller,
    /// Where it listens.
    pub network: Network,
}

/// A list of hooks, or `all`: every hook but `Implemented`, which names the others.
fn hooks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hook>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(word) if word == "all" => {
            let hooks = Service::PluginHooks.methods().filter(|hook| hook.name != "Implemented");
            Ok(hooks.map(Hook).collect())
        }
        Value::Array(names) => names
            .into_iter()
            .map(serde_json::from_value)
            .collect::<Result<_, _>>()
            .map_err(de::Error::custom),
        other => {
            Err(de::Error::custom(format!("hooks is {other}; expected a list of hooks, or `all`")))
        }
    }
}

/// How gRPC health answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// `SERVING` for `plugin` and for the whole.
    #[default]
    Serving,
    /// `NOT_SERVING`.
    NotServing,
    /// `NOT_FOUND`: health knows nothing of `plugin`.
    Unknown,
    /// Never.
    Blocked,
    /// `UNIMPLEMENTED`: there is no health service.
    Missing,
}

/// How go-plugin's `GRPCController/Shutdown` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controller {
    /// `UNIMPLEMENTED`, as with the Python SDK.
    #[default]
    Absent,
    /// It answers, and the plugin stops.
    Exits,
    /// It answers, and nothing happens.
    Ignores,
    /// Never.
    Blocked,
}

/// Where the hooks are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A free port of 127.0.0.1.
    #[default]
    Tcp,
    /// A socket beside the script.
    Unix,
}

/// The handshake line.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handshake {
    /// The line, with `{network}`, `{address}` and `{filler}` to be replaced.
    #[serde(default = "good_handshake")]
    pub line: String,
    /// The length of `{filler}`.
    #[serde(default)]
    pub filler: usize,
}

fn good_handshake() -> String {
    "1|1|{network}|{address}|grpc".to_owned()
}

impl Handshake {
    pub(crate) fn needs_address(&self) -> bool {
        self.line.contains("{network}") || self.line.contains("{address}")
    }
}

/// A gRPC status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// The code.
    #[serde(deserialize_with = "code")]
    pub code: tonic::Code,
    /// The message.
    #[serde(default)]
    pub message: String,
}

impl Fail {
    pub(crate) fn status(&self) -> Status {
        Status::new(self.code, self.message.clone())
    }
}

fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<tonic::Code, D::Error> {
    let name = String::deserialize(deserializer)?;
    wire::code_by_name(&name).ok_or_else(|| {
        let known = suggestion(&name, wire::code_names());
        de::Error::custom(format!("no gRPC code {name}{known}"))
    })
}

/// Text without a newline.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrintRaw {
    /// The text.
    pub text: String,
    /// How often.
    #[serde(default = "one")]
    pub repeat: u32,
}

/// Much output.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// Where to.
    pub stream: Stream,
    /// How much.
    pub bytes: usize,
    /// The length of a line, its newline included.
    #[serde(default = "line_bytes")]
    pub line_bytes: usize,
}

fn line_bytes() -> usize {
    80
}

/// A stream of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The signal by which a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Crash {
    /// As a bug in a C extension would.
    Sigsegv,
    /// As the kernel does when memory is short.
    Sigkill,
    /// As `abort()` does.
    Sigabrt,
}

/// A process that stays.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grandchild {
    /// Whether it keeps stdout and stderr.
    pub holds_output: bool,
    /// Whether it leaves the process group and the session.
    pub new_session: bool,
    /// Whether the process between it and the plugin has ended, as a daemon's has.
    pub double_fork: bool,
    /// Whether it keeps every socket that the plugin has at this moment, as a fork without an exec
    /// does: those that it listens on, and its connections. Linux only.
    pub holds_sockets: bool,
}

/// A message from its proto3 JSON.
pub(crate) fn encode(descriptor: &MessageDescriptor, json: Value) -> Result<Bytes, String> {
    match DynamicMessage::deserialize(descriptor.clone(), json) {
        Ok(message) => Ok(message.encode_to_vec().into()),
        Err(error) => {
            let fields: Vec<_> = descriptor.fields().map(|field| field.name().to_owned()).collect();
            let fields = fields.join(", ");
            Err(format!("this is no {}: {error}; its fields are: {fields}", descriptor.name()))
        }
    }
}

/// The hook of this name, or what is wrong with it.
pub(crate) fn hook_by_name(name: &str) -> Result<&'static Method, String> {
    by_name(Service::PluginHooks, name, "hook")
}

fn by_name(service: Service, name: &str, kind: &str) -> Result<&'static Method, String> {
    Method::by_name(service, name).ok_or_else(|| {
        let known = suggestion(name, service.methods().map(|method| method.name));
        format!("there is no {kind} {name}{known}")
    })
}

impl<'de> Deserialize<'de> for Rpc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        by_name(Service::PluginAPI, &name, "RPC").map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Hook {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        hook_by_name(&name).map(Self).map_err(de::Error::custom)
    }
}
