//! What is being done right now and may not be done twice at a time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names of what is being done. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<String>>>);

/// A name is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    names: InFlight,
    name: String,
}

impl InFlight {
    /// Takes a name; `None` if somebody has it.
    pub(crate) fn claim(&self, name: String) -> Option<Claim> {
        let new = self.lock().insert(name.clone());
        new.then(|| Claim { names: self.clone(), name })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.names.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_at_a_time() {
        let names = InFlight::default();
        let claim = names.claim("a".to_owned());
        assert!(claim.is_some());
        assert!(names.claim("a".to_owned()).is_none());
        assert!(names.claim("b".to_owned()).is_some());
        drop(claim);
        assert!(names.claim("a".to_owned()).is_some());
    }
}
