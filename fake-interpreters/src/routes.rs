//! The argument of the step `routes`: which request is answered how.

use plugin_proto::{Method, v1};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::steps::{Place, Step};

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

impl Route {
    /// The routes of a `routes` inside this hook.
    pub(crate) fn list(hook: &'static Method, json: Value) -> Result<Vec<Self>, String> {
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

    /// Whether a request is one of this route's.
    pub(crate) fn takes(&self, request: &v1::ServeHttpRequestInit) -> bool {
        let path = path_of(&request.url);
        let method = self.method.as_ref().is_none_or(|method| *method == request.method);
        method
            && self.path.as_ref().is_none_or(|wanted| match wanted.strip_suffix('*') {
                Some(start) if start.ends_with('/') => path.starts_with(start),
                _ => path == wanted,
            })
    }
}

/// A URL without its query.
pub(crate) fn path_of(url: &str) -> &str {
    url.split_once('?').map_or(url, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_take_paths_and_beginnings_of_paths() {
        let takes = |method: Option<&str>, path: Option<&str>, url: &str| {
            let (method, path) = (method.map(str::to_owned), path.map(str::to_owned));
            let request = v1::ServeHttpRequestInit {
                method: "GET".to_owned(),
                url: url.to_owned(),
                ..v1::ServeHttpRequestInit::default()
            };
            Route { method, path, steps: Vec::new() }.takes(&request)
        };
        assert!(takes(None, None, ""));
        assert!(takes(Some("GET"), Some("/a"), "/a?b=/c"));
        assert!(!takes(Some("POST"), None, "/a"));
        assert!(!takes(None, Some("/a"), "/a/"));
        assert!(takes(None, Some("/a/*"), "/a/b/c?d"));
        assert!(!takes(None, Some("/a/*"), "/a"));
        assert!(!takes(None, Some("/a*"), "/ab"));
    }
}
