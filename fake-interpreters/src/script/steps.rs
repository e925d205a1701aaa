//! The steps of a script; the module `script` documents them.

use bytes::Bytes;
use plugin_proto::names::suggestion;
use plugin_proto::prost::encoding;
use plugin_proto::{Method, sample};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::arguments::{
    Call, Crash, EveryRpc, Fail, Flood, Grandchild, Handshake, OpenCall, PrintRaw, RepeatCall,
    Serve, encode,
};
use super::reply::Reply;
use crate::compare::code_of_http_status;
use crate::protocol::control::Control;

/// The words with which a step may begin.
pub const STEPS: [&str; 28] = [
    "require_api",
    "call",
    "every_rpc",
    "repeat_call",
    "open_call",
    "control",
    "serve",
    "handshake",
    "wait",
    "answer",
    "answer_error",
    "answer_hex",
    "fail",
    "reply",
    "routes",
    "print",
    "print_raw",
    "log",
    "flood",
    "close_stdout",
    "delay",
    "hang",
    "block_thread",
    "ignore_sigterm",
    "exit",
    "crash",
    "grandchild",
    "lock",
];

/// One step; the module documentation of [`script`](crate::script) says what each does.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Exits with 3 without an API.
    RequireApi,
    /// Calls one RPC.
    Call(Call),
    /// Calls all RPCs.
    EveryRpc(EveryRpc),
    /// Calls one RPC many times.
    RepeatCall(RepeatCall),
    /// Starts a call that never ends.
    OpenCall(OpenCall),
    /// Calls what a driver says.
    Control(Control),
    /// Serves the hooks.
    Serve(Serve),
    /// Prints the handshake line.
    Handshake(Handshake),
    /// Waits for the stop.
    Wait,
    /// Answers the hook with this encoded message.
    #[serde(skip)]
    Answer(Bytes),
    /// Answers the hook with this status.
    Fail(Fail),
    /// Answers `ServeHTTP` so.
    Reply(Box<Reply>),
    /// Answers `ServeHTTP` as the first route says that takes the request.
    #[serde(skip)]
    Routes(Vec<Route>),
    /// A line to stdout.
    Print(String),
    /// Text to stdout.
    PrintRaw(PrintRaw),
    /// A line to stderr.
    Log(String),
    /// Much output.
    Flood(Flood),
    /// Closes stdout.
    CloseStdout,
    /// So many milliseconds pass.
    Delay(u64),
    /// Nothing more from here on.
    Hang,
    /// Blocks the only thread.
    BlockThread,
    /// SIGTERM no longer stops.
    IgnoreSigterm,
    /// Exits at once.
    Exit(u8),
    /// Ends by a signal.
    Crash(Crash),
    /// Starts a process that stays.
    Grandchild(Grandchild),
    /// Makes this file beside the script and never removes it; exits if it is there.
    Lock(String),
}

