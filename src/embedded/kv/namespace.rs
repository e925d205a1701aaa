//! The keys of one plugin.

use std::collections::BTreeMap;

use bytes::Bytes;

/// One value; expired ones are as good as missing.
#[derive(Debug, Clone)]
struct Stored {
    value: Bytes,
    /// Milliseconds since 1970; `None` for never.
    expires_at: Option<i64>,
}

/// The keys of one plugin, sorted. Every method takes the present time in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Namespace(BTreeMap<String, Stored>);

impl Namespace {
    pub(super) fn get(&self, key: &str, now: i64) -> Option<&Bytes> {
        let stored = self.0.get(key)?;
        stored.lives(now).then_some(&stored.value)
    }

    /// Stores `value`; an empty one removes the key.
    pub(super) fn set(&mut self, key: &str, value: Bytes, expires_at: Option<i64>) {
        if value.is_empty() {
            self.0.remove(key);
        } else {
            self.0.insert(key.to_owned(), Stored { value, expires_at });
        }
    }

    pub(super) fn delete(&mut self, key: &str) {
        self.0.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The living keys in order. The dead ones are dropped on the way: nothing else does.
    pub(super) fn keys(&mut self, now: i64) -> impl Iterator<Item = &String> {
        self.0.retain(|_, stored| stored.lives(now));
        self.0.keys()
    }
}

impl Stored {
    fn lives(&self, now: i64) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}
