//! Which plugin a path belongs to.

const PREFIX: &str = "/plugins/";

/// A request's target, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    /// In lower case, as ids are.
    pub(super) plugin_id: String,
    /// The path as the plugin sees it; begins with `/`.
    pub(super) path: &'a str,
}

impl<'a> Route<'a> {
    /// `None` for a path that belongs to no plugin. The id is taken as it stands: what is
    /// percent-encoded is no id, and neither are `.` and `..`.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix(PREFIX)?;
        let (id, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let only_dots = id.bytes().all(|byte| byte == b'.');
        if only_dots || !id.bytes().all(is_id) {
            return None;
        }
        Some(Self { plugin_id: id.to_ascii_lowercase(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_goes_and_the_rest_stays_as_it_is() {
        for (path, id, rest) in [
            ("/plugins/com.example.a", "com.example.a", "/"),
            ("/plugins/com.example.a/", "com.example.a", "/"),
            ("/plugins/Com.Example.A/X//y/%2e%2E/z", "com.example.a", "/X//y/%2e%2E/z"),
            ("/plugins/a/../b", "a", "/../b"),
        ] {
            assert_eq!(Route::of(path), Some(Route { plugin_id: id.into(), path: rest }), "{path}");
        }
    }

    #[test]
    fn what_is_no_id_leads_nowhere() {
        for path in [
            "/",
            "*",
            "",
            "/plugins",
            "/plugins/",
            "/plugins//",
            "/plugins//a",
            "/plugins/../a",
            "/plugins/./a",
            "/plugins/a%2Fb",
            "/plugins/%2e%2e/a",
            "/plugins/a%00",
            "/Plugins/a/",
            "/api/v4/users",
            "/x/plugins/a/",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