/// Where a step stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Life,
    Hook(&'static Method),
    /// Inside `routes`.
    Route(&'static Method),
    /// `stop` or `after_activate`.
    Other,
}

/// What is done for some requests.
#[derive(Debug, Clone)]
pub struct Route {
    /// The HTTP method; none stands for any.
    pub method: Option<String>,
    /// The path; none stands for any, and one that ends with `/*` for all that begin so.
    pub path: Option<String>,
    /// What is done.
    pub steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteFields {
    method: Option<String>,
    path: Option<String>,
    reply: Option<Value>,
    r#do: Option<Vec<Value>>,
}

impl Step {
    pub(crate) fn is_serve(&self) -> bool {
        matches!(self, Self::Serve(_))
    }

    /// A step from `"word"` or `{"word": argument}`.
    pub(crate) fn from_json(step: Value, place: Place) -> Result<Self, String> {
        let (name, argument) = match step {
            Value::String(name) => (name, Value::Null),
            Value::Object(map) if map.len() == 1 => map.into_iter().next().unwrap_or_default(),
            _ => {
                return Err(format!(
                    "a step is a word, or a word with its argument; {}",
                    known_steps()
                ));
            }
        };
        let hook = match place {
            Place::Hook(hook) | Place::Route(hook) => Some(hook),
            Place::Life | Place::Other => None,
        };
        match (name.as_str(), hook) {
            ("serve" | "handshake" | "wait", _) if !matches!(place, Place::Life) => {
                return Err(format!("`{name}` stands only in `life`"));
            }
            ("answer" | "answer_error" | "answer_hex", Some(hook)) => {
                return answer(&name, hook, argument)
                    .map_err(|problem| format!("{name}: {problem}"));
            }
            ("answer" | "answer_error" | "answer_hex" | "fail", None) => {
                return Err(format!("`{name}` stands only inside a hook"));
            }
            ("reply" | "routes", hook) if hook.is_none_or(Method::is_unary) => {
                return Err(format!("`{name}` stands only inside the hook ServeHTTP"));
            }
            ("routes", Some(_)) if matches!(place, Place::Route(_)) => {
                return Err("`routes` does not stand inside `routes`".to_owned());
            }
            ("routes", Some(hook)) => return Route::list(hook, argument).map(Self::Routes),
            (name, _) if !STEPS.contains(&name) => {
                let known = suggestion(name, STEPS);
                return Err(format!("there is no step `{name}`{known} {}", known_steps()));
            }
            _ => {}
        }
        let argument = written_out(&name, argument);
        let step = match argument {
            Value::Null => Value::String(name.clone()),
            argument => Value::Object(Map::from_iter([(name.clone(), argument)])),
        };
        serde_json::from_value(step).map_err(|error| format!("{name}: {error}"))
    }
}

impl Route {
    /// The routes of a `routes` inside this hook.
    fn list(hook: &'static Method, json: Value) -> Result<Vec<Self>, String> {
        let Value::Array(list) = json else {
            return Err("routes: a list of {method: .., path: .., reply: ..} is needed".to_owned());
        };
        let number = |(at, json)| {
            Self::from_json(hook, json)
                .map_err(|problem| format!("routes: number {}: {problem}", at + 1))
        };
        list.into_iter().enumerate().map(number).collect()
    }

    fn from_json(hook: &'static Method, json: Value) -> Result<Self, String> {
        let fields: RouteFields =
            serde_json::from_value(json).map_err(|error| error.to_string())?;
        let steps = match (fields.reply, fields.r#do) {
            (Some(reply), None) => {
                vec![Value::Object(Map::from_iter([("reply".to_owned(), reply)]))]
            }
            (None, Some(steps)) => steps,
            _ => return Err("a route needs either `reply` or a list of steps, `do`".to_owned()),
        };
        let place = Place::Route(hook);
        let steps = steps.into_iter().map(|step| Step::from_json(step, place));
        Ok(Self {
            method: fields.method,
            path: fields.path,
            steps: steps.collect::<Result<_, _>>()?,
        })
    }
}

fn known_steps() -> String {
    format!("The steps are: {}", STEPS.join(", "))
}

/// The argument as a map, where a word or a single value is short for one.
fn written_out(name: &str, argument: Value) -> Value {
    let short_for = match name {
        "call" | "open_call" => "rpc",
        "handshake" => "line",
        "control" => "socket",
        "print_raw" => "text",
        "every_rpc" => "expect",
        _ => "",
    };
    match argument {
        Value::Null if name == "exit" => Value::from(0),
        Value::Null
            if ["serve", "handshake", "every_rpc", "grandchild", "reply"].contains(&name) =>
        {
            Value::Object(Map::new())
        }
        Value::String(text) if !short_for.is_empty() => {
            Value::Object(Map::from_iter([(short_for.to_owned(), Value::String(text))]))
        }
        argument => argument,
    }
}

/// The argument of `answer` and `answer_error` that stands for what [`sample`] makes.
const GENERATED: &str = "generated";

/// A step that answers a unary hook.
fn answer(name: &str, hook: &'static Method, argument: Value) -> Result<Step, String> {
    if !hook.is_unary() {
        return Err(format!("{} is a stream and has its own answer, `reply`", hook.name));
    }
    let generated = argument == GENERATED;
    let answer = match name {
        "answer_hex" => {
            let Value::String(digits) = argument else {
                return Err("a text of hexadecimal digits is needed".to_owned());
            };
            hex::decode(digits).map_err(|error| error.to_string())?.into()
        }
        "answer" if generated => sample::response(hook),
        "answer" => encode(&hook.response_descriptor(), argument)?,
        _ if generated => return Ok(generated_error(hook)),
        _ => {
            let json = Value::Object(Map::from_iter([("error".to_owned(), argument)]));
            encode(&hook.response_descriptor(), json)?
        }
    };
    Ok(Step::Answer(answer))
}

/// The generated AppError in the response, or, where a response has no place for it, its status.
fn generated_error(hook: &'static Method) -> Step {
    let error = sample::app_error(hook);
    match hook.response_descriptor().get_field_by_name("error") {
        Some(field) => {
            let mut answer = Vec::new();
            encoding::message::encode(field.number(), &error, &mut answer);
            Step::Answer(answer.into())
        }
        None => {
            let code = code_of_http_status(error.status_code);
            Step::Fail(Fail { code, message: error.message })
        }
    }
}
