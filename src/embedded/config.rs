//! The server's configuration: Mattermost's JSON, with Go's field names.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

/// A fresh installation's configuration.
static DEFAULT: LazyLock<Arc<Value>> = LazyLock::new(|| {
    // The file is part of the program, and a test reads it.
    Arc::new(serde_json::from_str(include_str!("config_default.json")).unwrap_or_default())
});

/// A configuration at one moment. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Config(Arc<Value>);

impl Config {
    /// This JSON, which has all sections.
    pub(crate) fn new(json: Value) -> Self {
        Self(Arc::new(json))
    }

    /// The whole of it.
    pub(crate) fn json(&self) -> &Value {
        &self.0
    }

    /// A setting; `Null` if there is none of this name.
    pub(crate) fn get(&self, section: &str, name: &str) -> &Value {
        self.0.get(section).and_then(|section| section.get(name)).unwrap_or(&Value::Null)
    }

    /// A setting that is true or false; false if it is neither.
    pub(crate) fn flag(&self, section: &str, name: &str) -> bool {
        self.get(section, name).as_bool().unwrap_or_default()
    }

    /// A setting that is a text; empty if it is none.
    pub(crate) fn text(&self, section: &str, name: &str) -> &str {
        self.get(section, name).as_str().unwrap_or_default()
    }

    /// A setting that is a whole number; 0 if it is none.
    pub(crate) fn number(&self, section: &str, name: &str) -> i64 {
        self.get(section, name).as_i64().unwrap_or_default()
    }
}

impl Default for Config {
    /// A fresh installation's.
    fn default() -> Self {
        Self(Arc::clone(&DEFAULT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_read() {
        let config = Config::default();
        assert!(config.flag("ServiceSettings", "EnableCustomEmoji"));
        assert!(!config.flag("ServiceSettings", "NoSuchSetting"));
        assert_eq!(config.text("FileSettings", "DriverName"), "local");
        assert_eq!(config.number("TeamSettings", "MaxUsersPerTeam"), 50);
        assert_eq!(config.json().as_object().map(serde_json::Map::len), Some(46));
    }

    #[test]
    fn another_configuration_takes_its_place() {
        let config = Config::new(serde_json::json!({ "TeamSettings": { "MaxUsersPerTeam": 2 } }));
        assert_eq!(config.number("TeamSettings", "MaxUsersPerTeam"), 2);
    }
}
