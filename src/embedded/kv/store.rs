//! All namespaces.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::KvOptions;
use super::namespace::Namespace;
use crate::api::AppError;
use crate::embedded::KvClock;

/// Longest key, in characters.
const MAX_KEY_CHARACTERS: usize = 150;
/// How many keys a page has when the caller asks for none.
const DEFAULT_PER_PAGE: usize = 10;

/// The key-value store of all plugins. Clones share it; it lives as long as one of them, so that
/// the values outlive every restart of a plugin.
///
/// An empty value is no value: it cannot be stored, and setting it removes the key. Each call is
/// atomic.
///
/// ```
/// use plugin_conformance::embedded::{KvOptions, KvStore};
///
/// # fn main() -> Result<(), plugin_conformance::api::AppError> {
/// let store = KvStore::default();
/// store.set("com.example.a", "colour", "red".into(), &KvOptions::default())?;
/// assert_eq!(store.get("com.example.a", "colour"), "red");
/// assert_eq!(store.get("com.example.b", "colour"), "");
/// assert!(!store.set("com.example.a", "colour", "blue".into(), &KvOptions::in_place_of("green".into()))?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct KvStore {
    namespaces: Arc<Mutex<BTreeMap<String, Namespace>>>,
    clock: KvClock,
}

impl KvStore {
    /// An empty store whose values expire by this clock.
    pub fn with_clock(clock: KvClock) -> Self {
        Self { clock, ..Self::default() }
    }

    fn in_namespace<T>(&self, plugin_id: &str, f: impl FnOnce(&mut Namespace, i64) -> T) -> T {
        let now = self.clock.now();
        // Every change is one insertion or removal: a panic leaves the map whole.
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        f(namespaces.entry(plugin_id.to_owned()).or_default(), now)
    }

    /// The value of a key; empty when there is none.
    pub fn get(&self, plugin_id: &str, key: &str) -> Bytes {
        self.in_namespace(plugin_id, |keys, now| keys.get(key, now).cloned().unwrap_or_default())
    }

    /// Sets a key, or removes it if `value` is empty. True if it was done; an atomic call whose old
    /// value is not the present one does nothing.
    ///
    /// An atomic removal of a key that is missing does nothing either, as in Mattermost.
    ///
    /// # Errors
    /// AppError 400: the key is empty or longer than 150 characters, or the options contradict
    /// each other.
    pub fn set(
        &self,
        plugin_id: &str,
        key: &str,
        value: Bytes,
        options: &KvOptions,
    ) -> Result<bool, AppError> {
        checked(plugin_id, key)?;
        options.check()?;
        Ok(self.in_namespace(plugin_id, |keys, now| {
            if options.atomic {
                let present = keys.get(key, now).map(Bytes::as_ref).unwrap_or_default();
                let both_nothing = value.is_empty() && present.is_empty();
                if present != options.old_value.as_ref() || both_nothing {
                    return false;
                }
            }
            let seconds = options.expire_in_seconds;
            let expires = (seconds > 0).then(|| now.saturating_add(seconds.saturating_mul(1000)));
            keys.set(key, value, expires);
            true
        }))
    }

    /// Removes a key if its value is `old_value`. True if it did; an empty `old_value` never does.
    ///
    /// # Errors
    /// AppError 400: the key is empty or longer than 150 characters.
    pub fn compare_and_delete(
        &self,
        plugin_id: &str,
        key: &str,
        old_value: Bytes,
    ) -> Result<bool, AppError> {
        self.set(plugin_id, key, Bytes::new(), &KvOptions::in_place_of(old_value))
    }

    /// Removes a key, if it is there.
    pub fn delete(&self, plugin_id: &str, key: &str) {
        self.in_namespace(plugin_id, |keys, _| keys.delete(key));
    }

    /// Removes all keys of a plugin.
    pub fn delete_all(&self, plugin_id: &str) {
        self.in_namespace(plugin_id, |keys, _| keys.clear());
    }

    /// A page of a plugin's keys in alphabetical order, without expired ones. Pages count from 0;
    /// a negative one is the first. Without a positive `per_page` a page has 10 keys.
    pub fn list(&self, plugin_id: &str, page: i32, per_page: i32) -> Vec<String> {
        let page = usize::try_from(page).unwrap_or(0);
        let per_page =
            usize::try_from(per_page).ok().filter(|&n| n > 0).unwrap_or(DEFAULT_PER_PAGE);
        self.in_namespace(plugin_id, |keys, now| {
            keys.keys(now).skip(page.saturating_mul(per_page)).take(per_page).cloned().collect()
        })
    }
}

fn checked(plugin_id: &str, key: &str) -> Result<(), AppError> {
    let characters = key.chars().count();
    if (1..=MAX_KEY_CHARACTERS).contains(&characters) {
        return Ok(());
    }
    Err(AppError::new("model.plugin_key_value.is_valid.key.app_error", 400)
        .message(format!("Invalid key: it must have 1 to {MAX_KEY_CHARACTERS} characters."))
        .detail(format!("plugin {plugin_id}: the key has {characters} characters"))
        .at("PluginKeyValue.IsValid"))
}
