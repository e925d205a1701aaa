//! How a value is set.

use bytes::Bytes;
use plugin_proto::v1;

use crate::api::AppError;

/// The options of `KVSetWithOptions`, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvOptions {
    /// Set only if the present value is [`old_value`](Self::old_value).
    pub atomic: bool,
    /// What is to be there; empty means that nothing is to be there.
    pub old_value: Bytes,
    /// Seconds until the value is gone; 0 for never.
    pub expire_in_seconds: i64,
}

impl KvOptions {
    /// Unconditionally, gone after so many seconds; 0 for never.
    pub fn expiring(expire_in_seconds: i64) -> Self {
        Self { expire_in_seconds, ..Self::default() }
    }

    /// Only in place of `old_value`; if that is empty, only where nothing is.
    pub fn in_place_of(old_value: Bytes) -> Self {
        Self { atomic: true, old_value, ..Self::default() }
    }

    /// # Errors
    /// AppError 400: an old value without `atomic`, or a negative expiry.
    pub(super) fn check(&self) -> Result<(), AppError> {
        let refused = |field: &str, message: &str| {
            let id = format!("model.plugin_kvset_options.is_valid.{field}.app_error");
            Err(AppError::new(id, 400).message(message).at("PluginKVSetOptions.IsValid"))
        };
        if !self.atomic && !self.old_value.is_empty() {
            return refused("old_value", "old_value is only for atomic: set atomic as well.");
        }
        if self.expire_in_seconds < 0 {
            return refused("expire_in_seconds", "expire_in_seconds must be 0 (never) or more.");
        }
        Ok(())
    }
}

impl From<v1::PluginKvSetOptions> for KvOptions {
    fn from(options: v1::PluginKvSetOptions) -> Self {
        let v1::PluginKvSetOptions { atomic, old_value, expire_in_seconds } = options;
        Self { atomic, old_value, expire_in_seconds }
    }
}
