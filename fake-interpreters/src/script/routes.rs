//! The argument of the step `routes`: which requests a route takes.

use plugin_proto::v1;

use super::steps::Route;

impl Route {
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
