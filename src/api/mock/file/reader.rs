//! From YAML to mocks: every name is known and every message fits, or the error says where not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugin_proto::names::suggestion;
use plugin_proto::{DESCRIPTORS, Method, PACKAGE, v1};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::node::{Content, Node};
use super::{MockFile, MockFileError, Otherwise};
use crate::api::AppError;
use crate::api::json;
use crate::api::mock::matcher::{Bound, Field, Test};
use crate::api::mock::mounted::Spec;
use crate::api::mock::path::{FieldPath, Holds};
use crate::api::mock::{MockError, Reply, Times, rpc, sequence};

/// How deep lists and maps may stand in each other. Each level takes some of the stack.
const MAX_DEPTH: usize = 32;
const FILE_KEYS: &[&str] = &["otherwise", "mocks"];
const MOCK_KEYS: &[&str] =
    &["given", "with", "respond", "fail", "sequence", "delay_ms", "expect", "up_to", "name"];
const STEP_KEYS: &[&str] = &["respond", "fail", "delay_ms"];
const TESTS: &[&str] = &["equals", "contains", "text", "regex", "set"];
const EXPECT_KEYS: &[&str] = &["at_least", "at_most"];

pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
}

type Read<T> = Result<T, MockFileError>;

/// A map whose keys are all known.
struct Entries<'a> {
    line: u64,
    entries: &'a [(String, Node)],
}

impl<'a> Entries<'a> {
    fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }
}

