//! A hook as a person writes it: `MessageWillBePosted {"post": {"message": "hi"}}`.

use std::fmt;
use std::str::FromStr;

use plugin_proto::names::suggestion;
use plugin_proto::{Method, Service};
use serde_json::Value;

/// A hook to fire, at one plugin or at all that implement it.
#[derive(Debug, Clone, PartialEq)]
pub struct HookLine {
    /// The plugin's id, if one was named: `com.example.hello: OnConfigurationChange`.
    pub plugin: Option<String>,
    /// The hook's name.
    pub hook: String,
    /// The request in proto3 JSON; an empty map if none was written.
    pub request: Value,
}

/// A line that names no hook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{problem}; write a hook and its request, for example: MessageWillBePosted {{\"post\": {{\"message\": \"hi\"}}}}"
)]
pub struct HookLineError {
    problem: String,
}

impl FromStr for HookLine {
    type Err = HookLineError;

    fn from_str(line: &str) -> Result<Self, HookLineError> {
        let line = line.trim();
        let (names, request) = match line.find('{') {
            Some(at) => line.split_at(at),
            None => (line, "{}"),
        };
        let names = names.trim();
        let (plugin, hook) = match names.rsplit_once(':') {
            Some((plugin, hook)) => (Some(plugin.trim().to_lowercase()), hook.trim()),
            None => (None, names),
        };
        let wrong = |problem: String| HookLineError { problem };
        if let Some((hook, _)) = hook.split_once(char::is_whitespace) {
            return Err(wrong(format!("after the hook {hook} comes its request, JSON in braces")));
        }
        if Method::by_name(Service::PluginHooks, hook).is_none() {
            let names = Service::PluginHooks.methods().map(|method| method.name);
            return Err(wrong(format!("there is no hook {hook:?}{}", suggestion(hook, names))));
        }
        let request = serde_json::from_str(request)
            .map_err(|error| wrong(format!("the request of {hook} is no JSON: {error}")))?;
        Ok(Self { plugin, hook: hook.to_owned(), request })
    }
}

impl fmt::Display for HookLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(plugin) = &self.plugin {
            write!(f, "{plugin}: ")?;
        }
        write!(f, "{} {}", self.hook, self.request)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_names_a_hook_and_perhaps_a_plugin_and_a_request() {
        let line: HookLine =
            r#"MessageWillBePosted {"post": {"message": "a: b"}}"#.parse().unwrap();
        assert_eq!((line.plugin, line.hook.as_str()), (None, "MessageWillBePosted"));
        assert_eq!(line.request, json!({"post": {"message": "a: b"}}));
        let line: HookLine = " Com.Example.Hello: OnConfigurationChange ".parse().unwrap();
        assert_eq!(line.to_string(), "com.example.hello: OnConfigurationChange {}");
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, problem) in [
            ("", "there is no hook \"\""),
            ("OnInstal {}", "there is no hook \"OnInstal\"; did you mean OnInstall?"),
            ("OnInstall now", "after the hook OnInstall comes its request, JSON in braces"),
            ("OnInstall {", "the request of OnInstall is no JSON: EOF"),
            ("OnInstall {} x", "the request of OnInstall is no JSON: trailing"),
        ] {
            let error = line.parse::<HookLine>().unwrap_err().to_string();
            assert!(error.starts_with(problem), "{line}: {error}");
        }
    }
}
