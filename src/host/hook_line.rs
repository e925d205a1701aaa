//! A hook as a person writes it: `MessageWillBePosted {"post": {"message": "hi"}}`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A hook to fire, at one plugin or at all that implement it.
#[derive(Debug, Clone, PartialEq)]
pub struct HookLine {
    /// The plugin's id, if one was named: `com.example.hello: OnConfigurationChange`.
    pub plugin: Option<String>,
    /// The hook's name. Whether there is such a hook is known when it is fired.
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
        if hook.is_empty() || hook.contains(char::is_whitespace) {
            return Err(wrong(format!("{names:?} is no hook")));
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
            ("", "\"\" is no hook"),
            ("two words", "\"two words\" is no hook"),
            ("OnInstall {", "the request of OnInstall is no JSON: EOF"),
            ("OnInstall {} x", "the request of OnInstall is no JSON: trailing"),
        ] {
            let error = line.parse::<HookLine>().unwrap_err().to_string();
            assert!(error.starts_with(problem), "{line}: {error}");
        }
    }
}