impl Reader<'_> {
    fn wrong<T>(&self, line: u64, problem: impl Into<String>) -> Read<T> {
        Err(self.error(line, problem))
    }

    fn error(&self, line: u64, problem: impl Into<String>) -> MockFileError {
        MockFileError::Content { path: self.path.to_owned(), line, problem: problem.into() }
    }

    pub(super) fn file(&self, text: &str) -> Read<MockFile> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            // `no` is a text here.
            strict_booleans: true,
            budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        };
        let read = serde_saphyr::from_str_with_options::<Spanned<Content>>(text, options);
        let root: Node = read.map(Node::from).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            // The parser ends its messages with the place, which stands in front here.
            let text = error.to_string();
            let text = text.split_once(" at line ").map_or(&*text, |(text, _)| text);
            let text = text.split_once(", set DuplicateKeyPolicy").map_or(text, |(text, _)| text);
            self.error(line, format!("not a file of mocks: {text}"))
        })?;
        let keys = self.entries(&root, "a file of mocks", FILE_KEYS)?;
        let otherwise = match keys.get("otherwise") {
            Some(node) => self.otherwise(node)?,
            None => Otherwise::default(),
        };
        let Some(Node { line, content }) = keys.get("mocks") else {
            return self.wrong(keys.line, "there is no list `mocks`");
        };
        let Content::List(mocks) = content else {
            return self.wrong(*line, "`mocks` is no list; each mock begins with `- given: RPC`");
        };
        let mocks = mocks.iter().map(|mock| self.mock(mock).map(Arc::new));
        Ok(MockFile { otherwise, mocks: mocks.collect::<Read<_>>()? })
    }

    /// A map in which each key is known.
    fn entries<'a>(&self, node: &'a Node, what: &str, known: &[&str]) -> Read<Entries<'a>> {
        let allowed = || format!("{what} has the keys {}", known.join(", "));
        let Content::Map(entries) = &node.content else {
            let got = json::short(&node.json());
            return self.wrong(node.line, format!("expected a map, got {got}; {}", allowed()));
        };
        if let Some((key, value)) = entries.iter().find(|(key, _)| !known.contains(&&**key)) {
            let hint = suggestion(key, known.iter().copied());
            let problem = format!("there is no key {key} ({}){hint}", allowed());
            return self.wrong(value.line, problem);
        }
        Ok(Entries { line: node.line, entries })
    }

    fn otherwise(&self, node: &Node) -> Read<Otherwise> {
        match self.text(node, "otherwise")? {
            "generated" => Ok(Otherwise::Generated),
            "unmatched" => Ok(Otherwise::Unmatched),
            other => {
                let hint = suggestion(other, ["generated", "unmatched"]);
                let allowed = "it is `generated` or `unmatched`";
                self.wrong(node.line, format!("otherwise: {other} is unknown ({allowed}){hint}"))
            }
        }
    }

    fn text<'a>(&self, node: &'a Node, key: &str) -> Read<&'a str> {
        match &node.content {
            Content::Scalar(Value::String(text)) => Ok(text),
            _ => {
                let got = json::short(&node.json());
                self.wrong(node.line, format!("{key}: expected a text, got {got}"))
            }
        }
    }

    fn number(&self, node: &Node, key: &str) -> Read<u64> {
        let value = node.json();
        value.as_u64().ok_or_else(|| {
            let got = json::short(&value);
            self.error(node.line, format!("{key}: expected a number from 0 on, got {got}"))
        })
    }

    fn mock(&self, node: &Node) -> Read<Spec> {
        let keys = self.entries(node, "a mock", MOCK_KEYS)?;
        let Some(given) = keys.get("given") else {
            return self.wrong(keys.line, "the mock has no `given`, the RPC that it answers");
        };
        let method = rpc(self.text(given, "given")?).method();
        let method = method.map_err(|error| self.error(given.line, error.to_string()))?;
        let in_mock = |error| match error {
            MockFileError::Content { path, line, problem } => {
                let problem = match problem.starts_with(&format!("{}: ", method.name)) {
                    true => problem,
                    false => format!("{}: {problem}", method.name),
                };
                MockFileError::Content { path, line, problem }
            }
            error => error,
        };
        self.mock_of(method, &keys).map_err(in_mock)
    }

    fn mock_of(&self, method: &'static Method, keys: &Entries<'_>) -> Read<Spec> {
        let mut matchers = Vec::new();
        if let Some(with) = keys.get("with") {
            let Content::Map(fields) = &with.content else {
                let got = json::short(&with.json());
                return self.wrong(with.line, format!("with: expected a map of fields, got {got}"));
            };
            for (path, node) in fields {
                let parts = path.split('.').map(str::to_owned).collect();
                self.matchers(method, parts, node, &mut matchers)?;
            }
        }
        let (reply, place) = self.reply(method, keys)?;
        let reply = reply.bind(method).map_err(|error| {
            let line = match &error {
                MockError::Answer { path, .. } => place.line_of(path),
                _ => place.line,
            };
            self.error(line, error.to_string())
        })?;
        let expect = match keys.get("expect") {
            Some(node) => self.times(node)?,
            None => Times::default(),
        };
        let limit = match keys.get("up_to") {
            Some(node) => self.number(node, "up_to")?,
            None => u64::MAX,
        };
        let name = keys.get("name").map(|node| self.text(node, "name").map(str::to_owned));
        Ok(Spec { method, name: name.transpose()?, matchers, reply, expect, limit })
    }

    /// What stands behind a field in `with`: its value, what must hold of it, or inner fields.
    fn matchers(
        &self,
        method: &'static Method,
        parts: Vec<String>,
        node: &Node,
        bound: &mut Vec<Bound>,
    ) -> Read<()> {
        let wrong = |problem: String| {
            let (rpc, path) = (method.name, parts.clone());
            self.error(node.line, MockError::Matcher { rpc, path, problem }.to_string())
        };
        let mut bind = |test, node: &Node| {
            let matcher = Field(parts.clone()).test(test).bind(method).map_err(|error| {
                let inner = match &error {
                    MockError::Matcher { path, .. } => path.get(parts.len()..).unwrap_or_default(),
                    _ => &[],
                };
                self.error(node.line_of(inner), error.to_string())
            });
            bound.push(matcher?);
            Ok(())
        };
        let entries = match &node.content {
            Content::Map(entries) if !entries.is_empty() => entries,
            _ => return bind(Test::Equals(node.json()), node),
        };
        let is_test = |(key, _): &&(String, Node)| TESTS.contains(&&**key);
        let tests = entries.iter().filter(is_test).count();
        if tests == entries.len() {
            for (key, node) in entries {
                bind(self.test(key, node)?, node)?;
            }
            return Ok(());
        }
        let path = FieldPath::resolve(&method.request_descriptor(), parts.clone());
        let inner = match path.map_err(wrong)?.holds {
            Holds::Message(message) => !json::is_google(&message),
            Holds::Map(_) | Holds::List(_) | Holds::Free => true,
            Holds::Text | Holds::Bytes | Holds::Scalar => false,
        };
        if !inner || tests > 0 {
            let other = entries.iter().map(|(key, _)| &**key).find(|key| !TESTS.contains(key));
            let other = other.unwrap_or_default();
            let hint = suggestion(other, TESTS.iter().copied());
            let allowed = TESTS.join(", ");
            return Err(wrong(format!("{other} is no condition (conditions: {allowed}){hint}")));
        }
        for (key, node) in entries {
            let parts = parts.iter().cloned().chain([key.clone()]).collect();
            self.matchers(method, parts, node, bound)?;
        }
        Ok(())
    }

    fn test(&self, key: &str, node: &Node) -> Read<Test> {
        Ok(match key {
            "equals" => Test::Equals(node.json()),
            "contains" => Test::Contains(node.json()),
            "text" => Test::Text(self.text(node, key)?.to_owned()),
            "regex" => Test::Regex(self.text(node, key)?.to_owned()),
            _ => match node.content {
                Content::Scalar(Value::Bool(true)) => Test::Set,
                Content::Scalar(Value::Bool(false)) => Test::Unset,
                _ => {
                    let got = json::short(&node.json());
                    return self
                        .wrong(node.line, format!("set: expected true or false, got {got}"));
                }
            },
        })
    }

    /// The answer, and where it stands.
    fn reply<'a>(&self, method: &'static Method, keys: &Entries<'a>) -> Read<(Reply, &'a Node)> {
        let given = ["respond", "fail", "sequence"].map(|key| keys.get(key));
        let (reply, place) = match given {
            [Some(node), None, None] => (Reply::from(node.json()), node),
            [None, Some(node), None] => (self.failure(node)?.into(), node),
            [None, None, Some(node)] => (self.sequence(method, node)?, node),
            _ => {
                let problem = "a mock has one answer: `respond`, `fail` or `sequence`";
                return self.wrong(keys.line, problem);
            }
        };
        Ok((self.delayed(reply, keys)?, place))
    }

    fn delayed(&self, reply: Reply, keys: &Entries<'_>) -> Read<Reply> {
        Ok(match keys.get("delay_ms") {
            Some(node) => reply.after(Duration::from_millis(self.number(node, "delay_ms")?)),
            None => reply,
        })
    }

    fn sequence(&self, method: &'static Method, node: &Node) -> Read<Reply> {
        let Content::List(steps) = &node.content else {
            return self.wrong(node.line, "sequence: expected a list of `respond` and `fail`");
        };
        let steps = steps.iter().map(|step| {
            let keys = self.entries(step, "an answer in a sequence", STEP_KEYS)?;
            let reply = match [keys.get("respond"), keys.get("fail")] {
                [Some(node), None] => {
                    // Checked here, where the line is known.
                    let response = json::to_message(&method.response_descriptor(), &node.json());
                    response.map_err(|problem| {
                        let (rpc, line) = (method.name, node.line_of(&problem.path));
                        let (path, problem) = (problem.path, problem.text);
                        self.error(line, MockError::Answer { rpc, path, problem }.to_string())
                    })?;
                    Reply::from(node.json())
                }
                [None, Some(node)] => self.failure(node)?.into(),
                _ => return self.wrong(keys.line, "an answer is either `respond` or `fail`"),
            };
            self.delayed(reply, &keys)
        });
        Ok(sequence(steps.collect::<Read<Vec<_>>>()?))
    }

    fn failure(&self, node: &Node) -> Read<AppError> {
        let descriptor = DESCRIPTORS.get_message_by_name(&format!("{PACKAGE}.AppError"));
        let Some(descriptor) = descriptor else {
            return self.wrong(node.line, "fail: the contract has no AppError");
        };
        let message = json::to_message(&descriptor, &node.json()).map_err(|problem| {
            let path: String = problem.path.iter().map(|part| format!(".{part}")).collect();
            let line = node.line_of(&problem.path);
            self.error(line, format!("fail{path}: {}", problem.text))
        })?;
        let decoded = message.transcode_to::<v1::AppError>();
        let mut error: AppError = match decoded {
            Ok(error) => error.into(),
            Err(error) => return self.wrong(node.line, format!("fail: {error}")),
        };
        if error.id.is_empty() {
            return self.wrong(node.line, "fail: the AppError has no `id`");
        }
        if error.message.is_empty() {
            error.message.clone_from(&error.id);
        }
        if error.status_code == 0 {
            error.status_code = 500;
        }
        Ok(error)
    }

    fn times(&self, node: &Node) -> Read<Times> {
        if matches!(node.content, Content::Scalar(_)) {
            return self.number(node, "expect").map(Times::from);
        }
        let keys = self.entries(node, "`expect`", EXPECT_KEYS)?;
        let number = |key| keys.get(key).map(|node| self.number(node, key)).transpose();
        let range = number("at_least")?.unwrap_or(0)..=number("at_most")?.unwrap_or(u64::MAX);
        let times = Times::from(range);
        match times.is_empty() {
            true => self.wrong(node.line, "expect: at_least is more than at_most"),
            false => Ok(times),
        }
    }
}
